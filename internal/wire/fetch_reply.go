package wire

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// fetchReply is the items of one FETCH reply (RFC 9051 7.5.2). Its values point into the
// reply.
type fetchReply struct {
	uid         uint32 // 0: not sent, or two different ones
	flags       value
	date        value
	size        value
	modSeq      value
	email       value // EMAILID
	gmail       value // X-GM-MSGID
	labels      value // X-GM-LABELS
	body        value
	header      value
	hasUID      bool // a UID was sent, readable or not
	broken      bool // part of the reply could not be read
	badItemName bool // something stands where an item's name should be
}

// parseFetch reads what can be read of a FETCH reply, or of its beginning.
func parseFetch(u untagged) (f fetchReply) {
	if !u.is("FETCH") {
		return f
	}
	c := cursor{u.rest}
	c.space()
	if len(c.b) == 0 || c.b[0] != '(' {
		f.broken = true
		return f
	}
	c.b = c.b[1:]
	for {
		key := c.key()
		if len(key) == 0 {
			f.broken = f.broken || string(bytes.TrimRight(c.b, " ")) != ")"
			return f
		}
		f.badItemName = f.badItemName || !c.isItemName(key)
		v := c.value()
		switch {
		case v.kind != none:
			f.setItem(key, v)
		case len(c.b) > 0 && c.b[0] != ')':
			f.broken = true
			return f // a string or list without an end: what follows is unknown
		default:
			f.broken = true
		}
	}
}

// setItem stores the value of an item. Of two bodies or headers the first counts.
func (f *fetchReply) setItem(key []byte, v value) {
	switch {
	case isKey(key, "UID"):
		f.setUID(v)
	case isKey(key, "FLAGS"):
		f.flags = v
	case isKey(key, "INTERNALDATE"):
		f.date = v
	case isKey(key, "RFC822.SIZE"):
		f.size = v
	case isKey(key, "MODSEQ"):
		f.modSeq = v
	case isKey(key, "EMAILID"):
		f.email = v
	case isKey(key, "X-GM-MSGID"):
		f.gmail = v
	case isKey(key, "X-GM-LABELS"):
		f.labels = v
	case isKey(key, "BODY[]") && f.body.kind == none:
		f.body = v
	case isKey(key, "BODY[HEADER]") && f.header.kind == none:
		f.header = v
	}
}

// setUID stores the UID. An unreadable one, or two different ones, make the UID 0 and the
// reply broken.
func (f *fetchReply) setUID(v value) {
	n, ok := v.number()
	if !ok || n == 0 || n > 1<<32-1 || f.hasUID && uint32(n) != f.uid {
		n, f.broken = 0, true
	}
	f.uid, f.hasUID = uint32(n), true
}

// endsReply says whether rest may follow a body in a FETCH reply: further items, none
// of them another UID or body, and the end. It is not, if the announced size of the body
// was wrong.
func endsReply(rest []byte, u uint32) bool {
	for c := (cursor{rest}); ; {
		c.space()
		if len(c.b) > 0 && c.b[0] == ')' {
			return len(bytes.Trim(c.b[1:], " ")) == 0
		}
		key := c.key()
		if !c.isItemName(key) || isKey(key, "BODY[]") {
			return false
		}
		v := c.value()
		if v.kind == none {
			return false
		}
		if n, ok := v.number(); isKey(key, "UID") && (!ok || n != uint64(u)) {
			return false
		}
	}
}

// fetchItems are names of FETCH items, or their beginnings.
var fetchItems = []string{"UID", "FLAGS", "MODSEQ", "INTERNALDATE", "RFC822", "BODY", "BINARY", "ENVELOPE"}

// isItemName says whether key may be the name of a FETCH item rather than a word of a
// text: a known name, or another in upper case whose value is no literal. The cursor
// stands before the value.
func (c *cursor) isItemName(key []byte) bool {
	c.space()
	for _, name := range fetchItems {
		if len(key) >= len(name) && isKey(key[:len(name)], name) {
			return true
		}
	}
	literal := len(c.b) > 0 && c.b[0] == '{'
	return len(key) > 1 && !literal && !bytes.ContainsFunc(key, func(r rune) bool { return unicode.IsLower(r) || r > unicode.MaxASCII })
}

func isKey(key []byte, name string) bool {
	return len(key) == len(name) && strings.EqualFold(string(key), name)
}

var (
	errFlags = errors.New("unreadable FLAGS")
	errDate  = errors.New("unreadable INTERNALDATE")
)

var systemFlags = [...]string{`\Answered`, `\Deleted`, `\Draft`, `\Flagged`, `\Seen`}

// parseFlags reads a list of flags (RFC 9051 2.3.2): sorted, each once, system flags in
// their usual case, without \Recent. A flag that is not visible UTF-8 text is left out,
// and is an error.
func parseFlags(v value) ([]string, error) {
	if v.kind != list {
		return nil, errFlags
	}
	var err error
	var flags []string
	for c := (cursor{v.octets}); ; {
		f := c.value()
		if f.kind == none {
			c.space()
			if len(c.b) > 0 {
				err = errFlags
			}
			break
		}
		name := string(f.octets)
		if f.kind == list || !isVisible(name) {
			err = errFlags
			continue
		}
		if strings.EqualFold(name, `\Recent`) {
			continue
		}
		if name[0] == '\\' {
			for _, known := range systemFlags {
				if strings.EqualFold(name, known) {
					name = known
				}
			}
		}
		flags = append(flags, name)
	}
	slices.Sort(flags)
	return slices.Compact(flags), err
}

func isVisible(name string) bool {
	return isPrintable(name) && !strings.ContainsFunc(name, unicode.IsSpace)
}

// isPrintable is isVisible that allows spaces.
func isPrintable(name string) bool {
	return name != "" && utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl)
}

// parseDate reads an INTERNALDATE, "17-Jul-1996 02:44:25 -0700" (RFC 9051 9, date-time),
// and variants that servers send: a day without padding, UTC by name. A year before 1900
// is an error.
func parseDate(v value) (time.Time, error) {
	if v.kind != text {
		return time.Time{}, errDate
	}
	s := strings.TrimSpace(string(v.octets))
	for _, zone := range []string{" GMT", " UTC", " UT", " Z"} {
		if rest, ok := strings.CutSuffix(s, zone); ok {
			s = rest + " +0000"
		}
	}
	t, err := time.Parse("_2-Jan-2006 15:04:05 -0700", s)
	if err != nil || t.Year() < 1900 {
		return time.Time{}, errDate
	}
	return t, nil
}

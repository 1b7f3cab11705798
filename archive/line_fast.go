package archive

import (
	"bytes"
	"encoding/hex"
	"math"
	"time"
)

// decodeAddedFast decodes the line of a message as encodeTo writes it, if only the
// backslashes of flags are escaped and it has none of the rare fields. Nearly all lines
// of a journal are like that, and encoding/json takes several times as long for them.
// For all others ok is false: decodeJSON decodes them or says what is wrong.
func decodeAddedFast(line []byte) (e Event, ok bool) {
	p := lineScanner{rest: line}
	p.expect(`{"event":"added","at":`)
	at := p.quoted()
	p.expect(`,"uid":`)
	e.UID = uint32(p.number(math.MaxUint32))
	p.expect(`,"path":`)
	e.Path = string(p.quoted())
	p.expect(`,"size":`)
	e.Size = p.number(math.MaxInt64)
	p.expect(`,"sha256":`)
	sum := p.quoted()
	p.expect(`,`)
	var date []byte
	if p.accept(`"internaldate":`) {
		date = p.quoted()
		p.expect(`,`)
		p.bad = p.bad || len(date) == 0
	}
	p.expect(`"flags":[`)
	e.Flags = p.flags()
	p.expect(`}`)
	if p.bad || len(p.rest) > 0 || len(sum) != 2*len(e.Sum) {
		return Event{}, false
	}
	var err error
	if _, err = hex.Decode(e.Sum[:], sum); err != nil {
		return Event{}, false
	}
	if e.At, err = time.Parse(time.RFC3339, string(at)); err != nil {
		return Event{}, false
	}
	if date != nil {
		if e.InternalDate, err = time.Parse(time.RFC3339, string(date)); err != nil {
			return Event{}, false
		}
	}
	e.Kind = Added
	return e, e.validate() == nil
}

// lineScanner scans a line from its front. After something unexpected bad is set, and
// what it returns has no meaning.
type lineScanner struct {
	rest []byte
	bad  bool
}

// accept skips s if the rest begins with it, and reports whether it does.
func (p *lineScanner) accept(s string) bool {
	if !bytes.HasPrefix(p.rest, []byte(s)) {
		return false
	}
	p.rest = p.rest[len(s):]
	return true
}

// expect skips s, with which the rest must begin.
func (p *lineScanner) expect(s string) { p.bad = p.bad || !p.accept(s) }

// quoted scans a string of printable ASCII without a backslash.
func (p *lineScanner) quoted() []byte {
	p.expect(`"`)
	return p.untilQuote()
}

// untilQuote scans such a string after its first quote.
func (p *lineScanner) untilQuote() []byte {
	n := bytes.IndexByte(p.rest, '"')
	if p.bad = p.bad || n < 0; p.bad {
		return nil
	}
	text := p.rest[:n]
	p.rest = p.rest[n+1:]
	for _, o := range text {
		p.bad = p.bad || o < ' ' || o > '~' || o == '\\'
	}
	return text
}

// number scans a number from 0 to limit.
func (p *lineScanner) number(limit int64) (v int64) {
	n := 0
	for ; n < len(p.rest) && p.rest[n] >= '0' && p.rest[n] <= '9'; n++ {
		digit := int64(p.rest[n] - '0')
		if p.bad = p.bad || v > (limit-digit)/10; p.bad {
			return 0
		}
		v = 10*v + digit
	}
	p.bad = p.bad || n == 0 || n > 1 && p.rest[0] == '0'
	p.rest = p.rest[n:]
	return v
}

// flags scans a list of flags after its first bracket.
func (p *lineScanner) flags() []string {
	list := []string{}
	if p.accept(`]`) {
		return list
	}
	for !p.bad {
		list = append(list, p.flag())
		if p.accept(`]`) {
			break
		}
		p.expect(`,`)
	}
	return list
}

// flag scans a flag; the backslash of a system flag is escaped as two.
func (p *lineScanner) flag() string {
	p.expect(`"`)
	system := p.accept(`\\`)
	name := p.untilQuote()
	if !system {
		return string(name)
	}
	switch string(name) { // constants save one allocation per message
	case "Seen":
		return `\Seen`
	case "Answered":
		return `\Answered`
	case "Flagged":
		return `\Flagged`
	case "Deleted":
		return `\Deleted`
	case "Draft":
		return `\Draft`
	}
	return `\` + string(name)
}

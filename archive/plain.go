package archive

import (
	"bytes"
	"encoding/hex"
	"math"
	"time"
)

// plainAdded reads the line of a message as encodeTo writes it, if nothing in it is
// escaped but flags' backslashes and it has no field that few have. Nearly all lines of
// a journal are so, and encoding/json takes several times as long for them. Of all others
// it says no: then decodeAny tells what they are, or what is wrong.
func plainAdded(line []byte) (e Event, ok bool) {
	p := lineCutter{rest: line}
	p.word(`{"event":"added","at":`)
	at := p.text()
	p.word(`,"uid":`)
	e.UID = uint32(p.number(math.MaxUint32))
	p.word(`,"path":`)
	e.Path = string(p.text())
	p.word(`,"size":`)
	e.Size = p.number(math.MaxInt64)
	p.word(`,"sha256":`)
	sum := p.text()
	p.word(`,`)
	var date []byte
	if p.has(`"internaldate":`) {
		date = p.text()
		p.word(`,`)
		p.bad = p.bad || len(date) == 0
	}
	p.word(`"flags":[`)
	e.Flags = p.flags()
	p.word(`}`)
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
	return e, e.check() == nil
}

// lineCutter cuts a line from its front. Once something is not as it must be, it is bad.
type lineCutter struct {
	rest []byte
	bad  bool
}

// has cuts s, if the rest begins so.
func (p *lineCutter) has(s string) bool {
	if !bytes.HasPrefix(p.rest, []byte(s)) {
		return false
	}
	p.rest = p.rest[len(s):]
	return true
}

func (p *lineCutter) word(s string) { p.bad = p.bad || !p.has(s) }

// text cuts a string of printable ASCII without a backslash.
func (p *lineCutter) text() []byte {
	p.word(`"`)
	return p.tail()
}

// tail cuts such a string from behind its first quote.
func (p *lineCutter) tail() []byte {
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

// number cuts a number from 0 to most.
func (p *lineCutter) number(most int64) (v int64) {
	n := 0
	for ; n < len(p.rest) && p.rest[n] >= '0' && p.rest[n] <= '9'; n++ {
		digit := int64(p.rest[n] - '0')
		if p.bad = p.bad || v > (most-digit)/10; p.bad {
			return 0
		}
		v = 10*v + digit
	}
	p.bad = p.bad || n == 0 || n > 1 && p.rest[0] == '0'
	p.rest = p.rest[n:]
	return v
}

// flags cuts a list of strings from behind its first bracket.
func (p *lineCutter) flags() []string {
	list := []string{}
	if p.has(`]`) {
		return list
	}
	for !p.bad {
		list = append(list, p.flag())
		if p.has(`]`) {
			break
		}
		p.word(`,`)
	}
	return list
}

// flag cuts a string that may begin with a backslash, which is two there.
func (p *lineCutter) flag() string {
	p.word(`"`)
	system := p.has(`\\`)
	name := p.tail()
	if !system {
		return string(name)
	}
	switch string(name) { // without an allocation for each of a million
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

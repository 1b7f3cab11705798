package archive

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"
)

// simpleAdded is the event of a message whose line decodeAddedFast decodes.
func simpleAdded() Event {
	east := time.Date(2026, 11, 22, 19, 30, 0, 0, time.FixedZone("", 3600))
	return Event{Kind: Added, At: clock, UID: 7, Path: "2026-11/20261122T183000Z.1.7.eml", Size: 4711, Sum: Sum{1, 0xAB}, InternalDate: east, Flags: []string{`\Seen`, "$Forwarded"}}
}

// encodedLine is the line of e without its line feed.
func encodedLine(t *testing.T, e Event) string {
	t.Helper()
	var b bytes.Buffer
	if err := e.encodeTo(&b); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// decodeAddedFast decodes the usual lines, as decodeJSON does, and leaves the others.
func TestDecodeAddedFast(t *testing.T) {
	simple := simpleAdded()
	with := func(change func(*Event)) Event {
		e := simple
		change(&e)
		return e
	}
	for name, c := range map[string]struct {
		e    Event
		fast bool
	}{
		"simple":           {simple, true},
		"UTC":              {with(func(e *Event) { e.InternalDate = clock }), true},
		"no date":          {with(func(e *Event) { e.InternalDate = time.Time{} }), true},
		"no flags":         {with(func(e *Event) { e.Flags = nil }), true},
		"every flag":       {with(func(e *Event) { e.Flags = []string{`\Answered`, `\Deleted`, `\Draft`, `\Flagged`, `\Seen`, `\x`, `\`} }), true},
		"the largest":      {with(func(e *Event) { e.UID, e.Size = 1<<32-1, 1<<63-1 }), true},
		"empty":            {with(func(e *Event) { e.Size = 0 }), true},
		"matched":          {with(func(e *Event) { e.Matched = "header" }), false},
		"compared":         {with(func(e *Event) { e.Expected = e.Sum }), false},
		"EMAILID":          {with(func(e *Event) { e.EmailID = "M1" }), false},
		"labels":           {with(func(e *Event) { e.Labels = []string{} }), false},
		"quoted flag":      {with(func(e *Event) { e.Flags = []string{`a"b`} }), false},
		"backslash within": {with(func(e *Event) { e.Flags = []string{`a\b`} }), false},
		"foreign flag":     {with(func(e *Event) { e.Flags = []string{"é"} }), false},
		"flag of octets":   {with(func(e *Event) { e.Flags = []string{"\xff"} }), false},
		"control flag":     {with(func(e *Event) { e.Flags = []string{"\x01"} }), false},
	} {
		line := []byte(encodedLine(t, c.e))
		e, ok := decodeAddedFast(line)
		if ok != c.fast {
			t.Errorf("%s: decoded fast: %v, want %v", name, ok, c.fast)
		}
		want, err := decodeJSON(line)
		if err != nil || ok && !reflect.DeepEqual(e, want) {
			t.Errorf("%s: got %+v, want %+v, %v", line, e, want, err)
		}
	}
}

// No line that is damaged, or written in another form, is decoded to another event than
// by decodeJSON.
func TestDecodeAddedFastOddLines(t *testing.T) {
	line := encodedLine(t, simpleAdded())
	for _, change := range [][2]string{
		{`"uid":7`, `"uid":0`}, {`"uid":7`, `"uid":07`}, {`"uid":7`, `"uid":-7`}, {`"uid":7`, `"uid":4294967296`}, {`"uid":7`, `"uid":`}, {`"uid":7`, `"uid":7e0`},
		{`"size":4711`, `"size":9223372036854775808`}, {`"size":4711`, `"size":-1`}, {`"size":4711`, `"size":99999999999999999999`},
		{`01ab`, `01aB`}, {`01ab`, `01ag`}, {`01ab`, `01a`}, {`2026-11/`, `../`}, {`2026-11/`, `/`}, {`2026-11-22T19`, `2026-11-32T19`},
		{`"at":"2`, `"at":"x`}, {`+01:00`, `+1:00`}, {`"flags":[`, `"flags": [`}, {`"flags":[`, `"flags":[,`}, {`"]}`, `",]}`}, {`"]}`, `"]} `}, {`"]}`, `"]}}`},
		{`"]}`, `"],"x":1}`}, {`"]}`, `"]`}, {`"flags":[`, `"flags":null,"y":[`}, {`"at":`, `"AT":`}, {`"internaldate":"2026-11-22T19:30:00+01:00"`, `"internaldate":""`},
		{`{"event"`, ` {"event"`}, {`"$Forwarded"`, `"$Forwarded`}, {`"$Forwarded"`, `1`}, {`"\\Seen"`, `"\Seen"`}, {`"\\Seen"`, `"\u005cSeen"`},
	} {
		if !strings.Contains(line, change[0]) {
			t.Fatalf("%s has no %s", line, change[0])
		}
		odd := strings.Replace(line, change[0], change[1], 1)
		e, ok := decodeAddedFast([]byte(odd))
		want, err := decodeJSON([]byte(odd))
		if ok && (err != nil || !reflect.DeepEqual(e, want)) {
			t.Errorf("%s: got %+v, want %+v, %v", odd, e, want, err)
		}
		got, err2 := decodeEvent([]byte(odd))
		if (err == nil) != (err2 == nil) || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v, %v", odd, got, err2, want, err)
		}
	}
	for n := range len(line) {
		if e, ok := decodeAddedFast([]byte(line[:n])); ok {
			t.Errorf("%s: got %+v, want nothing", line[:n], e)
		}
	}
}

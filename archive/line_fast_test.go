package archive

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestPlainAdded reads lines of messages the short way, if they are plain, and the long
// way, and compares.
func TestPlainAdded(t *testing.T) {
	east := time.Date(2026, 11, 22, 19, 30, 0, 0, time.FixedZone("", 3600))
	simple := Event{Kind: Added, At: clock, UID: 7, Path: "2026-11/20261122T183000Z.1.7.eml", Size: 4711, Sum: Sum{1, 0xAB}, InternalDate: east, Flags: []string{`\Seen`, "$Forwarded"}}
	with := func(change func(*Event)) Event {
		e := simple
		change(&e)
		return e
	}
	for name, c := range map[string]struct {
		e     Event
		plain bool
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
		var b bytes.Buffer
		if err := c.e.encodeTo(&b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		line := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
		e, ok := decodeAddedFast(line)
		if ok != c.plain {
			t.Errorf("%s: plain: %v, want %v", name, ok, c.plain)
		}
		any, err := decodeJSON(line)
		if err != nil || ok && !reflect.DeepEqual(e, any) {
			t.Errorf("%s is read as %+v, and else as %+v, %v", line, e, any, err)
		}
	}

	var b bytes.Buffer
	if err := simple.encodeTo(&b); err != nil {
		t.Fatal(err)
	}
	line := strings.TrimSuffix(b.String(), "\n")
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
		any, err := decodeJSON([]byte(odd))
		if ok && (err != nil || !reflect.DeepEqual(e, any)) {
			t.Errorf("%s is read as %+v, and else as %+v, %v", odd, e, any, err)
		}
		again, err2 := decodeEvent([]byte(odd))
		if (err == nil) != (err2 == nil) || !reflect.DeepEqual(again, any) {
			t.Errorf("%s is read as %+v, %v, want %+v, %v", odd, again, err2, any, err)
		}
	}
	for n := range len(line) {
		if e, ok := decodeAddedFast([]byte(line[:n])); ok {
			t.Errorf("%s is read as %+v", line[:n], e)
		}
	}
}

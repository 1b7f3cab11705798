package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"archiverd/internal/uid"
)

// The octets of every kind of line are fixed by the format.
func TestLines(t *testing.T) {
	at := time.Date(2026, 11, 22, 18, 30, 0, 123, time.UTC)
	zone := time.FixedZone("", 3600)
	sum := Sum(sha256.Sum256(nil))
	const digits = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for _, c := range []struct {
		e    Event
		want string
	}{
		{Event{Kind: Opened, V: 1, At: at, Journal: "id", Name: Name{Mailbox: "INBOX", Delimiter: "/"}, UIDValidity: 1700000000, Attrs: []string{`\HasChildren`}},
			`{"event":"opened","v":1,"at":"2026-11-22T18:30:00Z","journal":"id","mailbox":"INBOX","delimiter":"/","uidvalidity":1700000000,"attrs":["\\HasChildren"]}`},
		{Event{Kind: Opened, V: 1, At: at, Journal: "id", Name: Name{Mailbox: "Entwürfe <1> & 2"}, UIDValidity: 4294967295},
			`{"event":"opened","v":1,"at":"2026-11-22T18:30:00Z","journal":"id","mailbox":"Entwürfe <1> & 2","delimiter":"","uidvalidity":4294967295,"attrs":[]}`},
		{Event{Kind: Opened, V: 1, At: at, Journal: "id", Name: Name{Mailbox: "Old", Delimiter: "/"}, UIDValidity: 1, Imported: true},
			`{"event":"opened","v":1,"at":"2026-11-22T18:30:00Z","journal":"id","mailbox":"Old","delimiter":"/","uidvalidity":1,"attrs":[],"imported":true}`},
		{Event{Kind: Opened, V: 1, At: at, Journal: "id", Name: Name{Mailbox: "A"}, UIDValidity: 1, Server: "imap.example.com:993", User: "alice@example.com"},
			`{"event":"opened","v":1,"at":"2026-11-22T18:30:00Z","journal":"id","mailbox":"A","delimiter":"","uidvalidity":1,"attrs":[],"server":"imap.example.com:993","user":"alice@example.com"}`},
		{Event{Kind: Opened, V: 1, At: at, Journal: "id", Name: Name{Mailbox: "&J\xff", Delimiter: ".", Raw: true}, UIDValidity: 1},
			`{"event":"opened","v":1,"at":"2026-11-22T18:30:00Z","journal":"id","mailbox":"&J\ufffd","wire":"Jkr/","delimiter":".","uidvalidity":1,"attrs":[]}`},
		{Event{Kind: Added, At: at, UID: 123, Path: "2026-11/20261122T183000Z.1700000000.123.eml", Size: 4711, Sum: sum, InternalDate: at.In(zone), Flags: []string{`$Forwarded`, `\Seen`}},
			`{"event":"added","at":"2026-11-22T18:30:00Z","uid":123,"path":"2026-11/20261122T183000Z.1700000000.123.eml","size":4711,"sha256":"` + digits + `","internaldate":"2026-11-22T19:30:00+01:00","flags":["$Forwarded","\\Seen"]}`},
		{Event{Kind: Added, At: at, UID: 1, Path: "0000-00/00000000T000000Z.1.1.eml", Sum: sum, Matched: "uid"},
			`{"event":"added","at":"2026-11-22T18:30:00Z","uid":1,"path":"0000-00/00000000T000000Z.1.1.eml","size":0,"sha256":"` + digits + `","flags":[],"matched":"uid"}`},
		{Event{Kind: Added, At: at, UID: 1, Path: "0000-00/00000000T000000Z.1.1.eml", Sum: sum, Expected: sum, EmailID: "M6d99ac3275bb4e", Labels: []string{"Größe", `\Inbox`}},
			`{"event":"added","at":"2026-11-22T18:30:00Z","uid":1,"path":"0000-00/00000000T000000Z.1.1.eml","size":0,"sha256":"` + digits + `","flags":[],"compared":"` + digits + `","emailid":"M6d99ac3275bb4e","labels":["Größe","\\Inbox"]}`},
		{Event{Kind: Added, At: at, UID: 1, Path: "0000-00/00000000T000000Z.1.1.eml", Sum: sum, Labels: []string{}},
			`{"event":"added","at":"2026-11-22T18:30:00Z","uid":1,"path":"0000-00/00000000T000000Z.1.1.eml","size":0,"sha256":"` + digits + `","flags":[],"labels":[]}`},
		{Event{Kind: Flags, At: at.In(zone), UID: 123, Flags: []string{`\Flagged`, `\Seen`}},
			`{"event":"flags","at":"2026-11-22T18:30:00Z","uid":123,"flags":["\\Flagged","\\Seen"]}`},
		{Event{Kind: Flags, At: at, UID: 123},
			`{"event":"flags","at":"2026-11-22T18:30:00Z","uid":123,"flags":[]}`},
		{Event{Kind: Gone, At: at, UIDs: uid.Of(5, 9, 10, 11, 12)},
			`{"event":"gone","at":"2026-11-22T18:30:00Z","uids":"5,9:12"}`},
		{Event{Kind: Failed, At: at, UID: 124, Reason: "server sent NIL for the body"},
			`{"event":"failed","at":"2026-11-22T18:30:00Z","uid":124,"reason":"server sent NIL for the body"}`},
		{Event{Kind: Vanished, At: at},
			`{"event":"vanished","at":"2026-11-22T18:30:00Z"}`},
	} {
		var b bytes.Buffer
		if err := c.e.encodeTo(&b); err != nil {
			t.Fatal(err)
		}
		if got, want := b.String(), c.want+"\n"; got != want {
			t.Errorf("%s line is\n%swant\n%s", c.e.Kind, got, want)
		}
		e, err := decodeEvent([]byte(c.want))
		if err != nil {
			t.Fatal(err)
		}
		var again bytes.Buffer
		if err := e.encodeTo(&again); err != nil || again.String() != b.String() {
			t.Errorf("%s reads back as %s, %v", c.want, again.String(), err)
		}
	}
}

// Events whose lines could not be decoded again are not written.
func TestEncodeRefuses(t *testing.T) {
	far := time.Date(2026, 1, 1, 0, 0, 0, 0, time.FixedZone("", 24*3600))
	for name, e := range map[string]Event{
		"no uid":        {Kind: Added, Path: "a"},
		"no path":       {Kind: Added, UID: 1},
		"path outside":  {Kind: Added, UID: 1, Path: "../a"},
		"absolute path": {Kind: Added, UID: 1, Path: "/a"},
		"year 10000":    {Kind: Added, UID: 1, Path: "a", InternalDate: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"zone +24":      {Kind: Added, UID: 1, Path: "a", InternalDate: far},
		"size":          {Kind: Added, UID: 1, Path: "a", Size: -1},
		"flags, no uid": {Kind: Flags},
		"failed no uid": {Kind: Failed},
		"unknown":       {Kind: "moved"},
		"line too long": {Kind: Failed, UID: 1, Reason: strings.Repeat("x", maxLine)},
	} {
		if text, _, err := encodeCommit(Position{}, []Event{e}); err == nil {
			t.Errorf("%s: encoded as %.200s", name, text)
		}
	}
}

// commits are three commits of a journal, each with several lines.
func commits(t testing.TB) (text []byte, ends []Position) {
	t.Helper()
	at := Position{}
	for i := range 3 {
		u := uint32(i + 1)
		events := []Event{
			{Kind: Added, At: clock, UID: u, Path: fmt.Sprintf("2026-11/%d.eml", u), Size: int64(u), InternalDate: clock, Flags: []string{`\Seen`}},
			{Kind: Flags, At: clock, UID: u, Flags: []string{}},
			{Kind: Failed, At: clock, UID: 100 + u, Reason: "r"},
		}
		if i == 0 {
			o := opened("INBOX", 1)
			o.V, o.At, o.Journal = 1, clock, "id"
			events = append([]Event{o}, events...)
		}
		lines, to, err := encodeCommit(at, events)
		if err != nil {
			t.Fatal(err)
		}
		at = to
		text, ends = append(text, lines...), append(ends, at)
	}
	return text, ends
}

// sealsBy computes the seals of a journal from the description of the format.
func sealsBy(t testing.TB, text []byte) []string {
	t.Helper()
	var seals []string
	before, since := "", ""
	for line := range strings.SplitAfterSeq(string(text), "\n") {
		var l struct{ Event, Seal string }
		if line == "" {
			continue
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		if l.Event != "sealed" {
			since += line
			continue
		}
		want := fmt.Sprintf("%x", sha256.Sum256([]byte(before+since)))
		if l.Seal != want {
			t.Errorf("seal %d is %s, want %s", len(seals)+1, l.Seal, want)
		}
		seals, before, since = append(seals, want), want, ""
	}
	return seals
}

func TestSeals(t *testing.T) {
	text, ends := commits(t)
	for i, seal := range sealsBy(t, text) {
		if ends[i].Seal != seal {
			t.Errorf("position %d has seal %s, want %s", i, ends[i].Seal, seal)
		}
	}
	if got, want := int64(len(text)), ends[2].Offset; got != want {
		t.Errorf("the journal has %d octets, its position is %d", got, want)
	}
}

func count(text []byte, from Position) (int, Position, error) {
	n := 0
	end, err := replay(bytes.NewReader(text), from, func(Event) error { n++; return nil })
	return n, end, err
}

// before is the number of events and the position of the commits wholly in the first n octets.
func before(ends []Position, n int64) (events int, at Position) {
	for i, e := range ends {
		if e.Offset <= n {
			events, at = 4+3*i, e
		}
	}
	return events, at
}

// A journal that is cut anywhere has the commits before the cut.
func TestCutAnywhere(t *testing.T) {
	text, ends := commits(t)
	for n := range len(text) + 1 {
		events, at := before(ends, int64(n))
		got, end, err := count(text[:n], Position{})
		if err != nil || got != events || end != at {
			t.Fatalf("cut at %d: %d events up to %v, %v; want %d up to %v", n, got, end, err, events, at)
		}
	}
}

// From any position the rest is read as from the start.
func TestReplayFrom(t *testing.T) {
	text, ends := commits(t)
	for i, from := range ends {
		got, end, err := count(text[from.Offset:], from)
		if err != nil || got != 3*(2-i) || end != ends[2] {
			t.Errorf("from %d: %d events up to %v, %v", from.Offset, got, end, err)
		}
	}
	if _, _, err := count(text[ends[0].Offset:], Position{ends[0].Offset, ends[1].Seal}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("from a seal of elsewhere: %v, want ErrCorrupt", err)
	}
}

// Garbage after the last seal is a torn write.
func TestGarbageTail(t *testing.T) {
	text, ends := commits(t)
	for name, tail := range map[string]string{
		"zeros": strings.Repeat("\x00", 4096), "binary": "\xff\xfe\x00\n\n\n{", "line": "garbage\n", "empty lines": "\n\n",
		"half a line": `{"event":"fla`, "lines": `{"event":"vanished","at":"2026-11-22T18:30:00Z"}` + "\n",
		"array": "[]\n", "number": "1\n", "long": strings.Repeat("x", 2*maxLine) + "\n", "bad time": `{"event":"vanished","at":"now"}` + "\n",
	} {
		got, end, err := count(append(bytes.Clone(text), tail...), Position{})
		if err != nil || got != 10 || end != ends[2] {
			t.Errorf("%s: %d events up to %v, %v", name, got, end, err)
		}
	}
}

// After a power cut blocks of the last write may read as zeros.
func TestZerosInLastCommit(t *testing.T) {
	text, ends := commits(t)
	start := int(ends[2].Offset)
	var events []Event
	for u := range uint32(50) {
		events = append(events, Event{Kind: Failed, At: clock, UID: u + 1, Reason: "r"})
	}
	last, _, err := encodeCommit(ends[2], events)
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, last...)
	lose := func(from, to int) []byte {
		torn := bytes.Clone(text)
		clear(torn[from:to])
		return torn
	}
	for from := start; from < len(text); from = (from/512 + 1) * 512 {
		for to := from; to < len(text); {
			to = min((to/512+1)*512, len(text))
			if got, end, err := count(lose(from, to), Position{}); err != nil || got != 10 || end != ends[2] {
				t.Fatalf("zeros from %d to %d: %d events up to %v, %v", from, to, got, end, err)
			}
		}
	}
	// Anywhere else they are damage: what was sealed before was on the disk.
	for _, c := range [][2]int{{start - 20, start - 10}, {start - 300, start - 200}, {0, 512}, {start + 10, start + 20}, {start - 1, start + 1}} {
		if _, _, err := count(lose(c[0], c[1]), Position{}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("zeros from %d to %d: %v, want ErrCorrupt", c[0], c[1], err)
		}
	}
}

// Every changed octet in the sealed part is found; the error names its line or that of
// the next seal.
func TestEveryEditIsFound(t *testing.T) {
	text, ends := commits(t)
	for i := range text {
		for _, o := range []byte{'x', text[i] ^ 0x20, '\n'} {
			if o == text[i] {
				continue
			}
			edited := bytes.Clone(text)
			edited[i] = o
			got, end, err := count(edited, Position{})
			events, at := before(ends, int64(i))
			if got != events || end != at {
				t.Fatalf("octet %d made %q: %d events up to %v, want %d up to %v", i, o, got, end, events, at)
			}
			var bad *CorruptError
			if !errors.As(err, &bad) || !errors.Is(err, ErrCorrupt) {
				// The last seal itself destroyed can't be told from a torn write.
				if last := bytes.LastIndexByte(text[:len(text)-1], '\n'); i >= last && err == nil {
					continue
				}
				t.Fatalf("octet %d made %q: %v, want ErrCorrupt", i, o, err)
			}
			line := 1 + bytes.Count(text[:i], []byte("\n"))
			group := 1 + bytes.Count(text[:at.Offset], []byte("\n"))
			next, seal := group, 0
			for _, e := range ends {
				if e.Offset > int64(i) {
					seal = bytes.Count(text[:e.Offset], []byte("\n"))
					break
				}
			}
			// A destroyed seal is missed at the next one.
			if bad.Line < next || line < seal && bad.Line > seal+1 {
				t.Errorf("octet %d in line %d made %q: the error names line %d, of the commit of lines %d to %d", i, line, o, bad.Line, group, seal)
			}
			if bad.Line != line && bad.Line < seal {
				t.Errorf("octet %d in line %d made %q: the error names line %d", i, line, o, bad.Line)
			}
		}
	}
}

func TestCorruptNamesFileLineAndRemedy(t *testing.T) {
	dir := t.TempDir()
	w := openOnly(t, dir, Options{})
	m := mailbox(t, w, "INBOX")
	commit(t, w, first(t, m, "a", "b"))
	second := begin(t, m)
	add(t, second, 3, "c")
	commit(t, w, second)
	box := m.MailboxDir
	shut(t, w)
	name := filepath.Join(dir, box.Dir, journalName)
	text := read(t, name)
	write(t, bytes.Replace(text, []byte(`"uid":3`), []byte(`"uid":4`), 1), name)
	a, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for _, from := range []Position{{}, second.From} {
		_, err = a.Replay(box, from, func(Event) error { return nil })
		if got, want := fmt.Sprint(err), "alice/INBOX/journal.jsonl:6: the seal does not fit what stands before it; put this file back from a backup, or go on with what is good in it: `archiverd rebuild --adopt`"; got != want {
			t.Errorf("error is %q, want %q", got, want)
		}
	}
	found := verify(t, dir)
	if len(found) != 2 || !found[1].Damage || found[1].Path != "alice/INBOX/journal.jsonl" || found[1].What != "line 6: the seal does not fit what stands before it; "+remedy {
		t.Errorf("verify finds %+v", found)
	}
}

// A mailbox whose journal is corrupt after the position that the caller knows is not
// written to, and nothing is cut off.
func TestCorruptIsNotWrittenTo(t *testing.T) {
	dir := t.TempDir()
	w := openOnly(t, dir, Options{})
	m := mailbox(t, w, "INBOX")
	one, two, three := first(t, m, "a"), begin(t, m), begin(t, m)
	add(t, two, 2, "b")
	add(t, three, 3, "c")
	commitEach(t, w, one, two, three)
	box, id := m.MailboxDir, m.id
	shut(t, w)
	name := filepath.Join(dir, box.Dir, journalName)
	text := bytes.Replace(read(t, name), []byte(`"uid":2`), []byte(`"uid":9`), 1)
	write(t, text, name)
	w = openOnly(t, dir, Options{})
	defer shut(t, w)
	if _, err := w.Mailbox(box, JournalState{ID: id, End: one.To}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("opening it for writing: %v, want ErrCorrupt", err)
	}
	if got := read(t, name); !bytes.Equal(got, text) {
		t.Errorf("the journal has %d octets now, had %d", len(got), len(text))
	}
}

// Commits that the caller does not know are not taken for a torn tail.
func TestUnknownCommitsAreNotCutOff(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	m := mailbox(t, w, "INBOX")
	one, two := first(t, m, "a"), begin(t, m)
	add(t, two, 2, "b")
	commitEach(t, w, one, two)
	box, id := m.MailboxDir, m.id
	shut(t, w)
	w = open(t, dir, Options{})
	if _, err := w.Mailbox(box, JournalState{ID: id, End: one.To}); err == nil {
		t.Error("a mailbox was opened at a position before its last commit")
	}
	if _, err := w.Mailbox(box, JournalState{}); err == nil {
		t.Error("a mailbox with commits was opened as a new one")
	}
	if _, err := w.Mailbox(box, JournalState{ID: id, End: Position{two.To.Offset + 1, two.To.Seal}}); err == nil {
		t.Error("a mailbox was opened at a position behind its end")
	}
	holds(t, dir, box.Dir, map[uint32]string{1: "a", 2: "b"})
}

// Whatever part of an interrupted commit is in the journal, the next writer cuts it off.
func TestWriterCutsTornTail(t *testing.T) {
	dir := t.TempDir()
	w := openOnly(t, dir, Options{})
	m := mailbox(t, w, "INBOX")
	one, two := first(t, m, "a"), begin(t, m)
	add(t, two, 2, "b")
	two.Record(Event{Kind: Flags, UID: 1, Flags: []string{`\Flagged`}})
	commitEach(t, w, one, two)
	box := m.MailboxDir
	shut(t, w)
	name := filepath.Join(dir, box.Dir, journalName)
	whole := read(t, name)
	tails := [][]byte{append(bytes.Clone(whole[:one.To.Offset]), make([]byte, 100)...), append(bytes.Clone(whole[:one.To.Offset]), "\n{\xff\n"...)}
	for n := int(one.To.Offset); n < len(whole); n++ {
		tails = append(tails, whole[:n])
	}
	for _, text := range tails {
		write(t, text, name)
		holds(t, dir, box.Dir, map[uint32]string{1: "a"})
		torn := int64(len(text)) > one.To.Offset
		found := strings.Contains(fmt.Sprint(verify(t, dir)), "without a good seal")
		if found != torn {
			t.Errorf("verify speaks of a tail: %v, want %v", found, torn)
		}
		w := openOnly(t, dir, Options{})
		m := mailbox(t, w, "INBOX")
		if got := read(t, name); !bytes.Equal(got, whole[:one.To.Offset]) {
			t.Fatalf("after a tail of %d octets the journal has %d octets, want %d", len(text), len(got), one.To.Offset)
		}
		again := begin(t, m)
		add(t, again, 2, "b")
		again.Record(Event{Kind: Flags, UID: 1, Flags: []string{`\Flagged`}})
		commit(t, w, again)
		shut(t, w)
		if got := read(t, name); !bytes.Equal(got, whole) {
			t.Fatalf("after a tail of %d octets the journal is\n%s\nwant\n%s", len(text), got, whole)
		}
		if found := verify(t, dir); len(found) > 0 {
			t.Fatalf("verify finds %v", found)
		}
	}
}

// HasPosition compares ID, length and seal.
func TestHasPosition(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	m := mailbox(t, w, "INBOX")
	one, two := first(t, m, "a"), begin(t, m)
	add(t, two, 2, "b")
	commitEach(t, w, one, two)
	id := m.id
	for _, c := range []struct {
		name string
		id   string
		pos  Position
		want bool
	}{
		{"the start", "", Position{}, true},
		{"the first commit", id, one.To, true},
		{"the last commit", id, two.To, true},
		{"another journal", "other", two.To, false},
		{"another seal", id, Position{two.To.Offset, one.To.Seal}, false},
		{"within a line", id, Position{two.To.Offset - 1, two.To.Seal}, false},
		{"past the end", id, Position{two.To.Offset + 1, two.To.Seal}, false},
		{"before any seal could stand", id, Position{3, one.To.Seal}, false},
	} {
		at, size, err := w.HasPosition(m.MailboxDir, c.id, c.pos)
		if err != nil || at != c.want || size != two.To.Offset {
			t.Errorf("%s: %v, size %d, %v; want %v, size %d", c.name, at, size, err, c.want, two.To.Offset)
		}
	}
}

// An error of the function that gets the events ends the replay and is returned.
func TestReplayPassesErrorsOn(t *testing.T) {
	text, _ := commits(t)
	if _, err := replay(bytes.NewReader(text), Position{}, func(Event) error { return io.ErrShortWrite }); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v", err)
	}
}

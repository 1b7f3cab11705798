package archive

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"archiverd/internal/uid"
)

// Known events of a newer archiverd are applied, and the view says that there are others.
func TestNewerEvents(t *testing.T) {
	text := `{"event":"opened","v":2,"at":"2026-11-22T18:30:00Z","journal":"id","mailbox":"INBOX","delimiter":"/","uidvalidity":1,"attrs":[],"new":{"a":1}}
{"event":"added","at":"2026-11-22T18:30:00Z","uid":1,"path":"2026-11/a.eml","size":1,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","flags":[],"labels":["x"]}
{"event":"moved","at":"2026-11-22T18:30:00Z","uid":1,"to":["x"]}
`
	text += `{"event":"sealed","seal":"` + fmt.Sprintf("%x", sha256.Sum256([]byte(text))) + "\"}\n"
	v := &View{}
	if _, err := replay(strings.NewReader(text), Position{}, func(e Event) error { v.Apply(e); return nil }); err != nil {
		t.Fatal(err)
	}
	if v.V != 2 || !v.Unknown || len(v.Epoch().Messages) != 1 {
		t.Errorf("the view has v %d, unknown %v, %d messages", v.V, v.Unknown, len(v.Epoch().Messages))
	}
}

func TestFold(t *testing.T) {
	v := &View{}
	for i, e := range []Event{
		{Kind: Opened, V: 1, Journal: "id", Name: Name{Mailbox: "a"}, UIDValidity: 1},
		{Kind: Added, UID: 1, Path: "1"}, {Kind: Added, UID: 2, Path: "2"}, {Kind: Failed, UID: 3, Reason: "r"}, {Kind: Failed, UID: 4, Reason: "s"},
		{Kind: Flags, UID: 1, Flags: []string{"f"}}, {Kind: Flags, UID: 9, Flags: []string{"none"}},
		{Kind: Added, UID: 4, Path: "4"}, {Kind: Failed, UID: 1, Reason: "is archived"},
		{Kind: Gone, UIDs: uid.Of(2, 3, 7)},
		{Kind: Opened, V: 1, Journal: "id", Name: Name{Mailbox: "b"}, UIDValidity: 2},
		{Kind: Added, UID: 1, Path: "5"}, {Kind: Vanished},
	} {
		e.At = clock.Add(time.Duration(i) * time.Second)
		v.Apply(e)
	}
	old := v.Epochs[0]
	if got := fmt.Sprint(len(old.Messages), old.Messages[1].Flags, old.Messages[2].Listed(), old.Messages[4].Listed(), old.Failed); got != "3 [f] false true map[]" {
		t.Errorf("the first epoch is %s", got)
	}
	if got := fmt.Sprintln(v.Name.Mailbox, v.Epoch().UIDValidity, v.Vanished.IsZero(), v.Journal, v.Unknown); got != "b 2 false id false\n" {
		t.Errorf("the view is %s", got)
	}
	var order []string
	for ep, m := range v.All() {
		order = append(order, fmt.Sprint(ep.UIDValidity, "/", m.UID))
	}
	if got := strings.Join(order, " "); got != "1/1 1/2 1/4 2/1" {
		t.Errorf("All yields %s", got)
	}
	v.Apply(Event{Kind: Opened, V: 1, Journal: "id", UIDValidity: 2})
	if !v.Vanished.IsZero() {
		t.Error("a mailbox that is opened again is still vanished")
	}
	orphan := &View{}
	orphan.Apply(Event{Kind: Added, UID: 1})
	if !orphan.Unknown || orphan.Epoch() != nil {
		t.Error("an event before any epoch was applied")
	}
}

// A view is always of a state that the mailbox had, even if the clock was set back: no
// event is applied without those before it.
func TestFoldAtOfAClockSetBack(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	m := mailbox(t, w, "box")
	for i, s := range []int{0, 5, 3, 9, 4} {
		w.opts.Now = func() time.Time { return second(s) }
		b := begin(t, m)
		if i == 0 {
			b.Record(opened("box", 1))
		}
		add(t, b, uint32(i+1), fmt.Sprint(i))
		commit(t, w, b)
	}
	for s, want := range map[int]int{-1: 0, 0: 1, 3: 1, 4: 1, 5: 3, 8: 3, 9: 5} {
		v, err := w.FoldAt(m.MailboxDir, second(s))
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for range v.All() {
			got++
		}
		if got != want {
			t.Errorf("at second %d there are %d messages, want %d", s, got, want)
		}
	}
}

// A damaged journal can be read as of times before the damage.
func TestFoldAtBeforeADamage(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	m := mailbox(t, w, "box")
	for i, body := range []string{"", "a", "b", "c"} { // one commit a second
		w.opts.Now = func() time.Time { return second(i) }
		b := begin(t, m)
		if i == 0 {
			b.Record(opened("box", 1))
		} else {
			add(t, b, uint32(i), body)
		}
		commit(t, w, b)
	}
	journal := filepath.Join(dir, "alice", "box", journalName)
	good := read(t, journal)
	write(t, bytes.Replace(good, []byte(`"uid":3`), []byte(`"uid":4`), 1), journal)
	for i, whole := range []bool{true, true, false, false} {
		v, err := w.FoldAt(MailboxDir{"alice", "alice/box"}, second(i))
		if (err == nil) != whole || !whole && !errors.Is(err, ErrCorrupt) || len(v.Epoch().Messages) != min(i, 2) {
			t.Errorf("at second %d it has %d messages, %v", i, len(v.Epoch().Messages), err)
		}
	}
	write(t, good, journal)
}

// A Gone of all possible UIDs takes time in proportion to the messages that there are.
func TestGoneOfAllUIDsIsCheap(t *testing.T) {
	v := &View{}
	all, err := uid.Parse("1:4294967295")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []Event{{Kind: Opened, UIDValidity: 1}, {Kind: Added, UID: 7}, {Kind: Failed, UID: 4294967295}, {Kind: Gone, At: clock, UIDs: all}} {
		v.Apply(e)
	}
	if v.Epoch().Messages[7].Listed() || len(v.Epoch().Failed) != 0 {
		t.Error("not all is gone")
	}
}

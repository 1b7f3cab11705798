package archive

import (
	"errors"
	"fmt"
	"testing"

	"archiverd/internal/uid"
)

// A journal folded into sets says what it says folded into a View.
func TestViewSetsAreTheView(t *testing.T) {
	one := func(k Kind, u uint32) Event { return Event{Kind: k, UID: u, At: clock, Reason: "r"} }
	gone := func(u ...uint32) Event { return Event{Kind: Gone, At: clock, UIDs: uid.Of(u...)} }
	open := func(v uint32) Event {
		return Event{Kind: Opened, At: clock, V: 1, UIDValidity: v, Name: Name{Mailbox: "INBOX"}}
	}
	for i, events := range [][]Event{
		{open(1), one(Added, 1), one(Added, 3), gone(1), one(Added, 1)},
		{open(1), one(Added, 1), gone(1), one(Added, 1), gone(1)},
		{open(1), one(Added, 1), gone(1), one(Added, 1), one(Failed, 1)},
		{open(1), one(Added, 1), gone(1), one(Failed, 1), one(Flags, 1)},
		{open(1), one(Failed, 2), one(Failed, 3), gone(2, 9), one(Added, 3)},
		{open(1), one(Added, 1), one(Failed, 2), open(2), one(Added, 5)},
		{open(1), one(Added, 1), {Kind: Vanished, At: clock}},
		{open(1), {Kind: "unheard of", At: clock}, one(Added, 1)},
	} {
		sets, v := &ViewSets{}, &View{}
		for _, e := range events {
			if err := Visit(e, setsVisitor{sets}); err != nil {
				t.Fatal(err)
			}
			v.Apply(e)
		}
		sets.removeReturned()
		ep := v.Epoch()
		var listed, away uid.Set
		for u, m := range ep.Messages {
			if m.Listed() {
				listed.Add(u)
			} else {
				away.Add(u)
			}
		}
		if sets.Listed.String() != listed.String() || sets.Gone.String() != away.String() || fmt.Sprint(sets.Failed) != fmt.Sprint(ep.Failed) ||
			sets.UIDValidity != ep.UIDValidity || sets.Vanished == v.Vanished.IsZero() || sets.Newer != v.Unknown {
			t.Errorf("%d: got %+v, want listed %s, gone %s, failed %v", i, sets, listed, away, ep.Failed)
		}
	}
}

// A second Read returns what was added since the first, in the current epoch.
func TestViewSetsRead(t *testing.T) {
	w := open(t, t.TempDir(), Options{})
	m := mailbox(t, w, "INBOX")
	v := &ViewSets{}
	read := func(want string) {
		t.Helper()
		added, err := v.Read(w.Archive, m.MailboxDir)
		if got := fmt.Sprintf("%d listed %s gone %s added %s", v.UIDValidity, v.Listed, v.Gone, added); err != nil || got != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
	read("0 listed  gone  added ")
	commit(t, w, first(t, m, "one", "two"))
	read("1 listed 1:2 gone  added 1:2")
	b := begin(t, m)
	b.Record(Event{Kind: Gone, UIDs: uid.Of(1)})
	add(t, b, 3, "three")
	commit(t, w, b)
	read("1 listed 2:3 gone 1 added 3")
	b = begin(t, m)
	add(t, b, 4, "four")
	b.Record(opened("INBOX", 2))
	add(t, b, 9, "nine")
	commit(t, w, b)
	read("2 listed 9 gone  added 9")
	read("2 listed 9 gone  added ")
}

// visited records which methods were called.
type visited struct {
	Visitor
	kinds []Kind
}

func (v *visited) VisitAdded(e Event) error   { v.kinds = append(v.kinds, e.Kind); return nil }
func (v *visited) VisitUnknown(e Event) error { return errors.New("unknown " + string(e.Kind)) }

func TestVisit(t *testing.T) {
	v := &visited{}
	if err := Visit(Event{Kind: Added}, v); err != nil || len(v.kinds) != 1 {
		t.Errorf("got %v, visited %q", err, v.kinds)
	}
	if err := Visit(Event{Kind: "moved"}, v); err == nil || err.Error() != "unknown moved" {
		t.Errorf("got %v", err)
	}
}

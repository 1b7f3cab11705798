package check

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"archiverd/archive"
	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
	"archiverd/internal/uid"
)

// What a server lists is sorted by what the journal has of it, and every UID
// is somewhere.
func TestClassify(t *testing.T) {
	set := func(text string) uid.Set {
		s, err := uid.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, c := range []struct {
		name                               string
		server, here, gone, late, excluded string
		failed                             []uint32
		next                               uint32
		want                               string // archived|failed|excluded|arrived|returned|missing|vanished
	}{
		{name: "nothing", want: "||||||"},
		{name: "all there", server: "1:9", here: "1:9", next: 10, want: "1:9||||||"},
		{name: "came since", server: "1:12", here: "1:9", next: 10, want: "1:9|||10:12|||"},
		{name: "missed by the last run", server: "1:12", here: "1:8", next: 10, want: "1:8|||10:12||9|"},
		{name: "no run known", server: "1:12", here: "1:8", want: "1:8|||||9:12|"},
		{name: "gone from the server", server: "2,4", here: "1:4", next: 5, want: "2,4||||||1,3"},
		{name: "added while we looked", server: "1:3", here: "1:5", late: "4:5", next: 4, want: "1:3||||||"},
		{name: "listed again", server: "1:3", here: "1,3", gone: "2", next: 4, want: "1,3||||2||"},
		{name: "failed", server: "1:3", here: "1", failed: []uint32{2, 9}, next: 4, want: "1|2||||3|"},
		{name: "too large, and failed before", server: "1:4", here: "1", failed: []uint32{2}, excluded: "2:3", next: 5, want: "1||2:3|||4|"},
		{name: "archived before the limit", server: "1:2", here: "1", excluded: "1:2", next: 3, want: "1||2||||"},
		{name: "too large and new", server: "1:2", here: "1", excluded: "2", next: 2, want: "1||2||||"},
		{name: "nothing archived", server: "4294967295", next: 1, want: "|||4294967295|||"},
		{name: "server empty", here: "7", failed: []uint32{8}, want: "||||||7"},
	} {
		v := &archive.ViewSets{Listed: set(c.here), Gone: set(c.gone), Failed: map[uint32]string{}}
		for _, u := range c.failed {
			v.Failed[u] = "why"
		}
		s := classify(v, set(c.late), set(c.server), set(c.excluded), c.next)
		var got []string
		var all uid.Set
		for _, part := range []uid.Set{s.Archived, s.Failed, s.Excluded, s.Arrived, s.Returned, s.Missing} {
			got = append(got, part.String())
			if !all.Intersect(part).Empty() {
				t.Errorf("%s: %s is in two sets", c.name, all.Intersect(part))
			}
			all = all.Union(part)
		}
		if text := strings.Join(append(got, s.Vanished.String()), "|"); text != c.want {
			t.Errorf("%s: %s, want %s", c.name, text, c.want)
		}
		if all.String() != set(c.server).String() {
			t.Errorf("%s: the sets are %s, and the server lists %s", c.name, all, c.server)
		}
	}
}

// After a run all balances. What then happens at the server is told by UID, and
// is no fault; what the archive should have had is one.
func TestCheckAfterChanges(t *testing.T) {
	h := newTestbed(t)
	boxes := world.ThreeMailboxes()
	s := world.Serve(t, hostile.Options{Mailboxes: boxes})
	run := h.clean(world.Alice(s.Address()))
	if c := h.check(world.Alice(s.Address()), &run); !c.OK() || c.Sum != (Counts{Server: 17, Archived: 17}) {
		t.Fatalf("after a complete run: %+v", c)
	}
	if c := h.check(world.Alice(s.Address()), nil); !c.OK() {
		t.Errorf("without a run known: %+v", c)
	}

	now := world.ThreeMailboxes()
	now[0].Messages = append(now[0].Messages[2:], world.NewMessage("INBOX", 10), world.NewMessage("INBOX", 12)) // 1 and 2 left, 10 and 12 came
	now[1].UIDValidity = 80
	now[2] = world.NewMailbox("Neu", 9, 2)
	changed := world.Serve(t, hostile.Options{Mailboxes: now})
	c := h.check(world.Alice(changed.Address()), &run)
	inbox, lists, fresh, old := balance(t, c, "INBOX"), balance(t, c, "Lists/Go"), balance(t, c, "Neu"), balance(t, c, "Archiv")
	if !inbox.OK() || inbox.UIDs.Arrived.String() != "10,12" || inbox.UIDs.Vanished.String() != "1:2" || inbox.Archived != 7 {
		t.Errorf("INBOX: %+v", inbox)
	}
	if lists.OK() || !strings.Contains(lists.Error, "UIDVALIDITY is 80 at the server and 8") || lists.Missing != 5 {
		t.Errorf("Lists/Go: %+v", lists)
	}
	if !fresh.OK() || !fresh.New || fresh.Arrived != 2 {
		t.Errorf("Neu: %+v", fresh)
	}
	if !old.OK() || !old.Gone || old.UIDs.Vanished.String() != "1:3" {
		t.Errorf("Archiv: %+v", old)
	}
	// The last run not known, nothing can be said to have come since.
	c = h.check(world.Alice(changed.Address()), nil)
	if inbox, fresh := balance(t, c, "INBOX"), balance(t, c, "Neu"); inbox.OK() || inbox.Missing != 2 || inbox.MaybeNew != 2 || fresh.OK() || fresh.Missing != 2 {
		t.Errorf("without a run known: %+v, %+v", inbox, fresh)
	}
	// What changed is recorded; then it balances again, and what came back is told.
	run = h.clean(world.Alice(changed.Address()))
	if c := h.check(world.Alice(changed.Address()), &run); !c.OK() || c.Sum != (Counts{Server: 16, Archived: 16}) {
		t.Errorf("after the next run: %+v", c)
	}
	c = h.check(world.Alice(s.Address()), &run)
	if inbox := balance(t, c, "INBOX"); inbox.UIDs.Returned.String() != "1:2" || !inbox.OK() {
		t.Errorf("listed again: %+v", inbox)
	}
	if back := balance(t, c, "Archiv"); !back.New || back.Arrived != 3 || !back.OK() {
		t.Errorf("a mailbox listed again: %+v", back)
	}
}

// A run that left messages out is not taken for complete, however new they are.
func TestCheckAfterIncompleteRun(t *testing.T) {
	h := newTestbed(t)
	boxes := world.ThreeMailboxes()
	s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: noBody(5, 9)})
	acc := world.Alice(s.Address())
	h.policy.MaxMessage = 340
	run, err := h.run(acc)
	if err != nil {
		t.Fatal(err)
	}
	c := h.check(acc, &run)
	b := balance(t, c, "INBOX")
	if c.OK() || b.UIDs.Failed.String() != "5,9" || b.Failures[5] == "" || b.UIDs.Excluded.String() != "6" || b.Rule == "" || b.Missing != 0 {
		t.Errorf("%+v", b)
	}
	h.policy.MaxMessage = 0 // what was too large is not any more: then it is missing
	if b := balance(t, h.check(acc, &run), "INBOX"); b.UIDs.Missing.String() != "6" || b.OK() {
		t.Errorf("without the limit: %+v", b)
	}
	h.policy.Select = func(name, _ string, _ []string) (bool, string) { return name != "INBOX", "the rule" }
	if b := balance(t, h.check(acc, &run), "INBOX"); b.Rule != "the rule" || b.Excluded != 9 || !b.OK() {
		t.Errorf("left out: %+v", b)
	}
}

// The server is not believed where its answers contradict each other.
func TestCheckDistrusts(t *testing.T) {
	h := newTestbed(t)
	boxes := world.ThreeMailboxes()
	run := h.completes(boxes)
	on := func(name string, say func(s *hostile.Session, cmd hostile.Command)) script {
		return func(s *hostile.Session, cmd hostile.Command) bool {
			if cmd.Name == name && s.Open != nil && s.Open.Name == "INBOX" {
				say(s, cmd)
				return true
			}
			return false
		}
	}
	send := func(text string) func(s *hostile.Session, cmd hostile.Command) {
		return func(s *hostile.Session, cmd hostile.Command) {
			s.Send(strings.ReplaceAll(text, "TAG", cmd.Tag))
			if !strings.Contains(text, "TAG") {
				s.HangUp()
			}
		}
	}
	for _, c := range []struct {
		script script
		error  string
	}{
		{on("UID SEARCH", send("* SEARCH 1 2 3\r\nTAG OK done\r\n")), "lists 3 messages of a mailbox that has 9"},
		{on("UID SEARCH", send("TAG OK done\r\n")), "without a search result"},
		{on("UID SEARCH", send("* SEARCH 1:4294967295\r\nTAG OK done\r\n")), "SEARCH"},
		{on("UID SEARCH", send("* SEARCH 1 2 3 4 5 6 7 8 9\r\nTAG NO [UNAVAILABLE] no\r\n")), "no"},
		{on("UID SEARCH", send("* SEARCH 1 2")), "closed the connection"},
	} {
		s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: c.script})
		got := h.check(world.Alice(s.Address()), &run)
		b := balance(t, got, "INBOX")
		if got.OK() || !strings.Contains(b.Error, c.error) || b.Vanished > 0 {
			t.Errorf("%q: %+v", c.error, b)
		}
		if other := balance(t, got, "Lists/Go"); !other.OK() || other.Archived != 5 {
			t.Errorf("%q: another mailbox: %+v", c.error, other)
		}
	}
	none := world.Serve(t, hostile.Options{})
	if c := h.check(world.Alice(none.Address()), &run); c.OK() || !strings.Contains(c.Error, "lists no mailbox at all") {
		t.Errorf("no mailbox listed: %+v", c)
	}
	refusing := world.Serve(t, hostile.Options{Mailboxes: boxes, Password: "another"})
	if c := h.check(world.Alice(refusing.Address()), &run); c.OK() || !strings.Contains(c.Error, "AUTHENTICATIONFAILED") {
		t.Errorf("login refused: %+v", c)
	}
}

// What a daemon archives between the server's list and the journal has not
// vanished, and what it archives of the list is not missing.
func TestCheckBesideRun(t *testing.T) {
	h := newTestbed(t)
	run := h.completes([]hostile.Mailbox{world.NewMailbox("INBOX", 7, 5)})
	more := world.Serve(t, hostile.Options{Mailboxes: []hostile.Mailbox{world.NewMailbox("INBOX", 7, 12)}})
	between := world.Serve(t, hostile.Options{Mailboxes: []hostile.Mailbox{world.NewMailbox("INBOX", 7, 9)}, Script: func(_ *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name == "UID SEARCH" {
			h.clean(world.Alice(more.Address()))
		}
		return false
	}})
	if c := h.check(world.Alice(between.Address()), &run); !c.OK() || c.Sum != (Counts{Server: 9, Archived: 9}) {
		t.Errorf("%+v", c)
	}
}

// A journal that does not fit its seals proves nothing.
func TestCheckOfDamagedJournal(t *testing.T) {
	h := newTestbed(t)
	boxes := []hostile.Mailbox{world.NewMailbox("INBOX", 7, 5), world.NewMailbox("Other", 8, 5)}
	run := h.completes(boxes)
	box, _ := h.Mailbox("INBOX")
	path := filepath.Join(h.Dir, box.Dir, "journal.jsonl")
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(sound, []byte(`"uid":3`), []byte(`"uid":4`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	s := world.Serve(t, hostile.Options{Mailboxes: boxes})
	c := h.check(world.Alice(s.Address()), &run)
	if b := balance(t, c, "INBOX"); b.OK() || !strings.Contains(b.Error, "the seal does not fit") {
		t.Errorf("%+v", b)
	}
	if b := balance(t, c, "Other"); !b.OK() || b.Archived != 5 {
		t.Errorf("%+v", b)
	}
	if err := os.WriteFile(path, sound, 0o600); err != nil {
		t.Fatal(err)
	}
}

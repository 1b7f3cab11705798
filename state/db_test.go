package state

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"archiverd/archive"
	"archiverd/internal/uid"
)

func TestApply(t *testing.T) {
	h := newHouse(t)
	b := h.batch("INBOX")
	b.Record(opened("INBOX", 7))
	h.add(b, 7, 1, "one", `\Seen`, "k")
	h.add(b, 7, 2, "two")
	h.add(b, 7, 5, "five")
	b.Record(archive.Event{Kind: archive.Failed, UID: 3, Reason: "NIL"})
	b.Record(archive.Event{Kind: archive.Failed, UID: 4, Reason: "short"})
	h.apply(h.commit(b))
	const dir = "alice/INBOX"
	if got, want := h.uids(dir), "archived 1:2,5 failed 3:4 gone "; got != want {
		t.Errorf("UIDs are %s, want %s", got, want)
	}
	b = h.batch("INBOX")
	b.Record(archive.Event{Kind: archive.Flags, UID: 2, Flags: []string{"x"}})
	b.Record(archive.Event{Kind: archive.Flags, UID: 9, Flags: []string{"x"}})
	b.Record(archive.Event{Kind: archive.Gone, UIDs: uid.Of(1, 4, 8)})
	h.add(b, 7, 3, "three")
	h.apply(h.commit(b))
	if got, want := h.uids(dir), "archived 2:3,5 failed  gone 1"; got != want {
		t.Errorf("UIDs are %s, want %s", got, want)
	}
	info, ok, err := h.db.Mailbox(dir)
	if err != nil || !ok || info.Archived != 3 || info.Failed != 0 || info.Gone != 1 || info.UIDValidity != 7 || info.Applied != b.To || info.Name.Mailbox != "INBOX" {
		t.Errorf("Info is %+v, %v, %v", info, ok, err)
	}
	changed, err := h.db.ChangedFlags(dir, []MessageFlags{{1, "gone"}, {2, "x"}, {3, "new"}, {5, ""}, {6, "unknown"}})
	if err != nil || fmt.Sprint(changed) != "[{3 new}]" {
		t.Errorf("changed are %v, %v", changed, err)
	}

	b = h.batch("INBOX")
	b.Record(opened("INBOX", 8))
	b.Record(archive.Event{Kind: archive.Failed, UID: 1, Reason: "NO"})
	b.Record(archive.Event{Kind: archive.Vanished})
	h.apply(h.commit(b))
	info, _, err = h.db.Mailbox(dir)
	if err != nil || info.Archived != 0 || info.Failed != 1 || info.UIDValidity != 8 || fmt.Sprint(info.PastUIDValidities) != "[7]" || !info.Vanished {
		t.Errorf("Info is %+v, %v", info, err)
	}
	failures, err := h.db.Failures(dir)
	if err != nil || fmt.Sprint(failures) != "map[1:NO]" {
		t.Errorf("failures are %v, %v", failures, err)
	}
	if _, ok, err := h.db.Mailbox("alice/none"); ok || err != nil {
		t.Errorf("an unknown mailbox: %v, %v", ok, err)
	}
	if file, ok := h.db.PathOf(archive.Sum{1}); ok {
		t.Errorf("octets that nobody has are in %s", file)
	}
	if got := h.uids("alice/none"); got != "archived  failed  gone " {
		t.Errorf("UIDs of an unknown mailbox are %s", got)
	}
}

// A Gone of all possible UIDs takes time in proportion to the UIDs that there are.
func TestGoneOfAllUIDsIsCheap(t *testing.T) {
	h := newHouse(t)
	h.simple()
	b := h.batch("INBOX")
	b.Record(archive.Event{Kind: archive.Failed, UID: 4294967295, Reason: "r"})
	all, err := uid.Parse("1:4294967295")
	if err != nil {
		t.Fatal(err)
	}
	b.Record(archive.Event{Kind: archive.Gone, UIDs: all})
	h.apply(h.commit(b))
	if got, want := h.uids("alice/INBOX"), "archived  failed  gone 1:2"; got != want {
		t.Errorf("UIDs are %s, want %s", got, want)
	}
}

// A change that does not begin at the applied position breaks the database.
func TestGap(t *testing.T) {
	h := newHouse(t)
	h.simple()
	b := h.batch("INBOX")
	h.add(b, 1, 3, "three")
	changes := h.commit(b)
	wrong := changes[0]
	wrong.From.Offset++
	if err := h.db.Apply(wrong); !errors.Is(err, ErrDamaged) || !h.db.Broken() {
		t.Errorf("a gap: %v, broken %v", err, h.db.Broken())
	}
	if _, err := h.db.UIDs("alice/INBOX"); !errors.Is(err, ErrDamaged) {
		t.Errorf("a broken database answers: %v", err)
	}
	if notes, err := h.db.Rebuild(); err != nil || len(notes) > 0 || h.db.Broken() {
		t.Errorf("rebuild: %q, %v", notes, err)
	}
	if got, want := h.uids("alice/INBOX"), "archived 1:3 failed  gone "; got != want {
		t.Errorf("UIDs are %s, want %s", got, want)
	}
}

// If the last transaction is lost, as by a crash, it is applied from the journal, without
// a note.
func TestCatchUpAfterLostTransaction(t *testing.T) {
	h := newHouse(t)
	h.simple()
	b, c := h.batch("INBOX"), h.batch("new")
	h.add(b, 1, 3, "three")
	c.Record(opened("new", 1))
	h.add(c, 1, 1, "first")
	h.commit(b, c)
	if notes := h.reopen(); len(notes) > 0 {
		t.Errorf("notes are %q", notes)
	}
	if got, want := h.uids("alice/INBOX")+h.uids("alice/new"), "archived 1:3 failed  gone archived 1 failed  gone "; got != want {
		t.Errorf("UIDs are %s, want %s", got, want)
	}
}

// Before CatchUp a database has its runs, afterwards also what journals have more.
func TestOpen(t *testing.T) {
	h := newHouse(t)
	h.simple()
	b := h.batch("INBOX")
	h.add(b, 1, 3, "three")
	h.commit(b)
	if err := h.db.FinishRun(Run{Account: "alice", Started: clock}, nil); err != nil {
		t.Fatal(err)
	}
	h.close()

	var err error
	var notes []string
	if h.w, err = archive.OpenWriter(h.dir, archive.Options{}); err != nil {
		t.Fatal(err)
	}
	if h.db, notes, err = Open(h.path(), h.w); err != nil || len(notes) > 0 {
		t.Fatalf("opened with %q, %v", notes, err)
	}
	if runs, err := h.db.Runs("alice"); err != nil || len(runs) != 1 {
		t.Errorf("%d runs, %v", len(runs), err)
	}
	if notes, err := h.db.CatchUp(); err != nil || len(notes) > 0 {
		t.Errorf("caught up with %q, %v", notes, err)
	}
	if got, want := h.uids("alice/INBOX"), "archived 1:3 failed  gone "; got != want {
		t.Errorf("UIDs are %s, want %s", got, want)
	}
}

// A torn tail is not applied, and a journal that has nothing else is no mailbox.
func TestTornTail(t *testing.T) {
	h := newHouse(t)
	h.simple()
	if err := h.batch("new").Discard(); err != nil { // a mailbox without a commit
		t.Fatal(err)
	}
	h.close()
	for _, box := range []string{"INBOX", "new"} {
		f, err := os.OpenFile(filepath.Join(h.dir, "alice", box, "journal.jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteString(`{"event":"gone","at":"2026-11-22T18:30:00Z","uids":"1"}` + "\n{")
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if notes := h.open(); len(notes) > 0 {
		t.Errorf("notes are %q", notes)
	}
	if got, want := h.uids("alice/INBOX"), "archived 1:2 failed  gone "; got != want {
		t.Errorf("UIDs are %s, want %s", got, want)
	}
	if _, ok, err := h.db.Mailbox("alice/new"); ok || err != nil {
		t.Errorf("a mailbox without a commit is known: %v, %v", ok, err)
	}
	b, c := h.batch("INBOX"), h.batch("new")
	h.add(b, 1, 3, "three")
	c.Record(opened("new", 1))
	h.apply(h.commit(b, c))
}

// If the archive is replaced with an older copy, a note says so, and nothing is written to
// the mailbox until the database is rebuilt.
func TestArchivePutBack(t *testing.T) {
	for _, c := range []struct {
		name  string
		after func(h *house) // what happened to the old copy since
	}{
		{"shorter", func(*house) {}},
		{"as long, another seal", func(h *house) {
			b := h.batch("INBOX")
			h.add(b, 1, 3, "drei!")
			h.commit(b)
		}},
		{"longer, another seal", func(h *house) {
			b := h.batch("INBOX")
			h.add(b, 1, 3, "drei!")
			b.Record(archive.Event{Kind: archive.Gone, UIDs: uid.Of(1)})
			h.commit(b)
		}},
		{"another journal", func(h *house) {
			if err := os.RemoveAll(filepath.Join(h.dir, "alice/INBOX")); err != nil {
				h.t.Fatal(err)
			}
			b := h.batch("INBOX")
			b.Record(opened("INBOX", 1))
			h.add(b, 1, 1, "other")
			h.commit(b)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			h.putBack(c.name == "another journal", c.after)
			noted(t, h.open(), "alice/INBOX: its journal ")
			h.refuses("alice/INBOX")
			// its owner says that the archive goes on as it is
			if _, err := h.db.Rebuild(); err != nil {
				t.Fatal(err)
			}
			// and the message that was lost with the copy can come again
			b := h.batch("INBOX")
			h.add(b, 1, 30, "three")
			h.apply(h.commit(b))
			if notes := h.reopen(); len(notes) > 0 {
				t.Errorf("the next start notes %q", notes)
			}
		})
	}
}

// putBack archives three messages in INBOX and replaces the archive with a copy of before
// the third, without INBOX if remove is set. The copy is used with a database of its own,
// in which after is done; then the first database is put in its place. All is closed.
func (h *house) putBack(remove bool, after func(*house)) {
	h.t.Helper()
	h.simple()
	h.close()
	old := h.t.TempDir()
	copyTree(h.t, h.dir, old)
	h.open()
	b := h.batch("INBOX")
	h.add(b, 1, 3, "three")
	h.apply(h.commit(b))
	h.close()
	copyTree(h.t, old, h.dir)
	db, err := os.ReadFile(h.path())
	if err != nil {
		h.t.Fatal(err)
	}
	if err := os.Remove(h.path()); err != nil {
		h.t.Fatal(err)
	}
	if remove {
		if err := os.RemoveAll(filepath.Join(h.dir, "alice/INBOX")); err != nil {
			h.t.Fatal(err)
		}
	}
	h.open()
	after(h)
	h.close()
	if err := os.WriteFile(h.path(), db, 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// refuses fails the test unless the writer refuses to open a mailbox because something of
// it is lost.
func (h *house) refuses(dir string) {
	h.t.Helper()
	record, _, err := h.db.Mailbox(dir)
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.w.Mailbox(archive.MailboxDir{Account: "alice", Dir: dir}, record.JournalState()); !errors.Is(err, archive.ErrLost) {
		h.t.Errorf("opening %s: %v, want ErrLost", dir, err)
	}
}

// What is known of a mailbox whose directory is gone stays, and nothing is written to it,
// until its owner says that it was removed on purpose.
func TestMailboxGoneFromArchive(t *testing.T) {
	h := newHouse(t)
	h.simple()
	h.close()
	if err := os.RemoveAll(filepath.Join(h.dir, "alice/INBOX")); err != nil {
		t.Fatal(err)
	}
	noted(t, h.open(), "alice/INBOX: its directory is gone")
	if got, want := h.uids("alice/INBOX"), "archived 1:2 failed  gone "; got != want {
		t.Errorf("UIDs are %s, want %s", got, want)
	}
	h.refuses("alice/INBOX")
	if _, err := os.Stat(filepath.Join(h.dir, "alice/INBOX")); !os.IsNotExist(err) {
		t.Errorf("the mailbox was begun anew: %v", err)
	}

	if _, err := h.w.Forget([]archive.MailboxDir{{Account: "alice", Dir: "alice/INBOX"}}, "removed", false); err != nil {
		t.Fatal(err)
	}
	if notes, err := h.db.CatchUp(); err != nil || len(notes) > 0 {
		t.Errorf("forgotten, it notes %q, %v", notes, err)
	}
	if _, ok, err := h.db.Mailbox("alice/INBOX"); ok || err != nil {
		t.Errorf("the mailbox is still known: %v, %v", ok, err)
	}
	h.simple()
	if notes := h.reopen(); len(notes) > 0 {
		t.Errorf("the next start notes %q", notes)
	}
}

// A corrupt journal is applied up to its last good seal, with a note, and not written to.
func TestCorruptJournal(t *testing.T) {
	h := newHouse(t)
	h.simple()
	good := h.batch("INBOX")
	h.add(good, 1, 3, "three")
	h.apply(h.commit(good))
	last := h.batch("INBOX")
	h.add(last, 1, 4, "four")
	h.apply(h.commit(last))
	h.close()
	name := filepath.Join(h.dir, "alice/INBOX/journal.jsonl")
	text := h.read("alice/INBOX/journal.jsonl")
	bad := bytes.Replace(text, []byte(`"uid":3`), []byte(`"uid":9`), 1)
	if err := errors.Join(os.WriteFile(name, bad, 0o600), os.Remove(h.path())); err != nil {
		t.Fatal(err)
	}
	noted(t, h.open(), "alice/INBOX/journal.jsonl:6: the seal does not fit")
	if got, want := h.uids("alice/INBOX"), "archived 1:2 failed  gone "; got != want {
		t.Errorf("UIDs are %s, want %s", got, want)
	}
	info, _, err := h.db.Mailbox("alice/INBOX")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.w.Mailbox(archive.MailboxDir{Account: "alice", Dir: "alice/INBOX"}, info.JournalState()); !errors.Is(err, archive.ErrCorrupt) {
		t.Errorf("a corrupt mailbox is opened for writing: %v", err)
	}
	h.close()
	if err := os.WriteFile(name, text, 0o600); err != nil { // from a backup
		t.Fatal(err)
	}
	h.open()
	if got, want := h.uids("alice/INBOX"), "archived 1:4 failed  gone "; got != want {
		t.Errorf("put back, UIDs are %s, want %s", got, want)
	}
}

// A mailbox that a newer archiverd wrote to is marked.
func TestNewer(t *testing.T) {
	h := newHouse(t)
	h.simple()
	changes := []Change{{Mailbox: archive.MailboxDir{Account: "alice", Dir: "alice/INBOX"}}}
	info, _, err := h.db.Mailbox("alice/INBOX")
	if err != nil || info.Newer {
		t.Fatal(info, err)
	}
	for name, e := range map[string]archive.Event{"kind": {Kind: "moved"}, "version": {Kind: archive.Opened, V: archive.FormatVersion + 1}} {
		changes[0].From, changes[0].To, changes[0].Events = info.Applied, info.Applied, []archive.Event{e}
		h.apply(changes)
		if info, _, err := h.db.Mailbox("alice/INBOX"); err != nil || !info.Newer {
			t.Errorf("%s: Info is %+v, %v", name, info, err)
		}
		if _, err := h.db.Rebuild(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestArchiveID(t *testing.T) {
	h := newHouse(t)
	id := h.w.ID()
	h.close()
	if got := ArchiveID(h.path()); got != id {
		t.Errorf("the database is of archive %q, want %q", got, id)
	}
	if got := ArchiveID(h.path() + ".none"); got != "" {
		t.Errorf("no database is of archive %q", got)
	}
}

func TestLocked(t *testing.T) {
	h := newHouse(t)
	if _, _, err := Open(h.path(), h.w); !errors.Is(err, ErrLocked) {
		t.Errorf("a second opener: %v, want ErrLocked", err)
	}
	if _, err := OpenReader(h.path()); !errors.Is(err, ErrLocked) {
		t.Errorf("a reader beside a writer: %v, want ErrLocked", err)
	}
}

// After a random history with lost transactions and restarts the database has what the
// journals say, and equals a rebuilt one.
func TestRandomHistory(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 9))
			h := newHouse(t)
			h.most = int(seed%3) * 50 // of about 700; 0: none is put in its place until the end
			h.reopen()
			names := []string{"INBOX", "INBOX/a", "b", "é"}
			epochs := map[string]uint32{}
			for range 60 {
				var batches []*archive.Batch
				for _, i := range r.Perm(len(names))[:1+r.IntN(len(names))] {
					b := h.batch(names[i])
					h.randomEvents(r, b, epochs, names[i])
					batches = append(batches, b)
				}
				changes := h.commit(batches...)
				if r.IntN(8) == 0 {
					h.close() // without these changes
					if r.IntN(3) == 0 {
						if err := os.Remove(h.path()); err != nil {
							t.Fatal(err)
						}
					}
					h.open()
				} else {
					h.apply(changes)
				}
			}
			was := h.entries()
			h.sameRebuilt()
			if is := h.entries(); is != was {
				t.Errorf("made anew the index of sizes and dates is\n%swas\n%s", is, was)
			}
		})
	}
}

func (h *house) randomEvents(r *rand.Rand, b *archive.Batch, epochs map[string]uint32, name string) {
	h.t.Helper()
	if epochs[name] == 0 || r.IntN(20) == 0 {
		epochs[name] = 1 + r.Uint32N(4) // also one that was before
		b.Record(opened(name, epochs[name]))
	}
	for range r.IntN(12) {
		u := 1 + r.Uint32N(40)
		switch r.IntN(8) {
		case 0:
			b.Record(archive.Event{Kind: archive.Flags, UID: u, Flags: []string{fmt.Sprint("f", r.IntN(3))}})
		case 1:
			var s uid.Set
			s.AddRange(u, u+r.Uint32N(5))
			b.Record(archive.Event{Kind: archive.Gone, UIDs: s})
		case 2, 3:
			b.Record(archive.Event{Kind: archive.Failed, UID: u, Reason: fmt.Sprint("r", r.IntN(3))})
		case 4:
			if r.IntN(10) == 0 {
				b.Record(archive.Event{Kind: archive.Vanished})
			}
		default:
			n := r.IntN(30)
			h.add(b, epochs[name], u, fmt.Sprint("body ", n, strings.Repeat("x", n%10)), `\Seen`)
		}
	}
	if b.Len() == 0 {
		b.Record(archive.Event{Kind: archive.Flags, UID: 1, Flags: []string{}})
	}
}

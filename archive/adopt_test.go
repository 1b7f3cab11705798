package archive

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// knowsNothing is an isKnown of a lost state database.
func knowsNothing(Sum) bool { return false }

// nameOf is a name for Adopt.
func nameOf(b MailboxDir) Name { return Name{Mailbox: MailboxOf(b.Dir), Delimiter: "/"} }

// adopt adopts mailboxes in the archive in dir, which no writer has open.
func adopt(t testing.TB, dir string, boxes ...string) []*Adopted {
	t.Helper()
	w := openOnly(t, dir, Options{})
	defer shut(t, w)
	var list []MailboxDir
	for _, b := range boxes {
		list = append(list, MailboxDir{"alice", "alice/" + b})
	}
	done, err := w.Adopt(list, knowsNothing, nameOf)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// TestAdoptFindsMessages: without its journal a mailbox gets its whole message files back;
// those that an interrupted write may have left stay as they are.
func TestAdoptFindsMessages(t *testing.T) {
	h := newLossyHouse(t)
	remove(t, h.dir, "alice/INBOX", journalName)
	month := "alice/INBOX/2026-11/"
	torn := bytes.Repeat([]byte("x"), 1024)
	zeros := append(append([]byte("Subject: z\r\n"), make([]byte, 1200)...), 'z')
	write(t, torn, h.dir, month+"20261122T183400Z.1.4.eml")
	write(t, zeros, h.dir, month+"20261122T183500Z.1.5.eml")
	write(t, []byte("no message"), h.dir, month+"notes.txt")
	done := adopt(t, h.dir, "INBOX")
	if got := done[0]; got.Found != 3 || got.Lost != "its journal is missing" ||
		!slices.Equal(got.Left, []string{month + "20261122T183400Z.1.4.eml", month + "20261122T183500Z.1.5.eml"}) {
		t.Errorf("adopted %+v", got)
	}
	holds(t, h.dir, "alice/INBOX", map[uint32]string{1: "one", 2: "two", 3: "five"})
	v, _ := fold(t, h.dir, "alice/INBOX")
	if m := v.Epoch().Messages[3]; v.Epoch().UIDValidity != 1 || v.Name.Mailbox != "INBOX" || m.Matched != "found" || !m.InternalDate.Equal(date(3)) {
		t.Errorf("the journal says %+v, %+v", v, m)
	}
	if got := damageText(t, h.dir); got != "" {
		t.Errorf("verify finds\n%s", got)
	}

	// with the sum that the archive knew they come in too
	w := openOnly(t, h.dir, Options{})
	defer shut(t, w)
	more, err := w.Adopt([]MailboxDir{{"alice", "alice/INBOX"}}, func(Sum) bool { return true }, nameOf)
	if err != nil || more[0].Found != 2 || len(more[0].Left) != 0 {
		t.Errorf("adopted %+v, %v", more, err)
	}
}

// TestAdoptKeepsWhatHeld: what the good part of a journal says holds after its mailbox was
// adopted, also where a found file is of the same UID, or of another UIDVALIDITY.
func TestAdoptKeepsWhatHeld(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	m := mailbox(t, w, "INBOX")
	one := first(t, m, "one", "two")
	one.Record(Event{Kind: Failed, UID: 9, Reason: "server sent NIL"})
	one.Record(Event{Kind: Flags, UID: 1, Flags: []string{`\Flagged`}})
	commit(t, w, one)
	b := begin(t, m)
	add(t, b, 3, "three")
	commit(t, w, b)
	checkpoint(t, w)
	shut(t, w)
	write(t, append(read(t, dir, "alice/INBOX", journalName)[:one.To.Offset], "torn"...), dir, "alice/INBOX", journalName)
	write(t, []byte("other"), dir, "alice/INBOX/2026-11/20261122T183100Z.1.2.eml")
	write(t, []byte("older"), dir, "alice/INBOX/2026-11/20261122T183100Z.7.1.eml")

	done := adopt(t, dir, "INBOX")
	if got := done[0]; got.Found != 3 {
		t.Errorf("adopted %+v", got)
	}
	v, bodies := fold(t, dir, "alice/INBOX")
	ep := v.Epoch()
	if want := map[uint32]string{1: "one", 2: "two", 3: "three"}; ep.UIDValidity != 1 || !maps.Equal(bodies, want) {
		t.Errorf("epoch %d holds %s, want %s", ep.UIDValidity, show(bodies), show(want))
	}
	if ep.Messages[1].Flags[0] != `\Flagged` || ep.Failed[9] != "server sent NIL" {
		t.Errorf("flags %q, failed %v", ep.Messages[1].Flags, ep.Failed)
	}
	found := 0
	for e, m := range v.All() {
		if m.Matched == "found" && e.UIDValidity == 7 {
			found++
		}
	}
	if found != 1 {
		t.Errorf("%d messages of UIDVALIDITY 7 were found", found)
	}
	if text := read(t, dir, "alice/INBOX", damagedName); !strings.HasSuffix(string(text), "torn") {
		t.Errorf("the damaged journal is %q", text)
	}
	if got := damageText(t, dir); got != "" {
		t.Errorf("verify finds\n%s", got)
	}
}

// TestAdoptMoved: a mailbox that was moved is forgotten there and goes on here; a copy is
// refused while the other one is there.
func TestAdoptMoved(t *testing.T) {
	h := newLossyHouse(t)
	if err := os.CopyFS(filepath.Join(h.dir, "alice/Copy"), os.DirFS(filepath.Join(h.dir, "alice/Sent"))); err != nil {
		t.Fatal(err)
	}
	w := openOnly(t, h.dir, Options{})
	if _, err := w.Adopt([]MailboxDir{{"alice", "alice/Copy"}}, knowsNothing, nameOf); err == nil || !strings.Contains(err.Error(), "it is a copy of alice/Sent") {
		t.Errorf("a copy: %v", err)
	}
	shut(t, w)
	removeAll(t, h.dir, "alice/Sent")
	done := adopt(t, h.dir, "Sent", "Copy")
	if len(done) != 1 || done[0].Moved != "alice/Sent" {
		t.Errorf("adopted %+v", done)
	}
	holds(t, h.dir, "alice/Copy", map[uint32]string{1: "three"})
	if got := damageText(t, h.dir); got != "" {
		t.Errorf("verify finds\n%s", got)
	}
}

// TestAdoptLostCheckpoints: checkpoints that are lost are begun anew from the journals as
// they are, and the old file stays aside.
func TestAdoptLostCheckpoints(t *testing.T) {
	h := newLossyHouse(t)
	text := read(t, h.dir, checkpointsName)
	text[len(text)/3] ^= 1
	write(t, text, h.dir, checkpointsName)
	w := openOnly(t, h.dir, Options{})
	defer shut(t, w)
	if err := w.CheckCheckpoints(CheckpointsMark{}); !errors.Is(err, ErrLost) {
		t.Errorf("corrupt checkpoints: %v", err)
	}
	boxes, err := w.Mailboxes("")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Adopt(boxes, knowsNothing, nameOf); err != nil {
		t.Fatal(err)
	}
	if err := w.CheckCheckpoints(w.CheckpointsMark()); err != nil {
		t.Errorf("begun anew: %v", err)
	}
	if got := read(t, h.dir, ".checkpoints.damaged"); !bytes.Equal(got, text) {
		t.Error("the corrupt file is gone")
	}
	if got := damageText(t, h.dir); got != "" {
		t.Errorf("verify finds\n%s", got)
	}
}

// TestForget: a forgotten mailbox is no damage, whatever is missing of it; a new journal
// there is covered anew.
func TestForget(t *testing.T) {
	h := newLossyHouse(t)
	sent := MailboxDir{"alice", "alice/Sent"}
	forget := func(remove bool, boxes ...MailboxDir) int64 {
		t.Helper()
		w := openOnly(t, h.dir, Options{})
		defer shut(t, w)
		freed, err := w.Forget(boxes, "removed", remove)
		if err != nil {
			t.Fatal(err)
		}
		return freed
	}
	removeAll(t, h.dir, "alice/Lists")
	if freed := forget(false, sent, MailboxDir{"alice", "alice/Lists"}); freed != 0 {
		t.Errorf("freed %d", freed)
	}
	for _, f := range verify(t, h.dir) {
		if f.Damage || !strings.Contains(f.What, "1 message file without a journal; they belong to a mailbox that was forgotten: removed") {
			t.Errorf("verify finds %v", f)
		}
	}
	w := open(t, h.dir, Options{})
	commit(t, w, first(t, mailbox(t, w, "Sent"), "new"))
	checkpoint(t, w)
	shut(t, w)
	remove(t, h.dir, "alice/Sent", journalName)
	if got := damageText(t, h.dir); !strings.Contains(got, "alice/Sent/journal.jsonl: its journal is missing") {
		t.Errorf("a new journal there is lost, verify finds\n%s", got)
	}

	// deleted: nothing of it is left, and a message that another mailbox has keeps its octets
	w = openOnly(t, h.dir, Options{})
	b := begin(t, mailbox(t, w, "INBOX"))
	add(t, b, 8, "only here")
	commit(t, w, b)
	checkpoint(t, w)
	shut(t, w)
	if err := os.Link(filepath.Join(h.dir, "alice/INBOX/2026-11/20261122T183800Z.1.8.eml"), filepath.Join(t.TempDir(), "kept")); err != nil {
		t.Fatal(err)
	}
	journal := int64(len(read(t, h.dir, "alice/INBOX", journalName)))
	if freed, want := forget(true, MailboxDir{"alice", "alice/INBOX"}, sent), journal+int64(len("one")+len("two")+len("five")); freed < want || freed > want+5000 {
		t.Errorf("freed %d octets, want %d and the journal of Sent", freed, want)
	}
	if found := verify(t, h.dir); len(found) > 0 {
		t.Errorf("verify finds %v", found)
	}
	if _, err := os.Stat(filepath.Join(h.dir, "alice")); !os.IsNotExist(err) {
		t.Errorf("something is left: %v", err)
	}
}

// TestOwnersWordAfterACrash: adopt and forget that fail or are killed at any step can be
// said again, and end as if nothing had happened. Forget raises no alarm in between.
func TestOwnersWordAfterACrash(t *testing.T) {
	h := newLossyHouse(t)
	inbox := []MailboxDir{{"alice", "alice/INBOX"}}
	for _, word := range []string{"adopt", "forget", "delete"} {
		say := func(w *Writer) (err error) {
			if word == "adopt" {
				_, err = w.Adopt(inbox, knowsNothing, nameOf)
			} else {
				_, err = w.Forget(inbox, "removed", word == "delete")
			}
			return err
		}
		for _, step := range []string{StepAdopt, StepForget, StepUnlink, StepCheckpoint, StepCheckpointSync} {
			for _, isKilled := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s at %s, killed %v", word, step, isKilled), func(t *testing.T) {
					h.putBack(t)
					if word == "adopt" {
						remove(t, h.dir, "alice/INBOX", journalName)
					}
					o := Options{Step: (&failAt{step: step, n: 1, with: syscall.EIO}).Step}
					if isKilled {
						o.Step = killAt(step, 1)
					}
					w := openOnly(t, h.dir, o)
					untilKilled(func() { _ = say(w) }) // it may not come to that step
					shut(t, w)
					if got := damageText(t, h.dir); got != "" && word != "adopt" {
						t.Errorf("between, verify finds\n%s", got)
					}
					w = openOnly(t, h.dir, Options{})
					if err := say(w); err != nil {
						t.Error(err)
					}
					shut(t, w)
					if got := damageText(t, h.dir); got != "" {
						t.Errorf("said again, verify finds\n%s", got)
					}
					if word == "adopt" {
						holds(t, h.dir, "alice/INBOX", map[uint32]string{1: "one", 2: "two", 3: "five"})
					}
				})
			}
		}
	}
}

// TestPlaceOfALostMailbox: a mailbox whose directory is gone keeps its place: no other one
// gets it, and it gets no other.
func TestPlaceOfALostMailbox(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	lower, upper := mailbox(t, w, "lists"), mailbox(t, w, "Lists")
	commit(t, w, first(t, lower, "one"), first(t, upper, "two"))
	checkpoint(t, w)
	shut(t, w)
	removeAll(t, dir, lower.Dir)
	removeAll(t, dir, upper.Dir)
	w = openOnly(t, dir, Options{})
	defer shut(t, w)
	for _, m := range []*Mailbox{upper, lower} {
		name := strings.SplitN(MailboxOf(m.Dir), "%", 2)[0]
		got, err := w.DirectoryOf("alice", Name{Mailbox: name, Delimiter: "/"})
		if err != nil || got.Dir != m.Dir {
			t.Errorf("%s is placed in %s, %v; want %s", name, got.Dir, err, m.Dir)
		}
		if _, err := w.Mailbox(got, JournalState{}); !errors.Is(err, ErrLost) {
			t.Errorf("%s was begun anew: %v", name, err)
		}
	}
	if _, err := w.Forget([]MailboxDir{lower.MailboxDir, upper.MailboxDir}, "removed", false); err != nil {
		t.Fatal(err)
	}
}

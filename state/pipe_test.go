package state

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"archiverd/archive"
)

// A pipe in place of a journal costs its own mailbox only: catching up and rebuilding
// name it, and wait for nothing.
func TestPipeInPlaceOfAJournal(t *testing.T) {
	h := newHouse(t)
	for _, name := range []string{"INBOX", "other"} {
		b := h.batch(name)
		b.Record(opened(name, 7))
		h.add(b, 7, 1, "one")
		h.apply(h.commit(b))
	}
	journal := filepath.Join(h.dir, "alice/INBOX/journal.jsonl")
	if err := os.Rename(journal, journal+"~"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(journal, 0o600); err != nil {
		t.Fatal(err)
	}
	notes := h.reopen()
	if len(notes) != 1 || !strings.Contains(notes[0], "alice/INBOX/journal.jsonl:1: it is a pipe") {
		t.Errorf("the notes are %q", notes)
	}
	if _, err := h.w.Mailbox(archive.MailboxDir{Account: "alice", Dir: "alice/INBOX"}, archive.JournalState{}); err == nil {
		t.Error("the mailbox was opened for writing")
	}
	if notes, err := h.db.Rebuild(); err != nil || len(notes) != 1 {
		t.Errorf("rebuilding ends with %v, notes %q", err, notes)
	}
	if got, want := h.uids("alice/other"), "archived 1 failed  gone "; got != want {
		t.Errorf("UIDs of the other mailbox are %s, want %s", got, want)
	}
	if err := os.Rename(journal+"~", journal); err != nil {
		t.Fatal(err)
	}
	h.reopen()
}

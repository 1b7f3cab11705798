package archive

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"archiverd/internal/durable"
)

// pipeFor puts a pipe in place of a file, which undo puts back.
func pipeFor(t *testing.T, path string) (undo func()) {
	t.Helper()
	if err := os.Rename(path, path+"~"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(os.Remove(path), os.Rename(path+"~", path)); err != nil {
			t.Fatal(err)
		}
	}
}

// damage is what verify finds of damage, with the paths.
func damage(t *testing.T, dir string) (what []string) {
	t.Helper()
	for _, f := range verify(t, dir) {
		if f.Damage {
			what = append(what, f.Path+" "+f.What)
		}
	}
	return what
}

// A pipe or device in place of a file of the archive is never waited for: it is damage,
// or an error that names it.
func TestPipeInPlaceOfAFile(t *testing.T) {
	dir := t.TempDir()
	w := openOnly(t, dir, Options{})
	m := mailbox(t, w, "INBOX")
	commit(t, w, first(t, m, "one", "two"))
	known := JournalState{m.id, m.end(), m.Stamp()}
	shut(t, w)
	a, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()

	undo := pipeFor(t, filepath.Join(dir, "alice/INBOX", plain(1)))
	if got := damage(t, dir); len(got) != 1 || !strings.Contains(got[0], plain(1)+" can't be read: open alice/INBOX/"+plain(1)+": it is a pipe, not a regular file") {
		t.Errorf("of a message that is a pipe verify says %q", got)
	}
	if f, err := a.OpenFile("alice/INBOX/" + plain(1)); !errors.Is(err, durable.ErrNotRegular) {
		t.Errorf("the pipe was opened: %v, %v", f, err)
	}
	if err := a.CheckFile(m.MailboxDir, &Message{Path: plain(1)}); !errors.Is(err, durable.ErrNotRegular) {
		t.Errorf("the pipe was read: %v", err)
	}
	undo()

	undo = pipeFor(t, filepath.Join(dir, "alice/INBOX", journalName))
	if got := damage(t, dir); len(got) == 0 || !strings.Contains(got[len(got)-1], "line 1: it is a pipe, not a regular file; put this file back") {
		t.Errorf("of a journal that is a pipe verify says %q", got)
	}
	if _, _, err := a.Fold(m.MailboxDir); !errors.Is(err, ErrCorrupt) {
		t.Errorf("the pipe was read: %v", err)
	}
	if _, _, err := a.HasPosition(m.MailboxDir, known.ID, known.End); !errors.Is(err, ErrCorrupt) {
		t.Errorf("the pipe was read: %v", err)
	}
	w = openOnly(t, dir, Options{})
	if _, err := w.Mailbox(m.MailboxDir, known); !errors.Is(err, ErrCorrupt) {
		t.Errorf("the pipe was opened for writing: %v", err)
	}
	shut(t, w)
	undo()
	if got := damage(t, dir); len(got) > 0 {
		t.Errorf("verify finds %q", got)
	}
}

// The same for the files and directories that a writer opens.
func TestPipeInPlaceOfAWritersFile(t *testing.T) {
	dir := t.TempDir()
	w := openOnly(t, dir, Options{})
	m := mailbox(t, w, "INBOX")
	commit(t, w, first(t, m, "one", "two"))
	known := JournalState{m.id, m.end(), m.Stamp()}
	shut(t, w)
	for _, name := range []string{infoName, lockName} {
		undo := pipeFor(t, filepath.Join(dir, name))
		if w, err := OpenWriter(dir, Options{Now: now}); !errors.Is(err, durable.ErrNotRegular) {
			t.Errorf("an archive whose %s is a pipe was opened: %v, %v", name, w, err)
		}
		undo()
	}
	undo := pipeFor(t, filepath.Join(dir, "alice/INBOX", tmpName))
	w = open(t, dir, Options{})
	if _, err := w.Mailbox(m.MailboxDir, known); err == nil || !strings.Contains(err.Error(), "tmp is a pipe, not a directory") {
		t.Errorf("tmp is a pipe: %v", err)
	}
	undo()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Mailboxes("pipe"); err == nil {
		t.Error("a pipe is an account")
	}
}

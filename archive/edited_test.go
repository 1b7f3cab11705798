package archive

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A journal that is edited while it is open is not appended to, also not after a repair,
// and the error names the line. A copy in its place, or an intact journal with another
// time, is.
func TestJournalChangedWhileItIsOpen(t *testing.T) {
	dir := t.TempDir()
	w := openOnly(t, dir, Options{})
	m := mailbox(t, w, "INBOX")
	commit(t, w, first(t, m, "one", "two"))
	name := filepath.Join(dir, "alice/INBOX", journalName)

	good := read(t, name)
	write(t, good, name+"~")
	if err := os.Rename(name+"~", name); err != nil {
		t.Fatal(err)
	}
	b := begin(t, m)
	add(t, b, 3, "three")
	commit(t, w, b)
	if err := os.Chtimes(name, time.Time{}, clock); err != nil {
		t.Fatal(err)
	}
	b = begin(t, m)
	add(t, b, 4, "four")
	commit(t, w, b)
	holds(t, dir, "alice/INBOX", map[uint32]string{1: "one", 2: "two", 3: "three", 4: "four"})

	good = read(t, name)
	edited := bytes.Replace(good, []byte(`"uid":2`), []byte(`"uid":9`), 1)
	write(t, edited, name)
	if err := os.Chtimes(name, time.Time{}, clock.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	b = begin(t, m)
	add(t, b, 5, "five")
	var bad *CorruptError
	if w.Commit(nil, b); !errors.As(b.Err, &bad) || bad.Path != "alice/INBOX/journal.jsonl" || bad.Line != 4 {
		t.Errorf("the batch ends with %v", b.Err)
	}
	if _, err := w.Mailbox(m.MailboxDir, JournalState{}); !errors.As(err, &bad) || !errors.Is(err, ErrBroken) {
		t.Errorf("the mailbox is opened again with %v", err)
	}
	if !bytes.Equal(read(t, name), edited) {
		t.Error("the edited journal was written to")
	}

	write(t, good, name)
	m, err := w.Mailbox(m.MailboxDir, JournalState{})
	if err != nil {
		t.Fatal(err)
	}
	b = begin(t, m)
	add(t, b, 5, "five")
	commit(t, w, b)
	holds(t, dir, "alice/INBOX", map[uint32]string{1: "one", 2: "two", 3: "three", 4: "four", 5: "five"})
	shut(t, w)
	if found := verify(t, dir); len(found) > 0 {
		t.Errorf("verify finds %v", found)
	}
}

// A journal that is opened with another stamp, or none, is checked from its first line.
// With its stamp it is not read.
func TestJournalOfAnotherStampIsChecked(t *testing.T) {
	dir := t.TempDir()
	w := openOnly(t, dir, Options{})
	m := mailbox(t, w, "INBOX")
	commit(t, w, first(t, m, "one"))
	known := JournalState{m.id, m.end(), m.Stamp()}
	shut(t, w)
	name := filepath.Join(dir, "alice/INBOX", journalName)
	write(t, bytes.Replace(read(t, name), []byte(`"uid":1`), []byte(`"uid":9`), 1), name)
	w = openOnly(t, dir, Options{})
	defer shut(t, w)
	edited, err := w.JournalStamp(m.MailboxDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []Stamp{{}, {Size: edited.Size, ModTime: edited.ModTime - 1, ChangeTime: edited.ChangeTime, Inode: edited.Inode}} {
		if _, err := w.Mailbox(m.MailboxDir, JournalState{known.ID, known.End, s}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("opened with stamp %+v: %v", s, err)
		}
	}
	if _, err := w.Mailbox(m.MailboxDir, JournalState{"another", known.End, Stamp{}}); !errors.Is(err, ErrLost) {
		t.Errorf("opened as another journal: %v", err)
	}
	if _, err := w.Mailbox(m.MailboxDir, JournalState{known.ID, known.End, edited}); err != nil {
		t.Errorf("opened with its stamp: %v", err)
	}
}

package archive

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// CheckJournal leaves the journal's octets unchanged, in a new file where something stands
// behind what is known to be durable.
func TestCheckJournalCopiesWhatNobodyKnows(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	m := mailbox(t, w, "INBOX")
	one, two := first(t, m, "a"), begin(t, m)
	add(t, two, 2, "b")
	commit(t, w, one)
	id := m.id
	if _, err := w.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	commit(t, w, two)
	box := m.MailboxDir
	shut(t, w)
	name := filepath.Join(dir, box.Dir, journalName)
	text := read(t, name)
	for _, c := range []struct {
		name    string
		applied Checkpoint
		anew    bool
	}{
		{"all is applied", Checkpoint{id, two.To}, false},
		{"a part is applied", Checkpoint{id, one.To}, true},
		{"nothing is applied", Checkpoint{}, true},
	} {
		was, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		w := openOnly(t, dir, Options{})
		if err := w.CheckJournal(box, c.applied); err != nil {
			t.Fatal(err)
		}
		shut(t, w)
		is, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := !os.SameFile(was, is); got != c.anew {
			t.Errorf("%s: the journal is a new file: %v, want %v", c.name, got, c.anew)
		}
		if got := read(t, name); !bytes.Equal(got, text) {
			t.Errorf("%s: the journal changed", c.name)
		}
	}
}

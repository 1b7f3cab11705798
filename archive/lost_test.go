package archive

import (
	"os"
	"testing"
)

// A failed syncfs may have lost the octets of any batch that was being received,
// not only of those that it was called for.
func TestLostWritesFailEveryBatchUnderWay(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	a := mailbox(t, w, "a")
	commit(t, w, first(t, a, "one"))
	under := begin(t, a)
	add(t, under, 2, "two")
	gone, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.syncFileSystem(gone); err == nil {
		t.Fatal("syncfs of a closed file does not fail")
	}
	if w.Commit(nil, under); under.Err == nil {
		t.Error("a batch is committed whose octets may be lost")
	}
	holds(t, dir, a.Dir, map[uint32]string{1: "one"})
	a, err = w.Mailbox(a.MailboxDir, JournalState{ID: a.id, End: a.end()})
	if err != nil {
		t.Fatal(err)
	}
	again := begin(t, a)
	add(t, again, 2, "two")
	commit(t, w, again)
	holds(t, dir, a.Dir, map[uint32]string{1: "one", 2: "two"})
}

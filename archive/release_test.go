package archive

import (
	"fmt"
	"os"
	"testing"
)

// An archive may have more mailboxes than a process may have open files.
func TestReleaseClosesFiles(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	files := func() int {
		t.Helper()
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("no /proc here")
		}
		return len(list)
	}
	before := files()
	for i := range 40 {
		m := mailbox(t, w, fmt.Sprintf("box%d", i))
		commit(t, w, first(t, m, "one"))
		again, err := w.Mailbox(m.MailboxDir, JournalState{ID: m.id, End: m.end()})
		if err != nil || again != m {
			t.Fatalf("opened twice: %v", err)
		}
		if err := again.Release(); err != nil {
			t.Fatal(err)
		}
		two := begin(t, m) // still open for the other
		add(t, two, 2, "two")
		commit(t, w, two)
		if err := m.Release(); err != nil {
			t.Fatal(err)
		}
	}
	if after := files(); after > before {
		t.Errorf("%d files are open, %d were before", after, before)
	}
	boxes, err := w.Mailboxes("")
	if err != nil || len(boxes) != 40 {
		t.Fatalf("%d mailboxes, %v", len(boxes), err)
	}
	v, end, err := w.Fold(boxes[0])
	if err != nil {
		t.Fatal(err)
	}
	m, err := w.Mailbox(boxes[0], JournalState{ID: v.Journal, End: end})
	if err != nil {
		t.Fatal(err)
	}
	three := begin(t, m)
	add(t, three, 3, "three")
	commit(t, w, three)
	holds(t, dir, boxes[0].Dir, map[uint32]string{1: "one", 2: "two", 3: "three"})
}

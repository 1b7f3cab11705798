package archive

import (
	"fmt"
	"path/filepath"
	"testing"
)

// A power cut leaves blocks of zeros in the first of several batches that were committed
// together: nothing of the write was acknowledged, so all of it is a tail.
func TestZerosInTheFirstBatchOfAWriteAreNoDamage(t *testing.T) {
	dir := t.TempDir()
	w := openOnly(t, dir, Options{})
	m := mailbox(t, w, "INBOX")
	commit(t, w, first(t, m, "one"))
	id, end := m.id, m.end()
	var together []*Batch
	for u := range uint32(3) {
		b := begin(t, m)
		for i := range uint32(10) {
			add(t, b, 2+10*u+i, fmt.Sprint(u, i))
		}
		together = append(together, b)
	}
	commit(t, w, together...)
	shut(t, w)
	name := filepath.Join(dir, "alice/INBOX", journalName)
	text := read(t, name)
	clear(text[(end.Offset/512+1)*512:][:512])
	write(t, text, name)
	w = open(t, dir, Options{})
	if _, err := w.Mailbox(m.MailboxDir, JournalState{ID: id, End: end}); err != nil {
		t.Error(err)
	}
	holds(t, dir, "alice/INBOX", map[uint32]string{1: "one"})
}

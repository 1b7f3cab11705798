package history

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"archiverd/archive"
)

// A message that went was moved to where its octets arrived shortly before, but not
// to where they were from the beginning.
func TestLossesOfAMoveAndOfACopy(t *testing.T) {
	dir := t.TempDir()
	w := newTestArchive(t, dir)
	// after is steps with time passing behind the first.
	after := func(first []string, seconds int, then ...string) []string {
		return append(append(first, slices.Repeat([]string{"gone 9"}, seconds)...), then...)
	}
	w.mailbox("copied", after([]string{"epoch 1", "1=copy"}, 40, "vanished")...)
	w.mailbox("copy", after([]string{"epoch 1"}, 8, "1=copy")...)
	w.mailbox("moved", after([]string{"epoch 1", "1=move"}, 40, "gone 1")...)
	w.mailbox("target", after([]string{"epoch 1"}, 36, "1=move")...)
	w.mailbox("later", after([]string{"epoch 1", "1=later"}, 4, "gone 1")...)
	w.mailbox("kept", after([]string{"epoch 1"}, 36, "1=later")...)
	w.close()
	a, err := archive.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	losses, err := Losses(a, "alice", time.Time{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, l := range losses {
		got[l.Name.Mailbox] = "lost"
		if l.To != nil {
			got[l.Name.Mailbox] = l.To.Name.Mailbox
		}
	}
	if want := map[string]string{"copied": "lost", "moved": "target", "later": "kept"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

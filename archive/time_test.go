package archive

import (
	"strings"
	"testing"
	"time"
)

// Events carry the time of the last one until it has passed, also after the archive was
// opened again, and whatever the length of the last line.
func TestTimeNeverFallsInAJournal(t *testing.T) {
	for _, n := range []int{1, 4000, 70_000} {
		dir := t.TempDir()
		w := openOnly(t, dir, Options{})
		b := first(t, mailbox(t, w, "INBOX"), "one")
		b.Record(Event{Kind: Failed, UID: 9, Reason: strings.Repeat("x", n)})
		commit(t, w, b)
		for _, c := range []struct {
			now, want time.Time
			behind    bool
		}{{second(-3600), clock, true}, {second(-1), clock, false}, {second(7), second(7), false}, {second(-3600), second(7), true}} {
			shut(t, w)
			w = openOnly(t, dir, Options{Now: func() time.Time { return c.now }})
			b := begin(t, mailbox(t, w, "INBOX"))
			b.Record(Event{Kind: Failed, UID: 9, Reason: strings.Repeat("y", n)})
			commit(t, w, b)
			if got := b.Events[0].At; !got.Equal(c.want) || b.ClockBehind.IsZero() == c.behind {
				t.Errorf("at %v the event is of %v, want %v; the clock is behind %v", c.now, got, c.want, b.ClockBehind)
			}
		}
		shut(t, w)
	}
}

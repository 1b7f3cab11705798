package sync

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
)

// A clock that was set back by an hour, also while archiverd was not running, is told once
// a run, and no time falls within a journal. A second, which NTP may take, is not told.
func TestClockSetBack(t *testing.T) {
	clock := time.Date(2026, 11, 22, 18, 30, 0, 0, time.UTC)
	h := &testbed{World: world.NewUnwatchedWith(t, archive.Options{Now: func() time.Time { return clock }}), t: t}
	h.completes([]hostile.Mailbox{world.NewMailbox("INBOX", 7, 2), world.NewMailbox("Archiv", 9, 2)})
	for i, c := range []struct {
		back time.Duration
		told bool
	}{{time.Second, false}, {time.Hour, true}, {-3 * time.Hour, false}} {
		h.Close()
		clock = clock.Add(-c.back)
		h.Open()
		n := 3 + i
		run := h.completes([]hostile.Mailbox{world.NewMailbox("INBOX", 7, n), world.NewMailbox("Archiv", 9, n)})
		told := 0
		for _, w := range run.Warnings {
			if strings.Contains(w, "the clock of this computer is behind the archive, whose last event is of 2026-11-22T18:30:00Z") {
				told++
			}
		}
		if want := map[bool]int{true: 1}[c.told]; told != want {
			t.Errorf("set back by %v: told %d times, want %d: %q", c.back, told, want, run.Warnings)
		}
	}
	for _, m := range h.Mailboxes() {
		text, err := os.ReadFile(filepath.Join(h.Dir, m.Journal()))
		if err != nil {
			t.Fatal(err)
		}
		var times []string
		for _, at := range regexp.MustCompile(`"at":"([^"]*)"`).FindAllStringSubmatch(string(text), -1) {
			times = append(times, at[1])
		}
		if !slices.IsSorted(times) || times[len(times)-1] != "2026-11-22T20:29:59Z" {
			t.Errorf("%s: times are %q", m.Dir, times)
		}
	}
}

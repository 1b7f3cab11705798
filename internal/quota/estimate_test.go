package quota

import (
	"testing"
	"time"

	"archiverd/internal/progress"
	"archiverd/state"
)

// TestComplete checks how long the rest takes, with each limit by itself and together.
func TestComplete(t *testing.T) {
	now := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	const GB = 1_000_000_000
	used := state.Traffic{}.Add(now, 2*GB)
	for _, c := range []struct {
		name            string
		octets, speed   int64
		t               state.Traffic
		start           time.Duration
		rate, daily     int64
		atLeast, atMost time.Duration
		want            string
	}{
		{"a moment", 1000, 1000, nil, 0, 0, 0, time.Second, time.Second, "about a minute, at 1000 B/s"},
		{"by its speed", 36 << 20, 10 << 10, nil, 0, 0, 0, time.Hour, 2 * time.Hour, "about 61 minutes, at 10 KiB/s"},
		{"by its rate", 100 * GB, 50 << 20, nil, 0, 1 << 20, 0, 26 * time.Hour, 27 * time.Hour, "about 26 hours, at 1.0 MiB/s"},
		{"a rate that is no limit", 36 << 20, 10 << 10, nil, 0, 1 << 20, 0, time.Hour, 2 * time.Hour, "about 61 minutes, at 10 KiB/s"},
		{"within the day", 1 * GB, 1 << 20, nil, 0, 0, 2 * GB, 15 * time.Minute, 17 * time.Minute, "about 16 minutes, at 1.0 MiB/s"},
		{"over some days", 7 * GB, 10 << 20, nil, 0, 0, 2500_000_000, 50 * time.Hour, 51 * time.Hour, "about 2 days, at 2.5 GB a day"},
		{"the day is spent", 3 * GB, 10 << 20, used, 0, 0, 2 * GB, 50 * time.Hour, 51 * time.Hour, "about 2 days, at 2.0 GB a day"},
		{"the day is spent, and it is known when it goes on", 1 * GB, 10 << 20, used, 25 * time.Hour, 0, 2 * GB, 25 * time.Hour, 26 * time.Hour, "about 25 hours, at 10 MiB/s"},
		{"a line slower than the limit", 86_400_000_000, 1000_000, nil, 0, 0, 100 * GB, 23 * time.Hour, 25 * time.Hour, "about 24 hours, at 977 KiB/s"},
		{"60 GB of Gmail", 60 * GB, 5 << 20, nil, 0, 0, 2 * GB, 31 * 24 * time.Hour, 33 * 24 * time.Hour, "about 32 days, at 2.0 GB a day"},
		{"never, as good as", 1 << 60, 1000, nil, 0, 0, 0, progress.MaxTime, progress.MaxTime, "years, at 1000 B/s"},
	} {
		e := complete(&progress.Estimate{Messages: 1, Octets: c.octets, Speed: c.speed}, now, now.Add(c.start), c.t, Limits{c.rate, c.daily})
		if e == nil || e.Takes < c.atLeast || e.Takes > c.atMost || e.String() != c.want {
			t.Errorf("%s: %v, %+v, want %s", c.name, e, e, c.want)
		}
		if e != nil && e.Takes < progress.MaxTime && !e.Done.Equal(now.Add(e.Takes).Truncate(time.Second)) {
			t.Errorf("%s: done at %v, in %v", c.name, e.Done, e.Takes)
		}
	}
	for name, e := range map[string]progress.Estimate{"nothing left": {Octets: 1, Speed: 1}, "no speed": {Messages: 1, Octets: 1}, "no octets": {Messages: 1, Speed: 1}} {
		if got := complete(&e, now, now, nil, Limits{}); got != nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

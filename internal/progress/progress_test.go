package progress

import (
	"sync"
	"testing"
	"time"
)

// TestSpeed: the speed counts from the first body, whose octets took unknown time.
func TestSpeed(t *testing.T) {
	start := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	var p Progress
	check := func(after time.Duration, want int64, wantOK bool) {
		t.Helper()
		if got, ok := p.Speed(start.Add(after)); got != want || ok != wantOK {
			t.Errorf("after %v: %d, %v, want %d, %v", after, got, ok, want, wantOK)
		}
	}
	check(time.Hour, 0, false)
	p.AddReceived(5000, start)
	check(time.Hour, 0, false) // one body has no speed
	p.AddReceived(4000, start.Add(time.Second))
	check(minMeasured-1, 0, false)
	check(4*time.Second, 1000, true)
	p.AddReceived(0, start.Add(4*time.Second)) // its body was not downloaded
	check(4*time.Second, 1000, true)
	if p.Received != 3 || p.Octets != 9000 {
		t.Errorf("%d messages, %d octets received", p.Received, p.Octets)
	}
	p.Stage = "done"
	check(4*time.Second, 0, false)
}

// TestEstimateInWords: the unit of the time fits, and the limit that decides is named.
func TestEstimateInWords(t *testing.T) {
	for _, test := range []struct {
		estimate        Estimate
		text, remaining string
	}{
		{Estimate{Takes: time.Second, Speed: 1000}, "about a minute, at 1000 B/s", "about a minute left, at 1000 B/s"},
		{Estimate{Takes: 90 * time.Second, Speed: 1 << 20}, "about 2 minutes, at 1.0 MiB/s", "about 2 minutes left, at 1.0 MiB/s"},
		{Estimate{Takes: 90 * time.Minute, Speed: 1 << 20}, "about 2 hours, at 1.0 MiB/s", "about 2 hours left, at 1.0 MiB/s"},
		{Estimate{Takes: 36 * time.Hour, Speed: 1 << 20, Daily: 2_500_000_000}, "about 2 days, at 2.5 GB a day", "about 2 days left, at 2.5 GB a day"},
		{Estimate{Takes: MaxTime, Speed: 1}, "years, at 1 B/s", "years left, at 1 B/s"},
	} {
		if got := test.estimate.String(); got != test.text {
			t.Errorf("got %q, want %q", got, test.text)
		}
		if got := test.estimate.Remaining(); got != test.remaining {
			t.Errorf("got %q, want %q", got, test.remaining)
		}
	}
}

// TestMeterIsShared has several goroutines change one meter.
func TestMeterIsShared(t *testing.T) {
	var m Meter
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				m.Change(func(p *Progress) { p.AddReceived(10, time.Unix(1, 0)) })
				m.Read()
			}
		})
	}
	wg.Wait()
	if p := m.Read(); p.Received != 800 || p.Octets != 8000 {
		t.Errorf("%d messages, %d octets received", p.Received, p.Octets)
	}
}

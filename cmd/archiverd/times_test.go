package main

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata"
)

// TestParseTimeAt: times as a person types them, on the day on which the clocks are
// put back, as a start and as an end.
func TestParseTimeAt(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 10, 26, 9, 30, 15, 7, berlin)
	const zone = "+01:00"
	for _, c := range []struct{ text, begin, end string }{
		{"2026-10-01", "2026-10-01T00:00:00+02:00", "2026-10-01T23:59:59+02:00"},
		{"2026-10-25", "2026-10-25T00:00:00+02:00", "2026-10-25T23:59:59" + zone}, // of 25 hours
		{"2026-10-26", "2026-10-26T00:00:00" + zone, "2026-10-26T09:30:15" + zone},
		{"today", "2026-10-26T00:00:00" + zone, "2026-10-26T09:30:15" + zone},
		{"Yesterday", "2026-10-25T00:00:00+02:00", "2026-10-25T23:59:59" + zone},
		{"now", "2026-10-26T09:30:15" + zone, "2026-10-26T09:30:15" + zone},
		{"2026-10-01 15:04", "2026-10-01T15:04:00+02:00", "2026-10-01T15:04:00+02:00"},
		{"2026-10-01 15:04:05", "2026-10-01T15:04:05+02:00", "2026-10-01T15:04:05+02:00"},
		{"2026-10-01T15:04", "2026-10-01T15:04:00+02:00", "2026-10-01T15:04:00+02:00"},
		{"2026-10-01T15:04:05-09:00", "2026-10-01T15:04:05-09:00", "2026-10-01T15:04:05-09:00"},
		{"2026-10-01T15:04:05Z", "2026-10-01T15:04:05Z", "2026-10-01T15:04:05Z"},
		{"6h", "2026-10-26T03:30:15" + zone, "2026-10-26T03:30:15" + zone},
		{"1d", "2026-10-25T09:30:15" + zone, "2026-10-25T09:30:15" + zone},
		{"3d", "2026-10-23T09:30:15+02:00", "2026-10-23T09:30:15+02:00"},
		{"2w", "2026-10-12T09:30:15+02:00", "2026-10-12T09:30:15+02:00"},
		{"1y", "2025-10-26T09:30:15" + zone, "2025-10-26T09:30:15" + zone},
		{"2027-01-01", "2027-01-01T00:00:00" + zone, "in the future"},
		{"2026-10-26 09:31", "2026-10-26T09:31:00" + zone, "in the future"},
		{"2999-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "in the future"},
		{"9999y", "before the year 1", "before the year 1"},
	} {
		for end, want := range map[bool]string{false: c.begin, true: c.end} {
			got, err := parseTimeAt(c.text, now, end)
			text := got.Format(time.RFC3339)
			if err != nil {
				text = err.Error()
			}
			if !strings.Contains(text, want) || err == nil && text != want {
				t.Errorf("%q, as an end %v, is %s, want %s", c.text, end, text, want)
			}
		}
	}
	for _, text := range []string{"2026", "2026-11", "2026-11-31", "1.11.2026", " 2026-11-01", "2026-11-01 25:00", "3 d", "d", "-3d", "3m", "9999999d", "tomorrow", "١d"} {
		if got, err := parseTimeAt(text, now, false); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

// TestSelectFlags: flags that select nothing or contradict each other are errors
// that name the flag.
func TestSelectFlags(t *testing.T) {
	for _, c := range []struct {
		flags selectFlags
		says  string
	}{
		{selectFlags{after: "2026-11-31"}, `--after "2026-11-31": write a date`},
		{selectFlags{before: "x"}, `--before "x": `},
		{selectFlags{at: "9000-01-01"}, `--at "9000-01-01": that is in the future`},
		{selectFlags{since: "y", gone: true}, `--since "y": `},
		{selectFlags{since: "3d"}, "use it with --gone"},
		{selectFlags{since: "3d", at: "4d", gone: true}, "--since 3d is later than --at 4d"},
		{selectFlags{after: "3d", before: "4d"}, "no message is both after 3d and before 4d"},
		{selectFlags{mailboxes: []string{"INBOX", ""}}, "empty name"},
	} {
		_, err := c.flags.selection("")
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v gives %v, want %q", c.flags, err, c.says)
		}
	}
	s := selectFlags{after: "2w", before: "1w", at: "yesterday", since: "3d", gone: true}
	got, err := s.selection("home")
	if err != nil || got.Account != "home" || !got.Gone || got.After.IsZero() || got.Before.IsZero() || got.At.IsZero() || got.Since.IsZero() || got.Mailbox != nil {
		t.Errorf("%+v gives %+v, %v", s, got, err)
	}
}

package ui

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"archiverd/internal/progress"
)

func TestVerdict(t *testing.T) {
	joined := errors.Join(errors.New("first"), errors.New("second\x1b[2J")).Error()
	for want, got := range map[string]string{
		"complete":                                Verdict(Outcome("", true), ""),
		"complete: 3 messages":                    Verdict(Outcome("", true), "", "3 messages", ""),
		"INCOMPLETE: 3 messages; resumes later":   Verdict(Outcome("", false), "", "3 messages", "resumes later"),
		`FAILED: first; second\x1b[2J; 1 message`: Verdict(Outcome(joined, false), joined, "1 message"),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestSpeed(t *testing.T) {
	if got, want := Speed(4096, 2*time.Second), ", 2.0 KiB/s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Speed(0, time.Second) + Speed(5, 0); got != "" {
		t.Errorf("without octets or time: %q", got)
	}
}

func TestNotes(t *testing.T) {
	n := NewNotes()
	n.Mailbox("IN\nBOX", "%d failed", 2)
	n.NoteAll([]string{"100% sure"})
	n.Line("and %d more", 3)
	var out strings.Builder
	if _, err := n.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "  mailbox IN\\nBOX: 2 failed\n  note: 100% sure\n  and 3 more\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPad(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Pad("ab", 4), "ab  "},
		{Pad("abcdef", 4), "abc…"},
		{Pad("日本語", 5), "日本…"},
		{PadWith("INBOX", " +2", 10), "INBOX +2  "},
		{PadWith("Projects", " +2", 8), "Proj… +2"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestAgo(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for want, at := range map[string]time.Time{
		"never": {}, "just now": now, "3 hours ago": now.Add(-3 * time.Hour), "2 days from now": now.Add(48 * time.Hour),
	} {
		if got := Ago(at, now); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestMinute(t *testing.T) {
	for want, at := range map[string]time.Time{"----------------": {}, "2026-11-01 12:30": time.Date(2026, 11, 1, 12, 30, 9, 0, time.FixedZone("", 3600))} {
		if got := Minute(at); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Nothing but a terminal gets colours, and nobody is asked without one.
func TestNoTerminal(t *testing.T) {
	var out bytes.Buffer
	s := NewScreen(&out, &out)
	s.Field("Subject", strings.Repeat("long ", 40))
	s.Text("> quoted")
	if got := out.String(); strings.Contains(got, "\x1b") || strings.Count(got, "\n") != 2 {
		t.Errorf("got %q", got)
	}
	out.Reset()
	if _, err := Confirm(strings.NewReader("yes\n"), &out, "Delete?"); !errors.Is(err, ErrNoTerminal) {
		t.Errorf("Confirm: %v", err)
	}
	if _, err := AskPassword(strings.NewReader("secret\n"), &out, "Password: "); !errors.Is(err, ErrNoTerminal) {
		t.Errorf("AskPassword: %v", err)
	}
	if out.Len() > 0 {
		t.Errorf("it asks %q", out.String())
	}
}

type job progress.Progress

func (j job) Progress() progress.Progress { return progress.Progress(j) }

func TestProgressLine(t *testing.T) {
	jobs := []Job{
		job{Account: "home", Stage: "done", Messages: 2, Received: 2, Octets: 1024},
		job{Account: "work", Stage: "fetching", Mailbox: "INBOX", Messages: 10, Received: 3, Octets: 1024},
	}
	if got, want := progressLine(sumProgress(jobs)), "work: fetching INBOX, 5 of 12 messages, 2.0 KiB"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The speed is counted from the first octets, not from the start of the job.
func TestPace(t *testing.T) {
	var a pace
	start := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		octets  int64
		seconds int
		want    string
	}{{0, 0, ""}, {1024, 60, ""}, {3072, 62, " 1.0 KiB/s"}} {
		if got := a.text(progress.Progress{Octets: c.octets}, start.Add(time.Duration(c.seconds)*time.Second)); got != c.want {
			t.Errorf("after %d s: got %q, want %q", c.seconds, got, c.want)
		}
	}
}

package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// TestConfirm: only a typed y or yes confirms, and without a terminal there is no
// question.
func TestConfirm(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]bool{"y\n": true, "yes\n": true, " YES \n": true, "\n": false, "n\n": false, "yess\n": false, "y\x04\x04": false, "\x04": false} {
		term := openTerminal(t, 80)
		if _, err := term.far.WriteString(typed); err != nil {
			t.Fatal(err)
		}
		a := &app{in: term.near, out: &bytes.Buffer{}, err: &bytes.Buffer{}}
		got, err := a.confirm("Delete mailbox \x1b[2J?")
		if err != nil || got != want {
			t.Errorf("typed %q: got %v, %v, want %v", typed, got, err, want)
		}
		if shown := a.err.(*bytes.Buffer).String(); !strings.HasPrefix(shown, `Delete mailbox \x1b[2J? [y/N] `) {
			t.Errorf("the question is shown as %q", shown)
		}
	}
	a := &app{in: strings.NewReader("yes\n"), out: &bytes.Buffer{}, err: &bytes.Buffer{}}
	ok, err := a.confirm("Delete?")
	var e *exitError
	if ok || !errors.As(err, &e) || e.status != exitUsage || !strings.Contains(err.Error(), "--yes") {
		t.Errorf("without a terminal: %v, %v", ok, err)
	}
	if shown := a.err.(*bytes.Buffer).String(); shown != "" {
		t.Errorf("without a terminal it asks %q", shown)
	}
}

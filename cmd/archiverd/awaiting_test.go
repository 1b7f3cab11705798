package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"archiverd/state"
)

// TestReportOfAwaitingMessages: the report of a run says how many messages await that their
// size agrees, and what asking for them again has cost; of none it says nothing.
func TestReportOfAwaitingMessages(t *testing.T) {
	at := time.Date(2026, 11, 22, 18, 30, 0, 0, time.UTC)
	report := func(l state.Ledger) string {
		t.Helper()
		var b bytes.Buffer
		if err := printRun(&b, state.Run{Account: "alice", Started: at, Ended: at.Add(time.Second), Mailboxes: []state.Ledger{l}, Sum: l}); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	l := state.Ledger{Mailbox: "INBOX", Server: 9, Archived: 9}
	if text := report(l); strings.Contains(text, "awaiting") || strings.Contains(text, "again") {
		t.Error(text)
	}
	l.Awaiting, l.Again, l.AgainOctets = 3, 1, 4096
	text := report(l)
	for _, want := range []string{"complete", "awaiting", "3 messages are archived with other sizes than the server announced", "1 message was asked for again", "still do not agree"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
}

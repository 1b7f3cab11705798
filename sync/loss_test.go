package sync

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
)

// TestLostJournalIsNotBegunAnew: a mailbox whose journal is gone is an error of that
// mailbox, also if nothing changed at the server, and in every run until the journal is
// put back; the others go on.
func TestLostJournalIsNotBegunAnew(t *testing.T) {
	for _, stage := range []string{"between two runs", "after a restart"} {
		t.Run(stage, func(t *testing.T) {
			h := newTestbed(t)
			boxes := world.ThreeMailboxes()
			h.completes(boxes)
			journal := filepath.Join(h.Dir, "alice/INBOX/journal.jsonl")
			aside := filepath.Join(h.Dir, "..", "journal")
			if stage == "after a restart" {
				h.Close()
			}
			if err := os.Rename(journal, aside); err != nil {
				t.Fatal(err)
			}
			if stage == "after a restart" {
				h.Open()
			}
			s := world.Serve(t, hostile.Options{Mailboxes: boxes})
			j := &Job{Account: s.Alice(), Policy: h.policy, Committer: h.Committer, Log: h.Log}
			for range 2 {
				run, err := j.Run(t.Context())
				if err != nil || run.OK() {
					t.Errorf("the run ends with %v, OK %v", err, run.OK())
				}
				if l := of(t, run, "INBOX"); !strings.Contains(l.Error, "alice/INBOX: its journal is missing; put it back from a backup") {
					t.Errorf("error of INBOX is %q", l.Error)
				}
				if l := of(t, run, "Archiv"); l.Error != "" {
					t.Errorf("error of Archiv is %q", l.Error)
				}
				if _, err := os.Stat(journal); !os.IsNotExist(err) {
					t.Errorf("the journal was begun anew: %v", err)
				}
			}
			if err := os.Rename(aside, journal); err != nil {
				t.Fatal(err)
			}
			h.clean(s.Alice())
			for _, m := range boxes {
				h.Holds(m)
			}
		})
	}
}

package sync

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
)

// A journal that was edited before its last commit, and is as long as it was, is not
// appended to: the run names file and line, archives the other mailboxes, and goes on
// with this one when the journal has been put back.
func TestEditedJournalIsNotAppendedTo(t *testing.T) {
	for _, stage := range []string{"between two runs", "after a restart"} {
		t.Run(stage, func(t *testing.T) {
			h := newTestbed(t)
			h.completes(world.ThreeMailboxes())
			more := []hostile.Mailbox{world.NewMailbox("INBOX", 7, 11), world.NewMailbox("Lists/Go", 8, 5), world.NewMailbox("Archiv", 9, 4)}
			journal := filepath.Join(h.Dir, "alice/INBOX/journal.jsonl")
			good, err := os.ReadFile(journal)
			if err != nil {
				t.Fatal(err)
			}
			edited := bytes.Replace(good, []byte(`"uid":3,`), []byte(`"uid":8,`), 1)
			if stage == "after a restart" {
				h.Close()
			}
			writeAside(t, journal, edited)
			if stage == "after a restart" {
				h.Open()
			}
			s := world.Serve(t, hostile.Options{Mailboxes: more})
			j := &Job{Account: s.Alice(), Policy: h.policy, Committer: h.Committer, Log: h.Log}
			for range 2 {
				run, err := j.Run(t.Context())
				if err != nil || run.OK() {
					t.Errorf("the run ends with %v, OK %v", err, run.OK())
				}
				if l := of(t, run, "INBOX"); !strings.Contains(l.Error, "alice/INBOX/journal.jsonl:1") || !strings.Contains(l.Error, "put this file back from a backup") {
					t.Errorf("error of INBOX is %q", l.Error)
				}
				if now, err := os.ReadFile(journal); err != nil || !bytes.Equal(now, edited) {
					t.Errorf("the edited journal has changed, %v", err)
				}
			}
			h.Holds(more[2])
			writeAside(t, journal, good)
			h.clean(s.Alice())
			for _, m := range more {
				h.Holds(m)
			}
		})
	}
}

// writeAside replaces a file by another one, as an editor does: it has another inode.
func writeAside(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path+"~", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+"~", path); err != nil {
		t.Fatal(err)
	}
}

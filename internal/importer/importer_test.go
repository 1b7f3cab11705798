package importer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/internal/commit"
	"archiverd/internal/source"
	"archiverd/internal/testing/world"
	"archiverd/state"
)

// importTree makes a Maildir with two messages in each of its mailboxes.
func importTree(t *testing.T, mailboxes int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for i := range mailboxes {
		for _, sub := range []string{"cur", "new"} {
			at := filepath.Join(dir, fmt.Sprint(".box", i), sub)
			err := os.MkdirAll(at, 0o700)
			if err == nil {
				err = os.WriteFile(filepath.Join(at, "1."+sub), []byte("Subject: "+sub+"\n"), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "cur"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "new"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// importAll imports a Maildir into the account.
func importAll(ctx context.Context, t *testing.T, w *world.World, account, dir string) (state.Run, error) {
	t.Helper()
	found, err := source.Find(context.Background(), []string{dir}, source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	j := &Job{Account: account, Archive: w.Committer.Archive.Archive, Committer: w.Committer}
	return j.Run(ctx, []string{dir}, found)
}

// TestImportStepFails fails each step of a commit once. The run names the mailboxes
// that are not complete, and the next import completes them.
func TestImportStepFails(t *testing.T) {
	const mailboxes = 20
	dir := importTree(t, mailboxes)
	for _, step := range []string{archive.StepData, archive.StepNames, archive.StepDirs, archive.StepAppend, archive.StepJournal} {
		t.Run(step, func(t *testing.T) {
			w := world.New(t)
			broken := errors.New("broken on purpose")
			var failed atomic.Bool
			fail := func(name string) error {
				if name == step && !failed.Swap(true) {
					return broken
				}
				return nil
			}
			w.OnStep(fail)
			run, err := importAll(t.Context(), t, w, "old", dir)
			if err != nil || run.OK() {
				t.Errorf("an import whose commit fails: %v, %+v", err, run.Sum)
			}
			for _, l := range run.Mailboxes {
				if l.Missing > 0 && l.Error == "" {
					t.Errorf("%+v", l)
				}
			}
			run, err = importAll(t.Context(), t, w, "old", dir)
			if err != nil || !run.OK() || run.Sum.Archived != 2*mailboxes {
				t.Errorf("the next import: %v, %+v", err, run)
			}
			run, err = importAll(t.Context(), t, w, "old", dir)
			if err != nil || !run.OK() || run.Sum.Archived != 2*mailboxes || run.Sum.Added != 0 || len(run.Mailboxes) != mailboxes+1 {
				t.Errorf("the last import: %v, %+v", err, run)
			}
		})
	}
}

// TestImportInterrupted: an import whose context is done adds nothing, and the next one
// adds everything.
func TestImportInterrupted(t *testing.T) {
	dir, w := importTree(t, 3), world.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if run, err := importAll(ctx, t, w, "old", dir); !errors.Is(err, commit.ErrInterrupted) || run.OK() || run.Sum.Added != 0 {
		t.Errorf("%v, %+v", err, run.Sum)
	}
	if run, err := importAll(t.Context(), t, w, "old", dir); err != nil || run.Sum.Added != 6 {
		t.Errorf("%v, %+v", err, run.Sum)
	}
}

// TestRunIsNotStored: a run that can't be stored has an error, because status shows
// the run before it.
func TestRunIsNotStored(t *testing.T) {
	w := world.New(t)
	breakState := func() { // and no new one can be made
		path := w.Dir + ".db"
		if err := errors.Join(w.Committer.State.Close(), os.Remove(path), os.MkdirAll(filepath.Join(path, "in the way"), 0o700)); err != nil {
			t.Error(err)
		}
	}
	calls := 0
	j := &Job{Account: "old", Archive: w.Committer.Archive.Archive, Committer: w.Committer, Now: func() time.Time {
		if calls++; calls == 2 { // when it has ended
			breakState()
		}
		return time.Now()
	}}
	run, err := j.Run(t.Context(), nil, &source.Found{})
	if err == nil || run.OK() || !strings.Contains(run.Error, "store the result of the run") {
		t.Errorf("%v, %+v", err, run)
	}
}

// TestMailboxName: the delimiter is in no level.
func TestMailboxName(t *testing.T) {
	for _, c := range []struct {
		levels []string
		want   archive.Name
	}{
		{[]string{"INBOX"}, archive.Name{Mailbox: "INBOX", Delimiter: "/"}},
		{[]string{"a.b", "c"}, archive.Name{Mailbox: "a.b/c", Delimiter: "/"}},
		{[]string{"a/b", "c"}, archive.Name{Mailbox: "a/b.c", Delimiter: "."}},
		{[]string{"a/b", "c.d", "e"}, archive.Name{Mailbox: "a/b|c.d|e", Delimiter: "|"}},
	} {
		if got := mailboxName(c.levels); got != c.want {
			t.Errorf("%q: %+v, want %+v", c.levels, got, c.want)
		}
	}
}

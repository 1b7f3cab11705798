package commit_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"archiverd/archive"
	"archiverd/state"
)

// checkpoints returns the last seal of the archive's checkpoints.
func (a *testArchive) checkpoints() string {
	a.t.Helper()
	c, err := a.Committer.Archive.ReadCheckpoints()
	if err != nil {
		a.t.Fatal(err)
	}
	return c.Seal
}

// TestLongRunGetsCheckpoints: the journals of a run that does not end get checkpoints
// every ten minutes; a run that ends without a change writes none.
func TestLongRunGetsCheckpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTestArchive(t)
		m := a.mailbox("INBOX")
		commit := func() {
			t.Helper()
			if err := a.Committer.Commit(m.batch()); err != nil {
				t.Fatal(err)
			}
		}
		commit()
		if got := a.checkpoints(); got != "" {
			t.Errorf("a new run has the checkpoints %s", got)
		}
		<-time.After(10 * time.Minute)
		commit()
		first := a.checkpoints()
		if first == "" {
			t.Error("after ten minutes there are no checkpoints")
		}
		commit()
		if got := a.checkpoints(); got != first {
			t.Error("a minute later there are new checkpoints")
		}
		for range 2 {
			if err := a.Committer.FinishRun(&state.Run{Account: "alice"}, nil); err != nil {
				t.Fatal(err)
			}
		}
		last := a.checkpoints()
		if last == first {
			t.Error("the end of the run has written no checkpoints")
		}
		if err := a.Committer.FinishRun(&state.Run{Account: "alice"}, nil); err != nil || a.checkpoints() != last {
			t.Errorf("a run without a change has written checkpoints: %v", err)
		}
	})
}

// TestOlderArchiveIsTakenOver: an archive from before there were checkpoints gets them at
// the end of the next run, which says so in one line.
func TestOlderArchiveIsTakenOver(t *testing.T) {
	a := newTestArchive(t)
	m := &mailbox{a: a, name: archive.Name{Mailbox: "INBOX", Delimiter: "/"}}
	m.open()
	if err := errors.Join(a.Committer.Commit(m.batch()), m.Release()); err != nil {
		t.Fatal(err)
	}
	a.Close()
	a.Open()
	for range 2 {
		if err := a.Committer.FinishRun(&state.Run{Account: "alice"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(a.logged.String(), "the archive had no checkpoints yet: checkpoints.jsonl now records what each of its 1 journals is"); n != 1 {
		t.Errorf("it is told %d times: %s", n, a.logged.String())
	}
}

// TestFailedCheckpointFailsTheRun: a run whose checkpoints can't be written says so, and
// the next one writes them.
func TestFailedCheckpointFailsTheRun(t *testing.T) {
	a := newTestArchive(t)
	if err := a.Committer.Commit(a.mailbox("INBOX").batch()); err != nil {
		t.Fatal(err)
	}
	a.failOnce(archive.StepCheckpointSync, syscall.EIO)
	run := state.Run{Account: "alice"}
	if err := a.Committer.FinishRun(&run, nil); err == nil || !strings.Contains(run.Error, "write checkpoints: ") {
		t.Errorf("the run has the error %q, %v", run.Error, err)
	}
	if err := a.Committer.FinishRun(&state.Run{Account: "alice"}, nil); err != nil || a.checkpoints() == "" {
		t.Errorf("the next run: %v, checkpoints %q", err, a.checkpoints())
	}
}

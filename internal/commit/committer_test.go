package commit_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"archiverd/archive"
	"archiverd/internal/commit"
	"archiverd/internal/uid"
	"archiverd/state"
)

// recordedUIDs returns the UIDs of the mailbox's messages that the state database has.
func (m *mailbox) recordedUIDs() uid.Set {
	m.a.t.Helper()
	uids, err := m.a.Committer.State.UIDs(m.Dir)
	if err != nil {
		m.a.t.Fatal(err)
	}
	return uids.Archived
}

// holds fails the test unless database and archive have just these messages.
func (m *mailbox) holds(want string) {
	m.a.t.Helper()
	if got := m.recordedUIDs().String(); got != want {
		m.a.t.Errorf("the database has %s of %s, want %s", got, m.Dir, want)
	}
	view, _, err := m.a.Committer.Archive.Fold(m.MailboxDir)
	if err != nil {
		m.a.t.Fatal(err)
	}
	var archived uid.Set
	for u := range view.Epoch().Messages {
		archived.Add(u)
	}
	if got := archived.String(); got != want {
		m.a.t.Errorf("the archive has %s of %s, want %s", got, m.Dir, want)
	}
}

// TestGroupsInOrderOfSubmission submits 69 batches while one is committed: the first
// 64 share a commit, and the others the next.
func TestGroupsInOrderOfSubmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTestArchive(t)
		m := a.mailbox("INBOX")
		next := make(gate)
		var groups [][]uint32 // UIDs by commit
		a.OnStep(func(name string) error {
			if name == archive.StepData {
				groups = append(groups, nil)
				<-next
			}
			return nil
		})
		done := func(b *archive.Batch) {
			if b.Err != nil {
				t.Error(b.Err)
			}
			last := &groups[len(groups)-1]
			*last = append(*last, uidOf(b))
		}
		var batches []*archive.Batch
		for range 70 {
			batches = append(batches, m.batch())
		}
		a.Committer.Submit(batches[0], done)
		synctest.Wait()
		go func() {
			for _, b := range batches[1:] {
				a.Committer.Submit(b, done)
			}
		}()
		for range 3 {
			synctest.Wait()
			next.passOne()
		}
		synctest.Wait()
		var sizes []int
		for _, g := range groups {
			sizes = append(sizes, len(g))
		}
		if want := []int{1, 64, 5}; !slices.Equal(sizes, want) {
			t.Errorf("groups of %v, want %v", sizes, want)
		}
		if all := slices.Concat(groups...); !slices.IsSorted(all) {
			t.Errorf("committed in the order %v", all)
		}
		m.holds("1:70")
	})
}

// TestProducersKeepTheirOrder has four producers commit at the same time, each to a
// mailbox of its own.
func TestProducersKeepTheirOrder(t *testing.T) {
	a := newTestArchive(t)
	var wg sync.WaitGroup
	var mailboxes []*mailbox
	for i := range 4 {
		m := a.mailbox(fmt.Sprint("mailbox ", i))
		mailboxes = append(mailboxes, m)
		var batches []*archive.Batch
		for range 20 {
			batches = append(batches, m.batch())
		}
		wg.Go(func() {
			var committed []*archive.Batch
			q := a.Committer.NewQueue(commit.MaxInFlight)
			for _, b := range batches {
				q.Submit(b, func(b *archive.Batch) { committed = append(committed, b) })
			}
			q.WaitAll()
			if !slices.Equal(committed, batches) {
				t.Errorf("%s: committed in another order", m.Dir)
			}
			for i, b := range batches {
				together := i > 0 && b.From == batches[i-1].From && b.To == batches[i-1].To
				if b.Err != nil || i > 0 && b.From != batches[i-1].To && !together {
					t.Errorf("%s: batch %d from %v: %v", m.Dir, i, b.From, b.Err)
				}
			}
		})
	}
	wg.Wait()
	for _, m := range mailboxes {
		m.holds("1:20")
	}
}

// TestFailedStepReachesTheBatch fails each step of a commit once. The mailbox can be
// written again once it has been reopened.
func TestFailedStepReachesTheBatch(t *testing.T) {
	for _, step := range []string{archive.StepData, archive.StepNames, archive.StepDirs, archive.StepAppend, archive.StepJournal} {
		t.Run(step, func(t *testing.T) {
			a := newTestArchive(t)
			m := a.mailbox("INBOX")
			broken := errors.New("broken on purpose")
			a.failOnce(step, broken)
			if err := a.Committer.Commit(m.batch()); !errors.Is(err, broken) {
				t.Errorf("the error is %v", err)
			}
			other := a.mailbox("Other")
			if err := a.Committer.Commit(other.batch()); err != nil {
				t.Error(err)
			}
			other.holds("1")
			m.reopen()
			if err := a.Committer.Commit(m.batch()); err != nil {
				t.Error(err)
			}
			m.holds("1")
		})
	}
}

// TestFailureStaysInItsMailbox: after a failed batch the next one of its mailbox fails,
// and the batch of another mailbox in the same group does not.
func TestFailureStaysInItsMailbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTestArchive(t)
		m, other := a.mailbox("INBOX"), a.mailbox("Other")
		next := make(gate)
		broken := errors.New("broken on purpose")
		failed := false
		a.OnStep(func(name string) error {
			switch {
			case name == archive.StepData:
				<-next
			case name == archive.StepJournal && !failed:
				failed = true
				return broken
			}
			return nil
		})
		q := a.Committer.NewQueue(commit.MaxInFlight)
		done := func(*archive.Batch) {}
		first, second, third := m.batch(), m.batch(), other.batch()
		q.Submit(first, done)
		synctest.Wait()
		q.Submit(second, done)
		q.Submit(third, done)
		next.passAll()
		q.WaitAll()
		if !errors.Is(first.Err, broken) {
			t.Errorf("the first batch: %v", first.Err)
		}
		if !errors.Is(second.Err, archive.ErrBroken) {
			t.Errorf("the next batch of the mailbox: %v", second.Err)
		}
		if third.Err != nil {
			t.Errorf("the batch of another mailbox: %v", third.Err)
		}
		other.holds("1")
	})
}

// TestSlowCommitIsLogged: a commit that takes a minute is visible while it lasts, and
// in the log afterwards.
func TestSlowCommitIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTestArchive(t)
		next := a.stopCommits()
		if d := a.Committer.CommittingFor(); d != 0 {
			t.Errorf("committing for %v before the first batch", d)
		}
		a.Committer.Submit(a.mailbox("INBOX").batch(), func(*archive.Batch) {})
		<-time.After(time.Minute)
		if d := a.Committer.CommittingFor(); d != time.Minute {
			t.Errorf("committing for %v, want a minute", d)
		}
		next.passAll()
		synctest.Wait()
		if d := a.Committer.CommittingFor(); d != 0 {
			t.Errorf("committing for %v after the last batch", d)
		}
		if log := a.logged.String(); !strings.Contains(log, "commit was slow") {
			t.Errorf("the log is %q", log)
		}
	})
}

// TestCloseWaitsForTheCommit closes a committer in the middle of a commit.
func TestCloseWaitsForTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTestArchive(t)
		m := a.mailbox("INBOX")
		next := a.stopCommits()
		c := commit.New(a.Committer.Archive, a.Committer.State, a.Log)
		committed, closed := 0, false
		for range 2 {
			c.Submit(m.batch(), func(*archive.Batch) { committed++ })
		}
		go func() {
			c.Close()
			closed = true
		}()
		synctest.Wait()
		if closed {
			t.Error("closed before the commit ended")
		}
		next.passAll()
		synctest.Wait()
		if !closed || committed != 2 {
			t.Errorf("closed: %v, %d batches committed, want 2", closed, committed)
		}
		m.holds("1:2")
	})
}

// blockState closes the database for good: a rebuilt one can't get its name until
// unblockState.
func (a *testArchive) blockState() {
	a.t.Helper()
	if err := errors.Join(a.Committer.State.Close(), os.Remove(a.Dir+".db"), os.MkdirAll(filepath.Join(a.Dir+".db", "in the way"), 0o700)); err != nil {
		a.t.Fatal(err)
	}
}

func (a *testArchive) unblockState() {
	a.t.Helper()
	if err := os.RemoveAll(a.Dir + ".db"); err != nil {
		a.t.Fatal(err)
	}
}

// TestCommitRebuildsABrokenDatabase: the batch succeeds, and the new database has what
// was committed before.
func TestCommitRebuildsABrokenDatabase(t *testing.T) {
	a := newTestArchive(t)
	m := a.mailbox("INBOX")
	if err := a.Committer.Commit(m.batch()); err != nil {
		t.Fatal(err)
	}
	if err := a.Committer.RebuildState(errors.New("a cause")); err != nil || a.logged.Len() > 0 {
		t.Errorf("rebuild of a good database: %v\n%s", err, a.logged.String())
	}
	if err := a.Committer.State.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Committer.Commit(m.batch()); err != nil {
		t.Error(err)
	}
	if !strings.Contains(a.logged.String(), "state database failed") {
		t.Errorf("the log is %q", a.logged.String())
	}
	m.holds("1:2")
}

// TestDatabaseCannotBeRebuilt: the batch has the error, and its message is in the
// archive. A later rebuild adds it to the database.
func TestDatabaseCannotBeRebuilt(t *testing.T) {
	a := newTestArchive(t)
	m := a.mailbox("INBOX")
	if err := a.Committer.Commit(m.batch()); err != nil {
		t.Fatal(err)
	}
	a.blockState()
	err := a.Committer.Commit(m.batch())
	if !errors.Is(err, state.ErrDamaged) || !commit.IsDiskError(err) {
		t.Errorf("the error is %v", err)
	}
	a.unblockState()
	if err := a.Committer.RebuildState(err); err != nil {
		t.Fatal(err)
	}
	m.holds("1:2")
}

// storedRun returns the newest run of alice in the database.
func (a *testArchive) storedRun() state.Run {
	a.t.Helper()
	runs, err := a.Committer.State.Runs("alice")
	if err != nil || len(runs) == 0 {
		a.t.Fatalf("%d runs are stored: %v", len(runs), err)
	}
	return runs[0]
}

func TestFinishRun(t *testing.T) {
	run := state.Run{Account: "alice", Started: time.Unix(1, 0).UTC(), Ended: time.Unix(2, 0).UTC(), Sum: state.Ledger{Added: 7}}
	t.Run("stores the run", func(t *testing.T) {
		a, run := newTestArchive(t), run
		if err := a.Committer.FinishRun(&run, nil); err != nil || a.storedRun().Sum.Added != 7 {
			t.Errorf("%+v, %v", a.storedRun(), err)
		}
	})
	t.Run("rebuilds a broken database and stores the run there", func(t *testing.T) {
		a, run := newTestArchive(t), run
		if err := a.Committer.State.Close(); err != nil {
			t.Fatal(err)
		}
		if err := a.Committer.FinishRun(&run, nil); err != nil || run.Error != "" || a.storedRun().Sum.Added != 7 {
			t.Errorf("%+v, %v", a.storedRun(), err)
		}
	})
	t.Run("reports in the run that it is not stored", func(t *testing.T) {
		a, run := newTestArchive(t), run
		a.blockState()
		defer a.unblockState()
		err := a.Committer.FinishRun(&run, nil)
		if !errors.Is(err, state.ErrDamaged) || run.Error != err.Error() || run.OK() {
			t.Errorf("%+v, %v", run, err)
		}
	})
	t.Run("keeps the error that the run has", func(t *testing.T) {
		a, run := newTestArchive(t), run
		a.blockState()
		defer a.unblockState()
		run.Error = "the first reason"
		if err := a.Committer.FinishRun(&run, nil); err == nil || run.Error != "the first reason" {
			t.Errorf("%+v, %v", run, err)
		}
	})
}

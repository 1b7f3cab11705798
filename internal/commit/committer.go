// Package commit writes batches to an archive and applies them to its state database.
// Every job that adds to an archive does so through one Committer; each producer of
// batches has a Queue in front of it, which bounds what is in flight.
//
// Guarantees:
//
//   - Batches are committed in the order in which they were submitted. Batches that
//     wait at the same time share one commit, whatever their mailboxes.
//   - done of a batch is called once: after the batch is durable, or with its Err set.
//   - A failed state database fails no batch. It is rebuilt from the journals; a batch
//     has an error only if that fails too.
//
// The package neither fills batches nor opens and closes the archive and the database.
package commit

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"archiverd/archive"
	"archiverd/internal/logkey"
	"archiverd/state"
)

// Committer commits batches of several producers as groups, one group at a time,
// on a goroutine of its own. Batches are committed in the order in which they were
// submitted. Close ends it.
type Committer struct {
	Archive *archive.Writer // not closed by Close
	State   *state.DB       // not closed by Close

	log            *slog.Logger
	submissions    chan submission
	done           chan struct{} // closed when the goroutine has ended
	lastCheckpoint time.Time     // of this process; owned by the goroutine
	startedAt      atomic.Int64  // start of the commit under way, Unix nanoseconds; 0: none

	mu sync.Mutex // locked during a commit, and while the state database is rebuilt
}

// submission is a batch to be committed.
type submission struct {
	batch *archive.Batch
	done  func(*archive.Batch)
}

// maxGroup is how many batches share a commit.
const maxGroup = 64

// minSlow is the time from which on a commit is logged as slow.
const minSlow = 5 * time.Second

// New starts the committer of an open archive and its database. The caller closes
// the committer before the two.
func New(w *archive.Writer, db *state.DB, log *slog.Logger) *Committer {
	c := &Committer{Archive: w, State: db, log: log, lastCheckpoint: time.Now(), submissions: make(chan submission, maxGroup), done: make(chan struct{})}
	go c.run()
	return c
}

// Close commits what was submitted and ends the committer. Submit must not be called
// afterwards.
func (c *Committer) Close() {
	close(c.submissions)
	<-c.done
}

// Submit hands over a batch, which the committer owns until it calls done. Submit may
// block while other batches are committed. done is called once, on the committer's
// goroutine, when the batch is durable or its Err says why it is not. done must not
// block.
func (c *Committer) Submit(b *archive.Batch, done func(*archive.Batch)) {
	c.submissions <- submission{b, done}
}

// Commit submits a batch and waits until it is committed. It returns the batch's
// Err.
func (c *Committer) Commit(b *archive.Batch) error {
	done := make(chan struct{})
	c.Submit(b, func(*archive.Batch) { close(done) })
	<-done
	return b.Err
}

// OpenMailbox opens a mailbox of the archive for writing, as the database has recorded
// it. A journal that is not as archiverd left it is checked whole; that is recorded, so
// that it is done once.
func (c *Committer) OpenMailbox(dir archive.MailboxDir, recorded *state.Mailbox) (*archive.Mailbox, error) {
	m, err := c.Archive.Mailbox(dir, recorded.JournalState())
	if err != nil {
		return nil, err
	}
	if s := m.Stamp(); s != recorded.Stamp && recorded.Applied.Offset > 0 {
		// A database that fails is noticed by whoever needs it next.
		if err := c.State.SetStamp(dir.Dir, recorded.Applied, s); err != nil {
			c.log.Debug("store the stamp of a journal", logkey.Mailbox, dir.Dir, logkey.Error, err)
		}
	}
	return m, nil
}

// CommittingFor returns the time since the start of the commit under way; 0: none is
// under way.
func (c *Committer) CommittingFor() time.Duration {
	started := c.startedAt.Load()
	if started == 0 {
		return 0
	}
	return time.Since(time.Unix(0, started))
}

func (c *Committer) run() {
	defer close(c.done)
	for first := range c.submissions {
		c.commit(c.group(first))
	}
}

// group returns first and the batches that wait behind it, maxGroup at most.
func (c *Committer) group(first submission) []submission {
	group := []submission{first}
	for len(group) < maxGroup {
		select {
		case s, ok := <-c.submissions:
			if !ok {
				return group
			}
			group = append(group, s)
		default:
			return group
		}
	}
	return group
}

// commit makes a group durable in the archive, then applies it to the database.
func (c *Committer) commit(group []submission) {
	started := time.Now()
	c.startedAt.Store(started.UnixNano())
	defer c.startedAt.Store(0)
	batches := make([]*archive.Batch, len(group))
	for i, s := range group {
		batches[i] = s.batch
	}
	c.write(batches)
	c.checkpointIfDue()
	if elapsed := time.Since(started); elapsed > minSlow {
		c.log.Warn("commit was slow: the disk, or another program's writes", logkey.Elapsed, elapsed.Round(time.Millisecond))
	}
	for _, s := range group {
		s.done(s.batch)
	}
}

// write commits the batches and applies them to the database. It excludes
// RebuildState: a rebuild in between would read events that are written to a journal
// and not synced yet.
func (c *Committer) write(batches []*archive.Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Archive.Commit(c.State, batches...)
	if err := c.State.Apply(state.Changes(batches)...); err != nil {
		err = c.rebuildState(err)
		for _, b := range batches {
			b.Err = errors.Join(b.Err, err)
		}
	}
}

// RebuildState rebuilds the state database from the journals after it failed with
// cause. It does nothing if another goroutine has rebuilt it already. The archive is
// only read.
func (c *Committer) RebuildState(cause error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rebuildState(cause)
}

// rebuildState is RebuildState with c.mu locked.
func (c *Committer) rebuildState(cause error) error {
	if !c.State.Broken() {
		return nil // another goroutine has rebuilt it
	}
	if c.State.IsFull() {
		notes, err := c.State.Resume()
		for _, n := range notes {
			c.log.Warn(n)
		}
		if err == nil || errors.Is(err, state.ErrFull) {
			return err
		}
		cause = err
	}
	c.log.Error("state database failed; rebuilding it from the journals", logkey.Error, cause)
	notes, err := c.State.Rebuild()
	for _, n := range notes {
		c.log.Warn(n)
	}
	if err != nil {
		return fmt.Errorf("%w; rebuild it: %w", cause, err)
	}
	return nil
}

// FinishRun writes the checkpoints of journals that have changed, and stores a run that
// has ended and the cursors of its mailboxes, by directory. A broken database is rebuilt
// first. An error is also the run's Error, unless the run has one: the run is what users
// read.
func (c *Committer) FinishRun(run *state.Run, cursors map[string]state.Completed) error {
	unrecorded := c.Checkpoint()
	if unrecorded != nil {
		run.Error = cmp.Or(run.Error, unrecorded.Error())
	}
	err := c.State.FinishRun(*run, cursors)
	if err != nil {
		if err = c.RebuildState(err); err == nil {
			err = c.State.FinishRun(*run, cursors)
		}
	}
	if err != nil {
		err = fmt.Errorf("store the result of the run: %w", err)
		run.Error = cmp.Or(run.Error, err.Error())
	}
	return errors.Join(unrecorded, err)
}

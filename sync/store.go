package sync

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	gosync "sync"
	"sync/atomic"
	"syscall"
	"time"

	"archiverd/archive"
	"archiverd/state"
)

// Store is an archive and its state database, as the jobs of a process share
// them. One goroutine commits for all. Close ends it.
type Store struct {
	Archive *archive.Writer
	State   *state.DB

	log     *slog.Logger
	commits chan commit
	done    chan struct{}
	since   atomic.Int64 // when the commit under way began, Unix nanoseconds; 0: none is
	mu      gosync.Mutex // held by a commit, and while the state database is mended
}

// commit is a batch on its way. done is called once, when the batch is in the
// archive or its Err says why not.
type commit struct {
	batch *archive.Batch
	done  func(*archive.Batch)
}

// NewStore starts the committer of an open archive and its database. Close
// ends the committer and leaves both open.
func NewStore(w *archive.Writer, db *state.DB, log *slog.Logger) *Store {
	s := &Store{Archive: w, State: db, log: log, commits: make(chan commit, most), done: make(chan struct{})}
	go s.run()
	return s
}

// Close waits for the commit under way. No job may run any more.
func (s *Store) Close() {
	close(s.commits)
	<-s.done
}

// CommittingFor is how long the commit under way has been going on, 0 if none is.
func (s *Store) CommittingFor() time.Duration {
	since := s.since.Load()
	if since == 0 {
		return 0
	}
	return time.Since(time.Unix(0, since))
}

// most is how many batches share a commit.
const most = 64

func (s *Store) run() {
	defer close(s.done)
	for first := range s.commits {
		group := []commit{first}
	more:
		for len(group) < most {
			select {
			case c, ok := <-s.commits:
				if !ok {
					break more
				}
				group = append(group, c)
			default:
				break more
			}
		}
		s.commit(group)
	}
}

// commit makes a group durable in the archive, then folds it into the database.
func (s *Store) commit(group []commit) {
	began := time.Now()
	s.since.Store(began.UnixNano())
	defer s.since.Store(0)
	batches := make([]*archive.Batch, len(group))
	for i, c := range group {
		batches[i] = c.batch
	}
	s.write(batches)
	if took := time.Since(began); took > slowCommit {
		s.log.Warn("commit was slow: the disk, or another program's writes", "elapsed", took.Round(time.Millisecond))
	}
	for _, c := range group {
		c.done(c.batch)
	}
}

// write is commit's part that Mend must not come between: it would take what is
// written to a journal and not synced yet for committed.
func (s *Store) write(batches []*archive.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Archive.Commit(s.State.PathOf, batches...)
	var changes []state.Change
	for _, b := range batches {
		if b.Err == nil {
			changes = append(changes, state.Change{Mailbox: b.Mailbox().MailboxDir, Events: b.Events, From: b.From, To: b.To})
		}
	}
	if err := s.State.Apply(changes...); err != nil {
		err = s.mend(err)
		for _, b := range batches {
			b.Err = errors.Join(b.Err, err)
		}
	}
}

const slowCommit = 5 * time.Second

// Mend makes the state database anew after an error of it. What the archive
// holds is not touched by such an error.
func (s *Store) Mend(cause error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mend(cause)
}

func (s *Store) mend(cause error) error {
	if !s.State.Broken() {
		return nil // somebody was faster
	}
	s.log.Error("state database failed; making it anew from the journals", "error", cause)
	notes, err := s.State.Rebuild()
	for _, n := range notes {
		s.log.Warn(n)
	}
	if err != nil {
		return fmt.Errorf("%w; making it anew: %w", cause, err)
	}
	return nil
}

// finish stores what became of a run. That it can't be stored stands in the run, too,
// which is all that is printed.
func (s *Store) finish(run *state.Run, cursors map[string]state.Cursor) error {
	err := s.State.FinishRun(*run, cursors)
	if err != nil {
		if err = s.Mend(err); err == nil {
			err = s.State.FinishRun(*run, cursors)
		}
	}
	if err != nil {
		err = fmt.Errorf("store what became of the run: %w", err)
		run.Error = cmp.Or(run.Error, err.Error())
	}
	return err
}

// diskFailed says whether an error is the file system's, so that going on
// would only repeat it.
func diskFailed(err error) bool {
	for _, e := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO, archive.ErrNoSpace, state.ErrDamaged} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

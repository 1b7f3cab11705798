package sync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	gosync "sync"
	"time"

	"golang.org/x/sync/semaphore"

	"archiverd/archive"
	"archiverd/internal/commit"
	"archiverd/internal/logkey"
	"archiverd/internal/progress"
	"archiverd/internal/quota"
	"archiverd/internal/session"
	"archiverd/internal/wire"
	"archiverd/state"
)

// Job archives one account. Its fields are set before Run.
type Job struct {
	Account   session.Account
	Policy    Policy
	Committer *commit.Committer
	// Slots are the connections that all jobs of the process may have
	// together; nil: any number.
	Slots *semaphore.Weighted
	// Prepare, if set, catches Committer.State up with the archive. Each run calls it
	// while it waits for the server's greeting. Its error is the run's.
	Prepare func() error
	Log     *slog.Logger
	Now     func() time.Time // nil: time.Now

	meter   progress.Meter
	sizes   sizes
	quota   *quota.Quota
	leaving gosync.WaitGroup // connections that are being closed
}

// Progress is how far the run under way has come. It may be called at any time.
func (j *Job) Progress() progress.Progress {
	p := j.meter.Read()
	p.DailyLimit = j.Account.DailyLimit
	if p.Received == 0 || p.Stage == "done" {
		return p
	}
	now := j.Now()
	if t, err := j.Committer.State.Traffic(j.Account.Name, now); err == nil {
		p.Estimate = quota.EstimateRun(p, t, quota.Limits{Rate: j.Account.Rate, Daily: j.Account.DailyLimit}, now)
	}
	return p
}

// Run is one round over the account. It returns the ledger, which is stored as
// well, and an error if the round as a whole failed: a mailbox or message that
// failed is in the ledger only. A run that the daily limit leaves nothing to do
// for begins nothing and is not stored. Once ctx is done nothing more is fetched; what
// has been received whole is committed before Run returns. A panic in it is an
// error of this job.
func (j *Job) Run(ctx context.Context) (run state.Run, err error) {
	if j.Now == nil {
		j.Now = time.Now
	}
	run = state.Run{Account: j.Account.Name, Started: j.Now().UTC()}
	j.quota = quota.New(j.Account.Name, j.Account.DailyLimit, j.Committer.State, j.Now)
	j.Account.Wire.Received = &j.quota.Received
	j.meter.Change(func(p *progress.Progress) { *p = progress.Progress{Account: j.Account.Name, Stage: "waiting"} })
	cursors := map[string]state.Cursor{}
	if until := j.heldOff(); !until.IsZero() {
		run.Ended, run.Resumes, run.DailyLimit = run.Started, until.UTC(), j.Account.DailyLimit
		err := &quota.ExceededError{Limit: j.Account.DailyLimit}
		run.Error = err.Error()
		return run, err
	}
	func() {
		defer func() {
			if p := recover(); p != nil {
				err = j.panicked(p)
			}
		}()
		err = j.round(ctx, &run, cursors)
	}()
	if err != nil && ctx.Err() != nil {
		err = commit.ErrInterrupted
	}
	j.setResumes(&run, err)
	run.Ended = j.Now().UTC()
	run.Sum.Elapsed = run.Ended.Sub(run.Started)
	if err != nil {
		run.Error = err.Error()
		run.LoginRefused = wire.Classify(err) == wire.ClassLogin
	}
	defer j.leaving.Wait()
	j.meter.Change(func(p *progress.Progress) { p.Stage, p.Mailbox = "done", "" })
	return run, errors.Join(err, j.Committer.FinishRun(&run, cursors))
}

// panicked is the error for a panic, which it logs.
func (j *Job) panicked(p any) error {
	j.Log.Error("panic in the job", logkey.Account, j.Account.Name, logkey.Error, p, "stack", string(debug.Stack()))
	return fmt.Errorf("panic in the job: %v", p)
}

// round does what Run says and fills run and cursors.
func (j *Job) round(ctx context.Context, run *state.Run, cursors map[string]state.Cursor) error {
	if j.Committer.State.Broken() {
		if err := j.Committer.RebuildState(state.ErrDamaged); err != nil {
			return err
		}
	}
	if err := j.Committer.Archive.CheckFreeSpace(0); err != nil {
		return err
	}
	r := newRound(ctx, j)
	defer r.wait.Wait() // after a panic, too
	defer r.stop(nil)
	w := newWorker(r)
	defer w.close()
	w.greet()
	known, err := j.known()
	if err != nil {
		return err
	}
	r.early, r.places = len(known) == 0, j.Committer.Archive.Directories()
	list, err := r.list(w)
	if err != nil {
		return err
	}
	boxes, err := r.choose(list, known, run)
	if err != nil {
		return err
	}
	j.meter.Change(func(p *progress.Progress) { p.Stage, p.Mailboxes = "fetching", len(boxes) })
	err = r.work(w, boxes)
	for _, b := range boxes {
		l, cursor, serr := b.settle(j.Policy.MaxMessage, r.leaves())
		if err == nil {
			err = serr
		}
		if cursor != nil {
			cursors[b.place.Dir] = *cursor
		}
		run.Mailboxes = append(run.Mailboxes, l)
		run.Warnings = append(run.Warnings, b.warnings...)
	}
	for _, l := range run.Mailboxes {
		run.Sum.Add(l)
	}
	return err
}

// known is what the archive has of the account, by directory.
func (j *Job) known() (map[string]state.Mailbox, error) {
	if j.Prepare != nil {
		if err := j.Prepare(); err != nil {
			return nil, err
		}
	}
	return j.Committer.State.Mailboxes(archive.Escape(j.Account.Name))
}

// round is a run under way, shared by its workers.
type round struct {
	j     *Job
	outer context.Context // what Run was given
	ctx   context.Context // of this run: done as well when the run ends, or has failed for good

	cancel   context.CancelCauseFunc
	mu       gosync.Mutex
	cond     *gosync.Cond
	queue    []task
	over     error           // why nothing more is begun, though what is under way goes on
	pause    session.Pause   // until when no command is sent
	delicate *worker         // which has a late task
	held     int             // tasks and batches not done with, of all mailboxes
	most     int             // workers that there may be
	count    int             // workers that there are
	joining  int             // workers that are about to connect
	come     context.Context // of these: done when the first worker is
	late     context.CancelFunc
	early    bool // they need not wait for a task: there will be some for all
	listing  bool // they are there before the tasks
	wait     gosync.WaitGroup
	claims   map[state.Key]*claim // on what is being downloaded
	spare    float64              // octets that the share of matches to compare leaves
	told     map[string]uint32    // UIDVALIDITY, as LIST told, by directory; constant from then on
	placing  gosync.Mutex         // while a new mailbox is given its directory
	places   *archive.Directories // under placing, but for choose, which is alone
}

func newRound(ctx context.Context, j *Job) *round {
	r := &round{j: j, outer: ctx, most: max(1, j.Account.Connections), count: 1, claims: map[state.Key]*claim{}, told: map[string]uint32{}}
	r.cond = gosync.NewCond(&r.mu)
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	r.come, r.late = context.WithCancel(r.ctx)
	context.AfterFunc(r.ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.cond.Broadcast()
	})
	return r
}

// stop ends the run; the first error is the run's.
func (r *round) stop(err error) { r.cancel(err) }

// choose sorts what the server lists into mailboxes to work on, which it
// returns, and those that are accounted for already, whose ledgers it adds.
func (r *round) choose(list []wire.Mailbox, known map[string]state.Mailbox, run *state.Run) ([]*box, error) {
	j := r.j
	var work []*box
	taken := map[string]string{}
	for _, m := range list {
		name := archive.Name{Mailbox: m.Name, Delimiter: m.Delimiter, Raw: m.Raw}
		if !m.Selectable() {
			run.Mailboxes = append(run.Mailboxes, state.Ledger{Mailbox: m.Name, Skipped: "the server has no messages under this name"})
			continue
		}
		place, err := r.places.For(j.Account.Name, name)
		if err != nil {
			return nil, err
		}
		if m.Status != nil {
			r.told[place.Dir] = m.Status.UIDValidity
		}
		info, ok := known[place.Dir]
		delete(known, place.Dir)
		if yes, rule := j.Policy.Selects(m.Name, m.Delimiter, m.Attrs); !yes {
			run.Mailboxes = append(run.Mailboxes, excluded(m, rule))
			continue
		}
		if other, twice := taken[place.Dir]; twice {
			run.Mailboxes = append(run.Mailboxes, state.Ledger{Mailbox: m.Name, Error: fmt.Sprintf("has the same place in the archive as mailbox %q", other)})
			continue
		}
		taken[place.Dir] = m.Name
		b := &box{r: r, listed: m, name: name, place: place, info: info, known: ok}
		if l, same := b.unchanged(j.Policy.MaxMessage); same {
			run.Mailboxes = append(run.Mailboxes, l)
			continue
		}
		work = append(work, b)
	}
	// The largest first: its pieces keep every connection busy while one after
	// the other works through the small ones.
	slices.SortStableFunc(work, func(a, b *box) int { return cmp.Compare(b.messages(), a.messages()) })
	for _, b := range work {
		b.expect(max(0, int(b.messages())-b.info.Archived))
	}
	return work, r.vanished(known, len(list), run)
}

// excluded is the ledger of a mailbox that the configuration leaves out.
func excluded(m wire.Mailbox, rule string) state.Ledger {
	l := state.Ledger{Mailbox: m.Name, Rule: rule}
	if m.Status != nil {
		l.Server, l.Excluded = int(m.Status.Messages), int(m.Status.Messages)
	}
	return l
}

// vanished records mailboxes that the archive has and the server lists no more.
func (r *round) vanished(known map[string]state.Mailbox, listed int, run *state.Run) error {
	if listed == 0 && len(known) > 0 {
		return errors.New("the server lists no mailbox at all; taking that for a fault of the server, not for the end of the account")
	}
	for dir, info := range known {
		l := state.Ledger{Mailbox: info.Name.Mailbox, Vanished: true}
		if !info.Vanished && !info.Newer {
			run.Warnings = append(run.Warnings, fmt.Sprintf("mailbox %q is no longer on the server; its %d messages stay in the archive", info.Name.Mailbox, info.Archived+info.Gone))
			if err := r.recordVanished(archive.MailboxDir{Account: info.Account, Dir: dir}, info); err != nil {
				l.Error = err.Error()
			}
		}
		run.Mailboxes = append(run.Mailboxes, l)
	}
	return nil
}

func (r *round) recordVanished(place archive.MailboxDir, info state.Mailbox) error {
	m, err := r.j.Committer.Archive.Mailbox(place, info.Journal, info.Applied)
	if err != nil {
		return err
	}
	b, err := m.Batch()
	if err != nil {
		return errors.Join(err, m.Release())
	}
	b.Record(archive.Event{Kind: archive.Vanished})
	return errors.Join(r.j.Committer.Commit(b), m.Release())
}

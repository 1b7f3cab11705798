// Package restore appends messages to the mailboxes of an IMAP server.
//
// It appends what is not there, and nothing else: it deletes nothing at the server
// and writes nothing to the archive. Each Plan and each Run asks the server what is
// there, so a run that ended early is simply started again.
//
// Layout: restore.go runs a job over its mailboxes, source.go says what is
// restored and destination.go where to, mailbox.go does one mailbox, match.go
// finds out which messages are there, append.go sends the others, fallback.go
// sends a poorer form of what was refused, readback.go compares what has arrived,
// flags.go sets flags on messages that are there.
package restore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	gosync "sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"archiverd/internal/logkey"
	"archiverd/internal/progress"
	"archiverd/internal/session"
	"archiverd/internal/wire"
)

// Job restores sources to an account. Its fields are set before Plan and Run,
// and do not change.
type Job struct {
	Account session.Account // the destination
	Sources []Source
	// Open opens the file of an item. The job closes it.
	Open func(id string) (*os.File, error)
	Into string    // the mailbox below which everything goes, written as Mapping.New; "" for none
	Map  []Mapping // the longest that fits a mailbox counts
	// FlagsOnly sets the flags of messages that are at the server, and appends nothing.
	FlagsOnly bool
	// MatchFields takes a message for present also if the server has changed its
	// octets and Message-ID, Date, From and Subject are the same.
	MatchFields bool
	// Temporary says that the caller removes what the job creates: its mailboxes are
	// not subscribed.
	Temporary bool
	Slots     *semaphore.Weighted // the process's connections; nil: unlimited
	Log       *slog.Logger

	meter progress.Meter
	sleep func(context.Context, time.Duration) error // nil: session.Sleep
}

// Mapping gives a mailbox, and those below it, another name.
type Mapping struct {
	Old string // in the archive
	New string // its levels are separated by the server's delimiter, or by "/"
}

// ackTimeout is how long a run that is told to stop may wait for the server to
// confirm the messages that were sent.
const ackTimeout = 10 * time.Second

// run is one Plan or Run of a job. Its connections share it.
type run struct {
	job     *Job
	started time.Time // of a Run; zero for a Plan

	// Set before the mailboxes are worked on, constant after.
	appendLimit int64             // octets that the server takes in one message; 0: not known
	freeQuota   int64             // octets that the server's quota leaves; -1: not known
	mailboxes   []*mailboxRestore // each belongs to one connection at a time

	quotaFull atomic.Bool // the server has refused a message because its quota is used up

	mu      gosync.Mutex
	notices []string // under mu
}

// Progress returns how far Plan or Run is. It may be called at any time.
func (j *Job) Progress() progress.Progress { return j.meter.Read() }

// Plan returns what Run would do. It changes nothing at the server. A mailbox that
// can't be restored is in the plan with its error.
func (j *Job) Plan(ctx context.Context) (*Plan, error) {
	r := &run{job: j, freeQuota: -1}
	if err := r.do(ctx, r.planMailbox); err != nil {
		return nil, err
	}
	p := &Plan{Account: j.Account.Name, Server: j.Account.Wire.Address, Free: r.freeQuota, Notices: r.notices}
	for _, m := range r.mailboxes {
		m.plan.Error = text(m.err)
		p.Mailboxes = append(p.Mailboxes, m.plan)
		p.Sum.add(m.plan)
	}
	return p, nil
}

// Run restores. The result accounts for every mailbox, also if the run ends early
// with an error. Once ctx is done nothing more is sent, and the server gets
// ackTimeout to confirm what has been sent.
func (j *Job) Run(ctx context.Context) (*Result, error) {
	result := &Result{Account: j.Account.Name, Started: time.Now().UTC()}
	r := &run{job: j, freeQuota: -1, started: time.Now()}
	err := r.do(ctx, r.restoreMailbox)
	if err != nil && ctx.Err() != nil {
		err = errors.New("interrupted; begin it again, and what is there is not appended again")
	}
	if err == nil && r.quotaFull.Load() {
		err = errors.New("the server's quota is used up: make room there and begin again, what is there is not appended again")
	}
	result.Ended, result.Notices, result.Error = time.Now().UTC(), r.notices, text(err)
	for _, m := range r.mailboxes {
		m.report(j.FlagsOnly)
		result.Mailboxes = append(result.Mailboxes, m.result)
		result.Sum.add(m.result)
	}
	return result, err
}

// do connects, finds the destinations, and calls fn for each mailbox.
func (r *run) do(ctx context.Context, fn func(context.Context, *session.Session, *mailboxRestore) error) error {
	j := r.job
	s := session.New(&j.Account, j.Slots, j.Log)
	if err := s.Acquire(ctx); err != nil {
		return err
	}
	defer s.Close(ctx)
	j.meter.Change(func(p *progress.Progress) { *p = progress.Progress{Account: j.Account.Name, Stage: "connecting"} })
	defer j.meter.Change(func(p *progress.Progress) { p.Stage, p.Mailbox = "done", "" })
	if err := s.Do(ctx, func(c *wire.Conn) error { return r.prepare(ctx, c) }); err != nil {
		return err
	}
	j.meter.Change(func(p *progress.Progress) { p.Stage, p.Mailboxes = "matching", len(r.mailboxes) })
	return r.each(ctx, s, fn)
}

// prepare asks the server for its mailboxes and limits, and gives each source its
// destination.
func (r *run) prepare(ctx context.Context, c *wire.Conn) error {
	destinations, err := ReadDestinations(ctx, c)
	if err != nil {
		return err
	}
	r.mailboxes, r.notices, r.freeQuota = nil, nil, -1
	switch q, err := c.Quota(ctx, "INBOX"); {
	case isRefusal(err):
		r.notice(fmt.Sprintf("the server does not tell its quota: %v", err))
	case err != nil:
		return err
	case q.Limit > 0:
		r.freeQuota = max(0, q.Limit-q.Used)
	}
	switch r.appendLimit, err = c.AppendLimit(ctx, "INBOX"); {
	case isRefusal(err):
		r.notice(fmt.Sprintf("the server does not tell how large a message may be: %v", err))
	case err != nil:
		return err
	}
	if !c.HasCapability("MULTIAPPEND") && !c.HasCapability("LITERAL+") {
		r.notice("the server has neither MULTIAPPEND nor LITERAL+: it asks for each message by itself, which takes long where it is far away")
	}
	sources := map[string]*Source{} // by the destination's name on the wire
	for i := range r.job.Sources {
		m := newMailboxRestore(&r.job.Sources[i])
		m.dest, m.err = destinations.For(m.source.Name, r.job.Into, r.job.Map)
		if other := sources[m.dest.Wire]; m.err == nil && other != nil {
			m.err = fmt.Errorf("%s of account %s would go to %s as well; give one of them another name with --map or --into", other.Name.Mailbox, other.Account, m.dest.Name)
		}
		sources[m.dest.Wire] = m.source
		m.plan.To, m.result.To = m.dest.Name, m.dest.Name
		r.mailboxes = append(r.mailboxes, m)
	}
	return nil
}

// isRefusal reports whether the server has refused a command and goes on.
func isRefusal(err error) bool {
	c := wire.Classify(err)
	return c == wire.ClassMailbox || c == wire.ClassMessage
}

// notice adds a text for people, once.
func (r *run) notice(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.notices, text) {
		r.notices = append(r.notices, text)
	}
}

// each calls fn for every mailbox, over as many connections as the account may
// have; first is one of them. The error ends the run.
func (r *run) each(ctx context.Context, first *session.Session, fn func(context.Context, *session.Session, *mailboxRestore) error) error {
	j := r.job
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var next atomic.Int64
	work := func(s *session.Session) {
		for ctx.Err() == nil {
			i := int(next.Add(1)) - 1
			if i >= len(r.mailboxes) {
				return
			}
			m := r.mailboxes[i]
			if m.err == nil {
				j.meter.Change(func(p *progress.Progress) { p.Mailbox = m.dest.Name })
				if err := s.Do(ctx, func(*wire.Conn) error { return fn(ctx, s, m) }); err != nil {
					stop(err)
				}
			}
			j.meter.Change(func(p *progress.Progress) { p.Finished++ })
		}
	}
	var others gosync.WaitGroup
	for range min(max(j.Account.Connections, 1), len(r.mailboxes)) - 1 {
		s := session.New(&j.Account, j.Slots, j.Log)
		if !s.TryAcquire() {
			break
		}
		others.Go(func() {
			defer s.Close(ctx)
			if err := s.Connect(ctx); err != nil {
				if ctx.Err() == nil {
					j.Log.Info("another connection failed; continuing with fewer", logkey.Account, j.Account.Name, logkey.Error, err)
				}
				return
			}
			work(s)
		})
	}
	work(first)
	others.Wait()
	return context.Cause(ctx)
}

// afterCancel returns a context that is done ackTimeout after ctx is.
func afterCancel(ctx context.Context) (context.Context, context.CancelFunc) {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(ackTimeout, cancel) })
	return later, func() { stop(); cancel() }
}

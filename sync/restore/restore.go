package restore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	gosync "sync"
	"sync/atomic"
	"time"

	"archiverd/internal/logkey"
	"archiverd/internal/progress"
	"archiverd/internal/session"
	"archiverd/internal/wire"
)

// grace is how long a restore that is told to stop may take to hear what became
// of the messages it has sent.
const grace = 10 * time.Second

// restoring is one Plan or Run of a Restore.
type restoring struct {
	r     *Job
	began time.Time // of a Run; zero: nothing is going to be appended
	limit int64     // octets that the server takes in a message; 0: it does not say
	free  int64     // octets that its quota leaves, -1: it does not say
	boxes []*restoreBox
	full  atomic.Bool // the server has said that its quota is used up

	mu      gosync.Mutex
	notices []string
}

// restoreBox is a mailbox on its way from the archive to the server. One
// goroutine has it at a time.
type restoreBox struct {
	src  *Source
	dest Destination
	err  error // why it can't be done

	plan PlannedMailbox
	done MailboxResult
	work
}

// Progress is how far Plan or Run has come. It may be called at any time.
func (r *Job) Progress() progress.Progress { return r.meter.Read() }

// Plan looks at the server and says what Run would do there. It changes nothing.
// A mailbox that can't be restored is in the plan, with its error.
func (r *Job) Plan(ctx context.Context) (*Plan, error) {
	s := &restoring{r: r, free: -1}
	err := s.session(ctx, s.plan)
	if err != nil {
		return nil, err
	}
	p := &Plan{Account: r.Account.Name, Server: r.Account.Wire.Address, Free: s.free, Notices: s.notices}
	for _, b := range s.boxes {
		b.plan.Error = text(b.err)
		p.Mailboxes = append(p.Mailboxes, b.plan)
		p.Sum.Selected += b.plan.Selected
		p.Sum.Present += b.plan.Present
		p.Sum.Altered += b.plan.Altered
		p.Sum.Missing += b.plan.Missing
		p.Sum.TooBig += b.plan.TooBig
		p.Sum.Flags += b.plan.Flags
		p.Sum.Octets += b.plan.Octets
	}
	return p, nil
}

// Run restores. The ledger says what became of each mailbox, also where the run
// as a whole broke off with an error. Once ctx is done nothing more is sent, and
// what has been sent is asked after for some seconds.
func (r *Job) Run(ctx context.Context) (*Result, error) {
	out := &Result{Account: r.Account.Name, Started: time.Now().UTC()}
	s := &restoring{r: r, free: -1, began: time.Now()}
	err := s.session(ctx, s.restore)
	if err != nil && ctx.Err() != nil {
		err = errors.New("interrupted; begin it again, and what is there is not appended again")
	}
	if err == nil && s.full.Load() {
		err = errors.New("the server's quota is used up: make room there and begin again, what is there is not appended again")
	}
	out.Ended, out.Notices, out.Error = time.Now().UTC(), s.notices, text(err)
	for _, b := range s.boxes {
		b.tally(r.FlagsOnly)
		out.Mailboxes = append(out.Mailboxes, b.done)
		out.Sum.add(b.done)
	}
	return out, err
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// connected connects, looks at the server, and has do done for each mailbox.
func (s *restoring) session(ctx context.Context, do func(context.Context, *session.Session, *restoreBox) error) error {
	r := s.r
	w := session.New(&r.Account, r.Slots, r.Log)
	if err := w.Acquire(ctx); err != nil {
		return err
	}
	defer w.Close(ctx)
	r.meter.Change(func(p *progress.Progress) { *p = progress.Progress{Account: r.Account.Name, Stage: "connecting"} })
	defer r.meter.Change(func(p *progress.Progress) { p.Stage, p.Mailbox = "done", "" })
	err := w.Do(ctx, func(c *wire.Conn) error { return s.survey(ctx, c) })
	if err != nil {
		return err
	}
	r.meter.Change(func(p *progress.Progress) { p.Stage, p.Mailboxes = "matching", len(s.boxes) })
	return s.each(ctx, w, do)
}

// survey asks the server what it has and takes, and seats the sources.
func (s *restoring) survey(ctx context.Context, c *wire.Conn) error {
	known, err := ReadDestinations(ctx, c)
	if err != nil {
		return err
	}
	s.boxes, s.notices, s.free = nil, nil, -1
	switch q, err := c.Quota(ctx, "INBOX"); {
	case wire.Classify(err) == wire.ClassMailbox || wire.Classify(err) == wire.ClassMessage:
		s.notice(fmt.Sprintf("the server does not tell its quota: %v", err))
	case err != nil:
		return err
	case q.Limit > 0:
		s.free = max(0, q.Limit-q.Used)
	}
	switch s.limit, err = c.AppendLimit(ctx, "INBOX"); {
	case wire.Classify(err) == wire.ClassMailbox || wire.Classify(err) == wire.ClassMessage:
		s.notice(fmt.Sprintf("the server does not tell how large a message may be: %v", err))
	case err != nil:
		return err
	}
	if !c.HasCapability("MULTIAPPEND") && !c.HasCapability("LITERAL+") {
		s.notice("the server has neither MULTIAPPEND nor LITERAL+: it asks for each message by itself, which takes long where it is far away")
	}
	taken := map[string]*Source{}
	for i := range s.r.Sources {
		src := &s.r.Sources[i]
		b := &restoreBox{src: src}
		b.dest, b.err = known.For(src.Name, s.r.Into, s.r.Map)
		if other := taken[b.dest.Wire]; b.err == nil && other != nil {
			b.err = fmt.Errorf("%s of account %s would go to %s as well; give one of them another name with --map or --into", other.Name.Mailbox, other.Account, b.dest.Name)
		}
		taken[b.dest.Wire] = src
		b.plan = PlannedMailbox{Account: src.Account, From: src.Name.Mailbox, To: b.dest.Name}
		b.done = MailboxResult{Account: src.Account, From: src.Name.Mailbox, To: b.dest.Name}
		s.boxes = append(s.boxes, b)
	}
	return nil
}

func (s *restoring) notice(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.notices, text) {
		s.notices = append(s.notices, text)
	}
}

// each has the mailboxes done by as many connections as the account may have.
// An error is that of the run.
func (s *restoring) each(ctx context.Context, first *session.Session, do func(context.Context, *session.Session, *restoreBox) error) error {
	r := s.r
	var next atomic.Int64
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	work := func(w *session.Session) {
		for ctx.Err() == nil {
			i := int(next.Add(1)) - 1
			if i >= len(s.boxes) {
				return
			}
			b := s.boxes[i]
			if b.err == nil {
				r.meter.Change(func(p *progress.Progress) { p.Mailbox = b.dest.Name })
				if err := w.Do(ctx, func(*wire.Conn) error { return do(ctx, w, b) }); err != nil {
					stop(err)
				}
			}
			r.meter.Change(func(p *progress.Progress) { p.Finished++ })
		}
	}
	var more gosync.WaitGroup
	for range min(max(r.Account.Connections, 1), len(s.boxes)) - 1 {
		w := session.New(&r.Account, r.Slots, r.Log)
		if !w.TryAcquire() {
			break
		}
		more.Go(func() {
			defer w.Close(ctx)
			if err := w.Connect(ctx); err != nil {
				if ctx.Err() == nil {
					r.Log.Info("the server takes no further connection; going on with fewer", logkey.Account, r.Account.Name, logkey.Error, err)
				}
				return
			}
			work(w)
		})
	}
	work(first)
	more.Wait()
	return context.Cause(ctx)
}

// keepError keeps an error that concerns the mailbox alone in b, and returns any
// other, or that of ctx. After an error that is no refusal of the server the
// connection can't be used any more.
func (b *restoreBox) keepError(ctx context.Context, w *session.Session, err error) error {
	if err == nil || ctx.Err() != nil || !session.IsMailboxError(err) {
		return err
	}
	if c := wire.Classify(err); c == wire.ClassUnknown || c == wire.ClassProtocol {
		w.Drop()
	}
	b.err = err
	return nil
}

// graceful is a context that ends some time after ctx does.
func graceful(ctx context.Context) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return late, func() { stop(); cancel() }
}

// add adds another mailbox's numbers.
func (m *MailboxResult) add(o MailboxResult) {
	m.Selected += o.Selected
	m.Present += o.Present
	m.Altered += o.Altered
	m.Appended += o.Appended
	m.Refused += o.Refused
	m.Unsent += o.Unsent
	m.NotFound += o.NotFound
	m.Changed += o.Changed
	m.Flags += o.Flags
	m.Octets += o.Octets
	m.Error = cmp.Or(m.Error, o.Error)
}

// OK says whether all that was selected is at the server. That the server holds
// a message in another form than the archive is no failure of the restore.
func (r *Result) OK() bool {
	return r.Error == "" && r.Sum.Error == "" && r.Sum.Refused == 0 && r.Sum.Unsent == 0
}

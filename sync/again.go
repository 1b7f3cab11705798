package sync

import (
	"context"
	"io"
	"math/rand/v2"
	"path"
	gosync "sync"

	"archiverd/archive"
	"archiverd/internal/session"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
	"archiverd/state"
)

// againBudget is what a run may ask for again although octets of it came before. Only what
// is received without an agreement counts: a server that was busy and now sends what it announces is asked
// for all of it.
type againBudget struct {
	mu       gosync.Mutex // guards all below
	messages int
	octets   int64
	isBegun  bool // something was taken
}

// A run asks for one in againShare of the messages in doubt, by number and octets, but for
// minAgainMessages and minAgainOctets at any rate.
const (
	againShare       = 20
	minAgainMessages = 10
	minAgainOctets   = 1 << 20
)

// newAgainBudget returns the budget of a run, from what is recorded of the mailboxes.
func newAgainBudget(recorded map[string]state.Mailbox) *againBudget {
	messages, octets := 0, int64(0)
	for _, m := range recorded {
		messages += m.Again
		octets += m.AgainOctets
	}
	return &againBudget{messages: max(minAgainMessages, messages/againShare), octets: max(minAgainOctets, octets/againShare)}
}

// take takes the first of the UIDs out of the budget that fit in it; the first of a run
// always does.
func (b *againBudget) take(uids uid.Set, cost func(u uint32) int64) (part uid.Set) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for u := range uids.All() {
		c := cost(u)
		if b.isBegun && (b.messages <= 0 || c > b.octets) {
			break
		}
		b.isBegun = true
		b.messages--
		b.octets -= c
		part.Add(u)
	}
	return part
}

// spend takes octets that came beyond what was expected.
func (b *againBudget) spend(octets int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.octets -= max(0, octets)
}

// refund gives back what a message took: its octets and sizes agree.
func (b *againBudget) refund(octets int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages++
	b.octets += octets
}

// maxAgain is how many messages of a mailbox a run may ask for again, of those that failed
// and of the archived ones.
const maxAgain = 20_000

// againQuery looks up what is due today, from any of the UIDs on.
func (r *run) againQuery(uids uid.Set) state.AgainQuery {
	q := state.AgainQuery{Day: state.DayOf(r.job.Now()), Max: maxAgain}
	if n := uids.Len(); n > 0 {
		before, _ := uids.Split(rand.IntN(n))
		q.From = before.Max() + 1
	}
	return q
}

// awaiting returns the messages that are archived and await that their size agrees.
func (p *plan) awaiting() (uids uid.Set) {
	for u, g := range p.again {
		if !g.Failed {
			uids.Add(u)
		}
	}
	return uids
}

// againTasks returns the tasks for messages that are asked for again: those that await
// agreement and are due, and of the failed ones those of which octets came. They begin
// somewhere else in each run, so that the budget is not always spent on the same.
func (p *plan) againTasks(failedBefore uid.Set) (tasks []task) {
	var due, failed uid.Set
	for u, g := range p.again {
		switch {
		case g.Failed && failedBefore.Contains(u):
			failed.Add(u)
		case !g.Failed && p.Present.Contains(u):
			due.Add(u)
		}
	}
	for _, t := range []task{{uids: failed, budgeted: true}, {uids: due, awaiting: true}} {
		if t.uids.Empty() {
			continue
		}
		t.order = orderFailedBefore
		before, from := t.uids.Split(rand.IntN(t.uids.Len()))
		for _, part := range []uid.Set{before, from} { // the last one queued comes first
			if !part.Empty() {
				t.uids = part
				tasks = append(tasks, t)
			}
		}
	}
	return tasks
}

// takeAgain takes messages of a task, which failed before, out of the budget, and queues
// the rest. It returns false if nothing is left: they stay failed as they are.
func (w *worker) takeAgain(t *task, metadata map[uint32]wire.Metadata) bool {
	part := w.run.again.take(t.uids, func(u uint32) int64 { return againCost(metadata[u]) })
	if rest := t.uids.Subtract(part); !rest.Empty() && !part.Empty() {
		w.run.add(task{mailbox: t.mailbox, snapshot: t.snapshot, uids: rest, metadata: metadata, skipMatching: t.skipMatching, order: t.order, budgeted: true})
	}
	t.uids = part
	return !part.Empty()
}

// againCost is what asking for a failed message again takes from the budget. It may be
// downloaded twice.
func againCost(md wire.Metadata) int64 { return 2 * max(0, md.Size) }

// refundAgain gives back what a message of a budgeted task took: it is archived.
func (w *worker) refundAgain(t *task, u uint32) {
	if t.budgeted {
		w.run.again.refund(againCost(t.metadata[u]))
		t.mailbox.countAskedAgain(u, 0)
	}
}

// askAgain asks for archived messages again whose octets were not as many as announced. A
// message whose size now agrees needs no download.
func (w *worker) askAgain(ctx context.Context, t *task, known map[uint32]wire.Metadata) error {
	metadata, err := w.metadata(ctx, t.uids, known)
	if err != nil {
		if session.IsMessageError(err) {
			return nil // another run asks again
		}
		return err
	}
	p := t.mailbox.currentPlan()
	for u := range t.uids.All() {
		g, md := p.again[u], metadata[u]
		if md.HasSize && md.Size != g.Size {
			continue
		}
		t.uids = t.uids.Subtract(uid.Of(u))
		if !md.HasSize {
			continue
		}
		if err := w.recordAgain(t, md, &g); err != nil {
			return err
		}
	}
	for !t.uids.Empty() {
		part := w.run.again.take(t.uids, func(u uint32) int64 { return max(0, metadata[u].Size) })
		if part.Empty() {
			return nil
		}
		sub := task{mailbox: t.mailbox, snapshot: t.snapshot, uids: part, metadata: metadata, awaiting: true}
		err := w.fetchBodies(ctx, &sub)
		t.uids = t.uids.Subtract(part.Subtract(sub.uids))
		if err != nil && !session.IsMessageError(err) {
			return err
		}
		t.uids = t.uids.Subtract(part) // what the server left out, another run asks for
	}
	return nil
}

// recordAgain records an archived message as it is, with the size that the server
// announces now.
func (w *worker) recordAgain(t *task, md wire.Metadata, g *state.Again) error {
	batch, err := w.openBatch(t.mailbox)
	if err != nil {
		return err
	}
	e := t.mailbox.addedEvent(g.UID, md)
	e.Kind, e.Path, e.Size, e.Sum, e.Announced = archive.Added, g.Path, g.Size, g.Sum, announcedOther(md, g.Size)
	batch.Record(e)
	w.submitIfFull()
	return nil
}

// receiveAgain receives the body of an archived message that is asked for again. Octets
// that agree with the size, or differ from it in the server's way, take the place of
// those before; the same octets as before are recorded once a day.
func (w *worker) receiveAgain(t *task, u uint32, size int64, body io.Reader) error {
	md, g := t.metadata[u], t.mailbox.currentPlan().again[u]
	b, err := w.receiveJudged(t, md, u, size, body, func(sum archive.Sum) bool { return sum == g.Sum })
	if err != nil {
		return err
	}
	w.session.ResetBackoff()
	w.run.again.spend(size - md.Size)
	isSame, isAgreed := b.sum == g.Sum, b.verdict == isMessage
	if isAgreed {
		w.run.again.refund(max(0, md.Size))
		t.mailbox.countAskedAgain(u, 0)
	} else {
		t.mailbox.countAskedAgain(u, size)
	}
	isDue := g.IsDue(state.DayOf(w.run.job.Now()))
	switch {
	case !isSame && isAgreed:
	case !isSame && isDue && b.verdict == isAwaiting:
		w.lastEvent().Announced = announcedOther(md, size)
	case isSame && (isAgreed || isDue):
		if err := w.batch.Undo(); err != nil {
			return err
		}
		return w.recordAgain(t, md, &g)
	default:
		return w.batch.Undo()
	}
	w.submitIfFull()
	return nil
}

// newSizeExample returns an example of how a server's sizes differ. ok is false if the
// body is none: a server that cuts bodies off must not prove by that how it counts.
func newSizeExample(id string, announced int64, b *bodyTraits) (x sizeExample, ok bool) {
	if b.size == 0 || b.size < announced && (b.headerEnd < 0 || b.hasOnlyHeader()) || noticeOf(b.head) != "" {
		return x, false
	}
	return sizeExample{id: id, announced: announced, size: b.size, lines: b.lines}, true
}

// exampleID names a message of the mailbox in a directory as an example.
func exampleID(dir string, u uint32) string { return path.Join(dir, uid.Of(u).String()) }

// earlierExamples returns the examples of earlier runs. It reads the files.
func (r *run) earlierExamples() (out []sizeExample) {
	for dir, m := range r.recorded {
		for _, x := range m.SizeExamples {
			f, err := r.job.Committer.Archive.OpenFile(path.Join(dir, x.Path))
			if err != nil {
				continue // it proves nothing
			}
			b := newBodyReader(f, x.Size, false, make([]byte, 0, maxNotice))
			_, err = io.Copy(io.Discard, b)
			_ = f.Close() // it was only read
			if example, ok := newSizeExample(exampleID(dir, x.UID), x.Announced, &b.traits); ok && err == nil {
				example.isStable = true
				out = append(out, example)
			}
		}
	}
	return out
}

// countAskedAgain counts a message that was asked for again, and the octets that were
// received without an agreement. Of any other message it counts nothing.
func (m *mailboxRun) countAskedAgain(u uint32, octets int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.askedAgain(u); !ok {
		return
	}
	m.tally.counts.Again++
	m.tally.counts.AgainOctets += octets
}

// askedAgain returns what is known of a message that is asked for again; ok is false if it
// is none. m.mu is locked.
func (m *mailboxRun) askedAgain(u uint32) (g state.Again, ok bool) {
	if m.plan != nil {
		g, ok = m.plan.again[u]
	}
	return g, ok
}

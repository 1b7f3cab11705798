package sync

import (
	"cmp"
	"fmt"
	gosync "sync"
	"time"

	"archiverd/archive"
	"archiverd/internal/commit"
	"archiverd/internal/progress"
	"archiverd/internal/safetext"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
	"archiverd/state"
)

// box is a mailbox that a round works on.
type box struct {
	r      *round
	listed wire.Mailbox
	name   archive.Name
	place  archive.MailboxDir
	info   state.Mailbox // as of the survey
	known  bool          // whether the archive had it before

	// Set by the survey.
	m           *archive.Mailbox
	uidValidity uint32
	cursor      state.Cursor
	server      uid.Set
	seen        uint32                      // the highest UID that can have been there then
	recall      map[uint32]*archive.Message // messages known from before under this UIDVALIDITY
	before      map[uint32]string           // why messages failed in earlier runs

	// Under the round's mutex.
	open   int     // tasks and batches not done with
	opener *worker // whose batch the journal begins with, until that is on its way

	mu         gosync.Mutex
	expected   int  // messages that progress counts on
	generation int  // of the survey: pieces of an earlier one are void
	renumbered int  // times that UIDVALIDITY changed under the run's hands
	again      bool // survey it again when nothing is open
	deaths     int  // connections lost over one of its messages
	misses     int  // messages that failed in a row
	err        error
	flaw       error
	ledger     state.Ledger
	excluded   uid.Set
	checks     map[uint32]archive.Sum // messages to be compared, by UID: what they should be
	compared   int                    // such, of the epoch
	doubt      bool                   // one of them was something else
	expunged   uid.Set                // vanished while the run was under way
	warnings   []string
	began      time.Time
}

// unchanged says whether the server's counters prove that the mailbox is as it
// was when the archive last had all of it, and then its ledger.
func (b *box) unchanged(limit int64) (state.Ledger, bool) {
	s, c := b.listed.Status, b.info.Cursor
	same := b.known && s != nil && !b.info.Vanished && b.info.Failed == 0 && c.Limit == limit &&
		c.UIDValidity != 0 && c.UIDValidity == s.UIDValidity && b.info.UIDValidity == s.UIDValidity &&
		c.UIDNext != 0 && c.UIDNext == s.UIDNext && c.Messages == s.Messages &&
		c.HighestModSeq != 0 && c.HighestModSeq == s.HighestModSeq &&
		b.info.Archived+c.Excluded == int(s.Messages)
	if !same {
		return state.Ledger{}, false
	}
	return state.Ledger{Mailbox: b.listed.Name, Server: int(s.Messages), Archived: b.info.Archived,
		Excluded: c.Excluded, Rule: LimitRule(c.Excluded, limit), UIDNext: c.UIDNext, Unchanged: true}, true
}

// messages is how many the server said there are; 0 if it did not.
func (b *box) messages() uint32 {
	if b.listed.Status == nil {
		return 0
	}
	return b.listed.Status.Messages
}

// expect says how many messages of the mailbox are to be received: at first as
// the counters tell, then as the survey found.
func (b *box) expect(messages int) {
	b.mu.Lock()
	more := messages - b.expected
	b.expected = messages
	b.mu.Unlock()
	b.r.j.meter.Change(func(p *progress.Progress) { p.Messages += more })
}

// failed gives the mailbox up for this run; the first reason stays.
func (b *box) failed(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
}

// flawed notes what keeps the mailbox from being complete although all that is
// known of it is fetched; the first reason stays.
func (b *box) flawed(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.flaw == nil {
		b.flaw = err
	}
}

// gaveUp says whether nothing more is to be done for a piece of a survey.
func (b *box) gaveUp(generation int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err != nil || generation != b.generation
}

// finish is called, under the round's mutex, when nothing is open. It says
// whether the mailbox is to be surveyed again.
func (b *box) finish() (again bool) {
	b.mu.Lock()
	again = b.again && b.err == nil
	b.again = false
	b.ledger.Elapsed = b.r.j.Now().Sub(b.began)
	b.mu.Unlock()
	if again {
		return true
	}
	if err := b.leave(); err != nil {
		b.flawed(err)
	}
	b.r.j.meter.Change(func(p *progress.Progress) { p.Finished++ })
	return false
}

// renumber voids what the last survey found: UIDVALIDITY is another one now.
func (b *box) renumber() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.generation++
	b.renumbered++
	b.again = true
	if b.renumbered > mostRenumberings && b.err == nil {
		b.err = fmt.Errorf("its UIDVALIDITY changed %d times within this run; giving it up until the next", b.renumbered)
	}
}

const mostRenumberings = 3

// committed counts what is in the archive now.
func (b *box) committed(batch *archive.Batch) {
	if err := batch.Err; err != nil {
		b.failed(err)
		if commit.IsDiskError(err) {
			b.r.stop(err)
		}
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range batch.Events {
		switch e := &batch.Events[i]; e.Kind {
		case archive.Added:
			b.ledger.Added++
			if e.Matched != "" {
				b.ledger.Matched++
			}
		case archive.Flags:
			b.ledger.FlagsChanged++
		}
	}
	b.ledger.Linked += batch.Linked
	b.ledger.Octets += batch.Octets()
}

// settle compares, at the end of the run, what the server listed with what the
// archive has: the ledger. The cursor is what to store if the mailbox is
// complete, else nil. left is why the run came to an early end that is no
// mailbox's fault, "" if it did not.
func (b *box) settle(limit int64, left string) (state.Ledger, *state.Cursor, error) {
	if err := b.leave(); err != nil { // the run was stopped with something left to do
		b.flawed(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.ledger
	l.Mailbox = b.listed.Name
	if flaw := cmp.Or(b.err, b.flaw); flaw != nil {
		l.Error = safetext.Line(flaw.Error())
	}
	if b.uidValidity == 0 { // not surveyed: all that is known is what LIST said
		s := b.listed.Status
		if s != nil {
			l.Server, l.Missing = int(s.Messages), int(s.Messages)
		}
		switch {
		case l.Error != "":
		case left != "":
			l.Postponed = left
			if s != nil && b.info.UIDValidity == s.UIDValidity { // as far as runs before came
				l.Archived = min(b.info.Archived, l.Server)
				l.Missing -= l.Archived
			}
		default:
			l.Error = "this run did not come to it"
		}
		return l, nil, nil
	}
	have, err := b.have()
	if err != nil {
		l.Error = err.Error()
		return l, nil, err
	}
	server := b.server.Subtract(b.expunged)
	l.Server, l.UIDNext = server.Len(), nextAfter(b.cursor.UIDNext, b.server)
	missing := server.Subtract(have.Archived)
	l.Archived = l.Server - missing.Len()
	excluded := missing.Intersect(b.excluded) // some may have failed before the limit was set
	missing = missing.Subtract(excluded)
	failed := missing.Intersect(have.Failed)
	missing = missing.Subtract(failed)
	l.Excluded, l.Failed, l.Missing = excluded.Len(), failed.Len(), missing.Len()
	l.Rule = LimitRule(l.Excluded, limit)
	if l.Failed > 0 {
		if l.Failures, err = b.failures(failed); err != nil {
			return l, nil, err
		}
	}
	switch {
	case l.Missing == 0 || l.Error != "":
	case left != "":
		l.Postponed = left
	default:
		l.Error = fmt.Sprintf("%d of the server's messages are not accounted for, UIDs %.100s", l.Missing, missing)
	}
	if b.doubt && l.Error == "" && l.Postponed == "" {
		matched, err := b.doubtful()
		if matched = matched.Intersect(server).Subtract(b.excluded); err != nil {
			l.Error = safetext.Line(err.Error())
		} else if !matched.Empty() {
			l.Error = fmt.Sprintf("%d messages that were matched, and may be others, are still to be downloaded, UIDs %.100s", matched.Len(), matched)
		}
	}
	if l.Error != "" || l.Postponed != "" {
		return l, nil, nil
	}
	c := b.cursor
	c.Messages, c.Excluded, c.Limit = uint32(l.Server), l.Excluded, limit
	return l, &c, nil
}

// nextAfter is the UID from which on everything came after a server listed
// those UIDs and told that UIDNEXT: what came in between has been listed.
func nextAfter(told uint32, listed uid.Set) uint32 {
	if listed.Max() < 1<<32-1 {
		told = max(told, listed.Max()+1)
	}
	return told
}

// failuresShown is how many failed messages a ledger names.
const failuresShown = 100

// have are the UIDs in the archive of the epoch that was surveyed; none where
// that did not come into the journal.
func (b *box) have() (state.UIDs, error) {
	info, _, err := b.r.j.Committer.State.Mailbox(b.place.Dir)
	if err != nil || info.UIDValidity != b.uidValidity {
		return state.UIDs{}, err
	}
	return b.r.j.Committer.State.UIDs(b.place.Dir)
}

func (b *box) failures(failed uid.Set) (map[uint32]string, error) {
	all, err := b.r.j.Committer.State.Failures(b.place.Dir)
	if err != nil {
		return nil, err
	}
	out := map[uint32]string{}
	for u, reason := range all {
		if len(out) < failuresShown && failed.Contains(u) {
			out[u] = reason
		}
	}
	return out, nil
}

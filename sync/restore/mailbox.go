package restore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"archiverd/internal/fingerprint"
	"archiverd/internal/progress"
	"archiverd/internal/session"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
)

// fate is what became of an item.
type fate byte

const (
	pending  fate = iota
	unsure        // sent, and no answer came
	present       // was at the server already
	appended      // the server has said OK to it, or was found to have it once it was sent
	refused       // by the server, or not fit to be sent
)

// work is the state of a mailbox in a Run: what survives a lost connection.
type work struct {
	items  []Item
	loaded bool
	fates  []fate
	uids   []uint32 // of the server; 0: not known
	forms  int      // items that the server holds in another form
	traits map[int]fingerprint.Traits

	selected wire.Selected
	looked   bool   // items have been matched with what was there
	next     uint32 // UIDNEXT before the first was appended
	newest   uint32 // UID that the server has given last
	alone    int    // so many are appended one by one: one of them kills the connection
	deaths   map[int]int
	reduced  map[int]bool    // appended without their keywords, flags or date
	bare     map[string]bool // keywords that this mailbox can't keep
	told     bool            // the ledger is written
}

// load reads what is to be restored to the mailbox.
func (b *restoreBox) load() error {
	if b.loaded {
		return nil
	}
	items, err := b.src.Load()
	if err != nil {
		return err
	}
	b.items, b.loaded = items, true
	b.fates, b.uids = make([]fate, len(items)), make([]uint32, len(items))
	b.traits, b.deaths, b.reduced, b.bare = map[int]fingerprint.Traits{}, map[int]int{}, map[int]bool{}, map[string]bool{}
	return nil
}

// load is the box's, for the progress as well.
func (s *restoring) load(b *restoreBox) error {
	if b.loaded {
		return nil
	}
	err := b.load()
	s.r.meter.Change(func(m *progress.Progress) { m.Messages += len(b.items) })
	return err
}

// plan finds out what there is to do in a mailbox.
func (s *restoring) plan(ctx context.Context, w *session.Session, b *restoreBox) error {
	err := b.keepError(ctx, w, s.planBox(ctx, w.Conn(), b))
	if err == nil {
		b.work = work{} // it is read again by Run: not all mailboxes are held at once
	}
	return err
}

func (s *restoring) planBox(ctx context.Context, c *wire.Conn, b *restoreBox) error {
	if err := s.load(b); err != nil {
		return err
	}
	p := PlannedMailbox{Account: b.plan.Account, From: b.plan.From, To: b.plan.To, Selected: len(b.items)}
	if p.Create = !b.dest.Selectable(); !p.Create {
		examined, err := c.Examine(ctx, b.dest.Wire, false)
		if err != nil {
			return err
		}
		b.selected = wire.Selected{Examined: examined}
		if err := s.find(ctx, c, b); err != nil {
			return err
		}
	}
	for i, it := range b.items {
		switch {
		case b.fates[i] == present:
			p.Present++
		case s.limit > 0 && it.Size > s.limit:
			p.TooBig++
		default:
			p.Missing++
			p.Octets += it.Size
		}
	}
	p.Altered = b.forms
	if s.r.FlagsOnly {
		p.Create, p.Octets = false, 0
		differ, err := s.differing(ctx, c, b)
		if err != nil {
			return err
		}
		for _, list := range differ {
			p.Flags += len(list)
		}
	}
	s.r.meter.Change(func(m *progress.Progress) { m.Received += len(b.items) })
	b.plan = p
	return nil
}

// restore does a mailbox. An error is the connection's: then it is called again
// and goes on where it was.
func (s *restoring) restore(ctx context.Context, w *session.Session, b *restoreBox) error {
	s.r.meter.Change(func(m *progress.Progress) { m.Stage = "appending" })
	err := b.keepError(ctx, w, s.restoreBox(ctx, w, b))
	if err == nil && ctx.Err() == nil {
		b.tally(s.r.FlagsOnly)
	}
	return err
}

func (s *restoring) restoreBox(ctx context.Context, w *session.Session, b *restoreBox) error {
	if err := s.load(b); err != nil {
		return err
	}
	if s.r.FlagsOnly && !b.dest.Selectable() {
		return nil // none of them is there
	}
	if err := s.open(ctx, w.Conn(), b); err != nil {
		return err
	}
	before := b.left()
	if err := s.find(ctx, w.Conn(), b); err != nil {
		return err
	}
	if n := before - b.left(); n > 0 {
		s.done(n)
		w.ResetBackoff() // something came of the connection before
	}
	if s.r.FlagsOnly {
		return s.setFlags(ctx, w.Conn(), b)
	}
	if err := s.append(ctx, w, b); err != nil {
		return err
	}
	return s.check(ctx, w.Conn(), b)
}

// done moves the progress on by n messages.
func (s *restoring) done(n int) {
	s.r.meter.Change(func(m *progress.Progress) { m.Received += n })
}

func (b *restoreBox) count(f fate) int {
	n := 0
	for _, g := range b.fates {
		if g == f {
			n++
		}
	}
	return n
}

// left is how many have yet to be at the server, as far as is known.
func (b *restoreBox) left() int { return b.count(pending) + b.count(unsure) }

// open opens the mailbox for writing, made if the server does not have it.
func (s *restoring) open(ctx context.Context, c *wire.Conn, b *restoreBox) error {
	var refusal error
	if !b.dest.Selectable() && !b.looked {
		if refusal = c.Create(ctx, b.dest.Wire); refusal != nil && !session.IsMailboxError(refusal) {
			return refusal
		}
		if refusal == nil {
			b.done.Created = true
			// Many programs show subscribed mailboxes only. A server that can't
			// subscribe has the mailbox all the same.
			if err := c.Subscribe(ctx, b.dest.Wire); err != nil && !session.IsMailboxError(err) {
				return err
			}
		}
	}
	sel, err := c.Select(ctx, b.dest.Wire)
	switch {
	case err != nil && refusal != nil:
		return refusal // it may have been there, or been made with one below it; but it was not
	case err != nil:
		return err
	case sel.ReadOnly:
		return fmt.Errorf("mailbox %s: the server lets this account only read it", b.dest.Name)
	}
	if b.looked && sel.UIDValidity != b.selected.UIDValidity { // what was known of it is void
		for i, f := range b.fates {
			if f != refused {
				b.fates[i] = pending
			}
			b.uids[i] = 0
		}
		b.looked, b.forms, b.newest = false, 0, 0
	}
	b.selected = sel
	return nil
}

// find matches the items with what is at the server: at first all with all, then
// those whose fate or UID is not known with what has come since. A server may still
// be storing what it got on a connection that is gone: ours, or that of a restore
// which was killed just now, if the newest message there is one that it would have
// appended. Then it gets a moment, and is looked at again.
func (s *restoring) find(ctx context.Context, c *wire.Conn, b *restoreBox) error {
	first := !b.looked
	newest, err := s.look(ctx, c, b)
	if err != nil {
		return err
	}
	moment := 2 * s.r.Account.Retry.WithDefaults().FirstWait
	if b.count(unsure) == 0 {
		if !first || b.count(pending) == 0 || newest == 0 || !slices.Contains(b.uids, newest) {
			return nil
		}
		moment = time.Until(s.began.Add(moment))
	}
	if moment > 0 {
		wait := session.Sleep
		if s.r.sleep != nil {
			wait = s.r.sleep
		}
		if err := wait(ctx, moment); err != nil {
			return err
		}
		if err := c.Noop(ctx); err != nil {
			return err
		}
		if _, err := s.look(ctx, c, b); err != nil {
			return err
		}
	}
	for i, f := range b.fates {
		if f == unsure {
			b.fates[i] = pending
		}
	}
	return nil
}

// looks is how often a mailbox is looked at before a server that leaves messages
// out is believed to do so always.
const looks = 3

// look asks the server what the mailbox has, and compares. It returns the UID of
// the newest message.
func (s *restoring) look(ctx context.Context, c *wire.Conn, b *restoreBox) (newest uint32, err error) {
	for range looks {
		var set uid.Set
		if set, err = c.Search(ctx); err != nil {
			return 0, err
		}
		if err = s.compare(ctx, c, b, set); !errors.Is(err, errLeftOut) { // what was left out may be gone by now
			return set.Max(), err
		}
	}
	return 0, fmt.Errorf("mailbox %s: %w: nothing is appended to it", b.dest.Name, err)
}

func (s *restoring) compare(ctx context.Context, c *wire.Conn, b *restoreBox, set uid.Set) error {
	m := &matcher{c: c, open: s.r.Open}
	var index []int
	var known uid.Set
	for i, it := range b.items {
		switch {
		case b.uids[i] != 0:
			known.Add(b.uids[i])
		case b.fates[i] != refused:
			index, m.items = append(index, i), append(m.items, it)
		}
	}
	seen := set
	if b.looked {
		var since uid.Set
		since.AddRange(b.next, 1<<32-1)
		set = set.Intersect(since)
	}
	// What was sent, and has come since, is known by its fields as well: a server
	// that rewrites messages must not make us send one again. What was not sent is
	// not: it may be like a message that came from elsewhere.
	fields := func(k int) bool { f := b.fates[index[k]]; return s.r.MatchFields || f == unsure || f == appended }
	if err := m.match(ctx, set.Subtract(known), fields); err != nil {
		return err
	}
	for k, f := range m.found {
		i := index[k]
		if f.uid == 0 {
			continue
		}
		b.uids[i] = f.uid
		switch b.fates[i] {
		case pending:
			b.fates[i] = present
			if f.how != equal {
				b.forms++
			}
		case unsure:
			b.fates[i] = appended
		}
	}
	if !b.looked {
		b.next, b.looked = max(b.selected.UIDNext, min(seen.Max(), 1<<32-2)+1), true
	}
	return nil
}

// tally writes the mailbox's ledger, and lets go of its items.
func (b *restoreBox) tally(flagsOnly bool) {
	d := &b.done
	if b.told {
		return
	}
	if err := b.load(); err != nil && b.err == nil {
		b.err = err
	}
	d.Selected, d.Error, b.told = len(b.items), text(b.err), true
	d.Present, d.Appended, d.Refused, d.Unsent = b.count(present), b.count(appended), b.count(refused), b.left()
	d.Altered = b.forms
	if flagsOnly && d.Error == "" {
		d.NotFound, d.Unsent = d.Unsent, 0
	}
	if len(b.bare) > 0 {
		d.Notices = append(d.Notices, "the server can't keep these keywords: "+strings.Join(slices.Sorted(maps.Keys(b.bare)), " "))
	}
	b.work = work{told: true}
}

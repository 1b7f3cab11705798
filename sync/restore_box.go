package sync

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"archiverd/internal/uid"
	"archiverd/internal/wire"
)

// fate is what became of an item.
type fate byte

const (
	pending  fate = iota
	present       // was at the server already
	appended      // the server has said OK to it, or was found to have it
	refused       // by the server, or not fit to be sent
)

// work is the state of a mailbox in a Run: what survives a lost connection.
type work struct {
	items  []Item
	loaded bool
	fates  []fate
	uids   []uint32 // of the server; 0: not known
	traits map[int]traits

	selected wire.Selected
	looked   bool   // items have been matched with what was there
	next     uint32 // UIDNEXT before the first was appended
	unsure   bool   // something was sent, and no answer came
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
	b.traits, b.deaths, b.reduced, b.bare = map[int]traits{}, map[int]int{}, map[int]bool{}, map[string]bool{}
	return nil
}

// load is the box's, for the progress as well.
func (s *restoring) load(b *restoreBox) error {
	if b.loaded {
		return nil
	}
	err := b.load()
	s.r.meter.change(func(m *Progress) { m.Messages += len(b.items) })
	return err
}

// plan finds out what there is to do in a mailbox.
func (s *restoring) plan(ctx context.Context, w *restorer, b *restoreBox) error {
	err := w.own(b, s.planBox(ctx, w.c, b))
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
	if p.Create = !b.seat.selectable(); !p.Create {
		examined, err := c.Examine(ctx, b.seat.wire, false)
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
	s.r.meter.change(func(m *Progress) { m.Received += len(b.items) })
	b.plan = p
	return nil
}

// restore does a mailbox. An error is the connection's: then it is called again
// and goes on where it was.
func (s *restoring) restore(ctx context.Context, w *restorer, b *restoreBox) error {
	s.r.meter.change(func(m *Progress) { m.Stage = "appending" })
	err := w.own(b, s.restoreBox(ctx, w, b))
	if err == nil && ctx.Err() == nil {
		b.tally(s.r.FlagsOnly)
	}
	return err
}

func (s *restoring) restoreBox(ctx context.Context, w *restorer, b *restoreBox) error {
	if err := s.load(b); err != nil {
		return err
	}
	if s.r.FlagsOnly && !b.seat.selectable() {
		return nil // none of them is there
	}
	if err := s.open(ctx, w.c, b); err != nil {
		return err
	}
	before := b.count(pending)
	if err := s.find(ctx, w.c, b); err != nil {
		return err
	}
	if n := before - b.count(pending); n > 0 {
		s.done(n)
		w.quiet = 0 // something came of the connection before
	}
	if s.r.FlagsOnly {
		return s.setFlags(ctx, w.c, b)
	}
	if err := s.append(ctx, w, b); err != nil {
		return err
	}
	return s.check(ctx, w.c, b)
}

// done moves the progress on by n messages.
func (s *restoring) done(n int) {
	s.r.meter.change(func(m *Progress) { m.Received += n })
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

// open opens the mailbox for writing, made if the server does not have it.
func (s *restoring) open(ctx context.Context, c *wire.Conn, b *restoreBox) error {
	var refusal error
	if !b.seat.selectable() && !b.looked {
		if refusal = c.Create(ctx, b.seat.wire); refusal != nil && !own(refusal) {
			return refusal
		}
		if refusal == nil {
			b.done.Created = true
			// Many programs show subscribed mailboxes only. A server that can't
			// subscribe has the mailbox all the same.
			if err := c.Subscribe(ctx, b.seat.wire); err != nil && !own(err) {
				return err
			}
		}
	}
	sel, err := c.Select(ctx, b.seat.wire)
	switch {
	case err != nil && refusal != nil:
		return refusal // it may have been there, or been made with one below it; but it was not
	case err != nil:
		return err
	case sel.ReadOnly:
		return fmt.Errorf("mailbox %s: the server lets this account only read it", b.seat.name)
	}
	if b.looked && sel.UIDValidity != b.selected.UIDValidity { // what was known of it is void
		for i, f := range b.fates {
			if f != refused {
				b.fates[i] = pending
			}
			b.uids[i] = 0
		}
		b.looked = false
	}
	b.selected = sel
	return nil
}

// find matches the items with what is at the server: at first all with all, then
// those whose fate or UID is not known with what has come since.
func (s *restoring) find(ctx context.Context, c *wire.Conn, b *restoreBox) error {
	for again := b.unsure; ; again = false {
		set, err := c.Search(ctx)
		if err != nil {
			return err
		}
		if err := s.compare(ctx, c, b, set); err != nil {
			return err
		}
		if !again || b.count(pending) == 0 {
			break
		}
		// A server may still be storing what it got on a connection that is gone.
		if err := sleep(ctx, 2*s.r.Account.Retry.withDefaults().First); err != nil {
			return err
		}
		if err := c.Noop(ctx); err != nil {
			return err
		}
	}
	b.unsure = false
	return nil
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
	if b.looked {
		var since uid.Set
		since.AddRange(max(b.next, 1), 1<<32-1)
		set = set.And(since)
	}
	// What has come since the restore began is ours if its fields are: a server
	// that rewrites messages must not make us send one again.
	if err := m.match(ctx, set.Minus(known), s.r.MatchFields || b.looked); err != nil {
		return err
	}
	was := present
	if b.looked {
		was = appended
	}
	for k, f := range m.found {
		if i := index[k]; f.uid != 0 {
			b.uids[i] = f.uid
			if b.fates[i] == pending {
				b.fates[i] = was
			}
		}
	}
	if !b.looked {
		b.next, b.looked = max(b.selected.UIDNext, min(set.Max(), 1<<32-2)+1), true
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
	d.Present, d.Appended, d.Refused, d.Left = b.count(present), b.count(appended), b.count(refused), b.count(pending)
	if flagsOnly && d.Error == "" {
		d.Absent, d.Left = d.Left, 0
	}
	if len(b.bare) > 0 {
		d.Notices = append(d.Notices, "the server can't keep these keywords: "+strings.Join(slices.Sorted(maps.Keys(b.bare)), " "))
	}
	b.work = work{told: true}
}

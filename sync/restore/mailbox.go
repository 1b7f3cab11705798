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

// mailboxRestore is one mailbox on its way from the archive to the server. It
// belongs to the goroutine of one connection at a time.
type mailboxRestore struct {
	source *Source
	dest   Destination
	err    error // why it can't be restored; nil: none yet

	plan   PlannedMailbox
	result MailboxResult
	messages
}

func newMailboxRestore(source *Source) *mailboxRestore {
	return &mailboxRestore{
		source: source,
		plan:   PlannedMailbox{Account: source.Account, From: source.Name.Mailbox},
		result: MailboxResult{Account: source.Account, From: source.Name.Mailbox},
	}
}

// status is how far an item is.
type status byte

const (
	pending  status = iota
	unsure          // sent, and no answer has arrived
	present         // at the server already
	appended        // the server has confirmed it, or has it after it was sent
	refused         // by the server, or not fit to be sent
)

// messages are what is known of a mailbox's items during a Plan or a Run. It
// outlives a lost connection. Slices have one entry for each item, maps one for
// each item, by its index, to which they apply.
type messages struct {
	items  []Item
	loaded bool
	status []status
	uids   []uint32 // at the server; 0: not known
	traits map[int]fingerprint.Traits

	selected    wire.Selected
	matched     bool   // the items have been compared with what was there
	altered     int    // items that the server has in another form
	firstUID    uint32 // UIDNEXT before the first message was appended
	lastUID     uint32 // the last that the server has reported for an appended message
	oneByOne    int    // so many messages are sent singly: one of them loses the connection
	lost        map[int]int
	lostInRow   int             // messages over which connections were lost, since the last one that was appended
	reduced     map[int]bool    // appended by a fallback
	unkeptFlags map[string]bool // keywords that the mailbox can't keep
	isReported  bool
}

// load reads the items, unless they are loaded.
func (m *mailboxRestore) load() error {
	if m.loaded {
		return nil
	}
	items, err := m.source.Load()
	if err != nil {
		return err
	}
	m.items, m.loaded = items, true
	m.status, m.uids = make([]status, len(items)), make([]uint32, len(items))
	m.traits, m.lost, m.reduced, m.unkeptFlags = map[int]fingerprint.Traits{}, map[int]int{}, map[int]bool{}, map[string]bool{}
	return nil
}

// load loads the items of a mailbox and adds them to the progress.
func (r *run) load(m *mailboxRestore) error {
	if m.loaded {
		return nil
	}
	err := m.load()
	r.job.meter.Change(func(p *progress.Progress) { p.Messages += len(m.items) })
	return err
}

// keepError stores an error that concerns the mailbox alone in m, and returns any
// other, or that of ctx. After an error that is no refusal of the server the
// connection can't be used any more.
func (m *mailboxRestore) keepError(ctx context.Context, s *session.Session, err error) error {
	if err == nil || ctx.Err() != nil || !session.IsMailboxError(err) {
		return err
	}
	if c := wire.Classify(err); c == wire.ClassUnknown || c == wire.ClassProtocol {
		s.Drop()
	}
	m.err = err
	return nil
}

// planMailbox finds out what there is to do in a mailbox. The error is the
// connection's, or ends the run.
func (r *run) planMailbox(ctx context.Context, s *session.Session, m *mailboxRestore) error {
	err := m.keepError(ctx, s, r.plan(ctx, s.Conn(), m))
	if err == nil {
		m.messages = messages{} // Run loads them again: not all mailboxes are in memory at once
	}
	return err
}

func (r *run) plan(ctx context.Context, c *wire.Conn, m *mailboxRestore) error {
	if err := r.load(m); err != nil {
		return err
	}
	p := PlannedMailbox{Account: m.plan.Account, From: m.plan.From, To: m.plan.To, Selected: len(m.items)}
	if p.Create = !m.dest.Selectable(); !p.Create {
		examined, err := c.Examine(ctx, m.dest.Wire, false)
		if err != nil {
			return err
		}
		m.selected = wire.Selected{Examined: examined}
		if err := r.match(ctx, c, m); err != nil {
			return err
		}
	}
	for i, it := range m.items {
		switch {
		case m.status[i] == present:
			p.Present++
		case r.appendLimit > 0 && it.Size > r.appendLimit:
			p.TooBig++
		default:
			p.Missing++
			p.Octets += it.Size
		}
	}
	p.Altered = m.altered
	if r.job.FlagsOnly {
		p.Create, p.Octets = false, 0
		differ, err := r.differingFlags(ctx, c, m)
		if err != nil {
			return err
		}
		for _, list := range differ {
			p.Flags += len(list)
		}
	}
	r.done(len(m.items))
	m.plan = p
	return nil
}

// restoreMailbox restores a mailbox. The error is the connection's: the next call
// goes on where this one ended. Or it ends the run.
func (r *run) restoreMailbox(ctx context.Context, s *session.Session, m *mailboxRestore) error {
	r.job.meter.Change(func(p *progress.Progress) { p.Stage = "appending" })
	err := m.keepError(ctx, s, r.restore(ctx, s, m))
	if err == nil && ctx.Err() == nil {
		m.report(r.job.FlagsOnly)
	}
	return err
}

func (r *run) restore(ctx context.Context, s *session.Session, m *mailboxRestore) error {
	if err := r.load(m); err != nil {
		return err
	}
	if r.job.FlagsOnly && !m.dest.Selectable() {
		return nil // no message is there
	}
	if err := r.open(ctx, s.Conn(), m); err != nil {
		return err
	}
	before := m.unsent()
	if err := r.match(ctx, s.Conn(), m); err != nil {
		return err
	}
	if n := before - m.unsent(); n > 0 {
		r.done(n)
		s.ResetBackoff() // the connection before has achieved something
	}
	if r.job.FlagsOnly {
		return r.setFlags(ctx, s.Conn(), m)
	}
	if err := r.append(ctx, s, m); err != nil {
		return err
	}
	return r.readBack(ctx, s.Conn(), m)
}

// done adds n messages to the progress.
func (r *run) done(n int) {
	r.job.meter.Change(func(p *progress.Progress) { p.Received += n })
}

// count returns how many items have a status.
func (m *mailboxRestore) count(s status) int {
	n := 0
	for _, other := range m.status {
		if other == s {
			n++
		}
	}
	return n
}

// unsent returns how many items are not known to be at the server, and may still be sent.
func (m *mailboxRestore) unsent() int { return m.count(pending) + m.count(unsure) }

// subscribe subscribes to a new mailbox, because many programs show subscribed
// mailboxes only. A refusal is no error: the mailbox is of use without.
func (r *run) subscribe(ctx context.Context, c *wire.Conn, m *mailboxRestore) error {
	if r.job.Temporary {
		return nil
	}
	if err := c.Subscribe(ctx, m.dest.Wire); err != nil && !session.IsMailboxError(err) {
		return err
	}
	return nil
}

// open opens the mailbox for writing. It creates the mailbox if the server does
// not have it.
func (r *run) open(ctx context.Context, c *wire.Conn, m *mailboxRestore) error {
	var refusal error
	if !m.dest.Selectable() && !m.matched {
		if refusal = c.Create(ctx, m.dest.Wire); refusal != nil && !session.IsMailboxError(refusal) {
			return refusal
		}
		if refusal == nil {
			m.result.Created = true
			if err := r.subscribe(ctx, c, m); err != nil {
				return err
			}
		}
	}
	selected, err := c.Select(ctx, m.dest.Wire)
	switch {
	case err != nil && refusal != nil:
		return refusal // CREATE may fail because the mailbox is there: SELECT says that it is not
	case err != nil:
		return err
	case selected.ReadOnly:
		return fmt.Errorf("mailbox %s: the server lets this account only read it", m.dest.Name)
	}
	if m.matched && selected.UIDValidity != m.selected.UIDValidity {
		m.forgetMatches()
	}
	m.selected = selected
	return nil
}

// forgetMatches forgets which messages of the server match the items, after the server
// has changed its UIDs.
func (m *mailboxRestore) forgetMatches() {
	for i, s := range m.status {
		if s != refused {
			m.status[i] = pending
		}
		m.uids[i] = 0
	}
	m.matched, m.altered, m.lastUID = false, 0, 0
}

// match finds the items that are at the server: the first time it compares all
// items with all messages, then the items whose status or UID is not known with
// the messages that have arrived since.
//
// A server may still be storing what a lost connection has sent: this run's, or
// that of a run that was killed just now, if the newest message is one that it
// would have appended. Then match waits a moment and compares again.
func (r *run) match(ctx context.Context, c *wire.Conn, m *mailboxRestore) error {
	first := !m.matched
	newest, err := r.listMessages(ctx, c, m)
	if err != nil {
		return err
	}
	moment := 2 * r.job.Account.Retry.WithDefaults().FirstWait
	if m.count(unsure) == 0 {
		if !first || m.count(pending) == 0 || newest == 0 || !slices.Contains(m.uids, newest) {
			return nil
		}
		moment = time.Until(r.started.Add(moment))
	}
	if moment > 0 {
		sleep := session.Sleep
		if r.job.sleep != nil {
			sleep = r.job.sleep
		}
		if err := sleep(ctx, moment); err != nil {
			return err
		}
		if err := c.Noop(ctx); err != nil {
			return err
		}
		if _, err := r.listMessages(ctx, c, m); err != nil {
			return err
		}
	}
	for i, s := range m.status {
		if s == unsure {
			m.status[i] = pending
		}
	}
	return nil
}

// maxListings is how often a mailbox is listed before a server that leaves
// messages out of its replies is believed to do so always.
const maxListings = 3

// listMessages asks the server for the messages of the mailbox and compares the
// items with them. It returns the UID of the newest message, 0 for an empty mailbox.
func (r *run) listMessages(ctx context.Context, c *wire.Conn, m *mailboxRestore) (newest uint32, err error) {
	for range maxListings {
		var set uid.Set
		if set, err = c.Search(ctx); err != nil {
			return 0, err
		}
		if err = r.matchMessages(ctx, c, m, set); !errors.Is(err, errLeftOut) { // what was left out may have been expunged
			return set.Max(), err
		}
	}
	return 0, fmt.Errorf("mailbox %s: %w: nothing is appended to it", m.dest.Name, err)
}

// matchMessages compares the items with the messages that the mailbox has.
func (r *run) matchMessages(ctx context.Context, c *wire.Conn, m *mailboxRestore, all uid.Set) error {
	mt := &matcher{c: c, open: r.job.Open}
	var index []int // of each item of mt
	var known uid.Set
	for i, it := range m.items {
		switch {
		case m.uids[i] != 0:
			known.Add(m.uids[i])
		case m.status[i] != refused:
			index, mt.items = append(index, i), append(mt.items, it)
		}
	}
	set := all
	if m.matched {
		set = set.Intersect(uid.Above(m.firstUID - 1))
	}
	// A message that was sent and has arrived since is recognised by its fields as
	// well: a server that rewrites messages must not make us send it again. One that
	// was not sent is not: it may be like a message that came from elsewhere.
	byFields := func(k int) bool {
		s := m.status[index[k]]
		return r.job.MatchFields || s == unsure || s == appended
	}
	if err := mt.match(ctx, set.Subtract(known), byFields); err != nil {
		return err
	}
	for k, f := range mt.found {
		if f.uid == 0 {
			continue
		}
		i := index[k]
		m.uids[i] = f.uid
		switch m.status[i] {
		case pending:
			m.status[i] = present
			if f.kind != exact {
				m.altered++
			}
		case unsure:
			m.status[i] = appended
		}
	}
	if !m.matched {
		m.firstUID, m.matched = max(m.selected.UIDNext, min(all.Max(), 1<<32-2)+1), true
	}
	return nil
}

// report writes the mailbox's result, once, and frees its items.
func (m *mailboxRestore) report(flagsOnly bool) {
	if m.isReported {
		return
	}
	if err := m.load(); err != nil && m.err == nil {
		m.err = err
	}
	res := &m.result
	res.Selected, res.Error = len(m.items), text(m.err)
	res.Present, res.Appended, res.Refused, res.Unsent = m.count(present), m.count(appended), m.count(refused), m.unsent()
	res.Altered = m.altered
	if flagsOnly && res.Error == "" {
		res.NotFound, res.Unsent = res.Unsent, 0
	}
	if len(m.unkeptFlags) > 0 {
		res.Notices = append(res.Notices, "the server can't keep these keywords: "+strings.Join(slices.Sorted(maps.Keys(m.unkeptFlags)), " "))
	}
	m.messages = messages{isReported: true}
}

package drill

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"archiverd/archive"
	"archiverd/internal/fingerprint"
	"archiverd/internal/progress"
	"archiverd/internal/session"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
	"archiverd/sync/restore"
)

// serverMailbox is a mailbox as the drill finds it after the restore.
type serverMailbox struct {
	name, delimiter string   // as listed
	levels          []string // below the mailbox restored into
	messages        []serverMessage
}

// serverMessage is a message as the drill reads it back.
type serverMessage struct {
	uid     uint32
	size    int64 // octets received
	sum     archive.Sum
	lines   archive.Sum // see fingerprint.LineEnds
	flags   []string
	date    time.Time
	problem string // why it could not be read; "" if it was
}

// maxExtra is how many messages, beyond those that were restored, a mailbox may have.
// More are an error.
const maxExtra = 1000

// readBack reads every message at the server, or below Into. It relies on nothing
// that the restore has found: it lists and fetches by itself.
func (r *run) readBack(ctx context.Context, a *session.Account, ch chunk) (back []serverMailbox, err error) {
	err = r.connected(ctx, a, func(c *wire.Conn) error {
		back = nil
		d, err := restore.ReadDestinations(ctx, c)
		if err != nil {
			return err
		}
		for _, m := range d.Mailboxes {
			levels, ok := r.below(d, m)
			if !ok || !m.Selectable() {
				continue
			}
			box := serverMailbox{name: m.Name, delimiter: m.Delimiter, levels: levels}
			if box.messages, err = r.readMailbox(ctx, c, m, ch.messages+maxExtra); err != nil {
				return fmt.Errorf("mailbox %s: %w", m.Name, err)
			}
			back = append(back, box)
		}
		return nil
	})
	slices.SortFunc(back, func(a, b serverMailbox) int { return strings.Compare(a.name, b.name) })
	return back, err
}

// below returns the levels of a mailbox below the one that is restored into. ok is
// false for a mailbox that is not below it.
func (r *run) below(d *restore.Destinations, m *wire.Mailbox) (levels []string, ok bool) {
	levels = archive.Name{Mailbox: m.Name, Delimiter: m.Delimiter}.Levels()
	if r.To == nil {
		return levels, true
	}
	into := d.Split(r.Into)
	if n := len(d.Personal); len(levels) > n && slices.Equal(levels[:n], d.Personal) && !slices.Equal(into[:min(n, len(into))], d.Personal) {
		levels = levels[n:]
	}
	if len(levels) < len(into) || !slices.EqualFunc(levels[:len(into)], into, func(a, b string) bool { return strings.EqualFold(restore.FoldName(a), restore.FoldName(b)) }) {
		return nil, false
	}
	return levels[len(into):], true
}

// connected calls fn with a connection to the account, and again with another one
// if that is lost.
func (r *run) connected(ctx context.Context, a *session.Account, fn func(c *wire.Conn) error) error {
	slots := r.Slots
	if r.To == nil {
		slots = nil // a server of our own
	}
	s := session.New(a, slots, r.Log)
	if err := s.Acquire(ctx); err != nil {
		return err
	}
	defer s.Close(ctx)
	return s.Do(ctx, fn)
}

// readMailbox reads the messages of a mailbox. More than maxMessages are an error.
func (r *run) readMailbox(ctx context.Context, c *wire.Conn, m *wire.Mailbox, maxMessages int) ([]serverMessage, error) {
	if _, err := c.Examine(ctx, m.Wire, false); err != nil {
		return nil, err
	}
	set, err := c.Search(ctx)
	if err != nil || set.Empty() {
		return nil, err
	}
	if n := set.Len(); n > maxMessages {
		return nil, fmt.Errorf("%d messages are there, far more than were restored", n)
	}
	r.meter.Change(func(p *progress.Progress) { p.Mailbox = m.Name })
	found := map[uint32]*serverMessage{}
	if err := c.FetchMetadata(ctx, wire.MetadataQuery{Set: set}, func(m wire.Metadata) error {
		if !set.Contains(m.UID) {
			return nil
		}
		if found[m.UID] == nil {
			found[m.UID] = &serverMessage{uid: m.UID}
		}
		s := found[m.UID]
		if m.HasFlags {
			s.flags = m.Flags
		}
		if !m.InternalDate.IsZero() {
			s.date = m.InternalDate
		}
		if s.problem == "" {
			s.problem = m.Problem
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if err := r.readBodies(ctx, c, set, found); err != nil {
		return nil, err
	}
	var out []serverMessage
	for u := range set.All() {
		s := found[u]
		if s == nil {
			s = &serverMessage{uid: u, problem: "the server lists it, and gives nothing of it"}
		}
		out = append(out, *s)
	}
	return out, nil
}

// readBodies reads the octets of the messages in set into found. It asks singly for
// those that are missing in the replies.
func (r *run) readBodies(ctx context.Context, c *wire.Conn, set uid.Set, found map[uint32]*serverMessage) error {
	var got uid.Set
	read := func(u uint32, size int64, body io.Reader) error {
		lines := fingerprint.NewLineEnds()
		sum, _, err := archive.Hash(io.TeeReader(body, lines))
		if err != nil {
			return err
		}
		got.Add(u)
		if s := found[u]; s != nil {
			s.size, s.sum, s.lines = size, sum, lines.Sum()
		}
		r.meter.Change(func(p *progress.Progress) { p.Received, p.Octets = min(p.Received+1, p.Messages), p.Octets+size })
		return nil
	}
	if err := c.FetchBodies(ctx, set, read); err != nil && wire.Classify(err) != wire.ClassMessage {
		return err
	}
	for u := range set.Subtract(got).All() {
		err := c.FetchBody(ctx, u, func(size int64, body io.Reader) error { return read(u, size, body) })
		if err != nil && wire.Classify(err) != wire.ClassMessage {
			return err
		}
		if s := found[u]; s != nil && err != nil {
			s.problem = err.Error()
		}
	}
	return nil
}

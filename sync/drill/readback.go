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

// seenBox is a mailbox as a drill finds it after the restore.
type seenBox struct {
	name, delimiter string   // as listed
	levels          []string // below the mailbox restored into
	copies          []seen
}

// seen is a message as a drill reads it back.
type seen struct {
	uid     uint32
	size    int64 // octets that came
	sum     archive.Sum
	lines   archive.Sum // of the octets with CRLF for every line end
	flags   []string
	date    time.Time
	trouble string // what could not be read
}

// excess is how many messages more than were restored are looked at.
const excess = 1000

// readBack reads all that is at the server, or below Into. It asks in its own
// way, by LIST, EXAMINE and FETCH, and relies on nothing that the restore has found.
func (r *rehearsal) readBack(ctx context.Context, a *session.Account, p portion) (back []seenBox, err error) {
	err = r.connected(ctx, a, func(c *wire.Conn) error {
		back = nil
		t, err := restore.ReadDestinations(ctx, c)
		if err != nil {
			return err
		}
		for _, m := range t.Mailboxes {
			levels, ok := r.within(t, m)
			if !ok || !m.Selectable() {
				continue
			}
			box := seenBox{name: m.Name, delimiter: m.Delimiter, levels: levels}
			if box.copies, err = r.copies(ctx, c, m, p.messages+excess); err != nil {
				return fmt.Errorf("mailbox %s: %w", m.Name, err)
			}
			back = append(back, box)
		}
		return nil
	})
	slices.SortFunc(back, func(a, b seenBox) int { return strings.Compare(a.name, b.name) })
	return back, err
}

// within are the levels of a mailbox below the one that is restored into; false
// if it is another's.
func (r *rehearsal) within(t *restore.Destinations, m *wire.Mailbox) (levels []string, ok bool) {
	levels = archive.Name{Mailbox: m.Name, Delimiter: m.Delimiter}.Levels()
	if r.To == nil {
		return levels, true
	}
	into := t.Split(r.Into)
	if n := len(t.Personal); len(levels) > n && slices.Equal(levels[:n], t.Personal) && !slices.Equal(into[:min(n, len(into))], t.Personal) {
		levels = levels[n:]
	}
	if len(levels) < len(into) || !slices.EqualFunc(levels[:len(into)], into, func(a, b string) bool { return strings.EqualFold(restore.FoldName(a), restore.FoldName(b)) }) {
		return nil, false
	}
	return levels[len(into):], true
}

// connected calls fn with a connection to the account, and again with a new one
// where that is lost.
func (r *rehearsal) connected(ctx context.Context, a *session.Account, fn func(c *wire.Conn) error) error {
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

// copies reads the messages of a mailbox, at most so many.
func (r *rehearsal) copies(ctx context.Context, c *wire.Conn, m *wire.Mailbox, most int) ([]seen, error) {
	if _, err := c.Examine(ctx, m.Wire, false); err != nil {
		return nil, err
	}
	set, err := c.Search(ctx)
	if err != nil || set.Empty() {
		return nil, err
	}
	if n := set.Len(); n > most {
		return nil, fmt.Errorf("%d messages are there, far more than were restored", n)
	}
	r.meter.Change(func(p *progress.Progress) { p.Mailbox = m.Name })
	found := map[uint32]*seen{}
	if err := c.FetchMetadata(ctx, wire.MetadataQuery{Set: set}, func(m wire.Metadata) error {
		if !set.Contains(m.UID) {
			return nil
		}
		if found[m.UID] == nil {
			found[m.UID] = &seen{uid: m.UID}
		}
		s := found[m.UID]
		if m.HasFlags {
			s.flags = m.Flags
		}
		if !m.InternalDate.IsZero() {
			s.date = m.InternalDate
		}
		if s.trouble == "" {
			s.trouble = m.Problem
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if err := r.bodies(ctx, c, set, found); err != nil {
		return nil, err
	}
	var out []seen
	for u := range set.All() {
		s := found[u]
		if s == nil {
			s = &seen{uid: u, trouble: "the server lists it, and gives nothing of it"}
		}
		out = append(out, *s)
	}
	return out, nil
}

// bodies reads the octets of the messages in set.
func (r *rehearsal) bodies(ctx context.Context, c *wire.Conn, set uid.Set, found map[uint32]*seen) error {
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
			s.trouble = err.Error()
		}
	}
	return nil
}

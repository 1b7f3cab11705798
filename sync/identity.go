package sync

import (
	"context"
	"errors"

	"archiverd/internal/session"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
	"archiverd/state"
)

// UIDVALIDITY alone does not say whose UIDs a mailbox has: 1 is common, a server may be put
// back from a backup, two mailboxes may be swapped by RENAME. So what the server says of
// UIDs that the archive has is compared with what it said when they were archived.

const (
	maxRideAlong = 32   // UIDs that are compared whenever a mailbox is opened, in the same write
	maxCompared  = 2000 // UIDs that are compared where there is a doubt, at first
	maxKnown     = 8    // UIDs that are compared when a piece opens the mailbox again
)

// variance says what a server gives otherwise than before although the messages are the
// same: some only estimate RFC822.SIZE, some change dates with the time of the year.
type variance struct{ sizes, dates bool }

// isSuspect reports whether a UID may mean another message than the one with those
// traits. What the server did not say is no difference.
func (v variance) isSuspect(known state.Traits, md wire.Metadata) bool {
	size, date := differences(known, md)
	return size && date || size && !v.sizes || date && !v.dates
}

// differences reports whether the size, and the instant of INTERNALDATE, are others.
func differences(known state.Traits, md wire.Metadata) (size, date bool) {
	return md.HasSize && md.Size != known.Size,
		known.HasDate && !md.InternalDate.IsZero() && md.InternalDate.Unix() != known.Unix
}

// knownOf returns traits as the server says them now.
func knownOf(metadata map[uint32]wire.Metadata, uids uid.Set) map[uint32]state.Traits {
	known := map[uint32]state.Traits{}
	for u := range uids.All() {
		if md := metadata[u]; len(known) < maxKnown && md.HasSize && !md.InternalDate.IsZero() {
			known[u] = state.Traits{Size: md.Size, Unix: md.InternalDate.Unix(), HasDate: true}
		}
	}
	return known
}

// keysOf returns the UIDs of traits.
func keysOf(known map[uint32]state.Traits) (uids uid.Set) {
	for u := range known {
		uids.Add(u)
	}
	return uids
}

// doubt returns why a mailbox may be another one than the recorded one of the same
// UIDVALIDITY; "": nothing says so. server and user are those of the run.
func (p *plan) doubt(s *snapshot, server, user string) string {
	wasServer, wasUser := p.epoch.Origin()
	switch {
	case wasServer != server || wasUser != user:
		return "the server or user is another"
	case s.UIDNotSticky:
		return "UIDs do not outlive a session (UIDNOTSTICKY)"
	}
	return p.hasFallen(s)
}

// hasFallen returns which number, that only rises, is lower than it was; "": none is.
func (p *plan) hasFallen(s *snapshot) string {
	last, highest := p.epoch.Cursor, max(p.uids.Archived.Max(), p.uids.Gone.Max())
	switch {
	case s.UIDNext > 0 && (s.UIDNext < last.UIDNext || s.UIDNext <= highest):
		return "UIDNEXT is lower than it was"
	case s.HighestModSeq > 0 && s.HighestModSeq < last.HighestModSeq:
		return "HIGHESTMODSEQ is lower than it was"
	}
	return ""
}

// errNotComparable is returned for a mailbox that may be another one, where the server
// does not say what it would be known by.
var errNotComparable = errors.New("it may be another mailbox, and the server tells neither sizes nor dates of its messages; nothing is recorded in this run")

// checkIdentity finds out whether the UIDs that are present mean the messages that the
// archive has, and sets isOther and the variance of the plan. Without a doubt it compares
// a few, whose metadata came with the snapshot or is asked for if mayAsk is set.
func (w *worker) checkIdentity(ctx context.Context, m *mailboxRun, s *snapshot, p *plan, mayAsk bool) error {
	server, user := w.run.job.Account.Origin()
	p.identityDoubt = p.doubt(s, server, user)
	if p.Present.Empty() {
		wasServer, _ := p.epoch.Origin() // "" in a journal of an earlier version: no sign of a move
		isMoved := wasServer != "" && p.identityDoubt != "" && !s.uids.Empty()
		p.isOther = !p.uids.Archived.Empty() && (isMoved || p.hasFallen(s) != "")
		return nil
	}
	check := &identityCheck{w: w, m: m, s: s, p: p}
	if p.identityDoubt == "" {
		sample := answered(s.metadata, p.Present)
		if sample.Empty() && mayAsk {
			sample = spread(p.Present, maxRideAlong)
		}
		return check.compare(ctx, sample)
	}
	sample := spread(p.Present, maxCompared)
	err := check.compare(ctx, sample)
	if err == nil && check.compared == 0 {
		return check.compareHeaders(ctx, spread(p.Present, maxSuspectHeaders))
	}
	rest := p.Present.Subtract(sample)
	if check.suspects == 0 {
		return err
	}
	for err == nil && !p.isOther && !rest.Empty() {
		sample, rest = rest.Split(maxCompared)
		err = check.compare(ctx, sample)
	}
	return err
}

// answered returns the UIDs of which a size came, of a set.
func answered(metadata map[uint32]wire.Metadata, set uid.Set) (uids uid.Set) {
	for u := range uid.KeysIn(metadata, set) {
		if metadata[u].HasSize {
			uids.Add(u)
		}
	}
	return uids
}

// spread returns n UIDs of a set at equal distances, with the first and the last; all if
// there are no more.
func spread(set uid.Set, n int) (out uid.Set) {
	all := set.Len()
	if all <= n {
		return set
	}
	i, taken := 0, 0
	for u := range set.All() {
		if i == taken*(all-1)/(n-1) {
			out.Add(u)
			taken++
		}
		i++
	}
	return out
}

// identityCheck is one check of a mailbox's identity.
type identityCheck struct {
	w *worker
	m *mailboxRun
	s *snapshot
	p *plan

	compared int // UIDs of which the server said a size or a date
	suspects int // of those, whose size or date is another
}

// compare compares UIDs with the archive, and has the headers compared of those that
// differ.
func (c *identityCheck) compare(ctx context.Context, uids uid.Set) error {
	known, err := c.w.run.job.Committer.State.Traits(c.m.directory().Dir, uids)
	if err != nil {
		return err
	}
	metadata, err := c.metadata(ctx, uids)
	if err != nil {
		return err
	}
	var suspects uid.Set
	for u, t := range known {
		md, ok := metadata[u]
		if !ok || !md.HasSize && md.InternalDate.IsZero() {
			continue
		}
		c.compared++
		if c.p.vary.isSuspect(t, md) {
			suspects.Add(u)
		} else if len(c.p.known) < maxKnown {
			c.p.known[u] = t
		}
	}
	if !suspects.Empty() { // one reply may be wrong
		suspects, metadata, err = c.askAgain(ctx, suspects, known)
	}
	if err != nil || suspects.Empty() {
		return err
	}
	c.suspects += suspects.Len()
	return c.judge(ctx, suspects, known, metadata)
}

// askAgain returns which suspects are suspects in another answer too, with that.
func (c *identityCheck) askAgain(ctx context.Context, suspects uid.Set, known map[uint32]state.Traits) (still uid.Set, metadata map[uint32]wire.Metadata, err error) {
	metadata, err = c.w.fetchMetadata(ctx, suspects)
	if session.IsMessageError(err) {
		err = nil
	}
	for u := range uid.KeysIn(metadata, suspects) {
		if c.p.vary.isSuspect(known[u], metadata[u]) {
			still.Add(u)
		}
	}
	return still, metadata, err
}

// metadata returns the metadata of UIDs: that of the snapshot, and what it lacks from
// the server. What the server refuses is left out.
func (c *identityCheck) metadata(ctx context.Context, uids uid.Set) (map[uint32]wire.Metadata, error) {
	missing := uids.Subtract(answered(c.s.metadata, uids))
	if missing.Empty() {
		return c.s.metadata, nil
	}
	metadata, err := c.w.fetchMetadata(ctx, missing)
	if session.IsMessageError(err) {
		err = nil
	}
	for u := range uid.KeysIn(c.s.metadata, uids.Subtract(missing)) {
		metadata[u] = c.s.metadata[u]
	}
	return metadata, err
}

package sync

import (
	"context"
	"errors"
	"fmt"
	"math"

	"archiverd/internal/session"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
	"archiverd/state"
)

// snapshot is what the server said of a mailbox in one scan. It is immutable.
type snapshot struct {
	wire.Examined         // UIDVALIDITY, UIDNEXT, HIGHESTMODSEQ, EXISTS
	uids          uid.Set // of UID SEARCH ALL
	highest       uint32  // no UID above it can have been there

	// What was asked for before the UIDs were known. Nothing need have come of it,
	// and only what is of a UID in uids counts.
	metadata      map[uint32]wire.Metadata // of messages that may be missing, and flags of others
	flagsSince    uint64                   // MODSEQ after which metadata has the changed flags; 0: it has all
	flagsComplete bool                     // no message has other flags than recorded, but for those in metadata
}

// cursor returns the position to be stored if the mailbox is complete.
func (s *snapshot) cursor() state.Cursor {
	return state.Cursor{UIDValidity: s.UIDValidity, UIDNext: s.UIDNext, HighestModSeq: s.HighestModSeq}
}

// nextUID returns the UID from which on everything arrived after the snapshot: what
// arrived between EXAMINE and SEARCH has been listed.
func (s *snapshot) nextUID() uint32 {
	if highest := s.uids.Max(); highest < math.MaxUint32 {
		return max(s.UIDNext, highest+1)
	}
	return s.UIDNext
}

// errTooManyReplies is returned when a server sends more replies than the mailbox
// can have messages.
var errTooManyReplies = &wire.Error{Class: wire.ClassProtocol, Err: fmt.Errorf("more replies than messages: %w", wire.ErrLimit)}

// errNoUIDValidity is returned when a server sends no UIDVALIDITY (RFC 9051 2.3.1.1).
var errNoUIDValidity = errors.New("the server tells no UIDVALIDITY, without which no UID means anything")

// maxSpeculated is for how many messages a scan asks for metadata before it knows
// which are missing. Where there may be more, a round trip does not matter.
const maxSpeculated = 2000

// speculation is what a scan asks for in the write that opens the mailbox, before it
// is known to be needed.
type speculation struct {
	queries       []wire.MetadataQuery
	flagsSince    uint64 // as in snapshot
	flagsComplete bool   // as in snapshot, if all queries are answered
	hasAll        bool   // the first query is for the metadata of all messages
}

// speculate returns queries for the metadata of the messages that have arrived
// since the mailbox was last complete, or of all messages of a small mailbox, and
// for the changed flags of the others. recorded is the archive's record; its zero
// value means that there is none.
// byModSeq means that HIGHESTMODSEQ is relied on.
func speculate(status *wire.Status, recorded *state.Mailbox, byModSeq bool) (s speculation) {
	if status == nil || status.Messages == 0 {
		return s
	}
	isSmall := status.Messages <= maxSpeculated
	c := recorded.Cursor
	from := uint32(1)
	if !recorded.Vanished && c.UIDNext > 0 && c.UIDValidity == status.UIDValidity {
		from = c.UIDNext
	}
	switch {
	case from == 1 && isSmall:
		s.flagsComplete, s.hasAll = true, true
		s.addNew(from)
	case from > 1 && status.UIDNext >= from && status.UIDNext-from <= maxSpeculated:
		if status.UIDNext > from {
			s.addNew(from)
		}
		s.addFlags(from, status, c, byModSeq)
	}
	return s
}

// addKnown asks for what the mailbox is known by: metadata of some messages that the
// archive has, or of all of a small mailbox, where that will be compared.
func (w *worker) addKnown(s *speculation, m *mailboxRun, recorded *state.Mailbox) error {
	if recorded.Archived == 0 || recorded.Vanished || s.hasAll {
		return nil
	}
	db, dir := w.run.job.Committer.State, m.directory().Dir
	server, user := w.run.job.Account.Origin()
	known, err := db.SampleUIDs(dir, maxRideAlong)
	if wasServer, wasUser := recorded.Origin(); err == nil && recorded.Archived <= maxCompared && (wasServer != server || wasUser != user) {
		var uids state.UIDs
		uids, err = db.UIDs(dir)
		known = uids.Archived
	}
	if err == nil && !known.Empty() {
		s.queries = append(s.queries, wire.MetadataQuery{Set: known})
	}
	return err
}

// addNew asks for the metadata of all messages from a UID on.
func (s *speculation) addNew(from uint32) {
	var set uid.Set
	set.AddRange(from, math.MaxUint32)
	s.queries = append(s.queries, wire.MetadataQuery{Set: set, IDs: true})
}

// addFlags asks for the changed flags of messages below a UID: by MODSEQ for those that
// changed since the cursor, else for all of a small mailbox.
func (s *speculation) addFlags(below uint32, status *wire.Status, c state.Cursor, byModSeq bool) {
	q := wire.MetadataQuery{FlagsOnly: true}
	q.Set.AddRange(1, below-1)
	switch {
	case byModSeq && c.HighestModSeq > 0 && status.HighestModSeq > c.HighestModSeq:
		q.ChangedSince = c.HighestModSeq
	case status.Messages <= maxSpeculated && (status.HighestModSeq == 0 || !byModSeq):
	default:
		return
	}
	s.flagsSince, s.flagsComplete = q.ChangedSince, true
	s.queries = append(s.queries, q)
}

// examine opens the mailbox and lists its UIDs. With speculative it asks in the same
// write for what will be needed next.
func (w *worker) examine(ctx context.Context, m *mailboxRun, speculative bool) (s *snapshot, err error) {
	condstore := w.conn().HasCapability("CONDSTORE")
	complete, err := session.OpenComplete(func() (wire.Opened, error) {
		var spec speculation
		if speculative {
			recorded := m.epochRecord()
			if m.isNew {
				recorded = state.Mailbox{}
			}
			spec = speculate(m.listed.Status, &recorded, condstore && !w.run.job.isDue(&recorded))
			if err := w.addKnown(&spec, m, &recorded); err != nil {
				return wire.Opened{}, err
			}
		}
		speculative = false
		opened, err := w.open(ctx, m, wire.OpenQuery{CondStore: condstore, Search: true, Metadata: spec.queries})
		if err != nil {
			return wire.Opened{}, err
		}
		s = &snapshot{Examined: opened.Examined, uids: opened.UIDs, highest: opened.UIDs.Max(), metadata: opened.metadata,
			flagsSince: spec.flagsSince, flagsComplete: spec.flagsComplete && opened.complete}
		if s.UIDNext > 0 {
			s.highest = s.UIDNext - 1
		}
		return opened.Opened, nil
	})
	if err != nil {
		return nil, err
	}
	s.uids = complete.UIDs
	return s, nil
}

// opened is the answer to an OpenQuery.
type opened struct {
	wire.Opened
	metadata map[uint32]wire.Metadata // nil: not all queries were answered
	complete bool                     // metadata has every reply
}

// open opens the mailbox on the worker's connection.
func (w *worker) open(ctx context.Context, m *mailboxRun, q wire.OpenQuery) (o opened, err error) {
	w.selected = nil
	q.Wire = m.listed.Wire
	replies, maxReplies := 0, 2*int(m.messages())+2*maxSpeculated
	var c metadataCollector
	c.metadata = map[uint32]wire.Metadata{}
	o.Opened, err = w.conn().Open(ctx, q, func(md wire.Metadata) error {
		if replies++; replies > maxReplies {
			return errTooManyReplies
		}
		if replies <= 2*maxSpeculated {
			c.add(md)
		}
		return nil
	})
	if err != nil {
		return o, err
	}
	if o.UIDValidity == 0 {
		return o, &wire.Error{Class: wire.ClassMailbox, Err: errNoUIDValidity}
	}
	w.selected = m
	if !o.AllAnswered || replies > 2*maxSpeculated { // what was not kept is asked for again
		return o, nil
	}
	o.complete = c.contradictory.Empty() && !c.flagsDropped
	o.metadata = c.consistent()
	return o, nil
}

// metadataCollector merges FETCH replies about the same messages.
type metadataCollector struct {
	metadata      map[uint32]wire.Metadata
	contradictory uid.Set // two replies say different things of them
	octets        int     // of the flags and labels in metadata
	flagsDropped  bool    // of some messages, because they are too many together
}

// maxMetadataOctets bounds the flags and labels that are in memory of one question about
// metadata. Each takes flagOverhead beside its text.
const (
	maxMetadataOctets = 8 << 20
	flagOverhead      = 32
)

// add stores a reply, unless it has less than an earlier one about the same message.
func (c *metadataCollector) add(md wire.Metadata) {
	old, isRepeated := c.metadata[md.UID]
	if isRepeated && old.HasSize && md.HasSize && (old.Size != md.Size || !old.InternalDate.Equal(md.InternalDate)) {
		c.contradictory.Add(md.UID)
	}
	if isRepeated && !md.HasSize {
		return
	}
	c.octets -= textOctets(old)
	if c.octets += textOctets(md); c.octets > maxMetadataOctets {
		c.octets, c.flagsDropped = c.octets-textOctets(md), true
		md.Flags, md.Labels, md.HasFlags, md.Problem = nil, nil, false, "too many flags, together with those of other messages"
	}
	c.metadata[md.UID] = md
}

// textOctets is what the flags and labels of a message take in memory, roughly.
func textOctets(md wire.Metadata) int {
	n := 0
	for _, list := range [][]string{md.Flags, md.Labels} {
		for _, text := range list {
			n += len(text) + flagOverhead
		}
	}
	return n
}

// consistent returns the metadata without contradictory messages, of which nothing
// is known.
func (c *metadataCollector) consistent() map[uint32]wire.Metadata {
	for u := range c.contradictory.All() {
		delete(c.metadata, u)
	}
	return c.metadata
}

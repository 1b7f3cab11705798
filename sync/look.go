package sync

import (
	"context"
	"errors"
	"fmt"
	"math"

	"archiverd/internal/session"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
)

// errReplies is returned when a server sends more than the mailbox can have.
var errReplies = &wire.Error{Class: wire.ClassProtocol, Err: fmt.Errorf("more replies than messages: %w", wire.ErrLimit)}

var errNoUIDValidity = errors.New("the server tells no UIDVALIDITY, without which no UID means anything")

// lookMost is how many messages' metadata a survey asks for before it knows which
// are missing: where there may be more, a round trip is nothing beside them.
const lookMost = 2000

// sight is what a survey sees of a mailbox in one flight.
type sight struct {
	wire.Opened
	metas map[uint32]wire.Metadata // of messages that may be missing, and flags of others
	since uint64                   // MODSEQ from which on the flags are told; 0: all are
	flags bool                     // no message can have other flags than known, or those in metas
}

// guess is what a survey asks for before it knows what is missing: metadata of
// what has come since the mailbox was last complete, or of all of a small one, and
// the flags of the others that changed.
func (b *box) guess(condstore bool) (queries []wire.MetadataQuery, s sight) {
	status, c := b.listed.Status, b.info.Cursor
	if status == nil || status.Messages == 0 {
		return nil, s
	}
	few := status.Messages <= lookMost
	from := uint32(1)
	if b.known && !b.info.Vanished && c.UIDNext > 0 && c.UIDValidity == status.UIDValidity {
		from = c.UIDNext
	}
	var fresh, old uid.Set
	fresh.AddRange(from, math.MaxUint32)
	switch {
	case from == 1 && few:
		s.flags = true
	case from > 1 && status.UIDNext >= from && status.UIDNext-from <= lookMost:
		old.AddRange(1, from-1)
	default:
		return nil, s
	}
	if from == 1 || status.UIDNext > from {
		queries = append(queries, wire.MetadataQuery{Set: fresh, IDs: true})
	}
	switch {
	case old.Empty():
	case condstore && c.HighestModSeq > 0 && status.HighestModSeq > c.HighestModSeq:
		s.since, s.flags = c.HighestModSeq, true
		queries = append(queries, wire.MetadataQuery{Set: old, FlagsOnly: true, ChangedSince: s.since})
	case few && status.HighestModSeq == 0:
		s.flags = true
		queries = append(queries, wire.MetadataQuery{Set: old, FlagsOnly: true})
	}
	return queries, s
}

// look opens the mailbox and lists its UIDs. With guess it asks as well, in the
// same flight, for what will be asked next: of that nothing may come, and nothing
// is believed that the list of UIDs does not have.
func (w *worker) look(ctx context.Context, b *box, guess bool) (s sight, err error) {
	condstore := w.c.HasCapability("CONDSTORE")
	_, err = session.OpenComplete(func() (wire.Opened, error) {
		var queries []wire.MetadataQuery
		s = sight{}
		if guess {
			queries, s = b.guess(condstore)
		}
		guess = false
		err := w.examine(ctx, b, &s, wire.OpenQuery{CondStore: condstore, Search: true, Metadata: queries})
		return s.Opened, err
	})
	return s, err
}

// examine opens the mailbox on the worker's connection, and looks.
func (w *worker) examine(ctx context.Context, b *box, s *sight, l wire.OpenQuery) (err error) {
	w.selected = nil
	l.Wire = b.listed.Wire
	s.metas = map[uint32]wire.Metadata{}
	var twofold uid.Set
	replies := 0
	room := 2*int(b.messages()) + 2*lookMost
	s.Opened, err = w.c.Open(ctx, l, func(m wire.Metadata) error {
		if replies++; replies > room {
			return errReplies
		}
		if replies <= 2*lookMost {
			keep(s.metas, &twofold, m)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if s.UIDValidity == 0 {
		return &wire.Error{Class: wire.ClassMailbox, Err: errNoUIDValidity}
	}
	if !s.AllAnswered || replies > 2*lookMost { // what is left out will be asked for
		s.metas, s.flags = nil, false
	}
	for u := range twofold.All() {
		delete(s.metas, u)
		s.flags = false
	}
	w.selected = b
	return nil
}

// keep keeps what a reply says of its message, if it says more than one before it.
// Of a message that is told of in two ways nothing is known: it is noted in twofold.
func keep(metas map[uint32]wire.Metadata, twofold *uid.Set, m wire.Metadata) {
	old, twice := metas[m.UID]
	if twice && old.HasSize && m.HasSize && (old.Size != m.Size || !old.InternalDate.Equal(m.InternalDate)) {
		twofold.Add(m.UID)
	}
	if !twice || m.HasSize {
		metas[m.UID] = m
	}
}

package sync

import (
	"context"
	"maps"
	"slices"
	"strings"

	"archiverd/archive"
	"archiverd/internal/commit"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
	"archiverd/state"
)

// recordFlags records the flags that changed of messages that are present. With
// CONDSTORE the server says which may have changed (RFC 7162 3.1.4.1), else the flags
// of all are asked for. It returns the batch to go on with, after an error too.
func (w *worker) recordFlags(ctx context.Context, m *mailboxRun, s *snapshot, p *plan, batch *archive.Batch) (*archive.Batch, error) {
	last := p.epoch.Cursor
	if p.Present.Empty() {
		m.noteFlagsCompared()
		return batch, nil
	}
	if s.HighestModSeq != 0 && s.HighestModSeq == last.HighestModSeq && !p.compareFlags {
		return batch, nil
	}
	q := wire.MetadataQuery{FlagsOnly: true}
	q.Set.AddRange(1, p.Present.Max())
	if s.HighestModSeq > last.HighestModSeq && !p.compareFlags { // it is lower on a server restored from a backup
		q.ChangedSince = last.HighestModSeq
	}
	f := &flagRecorder{w: w, m: m, batch: batch, present: p.Present, maxReplies: 2*s.uids.Len() + 1000}
	var err error
	if s.flagsComplete && s.flagsSince == q.ChangedSince {
		for _, u := range slices.Sorted(maps.Keys(s.metadata)) {
			if err == nil {
				err = f.add(s.metadata[u])
			}
		}
	} else {
		err = w.conn().FetchMetadata(ctx, q, f.add)
	}
	if err == nil {
		err = f.recordChanged()
	}
	if err == nil && q.ChangedSince == 0 {
		m.noteFlagsCompared()
	}
	return f.batch, err
}

// flagRecorder compares the flags that a server sends with the recorded ones, some
// thousands at a time.
type flagRecorder struct {
	w          *worker
	m          *mailboxRun
	batch      *archive.Batch
	present    uid.Set
	maxReplies int
	received   []state.MessageFlags // not compared yet
}

// add takes the flags of a reply.
func (f *flagRecorder) add(md wire.Metadata) error {
	if f.maxReplies--; f.maxReplies < 0 {
		return errTooManyReplies
	}
	if !md.HasFlags || !f.present.Contains(md.UID) {
		return nil
	}
	f.received = append(f.received, state.MessageFlags{UID: md.UID, Flags: archive.JoinFlags(md.Flags)})
	if len(f.received) < commit.MaxEvents {
		return nil
	}
	return f.recordChanged()
}

// recordChanged records which of the received flags are not the recorded ones. A
// full batch is submitted, and another one started.
func (f *flagRecorder) recordChanged() error {
	changed, err := f.w.run.job.Committer.State.ChangedFlags(f.m.directory().Dir, f.received)
	f.received = f.received[:0]
	if err != nil {
		return err
	}
	for _, c := range changed {
		f.batch.Record(archive.Event{Kind: archive.Flags, UID: c.UID, Flags: strings.Fields(c.Flags)})
	}
	if f.batch.Len() < commit.MaxEvents {
		return nil
	}
	f.w.submit(f.m, f.batch)
	f.batch, err = f.m.newBatch()
	return err
}

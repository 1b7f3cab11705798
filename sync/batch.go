package sync

import (
	"errors"
	"fmt"
	"io"

	"archiverd/archive"
	"archiverd/internal/commit"
	"archiverd/internal/logkey"
	"archiverd/internal/progress"
	"archiverd/internal/wire"
)

// submittedBatch is a batch that was handed to the committer.
type submittedBatch struct {
	// Guarded by queue.mu.
	committed bool     // or failed
	claims    []*claim // that end with it
}

// Free space is checked again when a worker has written spaceCheckOctets: little beside
// what is kept free. A small file takes more than its octets.
const (
	spaceCheckOctets = 256 << 10
	fileOverhead     = 4 << 10
)

// openBatch returns the worker's batch for the mailbox, which it starts if there is
// none.
func (w *worker) openBatch(m *mailboxRun) (*archive.Batch, error) {
	if w.batch != nil && w.batchMailbox == m {
		return w.batch, nil
	}
	batch, err := m.newBatch()
	if err != nil {
		return nil, err
	}
	w.startBatch(m, batch)
	return batch, nil
}

// startBatch submits the open batch, and makes batch the worker's.
func (w *worker) startBatch(m *mailboxRun, batch *archive.Batch) {
	w.submitOpen()
	w.batch, w.batchMailbox = batch, m
	w.run.queue.addPendingBatch(m)
}

// submitIfFull submits the open batch if it is large or old enough.
func (w *worker) submitIfFull() {
	if commit.IsFull(w.batch, w.run.job.Now()) {
		w.submitOpen()
	}
}

// submitOpen submits the open batch, if there is one.
func (w *worker) submitOpen() {
	if w.batch == nil {
		return
	}
	batch, m, claims := w.batch, w.batchMailbox, w.claims
	w.batch, w.batchMailbox, w.claims = nil, nil, nil
	w.submit(m, batch)
	w.endClaimsAfter(claims...)
	w.run.startWorkers(w.run.queue.clearOpener(m))
	w.run.donePending(m)
}

// submit hands a batch to the committer once there is room for it.
func (w *worker) submit(m *mailboxRun, batch *archive.Batch) {
	r := w.run
	if batch.Len() == 0 {
		if err := batch.Discard(); err != nil {
			m.giveUp(err)
		}
		return
	}
	if _, err := r.job.quota.Flush(); err != nil { // so that the commit stores it
		r.job.Log.Warn("what was received is not counted", logkey.Account, r.job.Account.Name, logkey.Error, err)
	}
	b := &submittedBatch{}
	w.last = b
	r.queue.addPendingBatch(m)
	w.inFlight.Submit(batch, func(batch *archive.Batch) {
		r.clock.Note(batch)
		if err := m.committed(batch); err != nil {
			r.cancel(err)
		}
		r.startWorkers(r.queue.batchDone(b))
		r.donePending(m)
	})
}

// receive adds one message to the open batch.
func (w *worker) receive(t *task, md wire.Metadata, u uint32, size int64, body io.Reader) error {
	if err := w.checkFreeSpace(u, size); err != nil {
		return err
	}
	batch, err := w.openBatch(t.mailbox)
	if err != nil {
		return err
	}
	err = batch.Add(t.snapshot.UIDValidity, t.mailbox.addedEvent(u, md), size, body)
	if isCutShort(err) && wire.Classify(err) == wire.ClassUnknown {
		err = &wire.Error{Class: wire.ClassTransient, Err: fmt.Errorf("UID %d: %w", u, err)}
	}
	return err
}

// checkFreeSpace returns an error if there is no space for a message of that size. It
// is a *refusedBodyError if smaller ones may fit.
func (w *worker) checkFreeSpace(u uint32, size int64) error {
	if w.freeSpace -= size + fileOverhead; w.freeSpace >= 0 {
		return nil
	}
	archive := w.run.job.Committer.Archive
	if err := archive.CheckFreeSpace(0); err != nil {
		return err
	}
	if err := archive.CheckFreeSpace(size); err != nil { // it is too large, or said to be; err is not wrapped, since it would end the run
		return &refusedBodyError{u, fmt.Errorf("its %d octets do not fit on the disk: %s", size, err.Error())}
	}
	w.freeSpace = spaceCheckOctets
	return nil
}

// isCutShort reports whether an error means that a body did not arrive completely.
func isCutShort(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, archive.ErrWrite)
}

// countReceived counts a message that is the last one of the open batch. octets is the
// size of its body, 0 if it was not downloaded.
func (w *worker) countReceived(m *mailboxRun, octets int64) {
	w.session.ResetBackoff()
	m.verifyReceived(&w.batch.Events[w.batch.Len()-1])
	m.countReceived()
	now := w.run.job.Now()
	w.run.job.meter.Change(func(p *progress.Progress) { p.AddReceived(octets, now) })
	w.submitIfFull()
}

// addedEvent returns what the server says of a message that is to be archived.
func (m *mailboxRun) addedEvent(u uint32, md wire.Metadata) archive.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return archive.Event{UID: u, InternalDate: md.InternalDate, Flags: archive.StoredFlags(md.Flags), EmailID: md.EmailID, Labels: md.Labels, Expected: m.tally.verifying[u]}
}

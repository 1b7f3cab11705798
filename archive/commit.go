package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"archiverd/internal/durable"
)

// The steps of a commit in their order, as Options.Step gets them.
const (
	StepData    = "data"    // the received octets become durable
	StepNames   = "names"   // files get their names
	StepDirs    = "dirs"    // names become durable
	StepAppend  = "append"  // lines and seals are written to the journals
	StepJournal = "journal" // the journals become durable: the commit point
	StepDone    = "done"    // the batches are committed: this step can't fail
)

// minDirsForSyncFS is the number of changed directories above which one more syncfs is
// cheaper than an fsync of each.
const minDirsForSyncFS = 8

// Commit makes a group of batches durable, with the syncs of one: each batch is in the
// archive wholly, or not at all and its Err says why. index may be nil. Batches of one
// mailbox are committed in their order in the slice, in one write with one seal.
//
// The order of the steps keeps the archive consistent. Data become durable before
// names: after a crash in between a cut file would have the name, and the file that had
// it before would be lost. Names become durable before the journal, because a line is
// believed. The journal comes last, and its fsync is the commit point: no message may be
// reported as archived before it returns.
//
// A failed sync fails the batches that depend on it for good: the kernel reports the
// error once and then takes the lost pages for written, so that neither a second sync
// nor reading back would notice. A journal that could not be written or synced is
// repaired before it is written again.
func (w *Writer) Commit(index Index, batches ...*Batch) {
	w.commitMu.Lock()
	defer w.commitMu.Unlock()
	live := slices.Clone(batches)
	fail := func(err error, of ...*Batch) {
		for _, b := range of {
			b.mailbox.markBroken(err)
			b.Err = errors.Join(fmt.Errorf("commit to %s: %w", b.mailbox.Dir, err), b.Discard())
			live = slices.DeleteFunc(live, func(x *Batch) bool { return x == b })
		}
	}
	all := func() []*Batch { return slices.Clone(live) }

	for _, b := range all() {
		if err := errors.Join(b.mailbox.brokenErr(), b.syncIntact()); err != nil {
			fail(err, b)
		}
	}
	if err := w.syncData(live); err != nil {
		fail(err, all()...)
	}

	n := newPlacement(index)
	if err := w.step(StepNames); err != nil {
		fail(err, all()...)
	}
	for b, err := range n.place(live) {
		fail(err, b)
	}
	if err := w.syncNames(live, n.dirs); err != nil {
		fail(err, all()...)
	}
	w.appendJournals(live, fail)
	for _, b := range live {
		// a directory opened for reading: closing it can lose nothing
		_ = b.close()
	}
}

// syncData makes the received octets of all batches durable.
func (w *Writer) syncData(batches []*Batch) error {
	if err := w.step(StepData); err != nil || len(batches) == 0 {
		return err
	}
	var first *Batch
	for _, b := range batches {
		if b.syncs != nil {
			if err := b.syncs.Wait(); err != nil {
				return fmt.Errorf("sync received files: %w", err)
			}
		}
		if len(b.files) > 0 && (first == nil || b.started.Before(first.started)) {
			first = b
		}
	}
	if first == nil || !w.syncfs {
		return nil
	}
	// The kernel reports an error once to each descriptor that was open when it
	// happened: the oldest one gets all of them.
	if err := w.syncFileSystem(first.dir); err != nil {
		return fmt.Errorf("sync file system: %w", err)
	}
	return nil
}

// syncNames makes the entries of dirs and of the unsynced directories durable.
func (w *Writer) syncNames(batches []*Batch, dirs map[string]bool) error {
	if err := w.step(StepDirs); err != nil || len(batches) == 0 {
		return err
	}
	// The set is emptied before the sync: a mailbox that is made during the sync is
	// not covered by it, and adds its parent again.
	w.mu.Lock()
	dirty := w.unsyncedDirs
	w.unsyncedDirs = map[string]bool{}
	w.mu.Unlock()
	maps.Copy(dirs, dirty)
	list := make([]string, 0, len(dirs))
	for d := range dirs {
		list = append(list, d)
	}
	var err error
	if w.syncfs && len(list) > minDirsForSyncFS {
		// One syncfs for all names is not enough: Linux 6.1 returns 0 from it on an
		// ext4 that has shut down after an error. The fsync of a directory after it,
		// and of the journals, fails then.
		if err = w.syncFileSystem(batches[0].dir); err == nil {
			err = durable.SyncDir(batches[0].dir)
		}
	} else {
		var g errgroup.Group
		g.SetLimit(maxFileSyncs)
		for _, d := range list {
			g.Go(func() error { return durable.SyncDirIn(w.root, d) })
		}
		err = g.Wait()
	}
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		maps.Copy(w.unsyncedDirs, dirty)
		return fmt.Errorf("sync names: %w", err)
	}
	if dirs["."] {
		w.checkpoints.rootSynced()
	}
	return nil
}

// appendJournals appends each batch's lines to its journal and syncs the journals, those
// of different mailboxes at the same time. It calls fail for batches that failed.
func (w *Writer) appendJournals(batches []*Batch, fail func(error, ...*Batch)) {
	type outcome struct {
		journal *Mailbox
		batches []*Batch
		err     error
	}
	var list []*outcome
	for _, b := range batches {
		i := slices.IndexFunc(list, func(o *outcome) bool { return o.journal == b.mailbox })
		if i < 0 {
			list = append(list, &outcome{journal: b.mailbox})
			i = len(list) - 1
		}
		list[i].batches = append(list[i].batches, b)
	}
	var g errgroup.Group
	g.SetLimit(maxFileSyncs)
	for _, o := range list {
		g.Go(func() error { o.err = o.journal.appendBatches(o.batches); return nil })
	}
	_ = g.Wait() // the errors are in list
	for _, o := range list {
		if o.err != nil {
			fail(o.err, o.batches...)
		}
	}
	_ = w.step(StepDone) // what is durable can't fail
}

// appendBatches appends the lines of the batches and one seal to the journal, and syncs
// it. One write has one seal: what a power cut leaves of it is then a tail, and never
// reads as damage before a good seal. After an error the mailbox is broken.
func (m *Mailbox) appendBatches(batches []*Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.raiseTimes(batches); err != nil {
		return err
	}
	var events []Event
	for _, b := range batches {
		events = append(events, b.Events...)
	}
	text, end, err := encodeCommit(m.pos, events)
	if err != nil {
		return err
	}
	if err := m.checkUnchanged(); err != nil {
		m.broken = err
		return err
	}
	err = m.writer.step(StepAppend)
	if err == nil {
		_, err = m.journal.Write(text) // one write(2), with O_APPEND
	}
	if err == nil {
		err = m.writer.step(StepJournal)
	}
	if err == nil {
		err = m.journal.Sync()
	}
	var st fs.FileInfo
	if err == nil {
		st, err = m.journal.Stat()
	}
	if err != nil {
		m.broken = fmt.Errorf("append to journal: %w", err)
		// The lines may be on the disk. No reader may see them, and none of their
		// files may be removed or replaced while they may come back.
		return errors.Join(m.broken, m.writer.rewrite(m.Dir, m.pos))
	}
	m.stamp = durable.StampOf(st)
	for _, b := range batches {
		b.From, b.To, b.Stamp = m.pos, end, m.stamp
	}
	m.pos = end
	if n := len(events); n > 0 {
		m.lastAt = events[n-1].At
	}
	m.writer.checkpoints.committed(m.Dir, Checkpoint{m.id, m.pos})
	if m.sumsByPath != nil {
		for _, e := range events {
			if e.HasFile() {
				m.sumsByPath[pathHash(e.Path)] = e.Sum.head()
			}
		}
	}
	return nil
}

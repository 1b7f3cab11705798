package archive

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"archiverd/internal/durable"
)

// The steps of a commit, in their order, as Options.Step gets them.
const (
	StepData    = "data"    // what was received becomes durable
	StepNames   = "names"   // files get their names
	StepDirs    = "dirs"    // names become durable
	StepAppend  = "append"  // lines and seals are written to the journals
	StepJournal = "journal" // the journals become durable: the commit point
	StepDone    = "done"    // nothing is left to do, or to fail
)

// minDirsForSyncFS is the number of changed directories from which one more syncfs is
// cheaper than an fsync of each.
const minDirsForSyncFS = 8

// Commit makes batches durable, as a group, at the price of one: each is in the
// archive wholly, or not at all, and then its Err says why. held tells where,
// relative to the archive, octets of that sum lie already, if they do. The
// batches are of different mailboxes, or follow one another in the slice.
//
// The order is the promise. Data before names, for a crash in between would
// leave a cut file under a name (and, where that name was taken, destroy what
// had it). Names before the journal, for a line is believed. The journal is
// written last, and its fsync is the commit point: not before it returned may
// anybody say that a message is archived.
//
// An error of a sync fails the batches that rest on it for good: the kernel
// reports it once and then takes the lost pages for clean, so that neither a
// second try nor reading back would tell anything. The mailbox of a journal
// that could not be written or synced is mended before it is written again.
func (w *Writer) Commit(held func(Sum) (path string, ok bool), batches ...*Batch) {
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

	n := newPlacement(held)
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
		// a directory opened for reading: nothing can be lost by it any more
		_ = b.close()
	}
}

// syncData makes the data of all batches durable.
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
	// The oldest descriptor: an error is reported to each descriptor that was
	// open when it happened, once.
	if err := w.syncFileSystem(first.dir); err != nil {
		return fmt.Errorf("sync file system: %w", err)
	}
	return nil
}

// syncNames makes the entries of the directories, and of those newly made,
// durable.
func (w *Writer) syncNames(batches []*Batch, dirs map[string]bool) error {
	if err := w.step(StepDirs); err != nil || len(batches) == 0 {
		return err
	}
	// Taken out before the sync: a mailbox that is made while it runs is not
	// covered by it, and puts its parent in again.
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
		// One syncfs for all names. It alone is no witness: Linux 6.1 returns 0
		// from it on an ext4 that has given up. The fsync of a directory after
		// it, and of the journals, on the same file system, do fail then.
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
	return nil
}

// appendJournals writes each batch's lines to its journal and syncs the journals,
// those of different mailboxes at the same time.
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
	g.Wait() // the errors are in list
	for _, o := range list {
		if o.err != nil {
			fail(o.err, o.batches...)
		}
	}
	_ = w.step(StepDone) // what is durable can't fail any more
}

// appendBatches writes the lines of the batches, each with its seal, and syncs the
// journal.
func (m *Mailbox) appendBatches(batches []*Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.pos
	var text []byte
	for _, b := range batches {
		for i := range b.Events {
			b.Events[i].At = b.Events[i].At.UTC().Truncate(time.Second)
		}
		lines, to, err := encodeCommit(at, b.Events)
		if err != nil {
			return err
		}
		b.From, b.To = at, to
		text = append(text, lines...)
		at = to
	}
	err := m.writer.step(StepAppend)
	if err == nil {
		_, err = m.journal.Write(text) // one write(2), at the end: O_APPEND
	}
	if err == nil {
		err = m.writer.step(StepJournal)
	}
	if err == nil {
		err = m.journal.Sync()
	}
	if err != nil {
		m.broken = fmt.Errorf("append to journal: %w", err)
		// Readers must not see what failed. Whether the cut lasts does not
		// matter: the journal is written anew before anything is appended.
		return errors.Join(m.broken, m.journal.Truncate(m.pos.Offset))
	}
	m.pos = at
	if m.sumsByPath != nil {
		for _, b := range batches {
			for _, e := range b.Events {
				if e.Kind == Added {
					m.sumsByPath[pathHash(e.Path)] = e.Sum.head()
				}
			}
		}
	}
	return nil
}

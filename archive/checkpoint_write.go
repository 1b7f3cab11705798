package archive

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	gosync "sync"

	"github.com/klauspost/compress/zstd"

	"archiverd/internal/durable"
)

// The steps of writing checkpoints, as Options.Step gets them.
const (
	StepCheckpoint     = "checkpoint"      // the lines are written
	StepCheckpointSync = "checkpoint sync" // the lines become durable
	StepCheckpointName = "checkpoint name" // archive.json names a new file
	StepCheckpointPack = "checkpoint pack" // a part is packed before the file is written anew
	StepCheckpointPart = "checkpoint part" // the file is written anew
)

// maxCheckpoints is the size in octets over which checkpoints.jsonl is written anew, if
// it is also maxCheckpointsShare times as large as the new file.
const (
	maxCheckpoints      = 16 << 20
	maxCheckpointsShare = 4
)

// checkpointsWriter is the writer's side of checkpoints.jsonl.
type checkpointsWriter struct {
	mu           gosync.Mutex          // guards everything below
	file         *Checkpoints          // as it is on disk
	stop         error                 // why nothing may be written; nil: all is well
	isDurable    bool                  // everything in file is known to be durable
	isBroken     bool                  // a write failed: the file must be written anew first
	ends         map[string]Checkpoint // the durable end of each journal that was compared, by directory
	losses       map[string]error      // what is wrong with a mailbox, by directory
	hasOlder     bool                  // CheckJournal found a journal
	isRootSynced bool                  // the archive's directory was synced by this writer
	maxSize      int64
}

// CheckCheckpoints compares checkpoints.jsonl with what archive.json and the state
// database know of it; mark is the last place that the database has learned. If the
// file is missing, corrupt or older, the archive is not written to until it is put back
// or its owner decides: the error says so, and is that of each later write. What an
// interrupted writer left in the file is made durable before it is believed.
func (w *Writer) CheckCheckpoints(mark CheckpointsMark) error {
	c := &w.checkpoints
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stop = c.file.check(w.info.Checkpoints, mark); c.stop != nil {
		return c.stop
	}
	if c.file.ID == "" {
		return nil
	}
	if c.file.size != mark.Offset || mark.Part != c.file.Part {
		if err := w.rewriteCheckpoints(); err != nil {
			return err
		}
	}
	c.isDurable = true
	return w.nameIfUnnamed()
}

// rewriteCheckpoints copies the good part of the file to a new one, durably.
func (w *Writer) rewriteCheckpoints() error {
	c := &w.checkpoints
	old, err := w.OpenFile(checkpointsName)
	if err != nil {
		return fmt.Errorf("make checkpoints durable: %w", err)
	}
	defer old.Close()
	err = w.replace(".", checkpointsName, func(f *os.File) error {
		_, err := io.CopyN(f, old, c.file.Offset)
		return err
	})
	if err != nil {
		return fmt.Errorf("make checkpoints durable: %w", err)
	}
	c.file.size, c.isDurable, c.isBroken, c.isRootSynced = c.file.Offset, true, false, true
	return nil
}

// CheckpointsMark is the last durable place in checkpoints.jsonl, for the state database.
func (w *Writer) CheckpointsMark() CheckpointsMark {
	c := &w.checkpoints
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stop != nil || !c.isDurable || c.isBroken {
		return CheckpointsMark{}
	}
	return c.file.CheckpointsMark
}

// Checkpoint records the end of each journal whose durable end is not its last
// checkpoint, with one append and one sync. Where nothing differs, nothing is written.
// takenOver is how many journals it recorded for an archive that had journals and no
// checkpoints; 0 otherwise. It must not run beside Commit.
func (w *Writer) Checkpoint() (takenOver int, err error) {
	c := &w.checkpoints
	c.mu.Lock()
	defer c.mu.Unlock()
	var lines []checkpointLine
	for _, dir := range slices.Sorted(maps.Keys(c.ends)) {
		if end := c.ends[dir]; end.Offset > 0 && end != c.file.of(dir) {
			lines = append(lines, checkpointLine{Event: committedWord, Mailbox: dir, Journal: end.Journal, Octets: end.Offset, Seal: end.Seal})
		}
	}
	if len(lines) == 0 {
		return 0, w.nameIfUnnamed()
	}
	if c.file.ID == "" && c.hasOlder {
		takenOver = len(lines)
	}
	if err := w.appendCheckpoints(lines); err != nil {
		return 0, err
	}
	return takenOver, errors.Join(w.nameIfUnnamed(), w.packCheckpoints())
}

// appendCheckpoints appends lines, which get their time, and their seal in one write,
// and makes them durable. The caller holds the mutex of the checkpoints.
func (w *Writer) appendCheckpoints(lines []checkpointLine) error {
	c := &w.checkpoints
	if c.stop != nil {
		return c.stop
	}
	if c.file.ID == "" {
		return w.beginCheckpoints(newID(), lines)
	}
	if c.isBroken || !c.isDurable {
		if err := w.rewriteCheckpoints(); err != nil {
			return err
		}
	}
	at := c.file.timeNotBefore(w.opts.Now())
	for i := range lines {
		lines[i].At = at
	}
	text, end, err := encodeCheckpoints(c.file.Position, lines)
	if err != nil {
		return err
	}
	if err := w.writeCheckpoints(text); err != nil {
		// The lines may be on the disk: no reader may see them, and nothing may
		// follow them.
		c.isBroken = true
		return errors.Join(fmt.Errorf("write checkpoints: %w", err), w.rewriteCheckpoints())
	}
	c.file.size = end.Offset
	for i := range lines {
		_ = c.file.apply(lines[i], end) // it never fails
	}
	return nil
}

// writeCheckpoints appends text and syncs it.
func (w *Writer) writeCheckpoints(text []byte) (err error) {
	if err := w.syncRoot(); err != nil {
		return err
	}
	f, err := durable.OpenRegularIn(w.root, checkpointsName, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := w.step(StepCheckpoint); err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := w.step(StepCheckpointSync); err != nil {
		return err
	}
	return f.Sync()
}

// syncRoot makes the names in the archive's directory durable, once: a process that
// made one of them may have died before it did.
func (w *Writer) syncRoot() error {
	if w.checkpoints.isRootSynced {
		return nil
	}
	err := durable.SyncDirIn(w.root, ".")
	w.checkpoints.isRootSynced = err == nil
	return err
}

// beginCheckpoints makes the file with that id and its first lines, durably, in the
// place of any other; then archive.json names it.
func (w *Writer) beginCheckpoints(id string, lines []checkpointLine) error {
	c := &w.checkpoints
	fresh := newCheckpoints()
	begun := checkpointLine{Event: checkpointsBegun, V: FormatVersion, Archive: w.info.ID, Checkpoints: id, Part: 1}
	if err := w.replaceCheckpoints(fresh, append([]checkpointLine{begun}, lines...)); err != nil {
		return fmt.Errorf("begin checkpoints: %w", err)
	}
	c.file, c.isDurable, c.isBroken, c.isRootSynced = fresh, true, false, true
	return w.nameCheckpoints(id)
}

// replaceCheckpoints replaces the file with one that has only these lines, durably, and
// applies them to fresh.
func (w *Writer) replaceCheckpoints(fresh *Checkpoints, lines []checkpointLine) error {
	at := w.checkpoints.file.timeNotBefore(w.opts.Now())
	for i := range lines {
		lines[i].At = at
	}
	text, end, err := encodeCheckpoints(Position{}, lines)
	if err != nil {
		return err
	}
	err = w.replace(".", checkpointsName, func(f *os.File) error {
		if err := w.step(StepCheckpoint); err != nil {
			return err
		}
		if _, err := f.Write(text); err != nil {
			return err
		}
		return w.step(StepCheckpointSync)
	})
	if err != nil {
		return err
	}
	for i := range lines {
		_ = fresh.apply(lines[i], end) // it never fails
	}
	fresh.size = end.Offset
	return nil
}

// nameIfUnnamed has archive.json name the file, if an error or a crash came between.
func (w *Writer) nameIfUnnamed() error {
	c := &w.checkpoints
	if c.file.ID == "" || w.info.Checkpoints != "" || c.stop != nil || !c.isDurable {
		return nil
	}
	return w.nameCheckpoints(c.file.ID)
}

// nameCheckpoints writes the id of the durable file into archive.json.
func (w *Writer) nameCheckpoints(id string) error {
	if err := w.step(StepCheckpointName); err != nil {
		return err
	}
	info := w.info
	info.Checkpoints = id
	if err := w.writeInfo(info); err != nil {
		return err
	}
	w.info = info
	return nil
}

// packCheckpoints writes the file anew if it has become too large: with the last word on
// each mailbox, as the next part of the same id. The old part is packed, for people who
// have stored one of its seals.
func (w *Writer) packCheckpoints() error {
	c := &w.checkpoints
	if c.file.size <= c.maxSize {
		return nil
	}
	lines := []checkpointLine{{Event: checkpointsBegun, V: FormatVersion, Archive: w.info.ID, Checkpoints: c.file.ID, Part: c.file.Part + 1, Continues: c.file.Seal}}
	for _, dir := range slices.Sorted(maps.Keys(c.file.known)) {
		k := c.file.known[dir]
		l := checkpointLine{Event: committedWord, Mailbox: dir, Journal: k.Journal, Octets: k.Offset, Seal: k.Seal}
		if k.isForgotten {
			l.Event, l.Reason = forgottenWord, k.reason
		}
		lines = append(lines, l)
	}
	text, _, err := encodeCheckpoints(Position{}, lines)
	if err != nil || c.file.size <= maxCheckpointsShare*int64(len(text)) {
		return err
	}
	if err := w.packPart(); err != nil {
		return fmt.Errorf("pack checkpoints: %w", err)
	}
	if err := w.step(StepCheckpointPart); err != nil {
		return err
	}
	fresh := newCheckpoints()
	if err := w.replaceCheckpoints(fresh, lines); err != nil {
		return fmt.Errorf("write checkpoints anew: %w", err)
	}
	c.file = fresh
	return nil
}

// packPart copies the file, compressed, to the name of its part.
func (w *Writer) packPart() error {
	if err := w.step(StepCheckpointPack); err != nil {
		return err
	}
	old, err := w.OpenFile(checkpointsName)
	if err != nil {
		return err
	}
	defer old.Close()
	return w.replace(".", checkpointsPart(w.checkpoints.file.Part), func(f *os.File) error {
		z, err := zstd.NewWriter(f)
		if err != nil {
			return err
		}
		_, err = io.CopyN(z, old, w.checkpoints.file.Offset)
		return errors.Join(err, z.Close())
	})
}

// checkpointsPart is the name of a packed part.
func checkpointsPart(part int) string { return fmt.Sprintf("checkpoints-%04d.jsonl.zst", part) }

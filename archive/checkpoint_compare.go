package archive

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"strings"
)

// compareJournal compares the journal of b with a place that it had. It returns the
// journal's id and the end of its last good commit, and its size in octets. Without a
// journal they are zero, and that is an error only if known is not zero. The error is a
// *LossError if the journal is not, or no longer, what it was, and wraps ErrCorrupt if
// what follows the place does not fit its seals. What stands before the place is not
// read.
func (a *Archive) compareJournal(b MailboxDir, known Checkpoint) (now Checkpoint, size int64, err error) {
	lost := func(text string, args ...any) (Checkpoint, int64, error) {
		return Checkpoint{}, 0, &LossError{Dir: b.Dir, Text: fmt.Sprintf(text, args...)}
	}
	at, size, err := a.HasPosition(b, known.Journal, known.Position)
	if errors.Is(err, fs.ErrNotExist) {
		if known.Offset == 0 {
			return Checkpoint{}, 0, nil
		}
		return lost("%s", a.missing(b))
	}
	if err != nil {
		return Checkpoint{}, 0, err
	}
	if !at {
		id, err := a.journalID(b)
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile
			return lost("%s", a.missing(b))
		case err != nil:
			return Checkpoint{}, 0, err
		case size > 0 && id != known.Journal:
			return lost("its journal is not the one that was there: it was replaced, or changed by hand")
		case size < known.Offset:
			return lost("its journal has %d octets, and had %d: it was cut", size, known.Offset)
		}
		return lost("its journal differs from what it was before octet %d: it was put back from a copy that went another way, or changed by hand", known.Offset)
	}
	now = known
	if size == known.Offset {
		return now, size, nil
	}
	end, err := a.Replay(b, known.Position, func(e Event) error {
		if e.Kind == Opened {
			now.Journal = cmp.Or(now.Journal, e.Journal)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) && known.Offset > 0 { // removed meanwhile
		return lost("%s", a.missing(b))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return Checkpoint{}, 0, nil
	}
	now.Position = end
	return now, size, err
}

// missing says what of a mailbox without a journal is gone.
func (a *Archive) missing(b MailboxDir) string {
	for _, d := range []struct{ dir, text string }{
		{b.Account, "the directory of account " + b.Account + " is gone"},
		{b.Dir, "its directory is gone"},
	} {
		if _, err := a.root.Lstat(d.dir); errors.Is(err, fs.ErrNotExist) {
			return d.text
		}
	}
	return "its journal is missing"
}

// journalID returns the id in a journal's first line; "" if it can't be read.
func (a *Archive) journalID(b MailboxDir) (string, error) {
	f, err := a.OpenFile(path.Join(b.Dir, journalName))
	if err != nil {
		return "", fmt.Errorf("open journal: %w", err)
	}
	defer f.Close()
	line, err := readLine(bufio.NewReader(f))
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrTooLong) {
		return "", fmt.Errorf("read journal: %w", err)
	}
	e, err := decodeEvent(bytes.TrimSuffix(line, []byte("\n")))
	if err != nil {
		return "", nil
	}
	return e.Journal, nil
}

// checkPlace returns a *LossError if the journal of directory dir, which has no
// checkpoint, has one at another directory.
func (c *Checkpoints) checkPlace(dir string, known Checkpoint, journal string) error {
	if other := c.dirs[journal]; journal != "" && known.Offset == 0 && other != "" && other != dir {
		return &LossError{dir, fmt.Sprintf("its journal is that of %s: the directory was moved or copied", other), other}
	}
	return nil
}

// openCheckpoints reads checkpoints.jsonl for the writer.
func (w *Writer) openCheckpoints() (err error) {
	c := &w.checkpoints
	c.ends, c.losses, c.maxSize = map[string]Checkpoint{}, map[string]error{}, maxCheckpoints
	c.file, err = w.ReadCheckpoints()
	return err
}

// CheckJournal compares the journal of b with its last checkpoint and with what the state
// database has applied of it, which may be zero, and makes durable what stands behind
// both: the process that wrote it may have died before it did, and a sync that failed
// there can't be noticed afterwards. So that part is copied to a new file, without a
// tail that no seal ends. The error is a *LossError if the journal is not, or no longer,
// what it was, and wraps ErrCorrupt if it does not fit its seals; nothing is changed
// then.
func (w *Writer) CheckJournal(b MailboxDir, applied Checkpoint) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.checkJournal(b, applied)
}

// checkJournal is CheckJournal for a caller that holds w.mu.
func (w *Writer) checkJournal(b MailboxDir, applied Checkpoint) error {
	if w.mailboxes[b.Dir] != nil {
		return nil // compared when it was opened; nobody else writes to it
	}
	c := &w.checkpoints
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stop != nil {
		return c.stop
	}
	now, err := w.makeDurable(b, applied)
	if err == nil {
		c.ends[b.Dir] = now
		c.hasOlder = c.hasOlder || now.Offset > 0
		delete(c.losses, b.Dir)
		return nil
	}
	if errors.Is(err, ErrLost) || errors.Is(err, ErrCorrupt) {
		c.losses[b.Dir] = err
		delete(c.ends, b.Dir)
	}
	return err
}

// makeDurable is checkJournal without its records. The caller holds the mutex of the
// checkpoints. It returns the journal's id and durable end.
func (w *Writer) makeDurable(b MailboxDir, applied Checkpoint) (Checkpoint, error) {
	c := &w.checkpoints
	place := c.file.of(b.Dir)
	known := place
	for _, k := range []Checkpoint{applied, c.ends[b.Dir]} {
		if k.Offset == 0 || k == known {
			continue
		}
		if known.Offset > 0 { // each of them must hold
			if _, _, err := w.compareJournal(b, earlier(k, known)); err != nil {
				return Checkpoint{}, err
			}
		}
		known = later(k, known)
	}
	now, size, err := w.compareJournal(b, known)
	if err == nil {
		err = c.file.checkPlace(b.Dir, place, now.Journal)
	}
	if err != nil || size == known.Offset {
		return now, err
	}
	if err := w.rewrite(b.Dir, now.Position); err != nil {
		return Checkpoint{}, fmt.Errorf("make journal of %s durable: %w", b.Dir, err)
	}
	return now, nil
}

// earlier and later return one of two places.
func earlier(a, b Checkpoint) Checkpoint {
	if a.Offset < b.Offset {
		return a
	}
	return b
}

func later(a, b Checkpoint) Checkpoint {
	if a.Offset < b.Offset {
		return b
	}
	return a
}

// Distrust records that the journal of b can be read only up to an octet before the end
// that CheckJournal found: nothing is appended to it.
func (w *Writer) Distrust(b MailboxDir, end Position) error {
	c := &w.checkpoints
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ends[b.Dir].Offset <= end.Offset {
		return nil
	}
	err := &LossError{Dir: b.Dir, Text: fmt.Sprintf("its journal can be read up to octet %d only, and had commits up to octet %d", end.Offset, c.ends[b.Dir].Offset)}
	c.losses[b.Dir] = err
	delete(c.ends, b.Dir)
	return err
}

// Losses returns what is wrong with journals of the account with that directory, as far
// as CheckJournal has compared them, by the mailbox's directory.
func (w *Writer) Losses(account string) map[string]error {
	c := &w.checkpoints
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]error{}
	for dir, err := range c.losses {
		if of, _, _ := strings.Cut(dir, "/"); of == account {
			out[dir] = err
		}
	}
	return out
}

// Stopped returns why nothing may be written to any mailbox: the checkpoints are not what
// archive.json or the state database know. nil: they are.
func (w *Writer) Stopped() error {
	c := &w.checkpoints
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stop
}

// MailboxOf returns the name of the mailbox in a directory as its levels tell it, for
// people: its journal has the true one.
func MailboxOf(dir string) string {
	levels := strings.Split(dir, "/")[1:]
	for i, l := range levels {
		levels[i] = Unescape(l)
	}
	return strings.Join(levels, "/")
}

// committed records the durable end of a journal after a commit.
func (c *checkpointsWriter) committed(dir string, end Checkpoint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.losses[dir] == nil {
		c.ends[dir] = end
	}
}

// rootSynced records that the archive's directory was synced.
func (c *checkpointsWriter) rootSynced() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isRootSynced = true
}

// IsVoid reports whether what the state database knows of the journal in directory dir
// is older than the checkpoints' word on it: then the database has to learn it anew.
// mark is the database's last place in the checkpoints.
func (w *Writer) IsVoid(dir string, mark CheckpointsMark) bool {
	c := &w.checkpoints
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.file.isVoid(dir, mark)
}

// ReplayChecked is Replay up to the end that CheckJournal found or a commit made, if there is
// one. What a failed write left behind it is not read.
func (w *Writer) ReplayChecked(b MailboxDir, from Position, fn func(Event) error) (Position, error) {
	to := int64(math.MaxInt64)
	if end := w.CheckedEnd(b); end.Offset > 0 {
		to = end.Offset
	}
	return w.replayRange(b, from, max(to, from.Offset), fn)
}

// CheckedEnd is the end of the journal of b that CheckJournal found or a commit made; zero: none.
func (w *Writer) CheckedEnd(b MailboxDir) Position {
	c := &w.checkpoints
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ends[b.Dir].Position
}

// CheckpointedMailboxes returns the mailboxes that have a checkpoint and were not
// forgotten, by directory.
func (w *Writer) CheckpointedMailboxes() []MailboxDir {
	c := &w.checkpoints
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.file.Mailboxes("")
}

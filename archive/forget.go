package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"syscall"

	"archiverd/internal/durable"
)

// The steps of an owner's decisions, as Options.Step gets them.
const (
	StepAdopt  = "adopt"  // a journal is written anew
	StepForget = "forget" // a forgotten mailbox's journal is renamed
	StepUnlink = "unlink" // a forgotten mailbox's files are removed
)

// forgotten is the line that forgets the mailbox in directory dir.
func (c *Checkpoints) forgotten(dir, reason string) checkpointLine {
	l := checkpointLine{Event: forgottenWord, Mailbox: dir, Reason: reason}
	if w := c.known[dir]; w != nil {
		l.Journal, l.Octets, l.Seal = w.Journal, w.Offset, w.Seal
	}
	return l
}

// Forget records that mailboxes were removed on purpose, or shall be: what is missing of
// them is no damage from then on. Their journals are renamed, so that they are no
// mailboxes any more. With remove their files are removed too; freed is how many octets
// that frees: messages of which other mailboxes have a link keep theirs. Called again
// after a crash it does the rest.
func (w *Writer) Forget(boxes []MailboxDir, reason string, remove bool) (freed int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &w.checkpoints
	c.mu.Lock()
	defer c.mu.Unlock()
	var lines []checkpointLine
	for _, b := range boxes {
		if w.mailboxes[b.Dir] != nil {
			return 0, fmt.Errorf("forget %s: it is open", b.Dir)
		}
		if k := c.file.known[b.Dir]; k == nil || !k.isForgotten {
			lines = append(lines, c.file.forgotten(b.Dir, reason))
		}
	}
	if c.stop != nil {
		return 0, c.stop
	}
	if len(lines) > 0 {
		if err := w.appendCheckpoints(lines); err != nil {
			return 0, err
		}
	}
	u := &unlinker{w: w}
	for _, b := range boxes {
		delete(c.ends, b.Dir)
		delete(c.losses, b.Dir)
		if err := w.retireJournal(b); err != nil {
			return u.freed, fmt.Errorf("forget %s: %w", b.Dir, err)
		}
		if !remove {
			continue
		}
		if err := u.removeMailbox(b); err != nil {
			return u.freed, fmt.Errorf("remove %s: %w", b.Dir, err)
		}
	}
	return u.freed, nil
}

// retireJournal renames the journal of b, durably, also if an earlier try has renamed it.
func (w *Writer) retireJournal(b MailboxDir) error {
	if _, err := w.root.Lstat(b.Dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := w.step(StepForget); err != nil {
		return err
	}
	if err := w.keepAside(b.Dir, journalName, forgottenName); err != nil {
		return err
	}
	if err := w.root.Remove(b.Journal()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return durable.SyncDirIn(w.root, b.Dir)
}

// unlinker removes the files of forgotten mailboxes and counts what that frees.
type unlinker struct {
	w     *Writer
	freed int64
}

// removeMailbox removes what belongs to a mailbox: journals, messages, what was being
// received, and its directories that are empty then. Its children stay.
func (u *unlinker) removeMailbox(b MailboxDir) error {
	if err := u.w.step(StepUnlink); err != nil {
		return err
	}
	names, err := u.w.readNames(b.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, n := range names {
		full := path.Join(b.Dir, n)
		switch {
		case isMonth(n), n == tmpName:
			err = u.removeFiles(full)
		case strings.HasPrefix(n, ".journal."):
			err = u.remove(full)
		}
		if err != nil {
			return err
		}
	}
	if err := durable.SyncDirIn(u.w.root, b.Dir); err != nil {
		return err
	}
	for d := b.Dir; d != "."; d = path.Dir(d) {
		if u.w.root.Remove(d) != nil {
			break // it has children, or files of somebody else's
		}
		if err := durable.SyncDirIn(u.w.root, path.Dir(d)); err != nil {
			return err
		}
	}
	return nil
}

// removeFiles removes the message files in a directory, and the directory if nothing else
// is in it.
func (u *unlinker) removeFiles(dir string) error {
	names, err := u.w.readNames(dir)
	if err != nil {
		return err
	}
	month := path.Base(dir)
	for _, n := range names {
		if month != tmpName && !isMessageName(path.Join(month, n)) {
			continue
		}
		if err := u.remove(path.Join(dir, n)); err != nil {
			return err
		}
	}
	_ = u.w.root.Remove(dir) // it stays if somebody else's files are in it
	return nil
}

// remove removes a file and counts what that frees: the octets of its last link.
func (u *unlinker) remove(name string) error {
	st, err := u.w.root.Lstat(name)
	if err != nil {
		return err
	}
	if st.IsDir() {
		return nil
	}
	if err := u.w.root.Remove(name); err != nil {
		return err
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok && sys.Nlink > 1 {
		return nil // other mailboxes have it, or a later turn removes the last link
	}
	u.freed += st.Size()
	return nil
}

package archive

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
)

// EnsureDurable makes what the journal of b holds behind from, sealed but perhaps
// never synced by the process that wrote it, durable, before the caller relies
// on it. A failed fsync can't be told from a good one afterwards, so the
// journal is written anew; but from its start, as after a loss of the state
// database, when all journals are read, an fsync must do.
func (w *Writer) EnsureDurable(b MailboxDir, from Position) error {
	if from.Offset == 0 {
		f, err := w.root.OpenFile(path.Join(b.Dir, journalName), os.O_WRONLY, 0)
		if err == nil {
			err = errors.Join(f.Sync(), f.Close())
		}
		if err != nil {
			return fmt.Errorf("settle journal of %s: %w", b.Dir, err)
		}
		return nil
	}
	end, err := w.Replay(b, from, func(Event) error { return nil })
	if err != nil || end == from {
		return err
	}
	if err := w.rewrite(b.Dir, end); err != nil {
		return fmt.Errorf("settle journal of %s: %w", b.Dir, err)
	}
	return nil
}

// rewrite copies the good prefix of a journal to a new file, which takes its place.
func (w *Writer) rewrite(dir string, end Position) error {
	old, err := w.root.Open(path.Join(dir, journalName))
	if err != nil {
		return err
	}
	defer old.Close()
	return w.replace(dir, journalName, func(f *os.File) error {
		_, err := io.CopyN(f, old, end.Offset)
		return err
	})
}

// repair mends a mailbox whose journal a failed write has left in doubt.
func (m *Mailbox) repair() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken == nil {
		return nil
	}
	if m.journal == nil { // nothing was ever written
		m.broken = nil
		return nil
	}
	if err := m.writer.rewrite(m.Dir, m.pos); err != nil {
		return fmt.Errorf("mailbox %s: %w: %w; mending its journal: %w", m.Dir, ErrBroken, m.broken, err)
	}
	if m.journal != nil {
		// its error would say again what is mended here
		_ = m.journal.Close()
		m.journal = nil
	}
	if err := m.openJournal(); err != nil {
		return fmt.Errorf("mailbox %s: %w", m.Dir, err)
	}
	m.broken = nil
	return nil
}

// brokenErr is ErrBroken after a failed write to the journal.
func (m *Mailbox) brokenErr() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return fmt.Errorf("%w: %w", ErrBroken, m.broken)
	}
	return nil
}

// markBroken makes every commit to the mailbox fail until it is opened again: what
// follows a failed batch may rest on it.
func (m *Mailbox) markBroken(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken == nil {
		m.broken = err
	}
}

package archive

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
)

// cutTornTail cuts off what stands in the journal behind the last commit, before anything
// is appended: the next line would otherwise continue the last one of an interrupted
// write. A tail with a seal in it is not torn, and is an error.
func (m *Mailbox) cutTornTail() error {
	end, err := m.writer.Replay(m.MailboxDir, m.pos, func(Event) error { return nil })
	if err != nil {
		return err
	}
	if end != m.pos {
		return fmt.Errorf("%s has commits behind octet %d that the caller does not know", journalName, m.pos.Offset)
	}
	if err := m.journal.Truncate(m.pos.Offset); err != nil {
		return err
	}
	return m.journal.Sync()
}

// EnsureDurable makes the lines of b's journal after from durable. They are sealed, but
// the process that wrote them may have died before it synced them.
//
// The journal is written anew: a sync that failed earlier can't be noticed afterwards,
// because the kernel then takes the lost pages for written. Only with from at the start,
// when the state database was lost and all journals are read, an fsync must do.
func (w *Writer) EnsureDurable(b MailboxDir, from Position) error {
	if from.Offset == 0 {
		f, err := w.root.OpenFile(path.Join(b.Dir, journalName), os.O_WRONLY, 0)
		if err == nil {
			err = errors.Join(f.Sync(), f.Close())
		}
		if err != nil {
			return fmt.Errorf("make journal of %s durable: %w", b.Dir, err)
		}
		return nil
	}
	end, err := w.Replay(b, from, func(Event) error { return nil })
	if err != nil || end == from {
		return err
	}
	if err := w.rewrite(b.Dir, end); err != nil {
		return fmt.Errorf("make journal of %s durable: %w", b.Dir, err)
	}
	return nil
}

// rewrite replaces a journal with a copy of its part before end.
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

// repair rewrites the journal of a mailbox that a failed write has broken, up to the
// last commit that succeeded. It does nothing if the mailbox is not broken.
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
		return fmt.Errorf("mailbox %s: %w: %w; repair its journal: %w", m.Dir, ErrBroken, m.broken, err)
	}
	if m.journal != nil {
		// it can only report the failed write that was repaired
		_ = m.journal.Close()
		m.journal = nil
	}
	if err := m.openJournal(); err != nil {
		return fmt.Errorf("mailbox %s: %w", m.Dir, err)
	}
	m.broken = nil
	return nil
}

// brokenErr returns an error that wraps ErrBroken if the mailbox is broken.
func (m *Mailbox) brokenErr() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return fmt.Errorf("%w: %w", ErrBroken, m.broken)
	}
	return nil
}

// markBroken makes every commit to the mailbox fail until it is opened again: later
// batches may depend on the one that failed.
func (m *Mailbox) markBroken(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken == nil {
		m.broken = err
	}
}

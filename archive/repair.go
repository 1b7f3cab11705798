package archive

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"archiverd/internal/durable"
)

// cutTornTail cuts off what stands in the journal behind the last commit, before anything
// is appended: the next line would otherwise continue the last one of an interrupted
// write. A tail with a seal in it is not torn, and is an error.
// It returns the journal's stamp afterwards.
func (m *Mailbox) cutTornTail() (Stamp, error) {
	end, err := m.writer.Replay(m.MailboxDir, m.pos, func(Event) error { return nil })
	if err != nil {
		return Stamp{}, err
	}
	if end != m.pos {
		return Stamp{}, fmt.Errorf("%s has commits behind octet %d that the caller does not know", journalName, m.pos.Offset)
	}
	if err := m.journal.Truncate(m.pos.Offset); err != nil {
		return Stamp{}, err
	}
	if err := m.journal.Sync(); err != nil {
		return Stamp{}, err
	}
	st, err := m.journal.Stat()
	if err != nil {
		return Stamp{}, err
	}
	return durable.StampOf(st), nil
}

// checkBefore checks the part of a journal before end whole: its seals fit up to there,
// end is one of its positions, and it is the journal with that id. The error wraps
// ErrCorrupt if not.
func (a *Archive) checkBefore(b MailboxDir, id string, end Position) error {
	name := b.Journal()
	f, err := a.openJournal(b)
	if err != nil {
		return err
	}
	defer f.Close()
	got := ""
	pos, err := replay(io.LimitReader(f, end.Offset), Position{}, func(e Event) error {
		if got == "" {
			got = e.Journal
		}
		return nil
	})
	var bad *CorruptError
	switch {
	case errors.As(err, &bad):
		bad.Path = name
		return bad
	case err != nil:
		return err
	case got != id:
		return &CorruptError{name, 1, fmt.Sprintf("it is journal %q, not %q, which stood here", got, id)}
	case pos != end:
		lines, err := countLines(f, end.Offset)
		if err != nil {
			return err
		}
		return &CorruptError{name, max(lines, 1), fmt.Sprintf("the commit that ended at octet %d is not the one that archiverd wrote", end.Offset)}
	}
	return nil
}

// JournalStamp returns the stamp of a mailbox's journal.
func (a *Archive) JournalStamp(b MailboxDir) (Stamp, error) {
	st, err := a.root.Stat(b.Journal())
	if err != nil {
		return Stamp{}, fmt.Errorf("stat journal: %w", err)
	}
	return durable.StampOf(st), nil
}

// rewrite replaces a journal with a copy of its part before end.
func (w *Writer) rewrite(dir string, end Position) error {
	old, err := w.OpenFile(path.Join(dir, journalName))
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
	if m.journal == nil && m.pos.Offset == 0 { // nothing was ever written
		m.broken = nil
		return nil
	}
	var err error
	if m.pos.Offset > 0 { // a copy of an edited journal would hide the edit
		err = m.writer.checkBefore(m.MailboxDir, m.id, m.pos)
	}
	if err == nil {
		err = m.writer.rewrite(m.Dir, m.pos)
	}
	if err != nil {
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

package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	gosync "sync"
	"time"

	"archiverd/internal/durable"
)

// Mailbox is a mailbox opened for writing. Each user of it calls Release; the last
// Release closes it, and so does closing its Writer.
type Mailbox struct {
	MailboxDir
	openCount int // users that have not released it; guarded by writer.mu
	writer    *Writer
	root      *os.Root // the mailbox directory
	tmp       *os.Root
	tmpDir    *os.File // the same, for the functions of package durable
	journal   *os.File
	id        string

	mu         gosync.Mutex
	pos        Position           // the end of the journal
	stamp      Stamp              // of the journal as this process left it, or checked it whole
	lastAt     time.Time          // of the journal's last event; zero: not read yet
	broken     error              // of a failed write: nothing may be committed before repair
	sumsByPath map[uint64]sumHead // of every path the journal names, by its hash; nil until somebody asks
}

// Stamp is what the file system says of a journal without it being read.
type Stamp = durable.Stamp

// JournalState is what the caller of [Writer.Mailbox] knows of a journal. The zero value
// is for a new mailbox.
type JournalState struct {
	ID  string
	End Position
	// Stamp is the journal's when it was last written or checked whole, as
	// [Batch.Stamp] or [Mailbox.Stamp] told. If the journal has another one, it is
	// checked whole.
	Stamp Stamp
}

// Mailbox opens a mailbox for writing and makes its directory if it is new. The caller
// calls Release. A torn tail after the known end is cut off. The error is ErrCorrupt if
// the journal does not fit its seals there, or was edited before; a commit after the end,
// which the caller does not know, is an error too.
func (w *Writer) Mailbox(b MailboxDir, known JournalState) (*Mailbox, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m := w.mailboxes[b.Dir]; m != nil {
		if err := m.repair(); err != nil {
			return nil, err
		}
		m.openCount++
		return m, nil
	}
	if err := w.checkJournal(b, Checkpoint{known.ID, known.End}); err != nil {
		return nil, fmt.Errorf("open mailbox %s: %w", b.Dir, err)
	}
	id := known.ID
	if id == "" {
		id = newID()
	}
	m := &Mailbox{MailboxDir: b, openCount: 1, writer: w, id: id, pos: known.End, stamp: known.Stamp}
	if err := m.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("open mailbox %s: %w", b.Dir, err), m.close())
	}
	w.mailboxes[b.Dir] = m
	return m, nil
}

// Release ends one use of the mailbox and of all its batches. After the last its files
// are closed: an archive may have more mailboxes than a process may have open files. A
// mailbox whose journal is broken and can't be repaired stays open, so that the next
// user can't append to it.
func (m *Mailbox) Release() error {
	m.writer.mu.Lock()
	defer m.writer.mu.Unlock()
	if m.openCount--; m.openCount > 0 {
		return nil
	}
	if err := m.repair(); err != nil {
		return err
	}
	delete(m.writer.mailboxes, m.Dir)
	if err := m.close(); err != nil {
		return fmt.Errorf("close mailbox %s: %w", m.Dir, err)
	}
	return nil
}

// open opens the mailbox's directories, empties tmp/ and opens the journal if there is
// one.
func (m *Mailbox) open() (err error) {
	if err := m.writer.makeDirs(path.Join(m.Dir, tmpName)); err != nil {
		return err
	}
	if m.root, err = m.writer.root.OpenRoot(m.Dir); err != nil {
		return err
	}
	if st, err := m.root.Stat(tmpName); err != nil {
		return err
	} else if !st.IsDir() { // opening a pipe would wait
		return fmt.Errorf("%s is %s, not a directory; move it away", tmpName, durable.KindName(st.Mode()))
	}
	if m.tmp, err = m.root.OpenRoot(tmpName); err != nil {
		return err
	}
	if m.tmpDir, err = m.tmp.Open("."); err != nil {
		return err
	}
	leftovers, err := m.tmpDir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range leftovers {
		if err := m.tmp.Remove(name); err != nil {
			return err
		}
	}
	if _, err := m.root.Lstat(journalName); errors.Is(err, fs.ErrNotExist) && m.pos.Offset == 0 {
		return nil // the first commit makes it
	}
	return m.openJournal()
}

// makeDirs makes dir, relative to the archive, and its missing parents. The caller
// holds w.mu. The first call for a directory has the next commit sync its entry and
// those of its parents: a process that made one of them may have died before it did.
func (w *Writer) makeDirs(dir string) error {
	for d := dir; d != "." && !w.syncedDirs[d]; d = path.Dir(d) {
		w.syncedDirs[d] = true
		w.unsyncedDirs[path.Dir(d)] = true
	}
	return w.makeDirsBelow(dir)
}

// makeDirsBelow is makeDirs without the parents' sync.
func (w *Writer) makeDirsBelow(dir string) error {
	switch err := w.root.Mkdir(dir, w.dirMode()); {
	case err == nil:
		w.unsyncedDirs[path.Dir(dir)] = true
		return nil
	case errors.Is(err, fs.ErrExist):
		return nil
	case errors.Is(err, fs.ErrNotExist) && path.Dir(dir) != ".":
		if err := w.makeDirsBelow(path.Dir(dir)); err != nil {
			return err
		}
		return w.makeDirsBelow(dir)
	default:
		return err
	}
}

// openJournal opens the journal for appending, makes it if the mailbox is new, and cuts
// off a torn tail. A journal that is not as archiverd left it is checked whole first: an
// edit before the end would otherwise never be seen, and events appended to it.
func (m *Mailbox) openJournal() (err error) {
	flags := os.O_APPEND | os.O_WRONLY
	if m.pos.Offset == 0 {
		flags |= os.O_CREATE
	}
	m.journal, err = durable.OpenRegularIn(m.root, journalName, flags, m.writer.fileMode())
	if errors.Is(err, durable.ErrNotRegular) {
		return &CorruptError{m.Journal(), 1, "it is " + notRegularKind(m.root, journalName)}
	}
	if err != nil {
		return err
	}
	st, err := m.journal.Stat()
	if err != nil {
		return err
	}
	if st.Size() < m.pos.Offset {
		return fmt.Errorf("%s is shorter than it was: %d octets of %d; %s", journalName, st.Size(), m.pos.Offset, remedy)
	}
	stamp := durable.StampOf(st)
	if m.pos.Offset > 0 && stamp != m.stamp {
		if err := m.writer.checkBefore(m.MailboxDir, m.id, m.pos); err != nil {
			return err
		}
	}
	if st.Size() > m.pos.Offset {
		if stamp, err = m.cutTornTail(); err != nil {
			return err
		}
	}
	m.stamp = stamp
	return nil
}

// checkUnchanged makes sure, before an append, that the journal is the file that is open
// and as this process left it. Otherwise the journal is opened anew, and so checked
// whole.
func (m *Mailbox) checkUnchanged() error {
	st, err := m.root.Stat(journalName)
	if err != nil {
		return err
	}
	if durable.StampOf(st) == m.stamp {
		return nil
	}
	// Nothing is lost by an error: every append was synced.
	_ = m.journal.Close()
	m.journal = nil
	return m.openJournal()
}

// Stamp returns the stamp of the mailbox's journal; zero: it has none yet.
func (m *Mailbox) Stamp() Stamp {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stamp
}

// createJournal makes the journal of a new mailbox, before the directories are synced:
// its name becomes durable together with the names of the messages.
func (m *Mailbox) createJournal() error {
	if m.journal != nil {
		return nil
	}
	m.writer.mu.Lock()
	m.writer.unsyncedDirs[m.Dir] = true
	m.writer.mu.Unlock()
	return m.openJournal()
}

func (m *Mailbox) close() error {
	var errs []error
	if m.journal != nil {
		errs = append(errs, m.journal.Close())
	}
	if m.tmpDir != nil {
		errs = append(errs, m.tmpDir.Close())
	}
	for _, r := range []*os.Root{m.tmp, m.root} {
		if r != nil {
			errs = append(errs, r.Close())
		}
	}
	return errors.Join(errs...)
}

// isNamed reports whether the mailbox's journal names path, and with which sum. The
// first call reads the whole journal.
func (m *Mailbox) isNamed(path string) (sumHead, bool, error) {
	if m.sumsByPath == nil {
		m.sumsByPath = map[uint64]sumHead{}
		_, err := m.writer.Replay(m.MailboxDir, Position{}, func(e Event) error {
			if e.HasFile() {
				m.sumsByPath[pathHash(e.Path)] = e.Sum.head()
			}
			return nil
		})
		if err != nil {
			m.sumsByPath = nil
			return sumHead{}, false, err
		}
	}
	s, ok := m.sumsByPath[pathHash(path)]
	return s, ok, nil
}

// isNamedFor reports whether the journal names path for octets of that sum alone. It
// reads the whole journal.
func (m *Mailbox) isNamedFor(path string, sum Sum) (bool, error) {
	same := true
	_, err := m.writer.Replay(m.MailboxDir, Position{}, func(e Event) error {
		same = same && (!e.HasFile() || e.Path != path || e.Sum == sum)
		return nil
	})
	return same, err
}

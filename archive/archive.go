package archive

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"archiverd/internal/durable"
)

var (
	// ErrNotArchive is returned when a directory holds no archive.json.
	ErrNotArchive = errors.New("no archive here")
	// ErrLocked is returned when another writer holds the archive.
	ErrLocked = errors.New("another archiverd is writing to this archive")
	// ErrCorrupt is returned when what a journal says does not fit its seals.
	ErrCorrupt = errors.New("corrupt journal")
	// ErrNewer is returned to a writer by what a newer archiverd wrote.
	ErrNewer = errors.New("written by a newer archiverd, which this one must not write to")
	// ErrBroken is returned by a mailbox that a failed write has left in doubt.
	ErrBroken = errors.New("an earlier write to this mailbox failed")
	// ErrNoMessage is returned when the archive has no message with an ID.
	ErrNoMessage = errors.New("no message")
	// ErrNoMailbox is returned when an account has no mailbox of a name.
	ErrNoMailbox = errors.New("no mailbox")
	// ErrNoSpace is returned when a write would use the reserve of free space or
	// inodes.
	ErrNoSpace = durable.ErrNoSpace
)

// Archive is an archive opened for reading. Any number of readers work beside
// one writer. Close releases it.
type Archive struct {
	root *os.Root
	path string
	info archiveInfo
}

// archiveInfo is archive.json.
type archiveInfo struct {
	Format  string    `json:"format"` // "archiverd"
	Version int       `json:"version"`
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
}

// Open opens the archive in directory dir for reading. The error is
// ErrNotArchive if there is none.
func Open(dir string) (*Archive, error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open archive %s: %w", dir, ErrNotArchive)
	}
	if err != nil {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	a := &Archive{root: root, path: dir}
	if err := a.readInfo(); err != nil {
		return nil, errors.Join(fmt.Errorf("open archive %s: %w", dir, err), root.Close())
	}
	return a, nil
}

func (a *Archive) readInfo() error {
	text, err := a.root.ReadFile(infoName)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotArchive
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &a.info); err != nil {
		return fmt.Errorf("%s: %w", infoName, err)
	}
	if a.info.Format != "archiverd" || a.info.ID == "" {
		return fmt.Errorf("%s: this is not an archive of archiverd's", infoName)
	}
	return nil
}

// ID is the archive's random identity.
func (a *Archive) ID() string { return a.info.ID }

// Path is the directory as it was given to Open.
func (a *Archive) Path() string { return a.path }

// Close releases the archive.
func (a *Archive) Close() error { return a.root.Close() }

// OpenFile opens the file at path, relative to the archive, for reading. The
// caller closes it.
func (a *Archive) OpenFile(path string) (*os.File, error) { return a.root.Open(path) }

// MailboxDir is a mailbox that has a journal in the archive.
type MailboxDir struct {
	Account string // the account's directory
	Dir     string // relative to the archive, with slashes
}

// ID is the path of a message of the mailbox, relative to the archive: people name
// messages by it.
func (b MailboxDir) ID(m *Message) string { return path.Join(b.Dir, m.Path) }

// Journal is the path of the mailbox's journal, relative to the archive.
func (b MailboxDir) Journal() string { return path.Join(b.Dir, journalName) }

// Accounts are the directories of the accounts, sorted.
func (a *Archive) Accounts() ([]string, error) {
	list, err := fs.ReadDir(a.root.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	var out []string
	for _, d := range list {
		if d.IsDir() && !isReserved(d.Name()) && !strings.HasPrefix(d.Name(), ".") {
			out = append(out, d.Name())
		}
	}
	return out, nil
}

// Mailboxes are the mailboxes of an account, by directory; of all with account "".
func (a *Archive) Mailboxes(account string) ([]MailboxDir, error) {
	accounts := []string{account}
	if account == "" {
		var err error
		if accounts, err = a.Accounts(); err != nil {
			return nil, err
		}
	}
	var out []MailboxDir
	for _, acc := range accounts {
		err := a.mailboxesBelow(acc, acc, &out)
		if err != nil && !(errors.Is(err, fs.ErrNotExist) && account != "") {
			return nil, fmt.Errorf("read archive: %w", err)
		}
	}
	return out, nil
}

func (a *Archive) mailboxesBelow(account, dir string, out *[]MailboxDir) error {
	names, err := a.readNames(dir)
	if err != nil {
		return err
	}
	if slices.Contains(names, journalName) {
		*out = append(*out, MailboxDir{account, dir})
	}
	for _, name := range names {
		if isReserved(name) {
			continue
		}
		child := path.Join(dir, name)
		st, err := a.root.Lstat(child)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a writer works beside us
		}
		if err != nil {
			return err
		}
		if !st.IsDir() {
			continue
		}
		if err := a.mailboxesBelow(account, child, out); err != nil {
			return err
		}
	}
	return nil
}

// readNames are the names in a directory, sorted. Nothing is asked of the files
// themselves: a mailbox of many years has hundreds of months.
func (a *Archive) readNames(dir string) ([]string, error) {
	d, err := a.root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// Replay gives fn the events of a mailbox's journal from a position on, which
// an earlier Replay returned, and returns the position behind the last. What
// an interrupted write left behind the last seal is passed over. The error is
// ErrCorrupt when the journal does not fit its seals; the events before the
// fault were given.
func (a *Archive) Replay(b MailboxDir, from Position, fn func(Event) error) (Position, error) {
	name := path.Join(b.Dir, journalName)
	f, err := a.root.Open(name)
	if err != nil {
		return from, fmt.Errorf("open journal: %w", err)
	}
	defer f.Close()
	if _, err := f.Seek(from.Offset, io.SeekStart); err != nil {
		return from, fmt.Errorf("seek journal %s: %w", name, err)
	}
	pos, err := replay(f, from, fn)
	var bad *CorruptError
	if errors.As(err, &bad) {
		bad.Path = name
		before, cerr := countLines(f, from.Offset)
		if cerr != nil {
			return pos, errors.Join(err, cerr)
		}
		bad.Line += before
	}
	return pos, err
}

// countLines counts the line feeds in the first n octets of f.
func countLines(f *os.File, n int64) (int, error) {
	lines := 0
	buf := make([]byte, 64<<10)
	for r := io.NewSectionReader(f, 0, n); ; {
		k, err := r.Read(buf)
		for _, o := range buf[:k] {
			if o == '\n' {
				lines++
			}
		}
		if err == io.EOF {
			return lines, nil
		}
		if err != nil {
			return lines, fmt.Errorf("read journal: %w", err)
		}
	}
}

// Fold reads a mailbox's whole journal. With ErrCorrupt the view holds what
// stands before the fault.
func (a *Archive) Fold(b MailboxDir) (*View, Position, error) {
	v := &View{}
	pos, err := a.Replay(b, Position{}, func(e Event) error { v.Apply(e); return nil })
	return v, pos, err
}

// FoldFrom reads a whole journal that lies elsewhere, as Fold does.
func FoldFrom(r io.Reader) (*View, error) {
	v := &View{}
	_, err := replay(r, Position{}, func(e Event) error { v.Apply(e); return nil })
	return v, err
}

// errLater ends a replay at an event after the time that is asked for.
var errLater = errors.New("a later event")

// ReplayUntil is Replay from the start of a journal up to the first event stamped
// after a time; zero: to the end. Events stamped exactly `until` are included. The
// order is the journal's: a clock that was set back does not exclude events that
// stand before later ones. Damage after the first event that is excluded is no error.
func (a *Archive) ReplayUntil(b MailboxDir, until time.Time, fn func(Event) error) error {
	_, err := a.Replay(b, Position{}, func(e Event) error {
		if !until.IsZero() && e.At.After(until) {
			return errLater
		}
		return fn(e)
	})
	if errors.Is(err, errLater) {
		err = nil
	}
	return err
}

// FoldAt reads a mailbox's journal up to a time, as ReplayUntil does: the view is of
// the mailbox as it was then, without an epoch if nothing was archived yet. With
// ErrCorrupt the view holds what stands before the fault.
func (a *Archive) FoldAt(b MailboxDir, at time.Time) (*View, error) {
	v := &View{}
	err := a.ReplayUntil(b, at, func(e Event) error { v.Apply(e); return nil })
	return v, err
}

// HasPosition says whether pos is a place in the mailbox's journal: the journal's id is
// id, it is at least that long and the seal there is the position's. It reads
// only the line before the position and the journal's first.
func (a *Archive) HasPosition(b MailboxDir, id string, pos Position) (at bool, size int64, err error) {
	f, err := a.root.Open(path.Join(b.Dir, journalName))
	if err != nil {
		return false, 0, fmt.Errorf("open journal: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return false, 0, fmt.Errorf("stat journal: %w", err)
	}
	if pos.Offset == 0 {
		return true, st.Size(), nil
	}
	if pos.Offset > st.Size() {
		return false, st.Size(), nil
	}
	line := sealLine(pos.Seal)
	tail := make([]byte, len(line))
	if _, err := f.ReadAt(tail, max(0, pos.Offset-int64(len(tail)))); err != nil && err != io.EOF {
		return false, 0, fmt.Errorf("read journal: %w", err)
	}
	if string(tail) != line {
		return false, st.Size(), nil
	}
	first := make([]byte, 4<<10)
	n, err := f.ReadAt(first, 0)
	if err != nil && err != io.EOF {
		return false, 0, fmt.Errorf("read journal: %w", err)
	}
	return strings.Contains(string(first[:n]), `"journal":"`+id+`"`), st.Size(), nil
}

// newID returns a random identity.
func newID() string { return strings.ToLower(rand.Text()) }

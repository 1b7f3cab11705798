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

// Archive is an archive opened for reading. Its methods may be called from several
// goroutines. Any number of readers may have an archive open besides one writer. The
// caller closes it.
type Archive struct {
	root *os.Root
	path string
	info archiveInfo
}

// maxInfo is the most octets of archive.json that are read.
const maxInfo = 1 << 20

// archiveInfo is the content of archive.json.
type archiveInfo struct {
	Format  string    `json:"format"` // "archiverd"
	Version int       `json:"version"`
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	// Checkpoints is the id of checkpoints.jsonl, since that was durable; empty: there is
	// none yet.
	Checkpoints string `json:"checkpoints,omitempty"`
}

// encode returns the text of archive.json.
func (i archiveInfo) encode() ([]byte, error) {
	text, err := json.MarshalIndent(i, "", "  ")
	return append(text, '\n'), err
}

// InfoOfCopy returns the text of archive.json for a copy without checkpoints.jsonl, and
// when the archive was created. The first writer of the copy begins checkpoints of its
// own.
func (a *Archive) InfoOfCopy() (text []byte, created time.Time, err error) {
	info := a.info
	info.Checkpoints = ""
	text, err = info.encode()
	return text, info.Created, err
}

// Open opens the archive in directory dir for reading. The error wraps ErrNotArchive
// if there is none.
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

// readInfo reads archive.json. The error is ErrNotArchive if there is none.
func (a *Archive) readInfo() error {
	f, err := a.OpenFile(infoName)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotArchive
	}
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxInfo))
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

// ID is the archive's random identity, which it has for life.
func (a *Archive) ID() string { return a.info.ID }

// Path is the directory as it was given to Open.
func (a *Archive) Path() string { return a.path }

// Close releases the archive.
func (a *Archive) Close() error { return a.root.Close() }

// OpenFile opens the file at path, relative to the archive, for reading. The
// caller closes it. Anything but a regular file is an error, and is not waited for.
func (a *Archive) OpenFile(path string) (*os.File, error) {
	return durable.OpenRegularIn(a.root, path, os.O_RDONLY, 0)
}

// MailboxDir says where a mailbox lies in the archive.
type MailboxDir struct {
	Account string // the account's directory
	Dir     string // relative to the archive, with slashes
}

// ID is the path of a message of the mailbox, relative to the archive: people name
// messages by it.
func (b MailboxDir) ID(m *Message) string { return path.Join(b.Dir, m.Path) }

// Journal is the path of the mailbox's journal, relative to the archive.
func (b MailboxDir) Journal() string { return path.Join(b.Dir, journalName) }

// Accounts returns the directories of the accounts, sorted.
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

// Mailboxes returns the mailboxes that have a journal, by directory: those of the
// account with that directory, or of all accounts with "". An account that the archive
// does not have has no mailboxes.
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

// maxWalkedLevels bounds what is read of an archive that somebody else made: it takes time
// by the square of the levels.
const maxWalkedLevels = 1000

// mailboxesBelow appends the mailbox in dir, if there is one, and those below it.
func (a *Archive) mailboxesBelow(account, dir string, out *[]MailboxDir) error {
	return a.directoriesBelow(account, dir, out, func(names []string) bool { return slices.Contains(names, journalName) })
}

// directoriesBelow appends dir and the directories of mailboxes below it for whose names
// which is true.
func (a *Archive) directoriesBelow(account, dir string, out *[]MailboxDir, which func(names []string) bool) error {
	names, err := a.readNames(dir)
	if err != nil {
		return err
	}
	if levels := strings.Count(dir, "/"); levels > maxWalkedLevels {
		return fmt.Errorf("%s…: directories of over %d levels; no mailbox has so many: move them out of the archive", dir[:min(len(dir), 100)], maxWalkedLevels)
	}
	if which(names) {
		*out = append(*out, MailboxDir{account, dir})
	}
	for _, name := range names {
		if isReserved(name) {
			continue
		}
		child := path.Join(dir, name)
		st, err := a.root.Lstat(child)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a writer removed it meanwhile
		}
		if err != nil {
			return err
		}
		if !st.IsDir() {
			continue
		}
		if err := a.directoriesBelow(account, child, out, which); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// readNames returns the names in a directory, sorted. It stats no file: a mailbox of
// many years has hundreds of months.
func (a *Archive) readNames(dir string) ([]string, error) {
	d, err := durable.OpenDirIn(a.root, dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// newID returns a random identity.
func newID() string { return strings.ToLower(rand.Text()) }

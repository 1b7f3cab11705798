package archive

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	gosync "sync"
	"time"

	"archiverd/internal/durable"
)

// Options say how a Writer writes.
type Options struct {
	// GroupRead lets the group of new files read them: modes 0750 and 0640 instead of
	// 0700 and 0600. The process's umask must allow it.
	GroupRead bool
	// KnownID is the ID of the archive that is expected; empty: any archive, or none
	// yet. With a KnownID no new archive is created, because the disk with the
	// expected one may not be mounted.
	KnownID string
	// BeforeID is the ID of the archive that was at this place before; empty: none is
	// known. Then, too, no new archive is created, but any other may be opened.
	BeforeID string
	// KnownBy is what says so, for errors: a file or a key of the configuration.
	KnownBy string
	// PerFile makes each file durable by an fsync of its own, even if one syncfs for
	// all would do.
	PerFile bool
	// Step, if not nil, is called with the name of each step of a commit before the
	// step; its error fails the step. Tests interrupt commits with it.
	Step func(step string) error
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Writer is an archive opened for writing. Its methods may be called from several
// goroutines. A lock allows one Writer at a time. The caller closes it.
type Writer struct {
	*Archive
	opts   Options
	lock   *os.File
	isNew  bool // made by OpenWriter
	syncfs bool // one syncfs makes everything written durable, and reports errors

	mu            gosync.Mutex        // guards the fields below, up to commitMu
	mailboxes     map[string]*Mailbox // the open ones, by directory
	unsyncedDirs  map[string]bool     // directories with entries not yet durable
	syncedDirs    map[string]bool     // directories that this writer has synced, or will with unsyncedDirs
	tempSeq       uint64              // number of the last file in tmp/
	syncFailures  int                 // how often syncfs failed
	lastSyncError error               // of the last failure

	commitMu gosync.Mutex // held during Commit: one commit at a time

	checkpoints checkpointsWriter // own mutex
}

// OpenWriter opens the archive in directory dir for writing, and creates one if the
// directory is missing or empty. The error wraps ErrLocked while another writer has it
// open, ErrNewer if a newer archiverd created it, and ErrNotArchive if the directory has
// other files or another archive is expected.
func OpenWriter(dir string, o Options) (*Writer, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	w := &Writer{opts: o, mailboxes: map[string]*Mailbox{}, unsyncedDirs: map[string]bool{}, syncedDirs: map[string]bool{}}
	if o.KnownID == "" && o.BeforeID == "" {
		if err := durable.MkdirAll(dir, w.dirMode()); err != nil {
			return nil, fmt.Errorf("make archive: %w", err)
		}
	}
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open archive %s: %w", dir, o.missing())
	}
	if err != nil {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	w.Archive = &Archive{root: root, path: dir}
	if err := w.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("open archive %s: %w", dir, err), w.Close())
	}
	return w, nil
}

// open takes the lock, creates the archive if there is none, and checks that it is the
// expected one.
func (w *Writer) open() error {
	known := w.readInfo()
	if known != nil && !errors.Is(known, ErrNotArchive) {
		return known
	}
	if known != nil {
		if err := w.mayCreate(); err != nil {
			return err
		}
	}
	lock, err := durable.OpenRegularIn(w.root, lockName, os.O_CREATE|os.O_RDWR, w.fileMode())
	if err != nil {
		return err
	}
	w.lock = lock
	if err := durable.TryLock(lock); errors.Is(err, durable.ErrLocked) {
		holder := make([]byte, lockFileSize)
		n, _ := lock.ReadAt(holder, 0)
		return fmt.Errorf("%w (process %s)", ErrLocked, strings.TrimSpace(string(holder[:n])))
	} else if err != nil {
		return fmt.Errorf("lock %s: %w", lockName, err) // no writer without a lock
	}
	// The lock file has a fixed size: truncating it costs an extra metadata write.
	if err := writeAt(lock, fmt.Sprintf("%-*d\n", lockFileSize-1, os.Getpid())); err != nil {
		return err
	}
	if known != nil {
		if err := w.create(); err != nil {
			return err
		}
		w.isNew = true
	}
	if w.info.Version > FormatVersion {
		return fmt.Errorf("format %d: %w", w.info.Version, ErrNewer)
	}
	if id := w.opts.KnownID; id != "" && id != w.info.ID {
		return fmt.Errorf("this is archive %s, but %s is expected: is the right disk mounted? If it is, `archiverd rebuild` rebuilds the state database", w.info.ID, id)
	}
	w.syncfs = !w.opts.PerFile && durable.CanSyncFS(w.lock)
	return w.openCheckpoints()
}

// missing is the error for a place where no archive is, and one should be.
func (o *Options) missing() error {
	by := ""
	if o.KnownBy != "" {
		by = fmt.Sprintf(" (says %s); to begin a new archive here, remove that", o.KnownBy)
	}
	return fmt.Errorf("%w, but archive %s is expected: is its disk mounted?%s", ErrNotArchive, cmp.Or(o.KnownID, o.BeforeID), by)
}

// IsNew reports whether OpenWriter has created the archive.
func (w *Writer) IsNew() bool { return w.isNew }

// lockFileSize is the size of the lock file, which has the writer's process ID.
const lockFileSize = 20

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// mayCreate returns an error unless an archive may be created in the directory.
func (w *Writer) mayCreate() error {
	if w.opts.KnownID != "" || w.opts.BeforeID != "" {
		return w.opts.missing()
	}
	list, err := fs.ReadDir(w.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, d := range list {
		if n := d.Name(); n != lockName && n != lostName && !strings.HasPrefix(n, ".") {
			return fmt.Errorf("%w, and the directory holds %q: name an empty directory, or put archive.json back", ErrNotArchive, n)
		}
	}
	return nil
}

// create makes the directory an archive: it writes archive.json.
func (w *Writer) create() error {
	w.info = archiveInfo{Format: "archiverd", Version: FormatVersion, ID: newID(), Created: w.opts.Now().UTC().Truncate(time.Second)}
	return w.writeInfo(w.info)
}

// writeInfo writes archive.json durably.
func (w *Writer) writeInfo(info archiveInfo) error {
	text, err := info.encode()
	if err != nil {
		return err
	}
	if err := w.replace(".", infoName, func(f *os.File) error { _, err := f.Write(text); return err }); err != nil {
		return fmt.Errorf("write %s: %w", infoName, err)
	}
	return nil
}

// replace replaces the file dir/name durably (see durable.Replace).
func (w *Writer) replace(dir, name string, fill func(*os.File) error) error {
	return durable.Replace(w.root, path.Join(dir, name), path.Join(dir, "."+name+".new"), w.fileMode(), fill)
}

// syncFileSystem makes everything written to the file system of d durable. A failure is
// counted, because it concerns every batch that is being received: the lost octets may be
// of any of them, and the kernel may not report the error to a later syncfs.
func (w *Writer) syncFileSystem(d *os.File) error {
	err := durable.SyncFS(d)
	if err != nil {
		w.mu.Lock()
		w.syncFailures, w.lastSyncError = w.syncFailures+1, err
		w.mu.Unlock()
	}
	return err
}

// countSyncFailures returns how often syncFileSystem has failed.
func (w *Writer) countSyncFailures() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.syncFailures
}

func (w *Writer) dirMode() fs.FileMode {
	if w.opts.GroupRead {
		return 0o750
	}
	return 0o700
}

func (w *Writer) fileMode() fs.FileMode {
	if w.opts.GroupRead {
		return 0o640
	}
	return 0o600
}

func (w *Writer) step(name string) error {
	if w.opts.Step == nil {
		return nil
	}
	return w.opts.Step(name)
}

// CheckFreeSpace returns an error that wraps ErrNoSpace if a new file of that many octets
// would use the reserve of the archive's file system: journals and the state database
// need it to record what was archived.
func (w *Writer) CheckFreeSpace(octets int64) error {
	if err := durable.CheckFreeSpace(w.lock, octets); err != nil {
		return fmt.Errorf("archive %s: %w", w.path, err)
	}
	return nil
}

// Close closes the mailboxes and the archive, and releases the lock.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	for _, m := range w.mailboxes {
		errs = append(errs, m.close())
	}
	if w.lock != nil {
		errs = append(errs, w.lock.Close())
	}
	return errors.Join(append(errs, w.Archive.Close())...)
}

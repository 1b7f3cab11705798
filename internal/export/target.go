package export

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"archiverd/archive"
	"archiverd/internal/durable"
)

// target is the directory that is written to. All access goes through its root.
type target struct {
	root *os.Root
	lock *os.File // the directory; nil: each file is locked while it is written
}

// The name of a temporary file is partPrefix, random text, partSuffix.
const (
	partPrefix = ".archiverd."
	partSuffix = ".part"
)

// openTarget opens the directory and creates it if it is missing. With own, the
// directory is locked against other exports.
func openTarget(dir string, own bool) (*target, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	t := &target{root: root}
	if own {
		if t.lock, err = root.Open("."); err == nil {
			err = lockOrBusy(t.lock)
		}
	}
	if err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// lockOrBusy locks a file or directory. The error is ErrBusy if another export has
// the lock. On a file system without locks the export continues without one.
func lockOrBusy(f *os.File) error {
	if errors.Is(durable.TryLock(f), durable.ErrLocked) {
		return ErrBusy
	}
	return nil
}

func (t *target) close() error {
	if t.lock != nil {
		return errors.Join(t.lock.Close(), t.root.Close())
	}
	return t.root.Close()
}

// prepareDir creates a directory and removes the temporary files that a killed
// export left in it.
func (t *target) prepareDir(dir string) error {
	if err := t.root.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	names, err := t.fileNames(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		if !strings.HasPrefix(n, partPrefix) || !strings.HasSuffix(n, partSuffix) || !t.isAbandoned(path.Join(dir, n)) {
			continue
		}
		if err := t.root.Remove(path.Join(dir, n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// isAbandoned reports whether a file is a regular one that no process is writing.
func (t *target) isAbandoned(name string) bool {
	if st, err := t.root.Lstat(name); err != nil || !st.Mode().IsRegular() {
		return false
	}
	if t.lock != nil { // no other export writes here
		return true
	}
	f, err := t.root.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	return lockOrBusy(f) == nil
}

func (t *target) fileNames(dir string) ([]string, error) {
	d, err := t.root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

// syncDirs makes the names in directories durable.
func (t *target) syncDirs(dirs ...string) error {
	for _, dir := range dirs {
		if err := durable.SyncDirIn(t.root, dir); err != nil {
			return err
		}
	}
	return nil
}

// isRegular reports whether a file exists. The error is ErrTaken if something else
// has the name.
func (t *target) isRegular(name string) (bool, error) {
	st, err := t.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil && !st.Mode().IsRegular() {
		err = ErrTaken
	}
	return err == nil, err
}

// hasEqual reports whether a file with the octets of a message exists. The error is
// ErrTaken if something else has the name.
func (t *target) hasEqual(name string, m *archive.Message) (bool, error) {
	there, err := t.isRegular(name)
	if !there || err != nil {
		return false, err
	}
	f, err := t.root.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err == nil && st.Size() != m.Size {
		err = ErrTaken
	}
	if err != nil {
		return false, err
	}
	sum, size, err := archive.Hash(f)
	if err == nil && m.CheckOctets(sum, size) != nil {
		err = ErrTaken
	}
	return err == nil, err
}

// writeFile writes a file whose octets fill writes. It gets its name when it is
// complete and on disk, and only if the name is free. Its temporary file lies in
// directory temp. A zero date leaves the file's time.
func (t *target) writeFile(temp, name string, date time.Time, fill func(*os.File) error) error {
	part := path.Join(temp, partPrefix+rand.Text()+partSuffix)
	f, err := t.root.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if t.lock == nil {
		err = lockOrBusy(f)
	}
	if err == nil {
		err = fill(f)
	}
	if err == nil && !date.IsZero() {
		err = t.root.Chtimes(part, date, date)
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = t.linkIfFree(part, name)
	}
	if rerr := t.root.Remove(part); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
		err = errors.Join(err, rerr)
	}
	return err
}

// linkIfFree gives a file its name; the error is ErrTaken if the name is taken.
func (t *target) linkIfFree(part, name string) error {
	err := t.root.Link(part, name)
	if err == nil {
		return nil
	}
	if _, there := t.root.Lstat(name); there == nil {
		return fmt.Errorf("%s: %w", name, ErrTaken)
	} else if !errors.Is(there, fs.ErrNotExist) {
		return there
	}
	// A file system without links.
	return t.renameIfFree(part, name)
}

// renameIfFree renames a file; the error is ErrTaken if the new name is taken.
func (t *target) renameIfFree(part, name string) error {
	from, err := t.root.Open(path.Dir(part))
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := t.root.Open(path.Dir(name))
	if err != nil {
		return err
	}
	defer to.Close()
	err = durable.RenameNoReplaceAt(from, path.Base(part), to, path.Base(name))
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w", name, ErrTaken)
	}
	return err
}

// writeOrCompare writes a file whose octets fill writes. If the file exists it
// compares it with them instead: then present is true, or the error is ErrTaken.
func (t *target) writeOrCompare(name string, fill func(io.Writer) error) (present bool, err error) {
	there, err := t.isRegular(name)
	if err != nil {
		return false, err
	}
	if there {
		return true, t.compare(name, fill)
	}
	return false, t.writeFile(path.Dir(name), name, time.Time{}, func(f *os.File) error {
		b := bufio.NewWriterSize(f, 1<<20)
		if err := fill(b); err != nil {
			return err
		}
		return b.Flush()
	})
}

func (t *target) compare(name string, fill func(io.Writer) error) error {
	f, err := t.root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	c := &comparer{r: bufio.NewReaderSize(f, 1<<20)}
	if err := fill(c); err != nil {
		return err
	}
	if _, err := c.r.ReadByte(); err != io.EOF {
		return errors.Join(ErrTaken, err)
	}
	return nil
}

// comparer compares what is written to it with what r reads.
type comparer struct {
	r   *bufio.Reader
	buf []byte
}

func (c *comparer) Write(p []byte) (int, error) {
	c.buf = append(c.buf[:0], p...)
	_, err := io.ReadFull(c.r, c.buf)
	if err == io.EOF || err == io.ErrUnexpectedEOF || err == nil && !bytes.Equal(c.buf, p) {
		err = ErrTaken
	}
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

package archive

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// syncDir makes a directory's entries durable. Some network file systems know
// no fsync of directories and say so; that is no failed write.
func syncDir(d *os.File) error {
	err := d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.EBADF) {
		return nil
	}
	return err
}

// flock takes the lock of the archive for this process.
func flock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}

// renameIfFree renames tmp/name to to; fs.ErrExist if something has that name.
// One writer holds the lock, so nothing can take the name in between.
func renameIfFree(m *Mailbox, name, to string) error {
	if _, err := m.root.Lstat(filepath.FromSlash(to)); err == nil {
		return fs.ErrExist
	}
	return m.root.Rename(path.Join(tmpName, name), filepath.FromSlash(to))
}

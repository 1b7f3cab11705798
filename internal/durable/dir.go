package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// SyncDir makes the entries of an open directory durable: names that were created,
// renamed or removed in it. Some network file systems can't sync directories and
// return EINVAL, ENOTSUP or EBADF: these are ignored, because no write failed.
func SyncDir(dir *os.File) error {
	err := dir.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.EBADF) {
		return nil
	}
	return err
}

// SyncDirIn is SyncDir for the directory dir below root.
func SyncDirIn(root *os.Root, dir string) error {
	d, err := OpenDirIn(root, dir)
	if err != nil {
		return err
	}
	return syncAndClose(d, dir)
}

// SyncDirPath is SyncDir for the directory at a path.
func SyncDirPath(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return syncAndClose(d, dir)
}

func syncAndClose(d *os.File, dir string) error {
	if err := errors.Join(SyncDir(d), d.Close()); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}

// MkdirAll creates dir with mode perm and its missing parents with mode 0755, and
// makes their entries durable. Existing directories are neither changed nor
// synced. The umask applies.
func MkdirAll(dir string, perm fs.FileMode) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := MkdirAll(parent, 0o755); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Sync from the top down: an entry is unreachable until its parent's is durable.
	return SyncDirPath(parent)
}

package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// CreateAt creates the file name in the open directory dir for writing. The caller
// closes it. The error is fs.ErrExist if the name is taken.
//
// CreateAt and SetTimeAt run once for every message; the methods of os.Root take
// three times as many system calls.
func CreateAt(dir *os.File, name string, perm fs.FileMode) (*os.File, error) {
	return openAt(dir, name, "create", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW, perm)
}

// OpenDirAt opens the directory name in dir as a target for RenameNoReplaceAt; on
// Linux the descriptor allows nothing else. The caller closes it. A symbolic link,
// even to a directory, is an error.
func OpenDirAt(dir *os.File, name string) (*os.File, error) {
	return openAt(dir, name, "open", openPath|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
}

func openAt(dir *os.File, name, op string, flags int, perm fs.FileMode) (*os.File, error) {
	full := filepath.Join(dir.Name(), name)
	fd := -1
	err := retryEINTR(func() (err error) {
		fd, err = unix.Openat(int(dir.Fd()), name, flags|unix.O_CLOEXEC, uint32(perm.Perm()))
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: full, Err: err}
	}
	return os.NewFile(uintptr(fd), full), nil
}

// SetTimeAt sets the access and modification times of the file name in dir.
func SetTimeAt(dir *os.File, name string, t time.Time) error {
	ts, err := unix.TimeToTimespec(t)
	if err == nil {
		err = unix.UtimesNanoAt(int(dir.Fd()), name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err != nil {
		return &fs.PathError{Op: "set time of", Path: filepath.Join(dir.Name(), name), Err: err}
	}
	return nil
}

// RenameNoReplaceAt renames the file name in dir from to newName in dir to. The
// error is fs.ErrExist if newName is taken, even by the same file.
//
// On Linux the kernel refuses to replace a file. On other systems, and on file
// systems without that flag, the name is checked first: there the caller must be
// the only writer of the directory.
func RenameNoReplaceAt(from *os.File, name string, to *os.File, newName string) error {
	err := renameNoReplace(int(from.Fd()), name, int(to.Fd()), newName)
	if errors.Is(err, errNoFlag) {
		err = renameIfFree(int(from.Fd()), name, int(to.Fd()), newName)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: filepath.Join(from.Name(), name), New: filepath.Join(to.Name(), newName), Err: err}
	}
	return nil
}

// errNoFlag is returned by renameNoReplace where the kernel or the file system has
// no rename that refuses to replace.
var errNoFlag = errors.New("no rename without replacing")

// renameIfFree is renameNoReplace in two steps; another writer could take the name
// between them.
func renameIfFree(from int, name string, to int, newName string) error {
	var st unix.Stat_t
	err := retryEINTR(func() error { return unix.Fstatat(to, newName, &st, unix.AT_SYMLINK_NOFOLLOW) })
	switch {
	case err == nil:
		return unix.EEXIST
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return retryEINTR(func() error { return unix.Renameat(from, name, to, newName) })
}

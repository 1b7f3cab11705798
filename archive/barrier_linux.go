package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"
)

// syncfsWorks says whether syncfs on f's file system makes everything written
// there durable and reports errors: where that was measured, and nowhere else.
// On overlayfs, FUSE and NFS it does nothing, or lies.
func syncfsWorks(f *os.File) bool {
	var st unix.Statfs_t
	if unix.Fstatfs(int(f.Fd()), &st) != nil {
		return false
	}
	switch int64(st.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC:
	default:
		return false
	}
	// Before Linux 5.8 syncfs kept write errors to itself.
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var major, minor int
	if n, _ := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); n != 2 {
		return false
	}
	return major > 5 || major == 5 && minor >= 8
}

func syncfs(f *os.File) error {
	for {
		if err := unix.Syncfs(int(f.Fd())); err != unix.EINTR {
			return err
		}
	}
}

// create makes a file in tmp/, straight below the directory that os.Root opened:
// the name is ours and has no slash, and O_EXCL follows no link. This and
// setTime are done for every message; os.Root's way takes three times as many
// system calls.
func (m *Mailbox) create(name string) (*os.File, error) {
	for {
		fd, err := unix.Openat(int(m.tmpDir.Fd()), name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(m.w.fileMode()))
		switch err {
		case nil:
			return os.NewFile(uintptr(fd), path.Join(m.Dir, tmpName, name)), nil
		case unix.EINTR:
		default:
			return nil, &fs.PathError{Op: "create", Path: path.Join(m.Dir, tmpName, name), Err: err}
		}
	}
}

// openMonth opens a directory straight below that of a mailbox, for renames into it:
// os.Root's way makes it non-blocking and back first.
func openMonth(mailbox *os.File, month string) (*os.File, error) {
	for {
		fd, err := unix.Openat(int(mailbox.Fd()), month, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		switch err {
		case nil:
			return os.NewFile(uintptr(fd), month), nil
		case unix.EINTR:
		default:
			return nil, &fs.PathError{Op: "open", Path: month, Err: err}
		}
	}
}

// setTime sets the modification time of a file in tmp/.
func (m *Mailbox) setTime(name string, t time.Time) error {
	ts := unix.Timespec{Sec: t.Unix(), Nsec: int64(t.Nanosecond())}
	if err := unix.UtimesNanoAt(int(m.tmpDir.Fd()), name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "set time of", Path: path.Join(m.Dir, tmpName, name), Err: err}
	}
	return nil
}

// renameNoReplace renames tmp/name to to, whose directory is dir. The error is
// fs.ErrExist if something has that name.
func renameNoReplace(m *Mailbox, name string, dir *os.File, to string) error {
	err := unix.Renameat2(int(m.tmpDir.Fd()), name, int(dir.Fd()), path.Base(to), unix.RENAME_NOREPLACE)
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		return renameIfFree(m, name, to) // a file system without the flag
	case err != nil:
		return &os.LinkError{Op: "rename", Old: path.Join(m.Dir, tmpName, name), New: path.Join(m.Dir, to), Err: err}
	}
	return nil
}

// reserve compares free space and inodes with what must stay free.
func reserve(f *os.File, octets int64) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("statfs: %w", err)
	}
	block := uint64(st.Bsize)
	if keep := min(max(st.Blocks*block/100, 1<<20), 200<<20); st.Bavail*block < keep+uint64(octets) {
		return fmt.Errorf("%w: %d MiB are free, %d MiB are kept for journals and database", ErrNoSpace, st.Bavail*block>>20, keep>>20)
	}
	if st.Files > 0 && st.Ffree < st.Files/100 {
		return fmt.Errorf("%w: %d of %d inodes are free", ErrNoSpace, st.Ffree, st.Files)
	}
	return nil
}

package durable

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ErrForeign is returned when a file that would be used or replaced was not made by
// archiverd.
var ErrForeign = errors.New("archiverd did not make this file: name another path, or move it away")

// CheckReplaceable returns an error that wraps ErrForeign unless the file at path may be
// replaced or removed: there is none, or it is a regular file of an accepted owner (see
// CheckOwner) that holds nothing but zeros, as a crash can leave it, or that isMade
// recognises. A nil isMade recognises every file. Symbolic links are not followed.
func CheckReplaceable(path string, isMade func(f *os.File) (bool, error)) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is %s: %w", path, KindName(info.Mode()), ErrForeign)
	}
	if err := CheckOwner(path, info); err != nil || isMade == nil {
		return err
	}
	f, err := OpenRegular(path)
	if err != nil {
		return err
	}
	defer f.Close()
	made, err := isMade(f)
	if err == nil && !made {
		made, err = isBlank(f)
	}
	if err == nil && !made {
		err = fmt.Errorf("%s: %w", path, ErrForeign)
	}
	return err
}

// FollowLinks returns the path of the file that path leads to, path itself if there is
// none. A link is its user's: what is at its end is replaced, and the link stays.
func FollowLinks(path string) string {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target
	}
	return path
}

// OpenRegular opens a regular file for reading. A pipe or device is an error and is not
// waited for, and so is a symbolic link. The caller closes the file.
func OpenRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is %s, not a regular file", path, KindName(info.Mode()))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// ReadHead returns the first n octets of a file, fewer if it has no more.
func ReadHead(f io.ReaderAt, n int) ([]byte, error) {
	head := make([]byte, n)
	n, err := f.ReadAt(head, 0)
	if err == io.EOF {
		err = nil
	}
	return head[:n], err
}

// CheckOwner returns an error that wraps ErrForeign unless the file with that info belongs
// to the user of this process, to root, or to the owner of its directory. The last is for
// a network file system that gives all files to one user.
func CheckOwner(path string, info fs.FileInfo) error {
	file, ok := info.Sys().(*syscall.Stat_t)
	if !ok || file.Uid == 0 || int(file.Uid) == os.Geteuid() {
		return nil
	}
	if dir, err := os.Stat(filepath.Dir(path)); err == nil {
		if d, ok := dir.Sys().(*syscall.Stat_t); ok && d.Uid == file.Uid {
			return nil
		}
	}
	return fmt.Errorf("%s belongs to user %d: %w", path, file.Uid, ErrForeign)
}

// KindName names the kind of a file, for people.
func KindName(mode fs.FileMode) string {
	switch {
	case mode.IsRegular():
		return "a regular file"
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeNamedPipe != 0:
		return "a pipe"
	}
	return "a device"
}

// isBlank reports whether a file has no octet but zeros.
func isBlank(f *os.File) (bool, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := f.Read(buf)
		if len(bytes.TrimLeft(buf[:n], "\x00")) > 0 {
			return false, nil
		}
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
}

package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// ErrNotRegular is returned when a pipe, device, socket or directory is where a regular
// file should be.
var ErrNotRegular = errors.New("not a regular file")

// OpenRegularIn is [os.Root.OpenFile] for regular files. Opening a pipe would wait for
// its other end, and opening a device may do anything: neither is waited for, and the
// error wraps ErrNotRegular.
func OpenRegularIn(root *os.Root, name string, flag int, perm fs.FileMode) (*os.File, error) {
	f, err := root.OpenFile(name, flag|syscall.O_NONBLOCK|syscall.O_NOCTTY, perm)
	if errors.Is(err, syscall.ENXIO) { // a socket, or a pipe that nobody reads
		return nil, fmt.Errorf("open %s: %w", name, ErrNotRegular)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("open %s: it is %s, %w", name, KindName(info.Mode()), ErrNotRegular)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// OpenDirIn opens a directory in root for reading its names. Anything else is an error,
// and is not waited for.
func OpenDirIn(root *os.Root, name string) (*os.File, error) {
	return root.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
}

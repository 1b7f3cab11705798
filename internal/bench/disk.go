package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// testDisk is a new file system in a file. Earlier runs and other programs affect it less
// than the one that it is on: some file systems create files ten times as slowly for
// minutes after many were deleted.
type testDisk struct {
	file string
	dir  string // where it is mounted
}

// newTestDisk makes an ext4 of so many octets in a file below dir and mounts it, which
// needs root. The caller removes it.
func newTestDisk(dir string, octets int64) (*testDisk, error) {
	d := &testDisk{file: filepath.Join(dir, "disk"), dir: filepath.Join(dir, "mounted")}
	f, err := os.Create(d.file)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(octets), f.Close(), os.Mkdir(d.dir, 0o755)); err != nil {
		return nil, err
	}
	for _, command := range [][]string{
		{"mkfs.ext4", "-q", "-F", "-i", "8192", "-E", "lazy_itable_init=0,lazy_journal_init=0", d.file},
		{"mount", "-o", "loop", d.file, d.dir},
	} {
		if output, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", command[0], err, output)
		}
	}
	return d, errors.Join(os.Chmod(dir, 0o755), os.Chmod(d.dir, 0o755))
}

// remove unmounts the file system and deletes its file.
func (d *testDisk) remove() error {
	if output, err := exec.Command("umount", d.dir).CombinedOutput(); err != nil {
		return fmt.Errorf("umount: %w: %s", err, output)
	}
	return os.Remove(d.file)
}

// syncFileSystem waits until the file system of dir has written everything.
func syncFileSystem(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}

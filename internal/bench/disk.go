package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// disk is a file system of its own: what others did to the one that it lies on, and
// the runs before, then count less. On some, files are made ten times as slowly for
// minutes after many were deleted.
type disk struct{ file, dir string }

// mountNew makes an ext4 of that many octets in a file below dir and mounts it, which
// needs root.
func mountNew(dir string, octets int64) (*disk, error) {
	d := &disk{filepath.Join(dir, "disk"), filepath.Join(dir, "mounted")}
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
		if said, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", command[0], err, said)
		}
	}
	return d, errors.Join(os.Chmod(dir, 0o755), os.Chmod(d.dir, 0o755))
}

// remove unmounts it and deletes the file.
func (d *disk) remove() error {
	if said, err := exec.Command("umount", d.dir).CombinedOutput(); err != nil {
		return fmt.Errorf("umount: %w: %s", err, said)
	}
	return os.Remove(d.file)
}

// settle waits until the file system of dir has nothing left to write.
func settle(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}

package durable

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// The reserve is 1/reserveFraction of the file system's size, at least minReserve
// and at most maxReserve octets, and 1/reserveFraction of its inodes.
const (
	reserveFraction = 100
	minReserve      = 1 << 20
	maxReserve      = 200 << 20
)

// CheckFreeSpace returns ErrNoSpace if a new file of that many octets would use the
// reserve of f's file system. The reserve lets a journal or database that is being
// written be completed.
func CheckFreeSpace(f *os.File, octets int64) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("statfs: %w", err)
	}
	block := uint64(st.Bsize)
	if reserve := min(max(st.Blocks*block/reserveFraction, minReserve), maxReserve); st.Bavail*block < reserve+uint64(octets) {
		return fmt.Errorf("%w: %d MiB are free, %d MiB are kept for journals and database", ErrNoSpace, st.Bavail*block>>20, reserve>>20)
	}
	// Some file systems have no fixed number of inodes and report none.
	if st.Files > 0 && st.Ffree < st.Files/reserveFraction {
		return fmt.Errorf("%w: %d of %d inodes are free", ErrNoSpace, st.Ffree, st.Files)
	}
	return nil
}

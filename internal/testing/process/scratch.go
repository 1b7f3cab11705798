package process

import (
	"os"

	"golang.org/x/sys/unix"
)

// minMemory is how many octets must be free in memory before Scratch uses it. The
// /dev/shm of a container may have only some MiB.
const minMemory = 2 << 30

// Scratch makes a directory for files that need not outlast a test, in memory where
// minMemory is free: syncing them to disk would slow down other tests as well. Its
// path is short, since a Unix socket's path has at most 107 octets and TMPDIR may be
// long. The caller removes it.
func Scratch(pattern string) (string, error) {
	const memory = "/dev/shm"
	var st unix.Statfs_t
	if unix.Statfs(memory, &st) == nil && st.Type == unix.TMPFS_MAGIC && st.Bavail*uint64(st.Bsize) >= minMemory {
		if dir, err := os.MkdirTemp(memory, pattern); err == nil {
			return dir, nil
		}
	}
	return os.MkdirTemp("/tmp", pattern)
}

package dovecot

import (
	"os"

	"golang.org/x/sys/unix"
)

// scratchRoom is how much must be free in memory for a test's files, in octets. A
// container may have some MiB of it only.
const scratchRoom = 2 << 30

// Scratch makes a directory for what need not outlast a test, with a short path, as
// Unix sockets want it (107 octets; TMPDIR may be long). It lies in memory where there
// is room, since to make durable what nobody asks for later takes time, of other tests
// too. The caller removes it.
func Scratch(pattern string) (string, error) {
	const memory = "/dev/shm"
	var st unix.Statfs_t
	if unix.Statfs(memory, &st) == nil && st.Type == unix.TMPFS_MAGIC && st.Bavail*uint64(st.Bsize) >= scratchRoom {
		if dir, err := os.MkdirTemp(memory, pattern); err == nil {
			return dir, nil
		}
	}
	return os.MkdirTemp("/tmp", pattern)
}

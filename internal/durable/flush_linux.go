package durable

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// CanSyncFS reports whether SyncFS makes everything written to f's file system
// durable and reports write errors. It is true only where both were measured:
// ext4, XFS, Btrfs and tmpfs. On overlayfs, FUSE and NFS syncfs does nothing or
// hides errors.
func CanSyncFS(f *os.File) bool {
	var st unix.Statfs_t
	if unix.Fstatfs(int(f.Fd()), &st) != nil {
		return false
	}
	switch int64(st.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC:
	default:
		return false
	}
	// Before Linux 5.8 syncfs reported no write errors.
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

// SyncFS makes everything written to f's file system durable (syncfs(2)): one call
// for many files. The kernel reports a write error once to each descriptor that was
// open when it happened, so f must be opened before the first of those writes. Call
// it only where CanSyncFS is true.
func SyncFS(f *os.File) error {
	return retryEINTR(func() error { return unix.Syncfs(int(f.Fd())) })
}

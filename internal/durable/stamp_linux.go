package durable

import (
	"io/fs"
	"syscall"
)

// changeAndInode returns a file's ctime in nanoseconds and the number of its inode.
func changeAndInode(info fs.FileInfo) (ctime int64, inode uint64) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ctim.Nano(), st.Ino
	}
	return 0, 0
}

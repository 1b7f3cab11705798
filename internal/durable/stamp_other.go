//go:build !linux

package durable

import "io/fs"

// changeAndInode returns zeros: only Linux is asked.
func changeAndInode(fs.FileInfo) (ctime int64, inode uint64) { return 0, 0 }

package durable

import "io/fs"

// Stamp is what a file system says of a file without it being read. It changes whenever
// the file is written to or replaced, but for writes within one tick of the kernel's
// clock. The zero value is no file's.
type Stamp struct {
	Size       int64  `json:"size"`
	ModTime    int64  `json:"mtime"`           // nanoseconds since 1970
	ChangeTime int64  `json:"ctime,omitempty"` // the same; 0: not known
	Inode      uint64 `json:"inode,omitempty"` // 0: not known
}

// StampOf returns the stamp of a file.
func StampOf(info fs.FileInfo) Stamp {
	s := Stamp{Size: info.Size(), ModTime: info.ModTime().UnixNano()}
	s.ChangeTime, s.Inode = changeAndInode(info)
	return s
}

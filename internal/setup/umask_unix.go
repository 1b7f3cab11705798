//go:build unix

package setup

import "syscall"

// Umask sets the process's umask: other users can't access the files that it creates,
// and the group can only read them, if group is set.
func Umask(group bool) {
	if group {
		syscall.Umask(0o027)
		return
	}
	syscall.Umask(0o077)
}

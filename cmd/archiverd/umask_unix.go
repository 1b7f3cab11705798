//go:build unix

package main

import "syscall"

// umask keeps others out of every file that this process makes, and the group
// too unless it is to read.
func umask(group bool) {
	if group {
		syscall.Umask(0o027)
		return
	}
	syscall.Umask(0o077)
}

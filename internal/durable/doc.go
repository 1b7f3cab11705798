// Package durable writes files so that they survive a crash, and locks them
// against a second writer.
//
// The octets of a file are durable after an fsync of the file (or a syncfs), its
// name after an fsync of the directory that holds it. The order is always the
// same: octets before the name, the name before anything that relies on it.
//
// After a failed sync the state of the file is unknown: the kernel reports the
// error once and then treats the lost pages as written. A second sync that
// succeeds proves nothing, and a read may return octets that never reached the
// disk. The caller has to write the file again.
//
// The functions whose names end in At take an open directory and a name without a
// slash, and never follow a symbolic link of that name. With a directory that was
// opened through an [os.Root] they stay inside the root.
package durable

import "errors"

var (
	// ErrLocked is returned when another process, or another descriptor in this
	// process, holds the lock.
	ErrLocked = errors.New("locked by another process")
	// ErrNoSpace is returned when a write would use the reserve of free space or inodes.
	ErrNoSpace = errors.New("the file system is nearly full")
)

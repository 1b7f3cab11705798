package durable

import (
	"errors"

	"golang.org/x/sys/unix"
)

// openPath opens a directory as a location only, which is cheaper than for reading.
const openPath = unix.O_PATH

// renameNoReplace renames a file; the error is EEXIST if newName is taken.
func renameNoReplace(from int, name string, to int, newName string) error {
	err := retryEINTR(func() error { return unix.Renameat2(from, name, to, newName, unix.RENAME_NOREPLACE) })
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return errNoFlag
	}
	return err
}

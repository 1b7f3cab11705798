//go:build !linux

package durable

// openPath is zero: only Linux can open a directory as a location only.
const openPath = 0

// renameNoReplace returns errNoFlag.
func renameNoReplace(int, string, int, string) error { return errNoFlag }

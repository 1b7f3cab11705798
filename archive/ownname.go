package archive

import (
	"os"
	"path/filepath"
	"strings"

	"archiverd/internal/durable"
)

// CheckReplaceable returns an error that wraps durable.ErrForeign unless the file at path,
// which belongs to a database beside the archive, may be replaced or removed (see
// durable.CheckReplaceable). A regular file with one of the archive's own names counts as
// made by archiverd whatever it holds, so that one that a fault of the disk has garbled
// can be rebuilt.
func CheckReplaceable(path string, isMade func(f *os.File) (bool, error)) error {
	if hasOwnName(path) {
		isMade = nil
	}
	return durable.CheckReplaceable(path, isMade)
}

// hasOwnName reports whether a path is one of the archive's own names in the root of an
// archive: state.db, or a name that begins so. No account and no file of a user has such
// a name there.
func hasOwnName(path string) bool {
	dir, base := filepath.Split(path)
	if !strings.HasPrefix(base, "state.db") {
		return false
	}
	info, err := os.Lstat(filepath.Join(dir, infoName))
	return err == nil && info.Mode().IsRegular()
}

package archive

import (
	"os"
	"path/filepath"
	"strings"
)

// HasOwnName reports whether a path is one of the archive's own names in the root of an
// archive: state.db, or a name that begins so. No account and no file of a user has such
// a name there, so that a file that a fault of the disk has garbled can be rebuilt.
func HasOwnName(path string) bool {
	dir, base := filepath.Split(path)
	if !strings.HasPrefix(base, "state.db") {
		return false
	}
	info, err := os.Lstat(filepath.Join(dir, infoName))
	return err == nil && info.Mode().IsRegular()
}

package durable

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// Replace puts a new file, whose octets fill writes, in the place of name. A reader
// sees either the old file or the whole new one, also after a crash. When Replace
// returns nil the new file is durable under its name. After an error from fill or
// from the sync of the file, name is unchanged and temp is removed.
//
// name and temp are relative to root and lie in the same directory. A file that an
// interrupted call left at temp is removed first, and temp is created exclusively:
// a link at temp is never followed. The caller ensures that no other call uses the
// same temp at the same time. fill does not close the file.
func Replace(root *os.Root, name, temp string, perm fs.FileMode, fill func(*os.File) error) error {
	if err := root.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
	if err != nil {
		return err
	}
	err = fill(f)
	if err == nil {
		// Sync the octets before the rename: otherwise a crash can leave the name
		// with an empty or truncated file, and the old one is lost.
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = root.Rename(temp, name)
	}
	if err != nil {
		return errors.Join(err, root.Remove(temp))
	}
	// Sync the directory before the return: otherwise a crash can bring the old
	// file back.
	return SyncDirIn(root, path.Dir(name))
}

// Rename renames temp to name, in the same directory, and makes that durable. It
// replaces the file at name, if there is one. The caller has synced the octets of
// temp, else a crash may leave name with a part of them.
func Rename(temp, name string) error {
	if err := os.Rename(temp, name); err != nil {
		return err
	}
	return SyncDirPath(filepath.Dir(name))
}

package durable

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Somebody's file, link, pipe or directory is never replaceable; a file that archiverd
// made, or that a crash emptied, is.
func TestCheckReplaceable(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	isMade := func(f *os.File) (bool, error) {
		head := make([]byte, 5)
		_, err := f.ReadAt(head, 0)
		return string(head) == "magic", ignoreEOF(err)
	}
	for name, text := range map[string]string{"empty": "", "zeros": strings.Repeat("\x00", 200_000), "made": "magic, and more", "letter": "Dear Ada", "late": strings.Repeat("\x00", 70_000) + "x"} {
		write(t, path(name), text)
	}
	if err := errors.Join(os.Symlink("made", path("link")), os.Mkdir(path("directory"), 0o700), syscall.Mkfifo(path("pipe"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"none", "empty", "zeros", "made"} {
		if err := CheckReplaceable(path(name), isMade); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"letter", "late", "link", "directory", "pipe"} {
		if err := CheckReplaceable(path(name), isMade); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), path(name)) {
			t.Errorf("%s: %v, want ErrForeign with the path", name, err)
		}
	}
	if err := CheckReplaceable(path("letter"), nil); err != nil {
		t.Errorf("a name of archiverd's own: %v", err)
	}
	for _, name := range []string{"pipe", "link", "directory"} {
		if f, err := OpenRegular(path(name)); err == nil {
			f.Close()
			t.Errorf("%s was opened", name)
		}
	}
}

// A file of another user in a directory of root's is not taken for archiverd's.
func TestCheckOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	write(t, file, "")
	for _, c := range []struct {
		file, dir int
		ok        bool
	}{{0, 0, true}, {1000, 0, false}, {1000, 1000, true}, {1000, 1001, false}, {0, 1001, true}} {
		if err := errors.Join(os.Chown(file, c.file, -1), os.Chown(dir, c.dir, -1)); err != nil {
			t.Fatal(err)
		}
		if err := CheckReplaceable(file, nil); (err == nil) != c.ok {
			t.Errorf("file of %d in a directory of %d: %v", c.file, c.dir, err)
		}
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

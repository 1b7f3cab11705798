package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestMkdirAll(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "a", "b", "c")
	for range 2 {
		if err := MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	umask := syscall.Umask(0)
	syscall.Umask(umask)
	for path, want := range map[string]fs.FileMode{dir: 0o700, filepath.Dir(dir): 0o755 &^ fs.FileMode(umask)} {
		if st, err := os.Stat(path); err != nil || !st.IsDir() || st.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want a directory of mode %v", path, st, err, want)
		}
	}
	write(t, filepath.Join(top, "file"), "")
	if err := MkdirAll(filepath.Join(top, "file", "d"), 0o700); err == nil {
		t.Error("a directory was made in a file")
	}
}

func TestSyncDir(t *testing.T) {
	dir := t.TempDir()
	if err := SyncDirPath(dir); err != nil {
		t.Error(err)
	}
	if err := SyncDirIn(openRoot(t, dir), "."); err != nil {
		t.Error(err)
	}
	if err := SyncDirPath(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing directory: %v", err)
	}
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	if err := SyncDir(d); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("a closed directory: %v", err)
	}
}

// procfs refuses fsync of a directory, as some network file systems do.
func TestSyncDirThatCannotBeSynced(t *testing.T) {
	d, err := os.Open("/proc/self")
	if err != nil {
		t.Skip("no procfs")
	}
	defer d.Close()
	if err := d.Sync(); !errors.Is(err, syscall.EINVAL) {
		t.Skipf("procfs answers %v", err)
	}
	if err := SyncDir(d); err != nil {
		t.Error(err)
	}
}

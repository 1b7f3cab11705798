package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCreateAt(t *testing.T) {
	dir := t.TempDir()
	f, err := CreateAt(open(t, dir), "file", 0o640)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(text("one")(f), f.Close()); err != nil {
		t.Fatal(err)
	}
	wantFile(t, filepath.Join(dir, "file"), "one")
	if f.Name() != filepath.Join(dir, "file") {
		t.Errorf("it is called %s", f.Name())
	}
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"file", "link"} {
		if _, err := CreateAt(open(t, dir), name, 0o640); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), name) {
			t.Errorf("create %s: %v", name, err)
		}
	}
	wantNames(t, dir, "file", "link")
}

func TestSetTimeAt(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "")
	for _, want := range []time.Time{time.Date(2026, 11, 22, 18, 30, 0, 500, time.UTC), time.Date(1969, 7, 20, 20, 17, 40, 0, time.UTC)} {
		if err := SetTimeAt(open(t, dir), "file", want); err != nil {
			t.Fatal(err)
		}
		if st, err := os.Stat(filepath.Join(dir, "file")); err != nil || !st.ModTime().Equal(want) {
			t.Errorf("the time is %v, %v; want %v", st.ModTime(), err, want)
		}
	}
	if err := SetTimeAt(open(t, dir), "none", time.Now()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestRenameNoReplaceAt(t *testing.T) {
	for name, rename := range map[string]func(from *os.File, name string, to *os.File, newName string) error{
		"kernel": RenameNoReplaceAt,
		"in two steps": func(from *os.File, name string, to *os.File, newName string) error {
			return renameIfFree(int(from.Fd()), name, int(to.Fd()), newName)
		},
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			month := filepath.Join(top, "month")
			if err := os.Mkdir(month, 0o700); err != nil {
				t.Fatal(err)
			}
			from := open(t, top)
			to, err := OpenDirAt(from, "month")
			if err != nil {
				t.Fatal(err)
			}
			defer to.Close()
			write(t, filepath.Join(top, "one"), "one")
			write(t, filepath.Join(top, "two"), "two")
			if err := rename(from, "one", to, "message"); err != nil {
				t.Fatal(err)
			}
			if err := rename(from, "two", to, "message"); !errors.Is(err, fs.ErrExist) {
				t.Errorf("a taken name: %v, want fs.ErrExist", err)
			}
			if err := rename(from, "none", to, "other"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a missing file: %v, want fs.ErrNotExist", err)
			}
			wantFile(t, filepath.Join(month, "message"), "one")
			wantNames(t, top, "month", "two")

			if err := os.Symlink("dangling", filepath.Join(month, "link")); err != nil {
				t.Fatal(err)
			}
			if err := rename(from, "two", to, "link"); !errors.Is(err, fs.ErrExist) {
				t.Errorf("a symbolic link: %v, want fs.ErrExist", err)
			}
		})
	}
}

func TestOpenDirAt(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "")
	if err := os.Symlink(".", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"none", "file", "link"} {
		if d, err := OpenDirAt(open(t, dir), name); err == nil {
			d.Close()
			t.Errorf("%s was opened", name)
		}
	}
}

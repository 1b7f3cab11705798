package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func openRoot(t *testing.T, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func wantFile(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s is %q, %v; want %q", filepath.Base(path), got, err, want)
	}
}

func wantNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("the directory holds %q, want %q", got, want)
	}
}

func text(s string) func(*os.File) error {
	return func(f *os.File) error { _, err := f.WriteString(s); return err }
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	root := openRoot(t, dir)
	if err := os.Mkdir(filepath.Join(dir, "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"old and longer", "new"} {
		if err := Replace(root, "below/file", "below/file.new", 0o640, text(s)); err != nil {
			t.Fatal(err)
		}
		wantFile(t, filepath.Join(dir, "below/file"), s)
		wantNames(t, filepath.Join(dir, "below"), "file")
	}
	if st, err := os.Stat(filepath.Join(dir, "below/file")); err != nil || st.Mode().Perm()&^0o640 != 0 {
		t.Errorf("its mode is %v, %v", st.Mode(), err)
	}
}

func TestReplaceFails(t *testing.T) {
	full := errors.New("disk full")
	dir := t.TempDir()
	root := openRoot(t, dir)
	write(t, filepath.Join(dir, "file"), "old")

	t.Run("fill", func(t *testing.T) {
		err := Replace(root, "file", "file.new", 0o600, func(f *os.File) error {
			return errors.Join(text("ne")(f), full)
		})
		if !errors.Is(err, full) {
			t.Errorf("the error is %v, want %v", err, full)
		}
		wantFile(t, filepath.Join(dir, "file"), "old")
		wantNames(t, dir, "file")
	})
	t.Run("sync", func(t *testing.T) {
		err := Replace(root, "file", "file.new", 0o600, func(f *os.File) error { return f.Close() })
		if !errors.Is(err, fs.ErrClosed) {
			t.Errorf("the error is %v, want %v", err, fs.ErrClosed)
		}
		wantFile(t, filepath.Join(dir, "file"), "old")
		wantNames(t, dir, "file")
	})
	t.Run("rename", func(t *testing.T) {
		if err := os.Mkdir(filepath.Join(dir, "taken"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := Replace(root, "taken", "taken.new", 0o600, text("new")); err == nil {
			t.Error("a directory was replaced")
		}
		wantNames(t, dir, "file", "taken")
	})
}

// A crash leaves the temporary file, whole or cut.
func TestReplaceAfterInterruptedReplace(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file.new"), "what a crash left, longer than the new one")
	if err := Replace(openRoot(t, dir), "file", "file.new", 0o600, text("new")); err != nil {
		t.Fatal(err)
	}
	wantFile(t, filepath.Join(dir, "file"), "new")
	wantNames(t, dir, "file")
}

// A link at the temporary name must not lead a process of root's to write elsewhere.
func TestReplaceFollowsNoLink(t *testing.T) {
	for name, link := range map[string]func(old, name string) error{"symbolic": os.Symlink, "hard": os.Link} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			victim := filepath.Join(dir, "victim")
			write(t, victim, "precious")
			if err := link(victim, filepath.Join(dir, "file.new")); err != nil {
				t.Fatal(err)
			}
			if err := Replace(openRoot(t, dir), "file", "file.new", 0o600, text("new")); err != nil {
				t.Fatal(err)
			}
			wantFile(t, victim, "precious")
			wantFile(t, filepath.Join(dir, "file"), "new")
		})
	}
}

func TestRename(t *testing.T) {
	dir := t.TempDir()
	name, temp := filepath.Join(dir, "file"), filepath.Join(dir, "file.new")
	write(t, name, "old")
	write(t, temp, "new")
	if err := Rename(temp, name); err != nil {
		t.Fatal(err)
	}
	wantFile(t, name, "new")
	if err := Rename(temp, name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("rename of a missing file: %v", err)
	}
	wantFile(t, name, "new")
}

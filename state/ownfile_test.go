package state

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"archiverd/archive"
	"archiverd/internal/durable"
)

// A state.path, or a name beside it, that is somebody's file: the file stays as it was, and
// the error says what to do.
func TestForeignFileIsNotReplaced(t *testing.T) {
	h := newHouse(t)
	h.simple()
	h.close()
	letter := bytes.Repeat([]byte("Dear Ada\n"), 9000)
	for name, prepare := range map[string]func(path string) error{
		"letter":               func(path string) error { return os.WriteFile(path, letter, 0o600) },
		"another's bbolt":      makeForeignBolt,
		"letter where .new is": func(path string) error { return os.WriteFile(path+".new", letter, 0o600) },
		"directory":            func(path string) error { return os.Mkdir(path, 0o700) },
		"dangling link":        func(path string) error { return os.Symlink("nowhere", path) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "mine")
			if err := prepare(path); err != nil {
				t.Fatal(err)
			}
			before := snapshot(t, filepath.Dir(path))
			w, err := archive.OpenWriter(h.dir, archive.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			if _, _, err := Open(path, w); !errors.Is(err, durable.ErrForeign) {
				t.Errorf("opened: %v, want ErrForeign", err)
			}
			if got := snapshot(t, filepath.Dir(path)); got != before {
				t.Errorf("the directory has now\n%.200q\nand had\n%.200q", got, before)
			}
		})
	}
}

// In the archive the name state.db is the archive's own: whatever a fault of the disk left
// there is replaced. A link to another place stays a link.
func TestGarbledDatabaseInTheArchive(t *testing.T) {
	h := newHouse(t)
	h.simple()
	h.close()
	path := filepath.Join(h.dir, "state.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte("garbage\n"), 9000), 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := archive.OpenWriter(h.dir, archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	db, notes, err := Open(path, w)
	if err != nil {
		t.Fatal(err)
	}
	noted(t, notes, "rebuilding it from the journals")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(t.TempDir(), "fast")
	if err := errors.Join(os.Rename(path, elsewhere), os.Symlink(elsewhere, path)); err != nil {
		t.Fatal(err)
	}
	if db, _, err = Open(path, w); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Rebuild(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if target, err := os.Readlink(path); err != nil || target != elsewhere {
		t.Errorf("the link leads to %q, %v", target, err)
	}
}

// makeForeignBolt makes a bbolt file as another program would.
func makeForeignBolt(path string) error {
	b, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: true})
	if err != nil {
		return err
	}
	err = b.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{"meta", "members", "keys"} {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, b.Close())
}

// snapshot describes the files of a directory.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := ""
	for _, e := range list {
		text, _ := os.ReadFile(filepath.Join(dir, e.Name())) // "" for what is no file
		out += e.Name() + " " + e.Type().String() + " " + string(text) + "\n"
	}
	return out
}

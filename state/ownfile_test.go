package state

import (
	"bytes"
	"errors"
	"fmt"
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

// A crash while the database is made outside the archive leaves a part of it beside its name: bbolt's
// first pages, whole or torn, or pages of a first commit that did not end. The next opening
// replaces it.
func TestCrashWhileTheDatabaseIsMade(t *testing.T) {
	h := newHouse(t)
	h.simple()
	h.close()
	w, err := archive.OpenWriter(h.dir, archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	path := filepath.Join(t.TempDir(), "mine")
	check := func(what string, left []byte) {
		t.Helper()
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+".new", left, 0o600); err != nil {
			t.Fatal(err)
		}
		db, _, err := Open(path, w)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	first := firstPages(t)
	page := os.Getpagesize()
	for lost := range 1 << 4 {
		left := bytes.Clone(first)
		for p := range 4 {
			if lost>>p&1 == 1 {
				clear(left[p*page : (p+1)*page])
			}
		}
		check(fmt.Sprintf("pages %04b lost", lost), left)
	}
	for n := 0; n < len(first); n += 512 {
		check(fmt.Sprintf("%d octets left", n), first[:n])
	}
	check("the first commit has no meta page", append(bytes.Clone(first), bytes.Repeat([]byte("uids"), page)...))
}

// A file that has bbolt's first pages only in part, and more than them, is somebody's.
func TestDamagedForeignBoltIsNotReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mine")
	if err := makeForeignBolt(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	for _, lost := range [][2]int{{0, page}, {page, 2 * page}, {0, 2 * page}, {0, 4 * page}} {
		left := bytes.Clone(text)
		clear(left[lost[0]:lost[1]])
		if err := os.WriteFile(path, left, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := checkReplaceable(path); !errors.Is(err, durable.ErrForeign) {
			t.Errorf("without the octets %d to %d: %v, want ErrForeign", lost[0], lost[1], err)
		}
	}
}

// firstPages returns what bbolt writes when it makes a file.
func firstPages(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "first")
	b, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err := errors.Join(err, b.Close()); err != nil {
		t.Fatal(err)
	}
	return text[:4*os.Getpagesize()]
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

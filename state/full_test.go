package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"archiverd/archive"
)

func stat(t *testing.T, path string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// A disk that was full has damaged nothing: the database is not used until it has caught
// up, and is not rebuilt.
func TestFullDiskIsNoDamage(t *testing.T) {
	h := newHouse(t)
	h.simple()
	before, file := h.index(), stat(t, h.path())
	b := h.batch("INBOX")
	h.add(b, 7, 90, "ninety")
	h.commit(b)
	err := h.db.update(func(tx *bbolt.Tx) error {
		if err := tx.Bucket(runsBucket).Put([]byte("alice"), []byte("[]")); err != nil {
			return err
		}
		return &os.PathError{Op: "write", Path: h.path(), Err: syscall.ENOSPC}
	})
	if !errors.Is(err, ErrFull) || errors.Is(err, ErrDamaged) || strings.Contains(err.Error(), "is damaged") {
		t.Errorf("the error is %v", err)
	}
	if _, err := h.db.UIDs("alice/INBOX"); !errors.Is(err, ErrFull) || !h.db.Broken() || !h.db.IsFull() {
		t.Errorf("the database can still be used: %v", err)
	}
	if err := h.db.FinishRun(Run{Account: "alice"}, nil); !errors.Is(err, ErrFull) {
		t.Errorf("a run is stored: %v", err)
	}
	if notes, err := h.db.Resume(); err != nil || len(notes) > 0 {
		t.Errorf("resumed with %v, notes %q", err, notes)
	}
	if h.db.Broken() || !os.SameFile(file, stat(t, h.path())) || h.index() == before {
		t.Errorf("broken %v, the same file %v, caught up %v", h.db.Broken(), os.SameFile(file, stat(t, h.path())), h.index() != before)
	}
}

// A write that failed and is visible all the same may not be durable: that is damage.
func TestFailedWriteThatIsVisibleIsDamage(t *testing.T) {
	h := newHouse(t)
	h.simple()
	h.db.markBroken(h.db.bolt, &fullError{0, syscall.ENOSPC})
	if _, err := h.db.Resume(); !errors.Is(err, ErrDamaged) {
		t.Errorf("resumed with %v", err)
	}
	if _, err := h.db.Rebuild(); err != nil {
		t.Error(err)
	}
}

// On a real disk that is full: commits go on failing with ErrFull; with
// space again nothing is rebuilt, and all is there.
func TestRealFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may mount")
	}
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=1M"); err != nil {
		t.Skipf("mount: %v", err) // a container may be root and not let it
	}
	defer func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	dir := filepath.Join(t.TempDir(), "archive")
	w, err := archive.OpenWriter(dir, archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(disk, "state.db")
	db, _, err := Open(path, w)
	if err != nil {
		t.Fatal(err)
	}
	file := stat(t, path)
	h := &house{t: t, dir: dir, w: w, db: db}
	if err := os.WriteFile(filepath.Join(disk, "filler"), make([]byte, 800<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	h.fillDisk()
	if _, err := db.Resume(); !errors.Is(err, ErrFull) {
		t.Errorf("resumed on the full disk: %v", err)
	}
	if err := os.Remove(filepath.Join(disk, "filler")); err != nil {
		t.Fatal(err)
	}
	if notes, err := db.Resume(); err != nil || len(notes) > 0 || !os.SameFile(file, stat(t, path)) {
		t.Errorf("resumed with space: %v, notes %q; it may have been rebuilt", err, notes)
	}
	boxes, err := w.Mailboxes("")
	if err != nil {
		t.Fatal(err)
	}
	known, err := db.Mailboxes("alice")
	if err != nil || len(known) != len(boxes) {
		t.Errorf("%d of %d mailboxes are known, %v", len(known), len(boxes), err)
	}
	if err := errors.Join(db.Close(), w.Close()); err != nil {
		t.Error(err)
	}
}

// fillDisk commits to one mailbox after the other until the database's disk is full.
func (h *house) fillDisk() {
	h.t.Helper()
	for i := range 2000 {
		b := h.batch(fmt.Sprint("box", i))
		b.Record(opened(fmt.Sprint("box", i), 7))
		h.add(b, 7, 1, fmt.Sprint("message ", i))
		err := h.db.Apply(h.commit(b)...)
		if errors.Is(err, ErrFull) && !errors.Is(err, ErrDamaged) {
			return
		}
		if err != nil {
			h.t.Fatal(err)
		}
	}
	h.t.Fatal("the disk did not get full")
}

package state

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"archiverd/archive"
	"archiverd/internal/uid"
)

// Whatever happens to the database file: it is rebuilt, with a note, and has everything
// that it had.
func TestDamagedFile(t *testing.T) {
	whole := newHouse(t)
	whole.simple()
	for i := range 30 {
		b := whole.batch(fmt.Sprint("box", i))
		b.Record(opened(b.Mailbox().Dir, 1))
		for u := range uint32(20) {
			whole.add(b, 1, u+1, fmt.Sprint(i, " ", u, strings.Repeat("x", i)))
		}
		whole.apply(whole.commit(b))
	}
	want := whole.index()
	whole.close()
	file, err := os.ReadFile(whole.path())
	if err != nil {
		t.Fatal(err)
	}
	whole.open()

	fixed := map[string][]byte{
		"empty": {}, "one octet": {0}, "zeros": make([]byte, 1<<16),
		"first page": file[:4096], "half": file[:len(file)/2/4096*4096], "cut in a page": file[:len(file)-100],
	}
	for name, text := range fixed {
		t.Run(name, func(t *testing.T) {
			h := &house{t: t, dir: filepath.Join(t.TempDir(), "archive")}
			copyTree(t, whole.dir, h.dir)
			if err := os.WriteFile(h.path(), text, 0o600); err != nil {
				t.Fatal(err)
			}
			notes := h.open()
			defer h.close()
			if name != "half" && name != "cut in a page" { // what is lost there may be free
				noted(t, notes, "rebuilding it from the journals")
			}
			if got := h.index(); got != want {
				t.Errorf("the database knows\n%swant\n%s", got, want)
			}
		})
	}

	r := rand.New(rand.NewPCG(1, 2))
	dir := filepath.Join(t.TempDir(), "archive")
	copyTree(t, whole.dir, dir)
	for i := range 100 {
		text := bytes.Clone(file)
		for range 1 + r.IntN(8) {
			at, n := r.IntN(len(text)), 1+r.IntN(64)
			for j := at; j < min(at+n, len(text)); j++ {
				text[j] = byte(r.Uint32())
			}
		}
		if err := os.WriteFile(dir+".db", text, 0o600); err != nil {
			t.Fatal(err)
		}
		(&house{t: t, dir: dir}).answersOrDamaged(i, want)
	}
}

// answersOrDamaged opens a database with damage n: every answer must be right, or
// ErrDamaged. Made anew the database must know what want says.
func (h *house) answersOrDamaged(n int, want string) {
	h.t.Helper()
	notes := h.open()
	defer h.close()
	for _, b := range h.boxes() {
		got, err := h.db.UIDs(b.Dir)
		if err != nil {
			if !errors.Is(err, ErrDamaged) || !h.db.Broken() {
				h.t.Errorf("damage %d: %v, broken %v", n, err, h.db.Broken())
			}
			if _, err := h.db.Rebuild(); err != nil {
				h.t.Fatal(err)
			}
			if got := h.index(); got != want {
				h.t.Errorf("damage %d: made anew the database knows\n%swant\n%s", n, got, want)
			}
			return
		}
		uids := uid.Set{}
		uids.AddRange(1, 20)
		if b.Dir == "alice/INBOX" {
			uids = uid.Of(1, 2)
		}
		if got.Archived.String() != uids.String() || !got.Failed.Empty() || !got.Gone.Empty() {
			h.t.Errorf("damage %d: UIDs of %s are %v; notes %q", n, b.Dir, got, notes)
		}
	}
}

// Damage under an open database, in memory: no panic, no hang, no wrong UIDs.
func TestDamageWhileOpen(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 30 {
		h := newHouse(t)
		h.simple()
		f, err := os.OpenFile(h.path(), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		st, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if i%4 == 0 {
			err = f.Truncate(4096 * r.Int64N(4)) // SIGBUS in what was mapped
		} else {
			for range 20 {
				octets := make([]byte, 64)
				for j := range octets {
					octets[j] = byte(r.Uint32())
				}
				if _, werr := f.WriteAt(octets, r.Int64N(st.Size()-64)); werr != nil {
					err = werr
				}
			}
		}
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		b := h.batchIfKnown("INBOX")
		if b != nil {
			h.add(b, 1, 3, "three")
			_ = h.db.Apply(h.commit(b)...) // it fails, or what it wrote is found out
		}
		if got, err := h.db.UIDs("alice/INBOX"); err == nil && b != nil && got.Archived.String() != "1:3" && !got.Archived.Empty() {
			t.Errorf("damage %d: UIDs are %v", i, got)
		}
		if _, err := h.db.Rebuild(); err != nil {
			t.Fatal(err)
		}
	}
}

// batchIfKnown is batch, nil if the database can't tell.
func (h *house) batchIfKnown(name string) *archive.Batch {
	h.t.Helper()
	info, ok, err := h.db.Mailbox("alice/" + name)
	if err != nil || !ok {
		return nil
	}
	m, err := h.w.Mailbox(archive.MailboxDir{Account: "alice", Dir: "alice/" + name}, info.JournalState())
	if err != nil {
		return nil
	}
	b, err := m.Batch()
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

func TestForeignDatabase(t *testing.T) {
	h, other := newHouse(t), newHouse(t)
	h.simple()
	other.simple()
	h.close()
	other.close()
	text, err := os.ReadFile(other.path())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.path(), text, 0o600); err != nil {
		t.Fatal(err)
	}
	noted(t, h.open(), "it is of archive ")
}

func TestOtherLayout(t *testing.T) {
	h := newHouse(t)
	h.simple()
	err := h.db.bolt.Update(func(tx *bbolt.Tx) error { return tx.Bucket(metaBucket).Put(schemaKey, []byte("0")) })
	if err != nil {
		t.Fatal(err)
	}
	noted(t, h.reopen(), "its layout is of another version")
	if got, want := h.uids("alice/INBOX"), "archived 1:2 failed  gone "; got != want {
		t.Errorf("UIDs are %s, want %s", got, want)
	}
}

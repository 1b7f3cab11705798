package state

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"

	"go.etcd.io/bbolt"
)

// buffered is the number of entries in bufferBucket.
func (h *house) buffered() int {
	h.t.Helper()
	n := 0
	err := h.db.view(func(tx *bbolt.Tx) error {
		return tx.Bucket(bufferBucket).ForEach(func(_, rest []byte) error {
			for ; len(rest) > 0; n++ {
				_, after, ok := decodeEntry(rest)
				if !ok {
					return errors.New("an entry that can't be read")
				}
				rest = after
			}
			return nil
		})
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

// found fails unless the messages with UIDs from 1 to n are found by sum, size and date.
func (h *house) found(n uint32) {
	h.t.Helper()
	for u := uint32(1); u <= n; u++ {
		body := fmt.Sprint("body ", u)
		e := event(u, body)
		list := h.known(int64(len(body)), e.InternalDate)
		if len(list) != 1 || string(h.read(list[0].Path)) != body {
			h.t.Errorf("UID %d is found by size and date as %+v", u, list)
			continue
		}
		if u%4 == 0 && !list[0].HasEmailID(e.EmailID, yes) {
			h.t.Errorf("UID %d is not found by its EMAILID", u)
		}
		if file, ok := h.db.PathOf(sha256.Sum256([]byte(body))); !ok || file != list[0].Path {
			h.t.Errorf("UID %d is held in %q, %v, want %q", u, file, ok, list[0].Path)
		}
	}
}

// Messages are found while their entries are buffered, after they are merged, after a
// start, and after a crash in the middle of a merge.
func TestIndexBuffer(t *testing.T) {
	h := newHouse(t)
	h.most = 40
	h.reopen()
	next := uint32(1)
	more := func(n int) {
		b := h.batch("INBOX")
		if next == 1 {
			b.Record(opened("INBOX", 1))
		}
		for range n {
			h.add(b, 1, next, fmt.Sprint("body ", next))
			next++
		}
		h.apply(h.commit(b))
		h.found(next - 1)
	}
	for _, c := range []struct{ add, left int }{{10, 20}, {10, 40}, {1, 0}, {5, 10}, {30, 0}, {1, 2}, {4, 10}} {
		more(c.add)
		if n := h.buffered(); n != c.left {
			t.Errorf("after %d messages %d entries are left, want %d", next-1, n, c.left)
		}
		h.reopen()
		h.found(next - 1)
	}

	// A crash between the transactions that put them in their places leaves some in both.
	err := h.db.update(func(tx *bbolt.Tx) error {
		for _, e := range h.db.buffer.sortedEntries()[:5] {
			if err := e.putIn(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	h.found(next - 1)
	h.reopen()
	h.found(next - 1)
	if err := h.db.buffer.merge(0, h.db.update); err != nil || h.buffered() != 0 {
		t.Errorf("%d entries are left, %v", h.buffered(), err)
	}
	h.found(next - 1)
}

// With buffered entries that can't be decoded the database is damaged.
func TestIndexBufferDamage(t *testing.T) {
	for _, group := range []string{"\x01", "\x00\x10short", "\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"} {
		h := newHouse(t)
		h.simple()
		if err := h.db.update(func(tx *bbolt.Tx) error { return storeGroup(tx, []byte(group)) }); err != nil {
			t.Fatal(err)
		}
		h.reopen()
		if _, err := h.db.Candidates("alice", map[uint32]Key{1: {}}); !errors.Is(err, ErrDamaged) || !h.db.Broken() {
			t.Errorf("%q: %v", group, err)
		}
		if notes, err := h.db.Rebuild(); err != nil || len(notes) > 0 {
			t.Errorf("%q: made anew with %q, %v", group, notes, err)
		}
		if _, ok := h.db.PathOf(sha256.Sum256([]byte("one"))); !ok {
			t.Errorf("%q: what was there is not found any more", group)
		}
	}
}

// A merge of many entries takes several transactions.
func TestMergeInParts(t *testing.T) {
	h := newHouse(t)
	h.simple()
	const n = 60_000
	key := func(i int) []byte {
		sum := sha256.Sum256(fmt.Append(nil, i))
		return sum[:16]
	}
	var group []byte
	for i := range n {
		group = (&entry{key: key(i), value: fmt.Appendf(nil, "\x01a path of some length, as messages have it, %d", i)}).appendTo(group)
	}
	if err := h.db.update(func(tx *bbolt.Tx) error { return storeGroup(tx, group) }); err != nil {
		t.Fatal(err)
	}
	h.reopen()
	parts := 0
	err := h.db.buffer.merge(0, func(fn func(*bbolt.Tx) error) error {
		parts++
		return h.db.update(fn)
	})
	if err != nil || parts < 2 {
		t.Fatalf("put in their places in %d transactions, %v", parts, err)
	}
	if left := h.buffered(); left != 0 {
		t.Errorf("%d entries are left", left)
	}
	err = h.db.view(func(tx *bbolt.Tx) error {
		for i := range n {
			if want := fmt.Sprintf("\x01a path of some length, as messages have it, %d", i); string(tx.Bucket(sumsBucket).Get(key(i))) != want {
				return fmt.Errorf("entry %d is not in its place", i)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

package state

import (
	"testing"

	"archiverd/internal/uid"

	"go.etcd.io/bbolt"
)

// TestExcluded: what a complete run left out is known until a run leaves out nothing, or
// another epoch begins. What a damaged page makes of it counts as nothing.
func TestExcluded(t *testing.T) {
	h := newHouse(t)
	h.simple()
	const dir = "alice/INBOX"
	store := func(uids uid.Set) {
		t.Helper()
		c := Completed{Cursor: Cursor{UIDValidity: 7, Limit: 1000}, ExcludedUIDs: uids}
		if err := h.db.FinishRun(Run{Account: "alice"}, map[string]Completed{dir: c}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want string) {
		t.Helper()
		e, err := h.db.Excluded(dir)
		if err != nil || e.UIDs.String() != want || want != "" && (e.UIDValidity != 7 || e.Limit != 1000) {
			t.Errorf("%+v, %v, want %q", e, err, want)
		}
	}
	check("")
	store(uid.Of(3, 4, 9))
	check("3:4,9")
	err := h.db.update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(mailboxesBucket).Bucket([]byte(dir))
		text := append([]byte(nil), b.Get(excludedKey)...)
		for i := range text {
			if text[i] == '9' {
				text[i] = '8'
			}
		}
		return b.Put(excludedKey, text)
	})
	if err != nil {
		t.Fatal(err)
	}
	check("")
	store(uid.Of(3, 4, 9))
	b := h.batch("INBOX")
	b.Record(opened("INBOX", 7))
	h.apply(h.commit(b))
	check("")
	store(uid.Of(5))
	check("5")
	store(uid.Set{})
	check("")
}

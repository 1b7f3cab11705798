package state

import (
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

func TestRuns(t *testing.T) {
	h := newHouse(t)
	h.simple()
	for i := range maxRuns + 5 {
		r := Run{Account: "alice", Started: clock.Add(time.Duration(i) * time.Hour), Mailboxes: []Ledger{{Mailbox: "INBOX", Server: 2, Archived: 2}}}
		r.Sum.Add(r.Mailboxes[0])
		if err := h.db.FinishRun(r, map[string]Completed{"alice/INBOX": {Cursor: Cursor{UIDNext: uint32(i)}}, "alice/none": {Cursor: Cursor{UIDNext: 1}}}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(runs []Run, err error) {
		t.Helper()
		if err != nil || len(runs) != maxRuns {
			t.Fatalf("%d runs, %v", len(runs), err)
		}
		if !runs[0].Started.Equal(clock.Add((maxRuns+4)*time.Hour)) || !runs[0].OK() || len(runs[0].Mailboxes) != 1 || len(runs[1].Mailboxes) != 0 || runs[1].Sum.Server != 2 {
			t.Errorf("the last runs are %+v, %+v", runs[0], runs[1])
		}
	}
	check(h.db.Runs("alice"))
	info, _, err := h.db.Mailbox("alice/INBOX")
	if err != nil || info.Cursor.UIDNext != maxRuns+4 {
		t.Errorf("the cursor is %+v, %v", info.Cursor, err)
	}
	if runs, err := h.db.Runs("bob"); err != nil || len(runs) != 0 {
		t.Errorf("another account's runs are %v, %v", runs, err)
	}
	h.close()
	r, err := OpenReader(h.path())
	if err != nil {
		t.Fatal(err)
	}
	all, err := r.LastRuns()
	check(all["alice"], err)
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	h.open()
	// A new epoch needs a new look, as does a database made anew.
	b := h.batch("INBOX")
	b.Record(opened("INBOX", 2))
	h.apply(h.commit(b))
	if info, _, err := h.db.Mailbox("alice/INBOX"); err != nil || info.Cursor != (Cursor{}) {
		t.Errorf("the cursor of a new epoch is %+v, %v", info.Cursor, err)
	}
}

// Stored runs that can't be decoded are dropped; the new run is stored.
func TestRunsThatCannotBeRead(t *testing.T) {
	for _, text := range []string{`{`, `{}`, `[{"account":1}]`, `["x"]`, `null`} {
		h := newHouse(t)
		if err := h.db.update(func(tx *bbolt.Tx) error { return tx.Bucket(runsBucket).Put([]byte("alice"), []byte(text)) }); err != nil {
			t.Fatal(err)
		}
		if err := h.db.FinishRun(Run{Account: "alice", Started: clock, Ended: clock}, nil); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if runs, err := h.db.Runs("alice"); err != nil || len(runs) != 1 || !runs[0].LastOK.Equal(clock) {
			t.Errorf("%s: the runs are %+v, %v", text, runs, err)
		}
	}
}

func TestRunOK(t *testing.T) {
	good := Run{Sum: Ledger{Server: 3, Archived: 2, Excluded: 1}}
	for name, c := range map[string]struct {
		change func(*Run)
		want   bool
	}{
		"complete":         {func(*Run) {}, true},
		"error":            {func(r *Run) { r.Error = "e" }, false},
		"failed message":   {func(r *Run) { r.Sum.Failed, r.Sum.Archived = 1, 1 }, false},
		"missing message":  {func(r *Run) { r.Sum.Server++ }, false},
		"failed mailbox":   {func(r *Run) { r.Mailboxes = []Ledger{{}, {Error: "e"}} }, false},
		"skipped mailbox":  {func(r *Run) { r.Mailboxes = []Ledger{{Skipped: `\Noselect`}} }, true},
		"vanished mailbox": {func(r *Run) { r.Mailboxes = []Ledger{{Vanished: true}} }, true},
	} {
		r := good
		c.change(&r)
		if got := r.OK(); got != c.want {
			t.Errorf("%s: OK() = %v, want %v", name, got, c.want)
		}
	}
}

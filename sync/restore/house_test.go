package restore

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/internal/commit"
	"archiverd/internal/session"
	"archiverd/internal/testing/process"
	"archiverd/state"
	"archiverd/sync"
)

// house is an archive with its state database, and what synchronises it.
type house struct {
	t      testing.TB
	dir    string
	log    *slog.Logger
	store  *commit.Committer
	policy sync.Policy // of each synchronisation
	under  string      // a level that all mailboxes but INBOX are below
}

// newHouse makes an empty archive. When the test ends it is verified, and no
// goroutine may be left.
func newHouse(t testing.TB) *house {
	t.Helper()
	noLeak(t)
	return newHouseAmong(t)
}

// newHouseAmong is newHouse for a test beside others, whose goroutines it does
// not count.
func newHouseAmong(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, dir: filepath.Join(inMemory(t), "archive"), log: slog.New(slog.DiscardHandler)}
	if os.Getenv("SYNC_TEST_LOG") != "" {
		h.log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	w, err := archive.OpenWriter(h.dir, archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	db, _, err := state.OpenStale(h.dir+".db", w)
	if err == nil {
		_, err = db.CatchUp()
	}
	if err != nil {
		t.Fatal(err)
	}
	h.store = commit.New(w, db, h.log)
	t.Cleanup(func() {
		h.verify()
		h.store.Close()
		if err := errors.Join(h.store.State.Close(), h.store.Archive.Close()); err != nil {
			t.Error(err)
		}
	})
	return h
}

// in is the house for a subtest of the test that made it, which reads only.
func (h *house) in(t testing.TB) *house {
	return &house{t: t, dir: h.dir, log: h.log, store: h.store, policy: h.policy, under: h.under}
}

// verify fails the test if the archive is damaged.
func (h *house) verify() {
	h.t.Helper()
	boxes, err := h.store.Archive.Mailboxes("")
	if err != nil {
		h.t.Fatal(err)
	}
	for _, b := range boxes {
		v, err := h.store.Archive.Verify(context.Background(), b, archive.VerifyOptions{})
		if err != nil {
			h.t.Fatal(err)
		}
		for _, f := range v.Findings {
			if f.Damage {
				h.t.Errorf("damage: %s: %s", f.Path, f.What)
			}
		}
	}
}

// clean synchronises the account. Nothing may fail.
func (h *house) clean(acc session.Account) state.Run {
	h.t.Helper()
	run, err := (&sync.Job{Account: acc, Policy: h.policy, Committer: h.store, Log: h.log}).Run(h.t.Context())
	if err != nil || !run.OK() {
		h.t.Fatalf("synchronise %s: %v\n%+v", acc.Name, err, run.Mailboxes)
	}
	return run
}

// noLeak fails the test if goroutines are left when all else is cleaned up.
func noLeak(t testing.TB) {
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		for end := time.Now().Add(time.Minute); runtime.NumGoroutine() > before; runtime.Gosched() {
			if time.Now().After(end) {
				stacks := make([]byte, 1<<20)
				t.Errorf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
				return
			}
		}
	})
}

// inMemory returns a new directory in memory, if there is room: durability is not
// tested here, and it costs time.
func inMemory(t testing.TB) string {
	t.Helper()
	dir, err := process.Scratch("archiverd-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

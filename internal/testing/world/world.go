// Package world is test support: an archive that a job writes to, servers that it
// reads from, and what tests compare.
//
// Layout: world.go has the archive with its state database and its committer,
// message.go what a test compares of a message, server.go a hostile server that
// counts what it sends, imapd.go a real server in the process, account.go the
// accounts at a server, leak.go finds goroutines that were left.
//
// It imports nothing above packages commit and session, so that the tests of all
// jobs can use it.
package world

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"archiverd/archive"
	"archiverd/internal/commit"
	"archiverd/internal/testing/process"
	"archiverd/state"
)

// World is an archive with its state database and its committer. Its methods end the
// test on an error. They are for the goroutine of the test.
type World struct {
	Dir       string // of the archive; the state database is Dir + ".db"
	Log       *slog.Logger
	Committer *commit.Committer // of the open archive

	t        testing.TB
	options  archive.Options // of each Open
	step     atomic.Pointer[func(string) error]
	recorded map[string]archive.Sum // by path below Dir: what journals had at the last Verify
}

// New makes an empty archive and opens it. When the test ends, the archive is
// verified and no goroutine may be left.
func New(t testing.TB) *World {
	t.Helper()
	NoLeak(t)
	return NewUnwatched(t)
}

// NewUnwatched is New without the check for goroutines: other goroutines of the test
// run, or the test runs in a bubble of synctest, which has a check of its own.
func NewUnwatched(t testing.TB) *World {
	t.Helper()
	return NewUnwatchedWith(t, archive.Options{})
}

// NewUnwatchedWith is NewUnwatched with options for the archive, of which Step is
// replaced.
func NewUnwatchedWith(t testing.TB, o archive.Options) *World {
	t.Helper()
	w := &World{Dir: filepath.Join(InMemory(t), "archive"), Log: Logger(), t: t, options: o, recorded: map[string]archive.Sum{}}
	w.options.Step = func(name string) error {
		if f := w.step.Load(); f != nil {
			return (*f)(name)
		}
		return nil
	}
	w.Open()
	t.Cleanup(func() {
		w.Verify()
		w.Close()
	})
	return w
}

// In returns the world for a subtest, which only reads it.
func (w *World) In(t testing.TB) *World {
	return &World{Dir: w.Dir, Log: w.Log, Committer: w.Committer, t: t, recorded: map[string]archive.Sum{}}
}

// Logger returns a logger that discards everything, or writes to standard error if
// ARCHIVERD_TEST_LOG is set.
func Logger() *slog.Logger {
	if os.Getenv("ARCHIVERD_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil))
}

// InMemory makes a directory that is removed when the test ends, in memory if it
// fits: most tests do not test durability, which costs time.
func InMemory(t testing.TB) string {
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

// OnStep sets the function that is called with the name of each step of a commit.
// Its error fails the step. nil: none.
func (w *World) OnStep(f func(step string) error) {
	if f == nil {
		w.step.Store(nil)
		return
	}
	w.step.Store(&f)
}

// Open opens the archive, after Close.
func (w *World) Open() {
	w.t.Helper()
	a, err := archive.OpenWriter(w.Dir, w.options)
	if err != nil {
		w.t.Fatal(err)
	}
	db, notes, err := state.Open(w.Dir+".db", a)
	if err == nil {
		var more []string
		more, err = db.CatchUp()
		notes = append(notes, more...)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	if len(notes) > 0 {
		w.Log.Info("notes", "notes", notes)
	}
	w.Committer = commit.New(a, db, w.Log)
}

// Close closes the committer, the state database and the archive.
func (w *World) Close() {
	w.t.Helper()
	w.Committer.Close()
	if err := errors.Join(w.Committer.State.Close(), w.Committer.Archive.Close()); err != nil {
		w.t.Error(err)
	}
}

// Verify fails the test if anything in the archive is damaged, or if a message that
// an earlier Verify saw is gone or has other octets.
func (w *World) Verify() {
	w.t.Helper()
	now := map[string]archive.Sum{}
	a := w.Committer.Archive
	whole, err := a.VerifyCheckpoints()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range whole.Findings {
		if f.Damage {
			w.t.Errorf("damage: %s: %s", f.Path, f.What)
		}
	}
	checkpoints, err := a.ReadCheckpoints()
	if err != nil {
		w.t.Fatal(err)
	}
	boxes, err := a.ToVerify(checkpoints, "")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, m := range boxes {
		v, err := a.Verify(context.Background(), m, archive.VerifyOptions{Checkpoints: checkpoints})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, f := range v.Findings {
			if f.Damage {
				w.t.Errorf("damage: %s: %s", f.Path, f.What)
			}
		}
		if v.NoJournal {
			continue
		}
		if _, err := a.Replay(m, archive.Position{}, func(e archive.Event) error {
			if e.Kind == archive.Added {
				now[m.Dir+"/"+e.Path] = e.Sum
			}
			return nil
		}); err != nil {
			w.t.Error(err)
		}
	}
	for path, sum := range w.recorded {
		if now[path] != sum {
			w.t.Errorf("%s was recorded, and has changed or is gone", path)
		}
	}
	w.recorded = now
}

// Mailboxes returns the mailboxes of the archive.
func (w *World) Mailboxes() []archive.MailboxDir {
	w.t.Helper()
	mailboxes, err := w.Committer.Archive.Mailboxes("")
	if err != nil {
		w.t.Fatal(err)
	}
	return mailboxes
}

// View returns a mailbox folded from its journal.
func (w *World) View(m archive.MailboxDir) *archive.View {
	w.t.Helper()
	v, _, err := w.Committer.Archive.Fold(m)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// Mailbox returns the mailbox of account alice with a name, and an empty view if
// there is none.
func (w *World) Mailbox(name string) (archive.MailboxDir, *archive.View) {
	w.t.Helper()
	for _, m := range w.Mailboxes() {
		if v := w.View(m); m.Account == "alice" && v.Epoch() != nil && v.Name.Mailbox == name {
			return m, v
		}
	}
	return archive.MailboxDir{}, &archive.View{}
}

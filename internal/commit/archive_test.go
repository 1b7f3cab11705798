package commit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"archiverd/archive"
	"archiverd/internal/commit"
	"archiverd/internal/testing/process"
	"archiverd/state"
)

// testArchive is an archive with its state database and a committer.
type testArchive struct {
	t         testing.TB
	dir       string // of the archive; the state database is dir + ".db"
	writer    *archive.Writer
	db        *state.DB
	log       *slog.Logger
	logged    bytes.Buffer // what the committer logged
	committer *commit.Committer
	step      atomic.Pointer[func(string) error] // called at each step of a commit
}

// newTestArchive makes an empty archive. It is verified at the end of the test.
func newTestArchive(t testing.TB) *testArchive {
	t.Helper()
	dir, err := process.Scratch("archiverd-commit-")
	if err != nil {
		t.Fatal(err)
	}
	a := &testArchive{t: t, dir: filepath.Join(dir, "archive")}
	a.log = slog.New(slog.NewTextHandler(&a.logged, nil))
	a.writer, err = archive.OpenWriter(a.dir, archive.Options{Step: func(name string) error {
		if step := a.step.Load(); step != nil {
			return (*step)(name)
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if a.db, _, err = state.OpenStale(a.dir+".db", a.writer); err != nil {
		t.Fatal(err)
	}
	a.committer = commit.New(a.writer, a.db, a.log)
	t.Cleanup(func() {
		a.committer.Close()
		a.verify()
		if err := errors.Join(a.db.Close(), a.writer.Close(), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	return a
}

// verify fails the test if the archive is damaged.
func (a *testArchive) verify() {
	mailboxes, err := a.writer.Mailboxes("")
	if err != nil {
		a.t.Error(err)
	}
	for _, m := range mailboxes {
		v, err := a.writer.Verify(context.Background(), m, archive.VerifyOptions{})
		if err != nil {
			a.t.Error(err)
		}
		for _, f := range v.Findings {
			if f.Damage {
				a.t.Errorf("damage: %s: %s", f.Path, f.What)
			}
		}
	}
}

// onStep has fn called at each step of a commit. An error of fn fails the step.
func (a *testArchive) onStep(fn func(name string) error) { a.step.Store(&fn) }

// failOnce fails a step of the next commit.
func (a *testArchive) failOnce(step string, err error) {
	var failed atomic.Bool
	a.onStep(func(name string) error {
		if name == step && !failed.Swap(true) {
			return err
		}
		return nil
	})
}

// gate stops commits at their first step.
type gate chan struct{}

// stopCommits stops every commit at its first step until the gate is passed. The test
// must run in a bubble of synctest.
func (a *testArchive) stopCommits() gate {
	g := make(gate)
	a.onStep(func(name string) error {
		if name == archive.StepData {
			<-g
		}
		return nil
	})
	return g
}

func (g gate) passOne() { g <- struct{}{} }
func (g gate) passAll() { close(g) }

// mailbox is an open mailbox of alice. It is released at the end of the test.
type mailbox struct {
	*archive.Mailbox
	a       *testArchive
	name    archive.Name
	isNew   bool   // no event was recorded yet
	lastUID uint32 // of the messages recorded
}

func (a *testArchive) mailbox(name string) *mailbox {
	a.t.Helper()
	m := &mailbox{a: a, name: archive.Name{Mailbox: name, Delimiter: "/"}}
	m.open()
	a.t.Cleanup(func() {
		if err := m.Release(); err != nil {
			a.t.Error(err)
		}
	})
	return m
}

func (m *mailbox) open() {
	m.a.t.Helper()
	dir, err := m.a.writer.DirectoryOf("alice", m.name)
	if err != nil {
		m.a.t.Fatal(err)
	}
	recorded, exists, err := m.a.db.Mailbox(dir.Dir)
	if err != nil {
		m.a.t.Fatal(err)
	}
	if m.Mailbox, err = m.a.writer.Mailbox(dir, recorded.Journal, recorded.Applied); err != nil {
		m.a.t.Fatal(err)
	}
	m.isNew, m.lastUID = !exists, m.recordedUIDs().Max()
}

// reopen releases the mailbox and opens it again, which repairs its journal after a
// failed commit.
func (m *mailbox) reopen() {
	m.a.t.Helper()
	if err := m.Release(); err != nil {
		m.a.t.Fatal(err)
	}
	m.open()
}

// batch returns a batch with one more message.
func (m *mailbox) batch() *archive.Batch {
	m.a.t.Helper()
	b, err := m.Batch()
	if err != nil {
		m.a.t.Fatal(err)
	}
	if m.isNew {
		b.Record(archive.Event{Kind: archive.Opened, Name: m.name, UIDValidity: 1})
		m.isNew = false
	}
	m.lastUID++
	body := fmt.Sprintf("Subject: %s %d\r\n\r\n", m.name.Mailbox, m.lastUID)
	if err := b.Add(1, archive.Event{UID: m.lastUID}, int64(len(body)), strings.NewReader(body)); err != nil {
		m.a.t.Fatal(err)
	}
	return b
}

// uidOf returns the UID of the message in a batch.
func uidOf(b *archive.Batch) uint32 { return b.Events[len(b.Events)-1].UID }

package commit_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"archiverd/archive"
	"archiverd/internal/testing/world"
)

// testArchive is an archive whose committer logs to logged.
type testArchive struct {
	*world.World
	t      testing.TB
	logged bytes.Buffer
}

// newTestArchive makes an empty archive. It is verified at the end of the test.
func newTestArchive(t testing.TB) *testArchive {
	t.Helper()
	a := &testArchive{World: world.NewUnwatched(t), t: t}
	a.Close()
	a.Log = slog.New(slog.NewTextHandler(&a.logged, nil))
	a.Open()
	return a
}

// failOnce fails a step of the next commit.
func (a *testArchive) failOnce(step string, err error) {
	var failed atomic.Bool
	a.OnStep(func(name string) error {
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
	a.OnStep(func(name string) error {
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
	dir, err := m.a.Committer.Archive.DirectoryOf("alice", m.name)
	if err != nil {
		m.a.t.Fatal(err)
	}
	recorded, exists, err := m.a.Committer.State.Mailbox(dir.Dir)
	if err != nil {
		m.a.t.Fatal(err)
	}
	if m.Mailbox, err = m.a.Committer.Archive.Mailbox(dir, recorded.JournalState()); err != nil {
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

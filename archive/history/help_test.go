package history

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/internal/uid"
)

// clock is the first second of the tests' time.
var clock = time.Date(2026, 11, 22, 18, 30, 0, 0, time.UTC)

// second is the n-th second of the tests' time.
func second(n int) time.Time { return clock.Add(time.Duration(n) * time.Second) }

// date is an INTERNALDATE of the n-th minute of the tests' time.
func date(n int) time.Time {
	return clock.Add(time.Duration(n) * time.Minute).In(time.FixedZone("", 3600))
}

// testArchive is an archive of account alice, open for writing.
type testArchive struct {
	t   *testing.T
	w   *archive.Writer
	now time.Time
}

// newTestArchive makes an archive in dir. When the test ends it is closed and verified.
func newTestArchive(t *testing.T, dir string) *testArchive {
	t.Helper()
	a := &testArchive{t: t}
	w, err := archive.OpenWriter(dir, archive.Options{Now: func() time.Time { return a.now }})
	if err != nil {
		t.Fatal(err)
	}
	a.w = w
	t.Cleanup(func() {
		a.close()
		verify(t, dir)
	})
	return a
}

// close closes the archive; it may be closed already.
func (a *testArchive) close() {
	a.t.Helper()
	if err := a.w.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
		a.t.Error(err)
	}
}

// verify fails on any finding but permissions.
func verify(t *testing.T, dir string) {
	t.Helper()
	a, err := archive.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	mailboxes, err := a.Mailboxes("")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range mailboxes {
		v, err := a.Verify(context.Background(), b, archive.VerifyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range v.Findings {
			if !strings.HasPrefix(f.What, "permissions") {
				t.Errorf("%s: %s", f.Path, f.What)
			}
		}
	}
}

// batch begins a batch of a mailbox.
func (a *testArchive) batch(name string) *archive.Batch {
	a.t.Helper()
	dir, err := a.w.DirectoryOf("alice", archive.Name{Mailbox: name, Delimiter: "/"})
	if err != nil {
		a.t.Fatal(err)
	}
	v, end, err := a.w.Fold(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.t.Fatal(err)
	}
	m, err := a.w.Mailbox(dir, archive.JournalState{ID: v.Journal, End: end})
	if err != nil {
		a.t.Fatal(err)
	}
	b, err := m.Batch()
	if err != nil {
		a.t.Fatal(err)
	}
	return b
}

// mailbox writes what happened in a mailbox, one commit per step, the first at second
// 0: "epoch N", "UID=BODY", "gone UIDS", "flags UID FLAG", "vanished". The INTERNALDATE
// of a message is the minute of its UID; "UID=BODY-" has none.
func (a *testArchive) mailbox(name string, steps ...string) {
	a.t.Helper()
	epoch := uint32(0)
	for i, step := range steps {
		a.now = second(i)
		b := a.batch(name)
		a.record(b, name, step, &epoch)
		if a.w.Commit(nil, b); b.Err != nil {
			a.t.Fatal(b.Err)
		}
	}
}

func (a *testArchive) record(b *archive.Batch, name, step string, epoch *uint32) {
	a.t.Helper()
	var n uint32
	var text string
	switch {
	case step == "vanished":
		b.Record(archive.Event{Kind: archive.Vanished})
	case scan(step, "epoch %d", epoch):
		b.Record(archive.Event{Kind: archive.Opened, Name: archive.Name{Mailbox: name, Delimiter: "/"}, UIDValidity: *epoch})
	case scan(step, "flags %d %s", &n, &text):
		b.Record(archive.Event{Kind: archive.Flags, UID: n, Flags: []string{text}})
	case scan(step, "gone %s", &text):
		set, err := uid.Parse(text)
		if err != nil {
			a.t.Fatal(err)
		}
		b.Record(archive.Event{Kind: archive.Gone, UIDs: set})
	case scan(step, "%d=%s", &n, &text):
		e := archive.Event{UID: n, InternalDate: date(int(n)), Flags: []string{fmt.Sprint("epoch", *epoch)}}
		if strings.HasSuffix(text, "-") {
			e.InternalDate = time.Time{}
		}
		if err := b.Add(*epoch, e, int64(len(text)), strings.NewReader(text)); err != nil {
			a.t.Fatal(err)
		}
	default:
		a.t.Fatalf("no step %q", step)
	}
}

func scan(text, format string, to ...any) bool {
	n, err := fmt.Sscanf(text, format, to...)
	return err == nil && n == len(to)
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"archiverd/internal/uid"
)

// clock is the time of all tests.
var clock = time.Date(2026, 11, 22, 18, 30, 0, 0, time.UTC)

func now() time.Time { return clock }

// date is an INTERNALDATE of the n-th minute of the tests' time.
func date(n int) time.Time {
	return clock.Add(time.Duration(n) * time.Minute).In(time.FixedZone("", 3600))
}

// second is the n-th second of the tests' time.
func second(n int) time.Time { return clock.Add(time.Duration(n) * time.Second) }

// open opens the archive in dir for writing, and closes and verifies it when
// the test ends, which must leave no damage.
func open(t testing.TB, dir string, o Options) *Writer {
	t.Helper()
	w := openOnly(t, dir, o)
	t.Cleanup(func() {
		shut(t, w)
		for _, f := range verify(t, dir) {
			if f.Damage {
				t.Errorf("damage: %s: %s", f.Path, f.What)
			}
		}
	})
	return w
}

func openOnly(t testing.TB, dir string, o Options) *Writer {
	t.Helper()
	if o.Now == nil {
		o.Now = now
	}
	w, err := OpenWriter(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// shut closes w, which may be closed already.
func shut(t testing.TB, w *Writer) {
	t.Helper()
	if err := w.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
		t.Error(err)
	}
}

// verify returns the findings in all mailboxes but those about permissions.
func verify(t testing.TB, dir string) []Finding {
	t.Helper()
	a, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	whole, err := a.VerifyCheckpoints()
	if err != nil {
		t.Fatal(err)
	}
	c, err := a.ReadCheckpoints()
	if err != nil {
		t.Fatal(err)
	}
	boxes, err := a.ToVerify(c, "")
	if err != nil {
		t.Fatal(err)
	}
	out := whole.Findings
	for _, b := range boxes {
		v, err := a.Verify(context.Background(), b, VerifyOptions{Checkpoints: c})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range v.Findings {
			if !strings.HasPrefix(f.What, "permissions") {
				out = append(out, f)
			}
		}
	}
	return out
}

// mailbox opens a mailbox as its journal has it.
func mailbox(t testing.TB, w *Writer, name string) *Mailbox {
	t.Helper()
	b, err := w.DirectoryOf("alice", Name{Mailbox: name, Delimiter: "/"})
	if err != nil {
		t.Fatal(err)
	}
	v, pos, err := w.Fold(b)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	m, err := w.Mailbox(b, JournalState{ID: v.Journal, End: pos})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func opened(name string, uidValidity uint32) Event {
	return Event{Kind: Opened, Name: Name{Mailbox: name, Delimiter: "/"}, UIDValidity: uidValidity}
}

func begin(t testing.TB, m *Mailbox) *Batch {
	t.Helper()
	b, err := m.Batch()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// add puts a message into the batch, of epoch 1.
func add(t testing.TB, b *Batch, uid uint32, body string) {
	t.Helper()
	e := Event{UID: uid, InternalDate: date(int(uid)), Flags: []string{`\Seen`}}
	if err := b.Add(1, e, int64(len(body)), strings.NewReader(body)); err != nil {
		t.Fatal(err)
	}
}

// first begins a batch with a new epoch 1 and messages of UID 1 and up.
func first(t testing.TB, m *Mailbox, bodies ...string) *Batch {
	t.Helper()
	b := begin(t, m)
	b.Record(opened(m.Dir, 1))
	for i, body := range bodies {
		add(t, b, uint32(i+1), body)
	}
	return b
}

// commit commits the batches, of which none may fail.
func commit(t testing.TB, w *Writer, batches ...*Batch) {
	t.Helper()
	w.Commit(known(t, w), batches...)
	for _, b := range batches {
		if b.Err != nil {
			t.Fatal(b.Err)
		}
	}
}

// commitEach commits the batches one by one: each gets a seal of its own.
func commitEach(t testing.TB, w *Writer, batches ...*Batch) {
	t.Helper()
	for _, b := range batches {
		commit(t, w, b)
	}
}

// index is an Index of the sums and UIDs that it has, by path.
type index map[Sum]string

func (x index) PathOf(s Sum) (string, bool) { p, ok := x[s]; return p, ok }

// NamedUIDs makes every name be looked up in the journal.
func (x index) NamedUIDs(_ string, _ uint32, uids uid.Set) uid.Set { return uids }

// known returns an index of the archive, as the state database would be.
func known(t testing.TB, w *Writer) index {
	t.Helper()
	at := index{}
	boxes, err := w.Mailboxes("")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range boxes {
		v, _, err := w.Fold(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range v.All() {
			at[m.Sum] = b.Dir + "/" + m.Path
		}
	}
	return at
}

// fold is a mailbox's view, with messages' octets read from their files.
func fold(t testing.TB, dir, box string) (*View, map[uint32]string) {
	t.Helper()
	a, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	v, _, err := a.Fold(MailboxDir{"alice", box})
	if err != nil {
		t.Fatal(err)
	}
	bodies := map[uint32]string{}
	if ep := v.Epoch(); ep != nil {
		for u, m := range ep.Messages {
			text, err := os.ReadFile(filepath.Join(dir, box, m.Path))
			if err != nil {
				t.Error(err)
			}
			if sha256.Sum256(text) != m.Sum {
				t.Errorf("%s has other octets than its journal says", m.Path)
			}
			bodies[u] = string(text)
		}
	}
	return v, bodies
}

// holds fails unless the mailbox's current epoch has exactly these bodies.
func holds(t testing.TB, dir, box string, want map[uint32]string) {
	t.Helper()
	if _, got := fold(t, dir, box); !maps.Equal(got, want) {
		t.Errorf("%s holds %s, want %s", box, show(got), show(want))
	}
}

func show(m map[uint32]string) string {
	var b strings.Builder
	for _, u := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "%d:%.20q ", u, m[u])
	}
	return b.String()
}

// steps are the steps of a commit in their order.
var steps = []string{StepData, StepNames, StepDirs, StepAppend, StepJournal, StepDone}

// end is the position after the journal's last commit.
func (m *Mailbox) end() Position {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pos
}

// isDamaged reports whether any finding of v is damage.
func isDamaged(v *VerifyResult) bool {
	return slices.ContainsFunc(v.Findings, func(f Finding) bool { return f.Damage })
}

// inTmp are the names in a mailbox's tmp/.
func inTmp(t testing.TB, dir, box string) []string {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(dir, box, tmpName))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, d := range list {
		out = append(out, d.Name())
	}
	return out
}

func read(t testing.TB, path ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func write(t testing.TB, text []byte, path ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(path...), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t testing.TB, path ...string) {
	t.Helper()
	if err := os.Remove(filepath.Join(path...)); err != nil {
		t.Fatal(err)
	}
}

// body is a message of n octets that no other call makes.
func body(n int, seed uint64) []byte {
	line := fmt.Appendf(nil, "Subject: %d\r\n\r\n", seed)
	return append(line, bytes.Repeat([]byte("x"), max(0, n-len(line)))...)
}

// failing is a reader that ends in an error after text.
func failing(text string, err error) io.Reader {
	return io.MultiReader(strings.NewReader(text), errReader{err})
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

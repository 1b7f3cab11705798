package remote

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	gosync "sync"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/internal/imapd"
	"archiverd/internal/session"
	"archiverd/internal/testing/world"
	"archiverd/internal/uid"
	"archiverd/state"
	"archiverd/sync"
)

// testbed is a world with the policy of its runs.
type testbed struct {
	*world.World
	t      testing.TB
	policy sync.Policy
}

func newTestbed(t testing.TB) *testbed {
	t.Helper()
	return &testbed{World: world.New(t), t: t}
}

// run synchronises the account.
func (h *testbed) run(acc session.Account) (state.Run, error) {
	h.t.Helper()
	return (&sync.Job{Account: acc, Policy: h.policy, Committer: h.Committer, Log: h.Log}).Run(h.t.Context())
}

// clean synchronises the account. Nothing may fail.
func (h *testbed) clean(acc session.Account) state.Run {
	h.t.Helper()
	run, err := h.run(acc)
	if err != nil || !run.OK() {
		h.t.Fatalf("synchronise %s: %v\n%+v", acc.Name, err, run.Mailboxes)
	}
	return run
}

// of is the ledger of a mailbox.
func of(t testing.TB, run state.Run, name string) state.Ledger {
	t.Helper()
	i := slices.IndexFunc(run.Mailboxes, func(l state.Ledger) bool { return l.Mailbox == name })
	if i < 0 {
		t.Fatalf("no ledger of %q in %+v", name, run.Mailboxes)
	}
	return run.Mailboxes[i]
}

// files is everything below the archive but what a run leaves in passing.
func files(t testing.TB, dir string) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			st, serr := d.Info()
			if serr != nil {
				return serr
			}
			out[p] = st.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// longAgo is when the messages of these tests came.
var longAgo = time.Date(2020, 3, 1, 12, 0, 0, 0, time.FixedZone("", 2*3600))

// later is the clock of one who comes back a year after the sync.
func later() time.Time { return time.Now().AddDate(1, 0, 0) }

const month = 30 * 24 * time.Hour

// ward is an account on an in-process server, with mailbox Old, archived.
type ward struct {
	*testbed
	server *imapd.Server
	user   *imapd.User
	old    *imapd.Mailbox
	acc    session.Account

	mu   gosync.Mutex
	on   map[string]func() // called once, before a command that has this in it
	sent []string          // commands
}

const oldMessages = 5

func newWard(t testing.TB) *ward {
	t.Helper()
	w := &ward{testbed: newTestbed(t), on: map[string]func(){}}
	w.serve(func(i int) []byte { return oldBody(i, "text") })
	w.clean(w.acc)
	return w
}

func oldBody(i int, text string) []byte {
	return fmt.Appendf(nil, "From: =?utf-8?Q?J=C3=B6rg?= <j@example.org>\r\nSubject: old %d\r\nMessage-ID: <%d@example.org>\r\n\r\n%s %d\r\n", i, i, text, i)
}

// serve makes a server for the account that has these messages in Old; the same
// UIDVALIDITY and UIDs each time.
func (w *ward) serve(body func(i int) []byte) {
	w.t.Helper()
	server := imapd.New(imapd.Options{UIDValidity: 7})
	w.t.Cleanup(func() {
		if err := server.Close(); err != nil {
			w.t.Error(err)
		}
	})
	w.server = server
	w.user = w.server.AddUser("alice", "secret")
	var err error
	if w.old, err = w.user.Create("Old"); err != nil {
		w.t.Fatal(err)
	}
	for i := range oldMessages {
		w.old.Append(imapd.Message{Flags: []string{`\Seen`}, InternalDate: longAgo.Add(time.Duration(i) * time.Hour), Body: body(i)})
	}
	addr, err := w.server.Listen("127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.acc = w.tapped(world.Alice(addr))
}

// tapped is the account with an ear on its connections.
func (w *ward) tapped(acc session.Account) session.Account {
	acc.Wire.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return &tap{c, w}, err
	}
	return acc
}

// tap hears what the client says.
type tap struct {
	net.Conn
	w *ward
}

func (c *tap) Write(p []byte) (int, error) {
	c.w.heard(string(p))
	return c.Conn.Write(p)
}

func (w *ward) heard(said string) {
	w.mu.Lock()
	var do []func()
	for line := range strings.Lines(said) {
		if _, cmd, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			w.sent = append(w.sent, cmd)
		}
	}
	for word, f := range w.on {
		if strings.Contains(said, word) {
			do = append(do, f)
			delete(w.on, word)
		}
	}
	w.mu.Unlock()
	for _, f := range do {
		f()
	}
}

// before has f called before the next command with that word.
func (w *ward) before(word string, f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.on[word] = f
}

// commands are those that the client sent and that have the word in them.
func (w *ward) commands(word string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.sent), func(c string) bool { return !strings.Contains(c, word) })
}

// remote is a person at the server, a year later. It reads the archive beside the
// one that writes it.
func (w *ward) remote() *Client {
	w.t.Helper()
	a, err := archive.Open(w.Dir)
	if err != nil {
		w.t.Fatal(err)
	}
	r := &Client{Account: w.acc, Archive: a, Now: later}
	if err := r.Connect(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := errors.Join(r.c.Close(), a.Close()); err != nil {
			w.t.Error(err)
		}
		if bad := append(w.commands("CLOSE"), slices.DeleteFunc(w.commands("EXPUNGE"), func(c string) bool { return strings.HasPrefix(c, "UID EXPUNGE ") })...); len(bad) > 0 {
			w.t.Errorf("it sent %q", bad)
		}
	})
	return r
}

// has checks which messages Old has.
func (w *ward) has(uids ...uint32) {
	w.t.Helper()
	var got []uint32
	for _, m := range w.old.Messages() {
		got = append(got, m.UID)
		if slices.Contains(m.Flags, `\Deleted`) {
			w.t.Errorf("UID %d is left flagged \\Deleted", m.UID)
		}
	}
	if !slices.Equal(got, uids) {
		w.t.Errorf("the server has UIDs %d, want %d", got, uids)
	}
}

// file is the path of a message's file.
func (w *ward) file(u uint32) string {
	w.t.Helper()
	b, v := w.Mailbox("Old")
	return filepath.Join(w.Dir, b.ID(v.Epoch().Messages[u]))
}

// spoil changes a file of the archive until the test ends.
func (w *ward) spoil(name string, change func(data []byte) []byte) {
	w.t.Helper()
	good, err := os.ReadFile(name)
	if err != nil {
		w.t.Fatal(err)
	}
	write := func(data []byte) error { // in place: the next hard link sees it too
		if data == nil {
			return os.Remove(name)
		}
		return os.WriteFile(name, data, 0o600)
	}
	w.t.Cleanup(func() {
		if err := write(good); err != nil {
			w.t.Error(err)
		}
	})
	if err := write(change(slices.Clone(good))); err != nil {
		w.t.Fatal(err)
	}
}

// record writes events into the journal of Old.
func (w *ward) record(events ...archive.Event) {
	w.t.Helper()
	place, _ := w.Mailbox("Old")
	info, _, err := w.Committer.State.Mailbox(place.Dir)
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := w.Committer.Archive.Mailbox(place, info.JournalState())
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := m.Batch()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range events {
		b.Record(e)
	}
	if err := errors.Join(w.Committer.Commit(b), m.Release()); err != nil {
		w.t.Fatal(err)
	}
}

// added is the event by which the archive has the message.
func (w *ward) added(u uint32) archive.Event {
	w.t.Helper()
	_, v := w.Mailbox("Old")
	m := v.Epoch().Messages[u]
	return archive.Event{Kind: archive.Added, UID: u, Path: m.Path, Size: m.Size, Sum: m.Sum, InternalDate: m.InternalDate, Flags: m.Flags}
}

func gone(uids ...uint32) archive.Event {
	return archive.Event{Kind: archive.Gone, UIDs: uid.Of(uids...)}
}

// agree is the answer of one who is asked.
func agree(int) error { return nil }

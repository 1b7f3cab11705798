package sync

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/internal/commit"
	"archiverd/internal/session"
	"archiverd/internal/testing/dovecot"
	"archiverd/internal/testing/hostile"
	"archiverd/internal/wire"
	"archiverd/state"
)

// house is an archive with its state database and its store, as the jobs of a
// test share them.
type house struct {
	t     testing.TB
	dir   string
	log   *slog.Logger
	store *commit.Committer
	step  atomic.Pointer[func(string) error] // called at each step of a commit
	seen  map[string]archive.Sum             // every file that a journal named, with its sum

	policy Policy // of all runs and checks
	bubble bool   // the test runs in a bubble of synctest: its servers must be in memory
}

// newHouse makes an empty archive. When the test ends it is verified, nothing
// recorded earlier may have changed, and no goroutine may be left.
func newHouse(t testing.TB) *house {
	t.Helper()
	noLeak(t)
	return newHouseAmong(t)
}

// newHouseAmong is a house beside which others of the same test are at work: the
// goroutines are for that test to count.
func newHouseAmong(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, dir: filepath.Join(inMemory(t), "archive"), log: slog.New(slog.DiscardHandler), seen: map[string]archive.Sum{}}
	if os.Getenv("SYNC_TEST_LOG") != "" {
		h.log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	h.open()
	t.Cleanup(func() {
		h.check()
		h.close()
	})
	return h
}

// newHouseInBubble is newHouse for a test in a bubble of synctest, which checks for
// left goroutines itself.
func newHouseInBubble(t testing.TB) *house {
	t.Helper()
	h := newHouseAmong(t)
	h.bubble = true
	return h
}

// soon is how long a test waits for what happens within a second or two.
const soon = 10 * time.Second

// await fails the test if nothing comes.
func await[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(soon):
		t.Fatalf("%s did not happen", what)
		panic("unreachable")
	}
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

func (h *house) open() {
	h.t.Helper()
	w, err := archive.OpenWriter(h.dir, archive.Options{Step: func(name string) error {
		if f := h.step.Load(); f != nil {
			return (*f)(name)
		}
		return nil
	}})
	if err != nil {
		h.t.Fatal(err)
	}
	db, notes, err := state.OpenStale(h.dir+".db", w)
	if err == nil {
		var more []string
		more, err = db.CatchUp()
		notes = append(notes, more...)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	if len(notes) > 0 {
		h.log.Info("notes", "notes", notes)
	}
	h.store = commit.New(w, db, h.log)
}

func (h *house) close() {
	h.t.Helper()
	h.store.Close()
	if err := errors.Join(h.store.State.Close(), h.store.Archive.Close()); err != nil {
		h.t.Error(err)
	}
}

// check verifies the archive: no damage, and all that was recorded earlier is
// there with the same octets.
func (h *house) check() {
	h.t.Helper()
	now := map[string]archive.Sum{}
	for _, b := range h.boxes() {
		v, err := h.store.Archive.Verify(context.Background(), b, archive.VerifyOptions{})
		if err != nil {
			h.t.Fatal(err)
		}
		for _, f := range v.Findings {
			if f.Damage {
				h.t.Errorf("damage: %s: %s", f.Path, f.What)
			}
		}
		if _, err := h.store.Archive.Replay(b, archive.Position{}, func(e archive.Event) error {
			if e.Kind == archive.Added {
				now[b.Dir+"/"+e.Path] = e.Sum
			}
			return nil
		}); err != nil {
			h.t.Error(err)
		}
	}
	for p, sum := range h.seen {
		if now[p] != sum {
			h.t.Errorf("%s was recorded, and is not what it was", p)
		}
	}
	h.seen = now
}

func (h *house) boxes() []archive.MailboxDir {
	h.t.Helper()
	boxes, err := h.store.Archive.Mailboxes("")
	if err != nil {
		h.t.Fatal(err)
	}
	return boxes
}

func (h *house) view(b archive.MailboxDir) *archive.View {
	h.t.Helper()
	v, _, err := h.store.Archive.Fold(b)
	if err != nil {
		h.t.Fatal(err)
	}
	return v
}

// mailbox is the archive's view of alice's mailbox of that name, empty if there is none.
func (h *house) mailbox(name string) (archive.MailboxDir, *archive.View) {
	h.t.Helper()
	for _, b := range h.boxes() {
		if v := h.view(b); b.Account == "alice" && v.Epoch() != nil && v.Name.Mailbox == name {
			return b, v
		}
	}
	return archive.MailboxDir{}, &archive.View{}
}

// letter is a message as a test compares it.
type letter struct {
	body, flags string
	date        string
}

// here are the messages that the archive has of the mailbox and takes for listed.
func (h *house) here(name string) map[uint32]letter {
	h.t.Helper()
	b, v := h.mailbox(name)
	out := map[uint32]letter{}
	if v.Epoch() == nil {
		return out
	}
	for u, m := range v.Epoch().Messages {
		if !m.Listed() {
			continue
		}
		body, err := os.ReadFile(filepath.Join(h.dir, b.Dir, m.Path))
		if err != nil {
			h.t.Error(err)
		}
		out[u] = letter{string(body), strings.Join(m.Flags, " "), m.InternalDate.Format(dateLayout)}
	}
	return out
}

const dateLayout = "02-Jan-2006 15:04:05 -0700"

// listed are the messages of a server's mailbox.
func listed(m hostile.Mailbox) map[uint32]letter {
	out := map[uint32]letter{}
	for _, msg := range m.Messages {
		flags := strings.Fields(msg.Flags)
		slices.Sort(flags)
		out[msg.UID] = letter{string(msg.Body), strings.Join(flags, " "), msg.Date}
	}
	return out
}

// holds fails unless the archive has the mailbox's messages, but for those UIDs.
func (h *house) holds(m hostile.Mailbox, but ...uint32) {
	h.t.Helper()
	want := listed(m)
	for _, u := range but {
		delete(want, u)
	}
	same(h.t, m.Name, h.here(m.Name), want)
}

func same(t testing.TB, name string, got, want map[uint32]letter) {
	t.Helper()
	for _, u := range slices.Sorted(maps.Keys(want)) {
		if g, ok := got[u]; !ok {
			t.Errorf("%s: UID %d is not in the archive", name, u)
		} else if g != want[u] {
			t.Errorf("%s: UID %d is %.200q, want %.200q", name, u, g, want[u])
		}
	}
	for u := range got {
		if _, ok := want[u]; !ok {
			t.Errorf("%s: UID %d is in the archive: %.80q", name, u, got[u])
		}
	}
}

// bounded is how long a run may take before a test fails. It only keeps a test from
// hanging: a busy machine is slow.
const bounded = 5 * time.Minute

// run does one run, checks what holds of any run, and returns it.
func (h *house) run(acc session.Account) (state.Run, error) {
	h.t.Helper()
	return h.runWith(h.t.Context(), &Job{Account: acc, Policy: h.policy, Committer: h.store, Log: h.log})
}

func (h *house) runWith(ctx context.Context, j *Job) (state.Run, error) {
	h.t.Helper()
	type result struct {
		run state.Run
		err error
	}
	done := make(chan result, 1)
	go func() {
		run, err := j.Run(ctx)
		done <- result{run, err}
	}()
	select {
	case r := <-done:
		ledger(h.t, r.run, r.err)
		h.check()
		return r.run, r.err
	case <-time.After(bounded):
		stacks := make([]byte, 1<<20)
		h.t.Errorf("the run does not end:\n%s", stacks[:runtime.Stack(stacks, true)])
		h.t.FailNow()
		panic("unreachable")
	}
}

// ledger checks that a run accounts for every message, or says so.
func ledger(t testing.TB, run state.Run, err error) {
	t.Helper()
	if (err != nil) != (run.Error != "") {
		t.Errorf("run returned %v, and recorded %q", err, run.Error)
	}
	for _, l := range run.Mailboxes {
		if l.Server != l.Archived+l.Failed+l.Excluded+l.Missing {
			t.Errorf("ledger of %q does not add up: %+v", l.Mailbox, l)
		}
		if l.Missing > 0 && l.Error == "" && (l.Postponed == "" || run.Resumes.IsZero()) {
			t.Errorf("ledger of %q misses %d and gives no reason", l.Mailbox, l.Missing)
		}
		if l.Failed != len(l.Failures) && l.Failed <= maxFailuresListed {
			t.Errorf("ledger of %q has %d failed and %d reasons", l.Mailbox, l.Failed, len(l.Failures))
		}
		if strings.ContainsAny(l.Error, "\r\n\x1b") {
			t.Errorf("ledger of %q: error %q", l.Mailbox, l.Error)
		}
	}
}

// clean does a run that must leave nothing to be desired.
func (h *house) clean(acc session.Account) state.Run {
	h.t.Helper()
	run, err := h.run(acc)
	if err != nil || !run.OK() {
		h.t.Fatalf("run is not clean: %v\n%s", err, show(run))
	}
	return run
}

func show(run state.Run) string {
	var b strings.Builder
	for _, l := range run.Mailboxes {
		fmt.Fprintf(&b, "%+v\n", l)
	}
	return b.String()
}

// of is the ledger of a mailbox.
func of(t testing.TB, run state.Run, name string) state.Ledger {
	t.Helper()
	i := slices.IndexFunc(run.Mailboxes, func(l state.Ledger) bool { return l.Mailbox == name })
	if i < 0 {
		t.Fatalf("no ledger of %q in\n%s", name, show(run))
	}
	return run.Mailboxes[i]
}

// quick are timeouts for servers that stall, in a bubble. Patient ones pass only when
// something is wrong with the client, however busy the machine is.
var (
	quick   = wire.Timeouts{Dial: 5 * time.Second, Handshake: time.Second, Greeting: 400 * time.Millisecond, Answer: 400 * time.Millisecond, Idle: 400 * time.Millisecond, Stall: 2 * time.Second, Write: time.Second, Logout: 300 * time.Millisecond}
	patient = wire.Timeouts{Dial: time.Minute, Handshake: time.Minute, Greeting: time.Minute, Answer: time.Minute, Idle: time.Minute, Stall: time.Minute, Write: time.Minute, Logout: time.Minute}
)

// alice is the account at address.
func alice(address string) session.Account {
	return session.Account{
		Name: "alice",
		Wire: wire.Options{Address: address, Security: wire.Plaintext, Timeouts: patient},
		Auth: func(context.Context) (wire.Auth, error) {
			return wire.Auth{Username: "alice", Password: []byte("secret")}, nil
		},
		Connections: 2,
		Retry:       session.Retry{FirstWait: time.Millisecond, MaxWait: 3 * time.Millisecond, MaxStated: 200 * time.Millisecond},
	}
}

// archived is how many messages the archive has in alice's mailboxes.
func (h *house) archived() int {
	h.t.Helper()
	n := 0
	for _, b := range h.boxes() {
		if v := h.view(b); v.Epoch() != nil {
			for _, m := range v.Epoch().Messages {
				if m.Listed() {
					n++
				}
			}
		}
	}
	return n
}

// completes does a run against an honest server with the mailboxes, which must
// end well and fetch just what the archive has not.
func (h *house) completes(boxes []hostile.Mailbox) state.Run {
	h.t.Helper()
	missing := 0
	for _, m := range boxes {
		have := h.here(m.Name)
		_, v := h.mailbox(m.Name)
		for u := range listed(m) {
			if _, ok := have[u]; !ok || v.Epoch().UIDValidity != m.UIDValidity {
				missing++
			}
		}
	}
	s := serve(h.t, hostile.Options{Mailboxes: boxes, InMemory: h.bubble})
	run := h.clean(s.alice())
	if got := s.total(); got != missing {
		h.t.Errorf("the run after it fetched %d bodies, want %d: %v", got, missing, s.sent)
	}
	for _, m := range boxes {
		h.holds(m)
	}
	return run
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

// loginAt is an account at a server over TLS.
func loginAt(address, user, password string, t *tls.Config) session.Account {
	return session.Account{
		Name: user,
		Wire: wire.Options{Address: address, TLS: t},
		Auth: func(context.Context) (wire.Auth, error) {
			return wire.Auth{Username: user, Password: []byte(password)}, nil
		},
		Connections: 3,
		Retry:       session.Retry{FirstWait: 20 * time.Millisecond, MaxWait: 100 * time.Millisecond},
	}
}

// day is an INTERNALDATE of a message, in one of many zones.
func day(i int) time.Time {
	return time.Date(2001+i%24, time.Month(1+i%12), 1+i%28, i%24, i%60, (i*7)%60, 0, time.FixedZone("", 900*(i%57-24)))
}

// someFlags are flags and keywords of a message.
func someFlags(i int) []string {
	all := []string{`\Answered`, `\Deleted`, `\Draft`, `\Flagged`, `\Seen`, "$Forwarded", "$Junk", "Etikett-1", "todo/later", "x.y"}
	var out []string
	for k, f := range all {
		if (i>>k)&1 == 1 {
			out = append(out, f)
		}
	}
	return out
}

// letters are messages that have header fields of their own each.
func letters(n int) []dovecot.Msg {
	var out []dovecot.Msg
	for i := range n {
		out = append(out, dovecot.Msg{Date: day(i), Body: fmt.Appendf(nil, "Message-ID: <%d@x>\r\nDate: today\r\nFrom: a@x\r\nSubject: %d\r\n\r\nletter\r\n", i, i)})
	}
	return out
}

package sync

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/internal/session"
	"archiverd/internal/testing/dovecot"
	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
	"archiverd/internal/wire"
	"archiverd/state"
)

// testbed is a world in which jobs of this package run.
type testbed struct {
	*world.World
	t      testing.TB
	policy Policy // of all runs and checks
	bubble bool   // the test runs in a bubble of synctest: its servers must be in memory
	clock  atomic.Pointer[time.Time]
}

// newDatedTestbed returns a testbed whose archive and runs have the clock of SetClock.
func newDatedTestbed(t testing.TB) *testbed {
	t.Helper()
	world.NoLeak(t)
	h := &testbed{t: t}
	h.World = world.NewUnwatchedWith(t, archive.Options{Now: h.Now})
	return h
}

// SetClock sets the time.
func (h *testbed) SetClock(now time.Time) { h.clock.Store(&now) }

// Now returns the time of SetClock, before it that of the machine.
func (h *testbed) Now() time.Time {
	if now := h.clock.Load(); now != nil {
		return *now
	}
	return time.Now()
}

func newTestbed(t testing.TB) *testbed {
	t.Helper()
	return &testbed{World: world.New(t), t: t}
}

// newTestbedInBubble returns a testbed for a test in a bubble of synctest.
func newTestbedInBubble(t testing.TB) *testbed {
	t.Helper()
	return &testbed{World: world.NewUnwatched(t), t: t, bubble: true}
}

// soon is how long a test waits for what happens within a second or two.
const soon = 2 * time.Minute

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

const dateLayout = "02-Jan-2006 15:04:05 -0700"

// bounded is how long a run may take before a test fails. It only keeps a test from
// hanging: a busy machine is slow.
const bounded = 5 * time.Minute

// run does one run, checks what holds of any run, and returns it.
func (h *testbed) run(acc session.Account) (state.Run, error) {
	h.t.Helper()
	return h.runWith(h.t.Context(), &Job{Account: acc, Policy: h.policy, Committer: h.Committer, Log: h.Log})
}

func (h *testbed) runWith(ctx context.Context, j *Job) (state.Run, error) {
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
		h.Verify()
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
func (h *testbed) clean(acc session.Account) state.Run {
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

// quick are timeouts for servers that stall, in a bubble.
var quick = wire.Timeouts{Dial: 5 * time.Second, Handshake: time.Second, Greeting: 400 * time.Millisecond, Answer: 400 * time.Millisecond, Idle: 400 * time.Millisecond, Stall: 2 * time.Second, Write: time.Second, Logout: 300 * time.Millisecond}

// completes does a run against an honest server with the mailboxes, which must
// end well and fetch just what the archive has not.
func (h *testbed) completes(boxes []hostile.Mailbox) state.Run {
	h.t.Helper()
	missing := 0
	for _, m := range boxes {
		have := h.Listed(m.Name)
		_, v := h.Mailbox(m.Name)
		for u := range world.MessagesOf(m) {
			if _, ok := have[u]; !ok || v.Epoch().UIDValidity != m.UIDValidity {
				missing++
			}
		}
	}
	s := world.Serve(h.t, hostile.Options{Mailboxes: boxes, InMemory: h.bubble})
	run := h.clean(s.Alice())
	if got := s.TotalSent(); got != missing {
		h.t.Errorf("the run after it fetched %d bodies, want %d: %v", got, missing, s.Sent())
	}
	for _, m := range boxes {
		h.Holds(m)
	}
	return run
}

// named is the account of alice at a server whose name stays while a test replaces it.
func named(s *world.Server) session.Account {
	acc := world.Alice("imap.example.com:143")
	acc.Wire.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return s.Dial(ctx, network, s.Address())
	}
	return acc
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

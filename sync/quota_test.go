package sync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	gosync "sync"
	"sync/atomic"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/internal/quota"
	"archiverd/internal/session"
	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
	"archiverd/state"
)

// calendar is a clock that a test sets.
type calendar struct {
	mu gosync.Mutex
	t  time.Time
}

func newCalendar() *calendar { return &calendar{t: time.Date(2026, 11, 25, 10, 40, 0, 0, time.UTC)} }

func (c *calendar) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *calendar) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = t
}

// wireTap counts the connections of an account and the octets that come through them, by
// itself.
type wireTap struct{ dials, octets atomic.Int64 }

func (w *wireTap) tap(acc *session.Account) {
	acc.Wire.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		w.dials.Add(1)
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &tappedConn{c, w}, nil
	}
}

type tappedConn struct {
	net.Conn
	w *wireTap
}

func (c *tappedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.w.octets.Add(int64(n))
	return n, err
}

// heavy is a mailbox of messages with so many octets each.
func heavy(name string, uidValidity uint32, sizes ...int) hostile.Mailbox {
	m := hostile.Mailbox{Name: name, UIDValidity: uidValidity, HighestModSeq: uint64(len(sizes) + 1)}
	for i, size := range sizes {
		msg := world.NewMessage(name, uint32(i+1))
		msg.Body = append(msg.Body, bytes.Repeat([]byte{'x'}, size)...)
		m.Messages = append(m.Messages, msg)
	}
	return m
}

func alike(n, size int) (sizes []int) {
	for range n {
		sizes = append(sizes, size)
	}
	return sizes
}

// hasPostponed reports whether a run has left a mailbox to the next one: its scan came
// after the limit was reached.
func hasPostponed(run state.Run) bool {
	return slices.ContainsFunc(run.Mailboxes, func(l state.Ledger) bool { return l.Postponed != "" })
}

// days runs an account against a server until all is archived, each time when
// the run before says that it goes on. It checks every run, and returns what came in each.
func (h *testbed) days(acc session.Account, most int) (octets []int64) {
	h.t.Helper()
	clock, tap := newCalendar(), &wireTap{}
	tap.tap(&acc)
	began := clock.now()
	for day := range most {
		before := tap.octets.Load()
		run, err := h.runWith(h.t.Context(), &Job{Account: acc, Committer: h.Committer, Log: h.Log, Now: clock.now})
		octets = append(octets, tap.octets.Load()-before)
		if err == nil {
			if !run.OK() || !run.Resumes.IsZero() {
				h.t.Fatalf("the last run: %+v", run)
			}
			h.t.Logf("%d runs in %v: %v octets", day+1, clock.now().Sub(began), octets)
			return octets
		}
		var spent *quota.ExceededError
		if !errors.As(err, &spent) || run.Error == "" || run.LoginRefused || run.OK() || run.DailyLimit != acc.DailyLimit || run.Sum.Missing == 0 && !hasPostponed(run) {
			h.t.Fatalf("%v: %+v", err, run)
		}
		for _, l := range run.Mailboxes {
			if l.Error != "" {
				h.t.Errorf("mailbox %s: %s", l.Mailbox, l.Error)
			}
		}
		if wait := run.Resumes.Sub(clock.now()); wait <= 0 || wait > 26*time.Hour {
			h.t.Fatalf("goes on in %v", wait)
		}
		h.refuses(tap, acc, clock, run)
		clock.set(run.Resumes)
		if day%2 == 0 { // another process
			h.Close()
			h.Open()
		}
	}
	h.t.Fatalf("not complete after %d runs: %v octets", most, octets)
	return nil
}

// refuses fails unless a run before it may go on makes no connection, and
// leaves the ledger of the last one where it is.
func (h *testbed) refuses(tap *wireTap, acc session.Account, clock *calendar, last state.Run) {
	h.t.Helper()
	now, dials := clock.now(), tap.dials.Load()
	clock.set(last.Resumes.Add(-time.Second))
	defer clock.set(now)
	run, err := (&Job{Account: acc, Committer: h.Committer, Log: h.Log, Now: clock.now}).Run(h.t.Context())
	var spent *quota.ExceededError
	if !errors.As(err, &spent) || !run.Resumes.Equal(last.Resumes) || run.OK() || len(run.Mailboxes) > 0 {
		h.t.Errorf("a run too early: %v, %+v, want to go on at %v", err, run, last.Resumes)
	}
	// At the client: the server may read what the last run has sent only now.
	if n := tap.dials.Load() - dials; n > 0 {
		h.t.Errorf("a run too early connected %d times", n)
	}
	runs, err := h.Committer.State.Runs(acc.Name)
	if err != nil || len(runs) == 0 || len(runs[0].Mailboxes) != len(last.Mailboxes) {
		h.t.Errorf("a run too early is stored: %+v, %v", runs, err)
	}
}

// The daily limit holds in any 24 hours, over runs and processes, and with several
// connections; nothing is fetched twice for it, and all of it comes.
func TestDailyLimit(t *testing.T) {
	const limit = 400_000
	for connections := 1; connections <= 4; connections += 3 {
		t.Run(fmt.Sprintf("%d connections", connections), func(t *testing.T) {
			h := newTestbed(t)
			boxes := []hostile.Mailbox{heavy("INBOX", 7, alike(40, 30_000)...), heavy("Sent", 8, alike(10, 20_000)...), world.NewMailbox("Small", 9, 20)}
			s := world.Serve(t, hostile.Options{Mailboxes: boxes})
			acc := world.Alice(s.Address())
			acc.Connections, acc.DailyLimit = connections, limit
			octets := h.days(acc, 10)
			for day, n := range octets { // they are 24 hours apart
				if n > limit || n < limit*8/10 && day < len(octets)-1 {
					t.Errorf("%d octets on day %d", n, day)
				}
			}
			for _, m := range boxes {
				h.Holds(m)
			}
			if n := s.TotalSent(); n != count(boxes) {
				t.Errorf("%d bodies for %d messages: %v", n, count(boxes), s.Sent())
			}
		})
	}
}

// Runs that find little to do share a day with those before: what came in any
// 24 hours is within the limit all the same.
func TestDailyLimitRolls(t *testing.T) {
	const limit = 100_000
	h := newTestbed(t)
	s := world.Serve(t, hostile.Options{Mailboxes: []hostile.Mailbox{heavy("INBOX", 7, alike(200, 10_000)...)}})
	clock, tap := newCalendar(), &wireTap{}
	acc := world.Alice(s.Address())
	acc.DailyLimit = limit
	tap.tap(&acc)
	began := clock.now()
	came := map[time.Time]int64{}
	last := 0
	for ; clock.now().Sub(began) < 6*state.Day; clock.set(clock.now().Add(97 * time.Minute)) {
		before := tap.octets.Load()
		_, err := h.runWith(t.Context(), &Job{Account: acc, Committer: h.Committer, Log: h.Log, Now: clock.now})
		var spent *quota.ExceededError
		if err != nil && !errors.As(err, &spent) {
			t.Fatal(err)
		}
		came[clock.now()] = tap.octets.Load() - before
		sum := int64(0)
		for at, n := range came {
			if at.After(clock.now().Add(-state.Day)) {
				sum += n
			}
		}
		if sum > limit {
			t.Errorf("%d octets in the 24 hours before %v", sum, clock.now())
		}
		last = h.Count()
	}
	if last < 40 {
		t.Errorf("%d messages in 6 days", last)
	}
}

// A message larger than the limit is fetched on a quiet day, and is not in the
// way of others for ever, wherever it is.
func TestMessageOverTheDailyLimit(t *testing.T) {
	const limit = 100_000
	for _, at := range []int{0, 7, 14} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			h := newTestbed(t)
			sizes := alike(15, 20_000)
			sizes[at] = 3 * limit
			boxes := []hostile.Mailbox{heavy("INBOX", 7, sizes...), heavy("Sent", 8, alike(3, 20_000)...)}
			s := world.Serve(t, hostile.Options{Mailboxes: boxes})
			acc := world.Alice(s.Address())
			acc.DailyLimit = limit
			over := 0
			for _, n := range h.days(acc, 12) {
				if n > limit {
					over++
				}
			}
			if over != 1 {
				t.Errorf("%d days are over the limit", over)
			}
			for _, m := range boxes {
				h.Holds(m)
			}
		})
	}
}

// Another limit, or none, holds nobody back; nor does a clock that was wrong.
func TestDailyLimitIsChanged(t *testing.T) {
	h := newTestbed(t)
	boxes := []hostile.Mailbox{heavy("INBOX", 7, alike(20, 30_000)...)}
	s := world.Serve(t, hostile.Options{Mailboxes: boxes})
	acc := world.Alice(s.Address())
	clock := newCalendar()
	run := func(limit int64) (state.Run, error) {
		acc.DailyLimit = limit
		return h.runWith(t.Context(), &Job{Account: acc, Committer: h.Committer, Log: h.Log, Now: clock.now})
	}
	if r, err := run(200_000); err == nil || r.Sum.Archived == 0 {
		t.Fatalf("%v: %+v", err, r)
	}
	if r, err := run(100_000); err == nil || r.Sum.Archived > 0 || r.Resumes.IsZero() {
		t.Fatalf("with less: %v: %+v", err, r)
	}
	if r, err := run(300_000); err == nil || r.Sum.Archived < 8 || r.Sum.Archived == 20 {
		t.Fatalf("with more: %v: %+v", err, r)
	}
	back := clock.now()
	clock.set(back.AddDate(50, 0, 0))
	if r, err := run(150_000); err == nil || r.Sum.Archived == 20 {
		t.Fatalf("in another century: %v: %+v", err, r)
	}
	clock.set(back.Add(2 * state.Day))
	archived := h.Count()
	if r, err := run(150_000); err == nil || r.Sum.Archived <= archived {
		t.Fatalf("with a clock that is right again: %v: %+v", err, r)
	}
	if r, err := run(0); err != nil || r.Sum.Archived != 20 {
		t.Fatalf("with none: %v: %+v", err, r)
	}
	if tr, err := h.Committer.State.Traffic("alice", clock.now()); err != nil || tr.OctetsInDay(clock.now()) < 30_000*int64(20-archived) {
		t.Errorf("without a limit nothing is counted: %v, %v", tr, err)
	}
}

// A kill in the middle of a run forgets at most what came since the last commit.
func TestDailyLimitAfterAKill(t *testing.T) {
	h := newTestbed(t)
	s := world.Serve(t, hostile.Options{Mailboxes: []hostile.Mailbox{heavy("INBOX", 7, alike(20, 30_000)...)}})
	acc := world.Alice(s.Address())
	acc.Connections = 1
	clock := newCalendar()
	killed := h.Dir + ".killed"
	archived := 0
	step := func(name string) error {
		if name != archive.StepData || archived > 0 {
			return nil
		}
		if archived = h.Count(); archived == 0 {
			return nil
		}
		text, err := os.ReadFile(h.Dir + ".db") // without what this commit will put there
		return errors.Join(err, os.WriteFile(killed, text, 0o600))
	}
	h.OnStep(step)
	clock.set(time.Now().Add(time.Hour)) // so that every batch is old
	if _, err := h.runWith(t.Context(), &Job{Account: acc, Committer: h.Committer, Log: h.Log, Now: clock.now}); err != nil || archived == 0 || archived == 20 {
		t.Fatalf("%v, %d messages at the kill", err, archived)
	}
	h.OnStep(nil)
	h.Close()
	if err := os.Rename(killed, h.Dir+".db"); err != nil {
		t.Fatal(err)
	}
	h.Open()
	tr, err := h.Committer.State.Traffic("alice", clock.now())
	if n := tr.OctetsInDay(clock.now()); err != nil || n < int64(archived)*30_000 {
		t.Errorf("%d octets are known for %d messages: %v", n, archived, err)
	}
}

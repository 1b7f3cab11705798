package wire

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"archiverd/internal/testing/hostile"
	"archiverd/internal/uid"
)

// shortTimeouts are for servers that stall, in a test with a fake clock.
var shortTimeouts = Timeouts{
	Dial: 5 * time.Second, Handshake: 2 * time.Second, Greeting: 300 * time.Millisecond,
	Answer: 300 * time.Millisecond, Idle: 300 * time.Millisecond, Stall: 5 * time.Second,
	Write: time.Second, Logout: 300 * time.Millisecond,
}

// longTimeouts pass only if the client is wrong, however busy the machine is.
var longTimeouts = Timeouts{
	Dial: time.Minute, Handshake: time.Minute, Greeting: time.Minute,
	Answer: time.Minute, Idle: time.Minute, Stall: time.Minute,
	Write: time.Minute, Logout: time.Minute,
}

// checkGoroutines fails the test if its goroutines do not end: it compares their
// number now with their number after all other cleanups.
func checkGoroutines(t testing.TB) {
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		for end := time.Now().Add(time.Minute); runtime.NumGoroutine() > before; runtime.Gosched() {
			if time.Now().After(end) {
				stacks := make([]byte, 1<<20)
				t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
			}
		}
	})
}

// serve starts a server on a TCP port. The test closes it, and fails if a goroutine
// outlives it.
func serve(t testing.TB, o hostile.Options) *hostile.Server {
	t.Helper()
	checkGoroutines(t)
	s, err := hostile.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// withFakeClock returns f as a test with the clock of synctest: time passes only
// while all goroutines wait. No deadline passes because the machine is busy, and a
// deadline that must pass costs no time.
func withFakeClock(f func(*testing.T)) func(*testing.T) {
	return func(t *testing.T) { synctest.Test(t, f) }
}

// serveInMemory is serve for tests with a fake clock. Package synctest itself fails
// a test whose goroutines do not end.
func serveInMemory(t testing.TB, o hostile.Options) *hostile.Server {
	t.Helper()
	o.InMemory = true
	s, err := hostile.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// answer returns a script that answers one command with text, in which TAG stands
// for the command's tag. If text has no TAG, the server hangs up after it.
func answer(command, text string) func(*hostile.Session, hostile.Command) bool {
	return func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name != command {
			return false
		}
		s.Send(strings.ReplaceAll(text, "TAG", cmd.Tag))
		if !strings.Contains(text, "TAG") {
			s.HangUp()
		}
		return true
	}
}

// options returns the options of a client of s, with long timeouts.
func options(s *hostile.Server) Options {
	return Options{Address: s.Address(), Security: Plaintext, TLS: s.ClientTLS(), Dial: s.Dial, Timeouts: longTimeouts}
}

// shortOptions returns options for a server in memory that stalls.
func shortOptions(s *hostile.Server) Options {
	o := options(s)
	o.Timeouts = shortTimeouts
	return o
}

// dialAndLogin returns a connection after the login; the test closes it.
func dialAndLogin(t testing.TB, o Options, username, password string) *Conn {
	t.Helper()
	c, err := Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.Login(t.Context(), Auth{Username: username, Password: []byte(password)}); err != nil {
		t.Fatal(err)
	}
	return c
}

// connect returns a connection that has INBOX open for reading; the test closes it.
func connect(t testing.TB, s *hostile.Server, o Options) *Conn {
	t.Helper()
	c := dialAndLogin(t, o, "alice", "secret")
	if _, err := c.Examine(t.Context(), "INBOX", true); err != nil {
		t.Fatal(err)
	}
	return c
}

// inbox returns a mailbox INBOX with these messages, UIDs from 1.
func inbox(bodies ...string) []hostile.Mailbox {
	m := hostile.Mailbox{Name: "INBOX", Attrs: `\HasNoChildren`, UIDValidity: 7, HighestModSeq: 40}
	for i, b := range bodies {
		m.Messages = append(m.Messages, hostile.Message{
			UID: uint32(i + 1), Flags: `\Seen`, Date: "17-Jul-1996 02:44:25 -0700", Body: []byte(b), ModSeq: uint64(i + 1),
		})
	}
	return []hostile.Mailbox{m}
}

// fetchBodies returns the messages that FetchBodies delivers, by UID. A size that is
// not the body's, or a UID delivered twice, is an error.
func fetchBodies(ctx context.Context, c *Conn, set uid.Set) (map[uint32]string, error) {
	got := make(map[uint32]string)
	err := c.FetchBodies(ctx, set, func(u uint32, size int64, body io.Reader) error {
		octets, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		if int64(len(octets)) != size {
			return fmt.Errorf("%d octets of %d", len(octets), size)
		}
		if _, again := got[u]; again {
			return fmt.Errorf("UID %d twice", u)
		}
		got[u] = string(octets)
		return nil
	})
	return got, err
}

// fetchMetadata returns what FetchMetadata delivers, in order.
func fetchMetadata(ctx context.Context, c *Conn, q MetadataQuery) ([]Metadata, error) {
	var got []Metadata
	err := c.FetchMetadata(ctx, q, func(m Metadata) error { got = append(got, m); return nil })
	return got, err
}

// uidRange returns the UIDs first to last.
func uidRange(first, last uint32) uid.Set {
	var s uid.Set
	s.AddRange(first, last)
	return s
}

// allocated returns how many octets are allocated in all while f runs, those that
// are freed meanwhile included.
func allocated(f func()) uint64 {
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&now)
	return now.TotalAlloc - before.TotalAlloc
}

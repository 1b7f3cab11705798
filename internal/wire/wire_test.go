package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"archiverd/internal/testing/hostile"
	"archiverd/internal/uid"
)

// short are timeouts for servers that stall, in a bubble.
var short = Timeouts{
	Dial: 5 * time.Second, Handshake: 2 * time.Second, Greeting: 300 * time.Millisecond,
	Answer: 300 * time.Millisecond, Idle: 300 * time.Millisecond, Stall: 5 * time.Second,
	Write: time.Second, Logout: 300 * time.Millisecond,
}

// patient are timeouts that only pass when the client is wrong, however busy the
// machine is.
var patient = Timeouts{
	Dial: time.Minute, Handshake: time.Minute, Greeting: time.Minute,
	Answer: time.Minute, Idle: time.Minute, Stall: time.Minute,
	Write: time.Minute, Logout: time.Minute,
}

// noLeak fails the test if goroutines are left when all else is cleaned up.
func noLeak(t testing.TB) {
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

func serve(t testing.TB, o hostile.Options) *hostile.Server {
	t.Helper()
	noLeak(t)
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

// inBubble returns f as a test in a bubble of synctest: time passes only while all
// goroutines wait, so that no deadline passes because the machine is busy, and a
// deadline that should pass costs no time.
func inBubble(f func(*testing.T)) func(*testing.T) {
	return func(t *testing.T) { synctest.Test(t, f) }
}

// serveInMemory is serve for tests in a bubble, which checks for left goroutines.
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

// options returns the options of a client of s.
func options(s *hostile.Server) Options {
	return Options{Address: s.Address(), Security: Plaintext, TLS: s.ClientTLS(), Dial: s.Dial, Timeouts: patient}
}

// hasty returns options for a server in memory that stalls.
func hasty(s *hostile.Server) Options {
	o := options(s)
	o.Timeouts = short
	return o
}

// connect dials, logs in and opens INBOX.
func connect(t testing.TB, s *hostile.Server, o Options) *Conn {
	t.Helper()
	c, err := Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.Login(t.Context(), Auth{Username: "alice", Password: []byte("secret")}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Examine(t.Context(), "INBOX", true); err != nil {
		t.Fatal(err)
	}
	return c
}

func inbox(bodies ...string) []hostile.Mailbox {
	m := hostile.Mailbox{Name: "INBOX", Attrs: `\HasNoChildren`, UIDValidity: 7, HighestModSeq: 40}
	for i, b := range bodies {
		m.Messages = append(m.Messages, hostile.Message{
			UID: uint32(i + 1), Flags: `\Seen`, Date: "17-Jul-1996 02:44:25 -0700", Body: []byte(b), ModSeq: uint64(i + 1),
		})
	}
	return []hostile.Mailbox{m}
}

// bodies fetches and returns what came.
func bodies(ctx context.Context, c *Conn, set uid.Set) (map[uint32]string, error) {
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

func span(first, last uint32) uid.Set {
	var s uid.Set
	s.AddRange(first, last)
	return s
}

func TestHonestServer(t *testing.T) {
	for _, c := range []struct {
		name     string
		server   hostile.Options
		security Security
		auth     Auth
	}{
		{"plaintext", hostile.Options{}, Plaintext, Auth{}},
		{"TLS", hostile.Options{TLS: true, Capabilities: "IMAP4rev1 IMAP4rev2 SASL-IR AUTH=PLAIN ESEARCH LIST-STATUS SPECIAL-USE CONDSTORE LITERAL+"}, TLS, Auth{}},
		{"STARTTLS", hostile.Options{StartTLS: true, Capabilities: "IMAP4rev1"}, StartTLS, Auth{Mechanism: "login"}},
		{"password in a literal", hostile.Options{Password: "pässwörd", Capabilities: "IMAP4rev1"}, Plaintext, Auth{Password: []byte("pässwörd")}},
		{"AUTHENTICATE LOGIN", hostile.Options{TLS: true, Capabilities: "IMAP4rev1 LOGINDISABLED AUTH=LOGIN"}, TLS, Auth{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			big := strings.Repeat("0123456789abcde\n", 20_000)
			c.server.Mailboxes = append(inbox("one\r\n", "", big, "\x00 bare\nLF\r\n)\r\nT1 OK no\r\n", "five"),
				hostile.Mailbox{Name: "Entw&APw-rfe", Attrs: `\Drafts`, UIDValidity: 9, UIDNext: 5},
				hostile.Mailbox{Name: `a "b" \c`, Attrs: `\Noselect`})
			s := serve(t, c.server)
			o := options(s)
			o.Security = c.security
			conn, err := Dial(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			c.auth.Username = "alice"
			if c.auth.Password == nil {
				c.auth.Password = []byte("secret")
			}
			if err := conn.Login(t.Context(), c.auth); err != nil {
				t.Fatal(err)
			}
			if conn.HasCapability("IMAP4rev2") || !conn.HasCapability("imap4rev1") {
				t.Error("capabilities are wrong")
			}
			list, err := conn.List(t.Context())
			if err != nil || len(list) != 3 {
				t.Fatalf("List = %v, %v", list, err)
			}
			if m := list[0]; m.Name != "INBOX" || m.Delimiter != "/" || m.Status == nil || m.Status.Messages != 5 || m.Status.UIDNext != 6 || m.Status.UIDValidity != 7 {
				t.Errorf("INBOX = %+v, %+v", m, m.Status)
			}
			if m := list[1]; m.Name != "Entwürfe" || m.Wire != "Entw&APw-rfe" || m.Raw || m.Status == nil || m.Status.UIDNext != 5 {
				t.Errorf("Entwürfe = %+v, %+v", m, m.Status)
			}
			if m := list[2]; m.Name != `a "b" \c` || m.Status != nil || m.StatusErr != nil {
				t.Errorf(`\Noselect = %+v`, m)
			}
			e, err := conn.Examine(t.Context(), "INBOX", true)
			if err != nil || !e.ReadOnly || e.UIDValidity != 7 || e.UIDNext != 6 || e.Messages != 5 || e.HighestModSeq != 40 {
				t.Errorf("Examine = %+v, %v", e, err)
			}
			set, err := conn.Search(t.Context())
			if err != nil || set.String() != "1:5" {
				t.Errorf("Search = %q, %v", set, err)
			}
			var metas []Metadata
			err = conn.FetchMetadata(t.Context(), MetadataQuery{Set: set}, func(m Metadata) error { metas = append(metas, m); return nil })
			if err != nil || len(metas) != 5 || metas[2].Size != int64(len(big)) || !metas[0].HasFlags || metas[0].Flags[0] != `\Seen` ||
				metas[0].InternalDate.Format(time.RFC3339) != "1996-07-17T02:44:25-07:00" || metas[0].Problem != "" {
				t.Errorf("Meta = %+v, %v", metas, err)
			}
			metas = nil
			err = conn.FetchMetadata(t.Context(), MetadataQuery{Set: set, FlagsOnly: true, ChangedSince: 3}, func(m Metadata) error { metas = append(metas, m); return nil })
			if err != nil || len(metas) != 2 || metas[1].UID != 5 || metas[1].ModSeq != 5 {
				t.Errorf("Meta CHANGEDSINCE = %+v, %v", metas, err)
			}
			want := map[uint32]string{1: "one\r\n", 2: "", 3: big, 4: "\x00 bare\nLF\r\n)\r\nT1 OK no\r\n", 5: "five"}
			if got, err := bodies(t.Context(), conn, set); err != nil || !maps.Equal(got, want) {
				t.Errorf("Bodies: %d bodies, %v", len(got), err)
			}
			for u, body := range want {
				var got bytes.Buffer
				err := conn.FetchBody(t.Context(), u, func(size int64, r io.Reader) error {
					_, err := got.ReadFrom(r)
					return err
				})
				if err != nil || got.String() != body {
					t.Errorf("Body(%d): %d octets, %v", u, got.Len(), err)
				}
			}
			if err := conn.Noop(t.Context()); err != nil {
				t.Error(err)
			}
			if err := conn.Logout(t.Context()); err != nil {
				t.Error(err)
			}
			if got := Classify(conn.Noop(t.Context())); got != ClassCanceled {
				t.Errorf("after Logout: %v", got)
			}
			for _, line := range s.Commands() {
				if strings.HasPrefix(line, "SELECT") || strings.Contains(line, "BODY[]") || strings.HasPrefix(line, "CAPABILITY") && c.name == "TLS" {
					t.Errorf("sent %q", line)
				}
			}
		})
	}
}

// A set too long for one command is sent in several, one after the other.
func TestLongSetIsSplit(t *testing.T) {
	box := hostile.Mailbox{Name: "INBOX", UIDValidity: 1}
	var set uid.Set
	for i := range uint32(3000) {
		u := 1_000_000 + 2*i
		box.Messages = append(box.Messages, hostile.Message{UID: u, Date: "x", Body: fmt.Appendf(nil, "%d", u)})
		set.Add(u)
	}
	s := serve(t, hostile.Options{Mailboxes: []hostile.Mailbox{box}})
	c := connect(t, s, options(s))
	got, err := bodies(t.Context(), c, set)
	if err != nil || len(got) != 3000 || got[1_000_002] != "1000002" {
		t.Fatalf("%d bodies, %v", len(got), err)
	}
	n := 0
	if err := c.FetchMetadata(t.Context(), MetadataQuery{Set: set}, func(m Metadata) error { n++; return nil }); err != nil || n != 3000 {
		t.Errorf("%d metas, %v", n, err)
	}
	fetches := slices.DeleteFunc(s.Commands(), func(line string) bool { return !strings.HasPrefix(line, "UID FETCH") })
	if len(fetches) < 6 {
		t.Errorf("%d commands", len(fetches))
	}
	for _, line := range fetches {
		if len(line) > 8100 {
			t.Errorf("a command of %d octets", len(line))
		}
	}
}

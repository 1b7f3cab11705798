package sync

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	gosync "sync"
	"testing"

	"archiverd/internal/testing/dovecot"
	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
	"archiverd/internal/wire"
)

// recorder counts the flights of connections made through it: what is written after
// something was read, however many writes it takes. Each flight but a farewell is a
// round trip that is waited for.
type recorder struct {
	mu      gosync.Mutex
	flights int
	lines   int // connections
}

func (r *recorder) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines++
	return &recorded{Conn: c, r: r, heard: true}, nil
}

// taken returns the flights since the last call, and the connections.
func (r *recorder) taken() (flights, lines int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	flights, lines = r.flights, r.lines
	r.flights, r.lines = 0, 0
	return flights, lines
}

// recorded is one connection.
type recorded struct {
	net.Conn
	r     *recorder
	heard bool // something was read since the last write, or nothing was written yet
}

func (c *recorded) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.r.mu.Lock()
		c.heard = true
		c.r.mu.Unlock()
	}
	return n, err
}

func (c *recorded) Write(p []byte) (int, error) {
	c.r.mu.Lock()
	if c.heard {
		c.r.flights++
	}
	c.heard = false
	c.r.mu.Unlock()
	return c.Conn.Write(p)
}

// The commands that a run can't do without, one flight each, by what makes them:
// a login, LIST, a look into each mailbox that changed, the bodies of each that has
// new ones, and a farewell that is not waited for.
func TestRoundTrips(t *testing.T) {
	const all = "IMAP4rev1 AUTH=PLAIN SASL-IR LIST-STATUS CONDSTORE ESEARCH"
	for _, c := range []struct {
		capabilities                  string
		first, again, fresh, flagsToo int
	}{
		{all, 1 + 1 + 2*10 + 1 + 1, 1 + 1 + 1, 1 + 1 + 1 + 1 + 1, 1 + 1 + 1 + 1},
		// the STATUS of all mailboxes in one more flight
		{"IMAP4rev1 AUTH=PLAIN SASL-IR CONDSTORE", 1 + 2 + 2*10 + 1 + 1, 1 + 2 + 1, 1 + 2 + 1 + 1 + 1, 1 + 2 + 1 + 1},
	} {
		t.Run(c.capabilities, func(t *testing.T) {
			h := newTestbed(t)
			var boxes []hostile.Mailbox
			for i := range 11 {
				boxes = append(boxes, world.NewMailbox(fmt.Sprintf("box %02d", i), uint32(i+1), 10*i))
			}
			s := world.Serve(t, hostile.Options{Mailboxes: boxes, Capabilities: c.capabilities})
			var r recorder
			acc := world.Alice(s.Address())
			acc.Connections, acc.Wire.Dial = 1, r.dial
			flies := func(what string, want int) {
				t.Helper()
				h.clean(acc)
				if got, lines := r.taken(); got != want || lines != 1 {
					t.Errorf("%s: %d flights on %d connections, want %d on 1: %q", what, got, lines, want, s.Commands())
				}
				for _, m := range boxes {
					h.Holds(m)
				}
			}
			flies("first run", c.first)
			flies("no change", c.again)
			for i := range 100 {
				boxes[3].Messages = append(boxes[3].Messages, world.NewMessage("box 03", uint32(31+i)))
			}
			boxes[3].HighestModSeq = 1000
			flies("100 new", c.fresh)
			boxes[3].Messages[5].Flags, boxes[3].Messages[5].ModSeq = `\Answered`, 1001
			boxes[3].HighestModSeq = 1001
			flies("flags", c.flagsToo)
		})
	}
}

// garble overwrites the n journals below dir with as many other octets: a journal that
// is read now is damaged. putBack puts them back.
func garble(t *testing.T, dir string, n int) (putBack func()) {
	t.Helper()
	journals := map[string][]byte{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "journal.jsonl" {
			journals[p], err = os.ReadFile(p)
		}
		return err
	})
	if err != nil || len(journals) != n {
		t.Fatal(len(journals), err)
	}
	write := func(p string, text []byte) {
		if err := os.WriteFile(p, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for p, text := range journals {
		write(p, bytes.Repeat([]byte("x"), len(text)))
	}
	return func() {
		for p, text := range journals {
			write(p, text)
		}
	}
}

// TestNoChange: a run over 200 mailboxes in which nothing changed takes a handful of
// round trips in all, and reads no journal.
func TestNoChange(t *testing.T) {
	for capabilities, want := range map[string]int{
		"IMAP4rev1 AUTH=PLAIN SASL-IR LIST-STATUS CONDSTORE": 3,
		"IMAP4rev1 AUTH=PLAIN SASL-IR CONDSTORE":             4,
	} {
		h := newTestbed(t)
		var boxes []hostile.Mailbox
		for i := range 200 {
			boxes = append(boxes, world.NewMailbox(fmt.Sprintf("%03d a mailbox with a name as long as people give them", i), uint32(i+1), 1+i%3))
		}
		s := world.Serve(t, hostile.Options{Mailboxes: boxes, Capabilities: capabilities})
		h.clean(world.Alice(s.Address()))
		var r recorder
		acc := world.Alice(s.Address())
		acc.Wire.Dial = r.dial
		putBack := garble(t, h.Dir, len(boxes))
		run, err := (&Job{Account: acc, Policy: h.policy, Committer: h.Committer, Log: h.Log}).Run(t.Context())
		if err != nil || !run.OK() || run.Sum.Archived != count(boxes) {
			t.Errorf("%v\n%s", err, show(run))
		}
		putBack()
		if got, lines := r.taken(); got != want || lines != 1 {
			t.Errorf("%s: %d flights on %d connections, want %d on 1", capabilities, got, lines, want)
		}
	}
}

// The same with a real server and TLS, whose handshake takes two flights.
func TestRoundTripsDovecot(t *testing.T) {
	srv := dovecot.Start(t)
	u := srv.User(t, "alice")
	c := u.Dial(t)
	c.Load(dovecot.Corpus(1, 150))
	h := newTestbed(t)
	var r recorder
	acc := world.Alice(srv.Addr)
	acc.Wire = wire.Options{Address: srv.Addr, TLS: srv.TLS, Timeouts: world.Patient(), Dial: r.dial}
	acc.Auth = func(context.Context) (wire.Auth, error) {
		return wire.Auth{Username: u.Name, Password: []byte(u.Password)}, nil
	}
	acc.Connections = 1
	const before = 2 + 1 + 1 // the handshake, the login and LIST
	for _, run := range []struct {
		what string
		want int
	}{
		{"first run", before + 10*2 + 1 + 1}, // one mailbox is empty
		{"no change", before + 1},
		{"new messages", before + 2 + 1},
	} {
		if run.what == "new messages" {
			c.Append("INBOX", dovecot.Corpus(2, 20)[0].Msgs...)
		}
		h.clean(acc)
		if got, _ := r.taken(); got != run.want {
			t.Errorf("%s: %d flights, want %d", run.what, got, run.want)
		}
	}
}

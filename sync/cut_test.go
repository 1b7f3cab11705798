package sync

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"regexp"
	"strconv"
	gosync "sync"
	"testing"

	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
)

// cutter stands between a job and its server, cuts connections after some
// octets of the server's, and keeps what it let through.
type cutter struct {
	Addr string

	to    string
	reset bool // cut with RST: what is under way is lost
	wait  gosync.WaitGroup
	close func()

	mu     gosync.Mutex
	after  []int // octets of the connections to come; without an entry: any number
	passed []*bytes.Buffer
}

// cut starts a cutter in front of the server at to.
func cut(t testing.TB, to string, reset bool, after ...int) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{Addr: l.Addr().String(), to: to, reset: reset, after: after}
	c.wait.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			c.wait.Go(func() { c.serve(client.(*net.TCPConn)) })
		}
	})
	c.close = func() {
		l.Close()
		c.wait.Wait()
	}
	t.Cleanup(c.close)
	return c
}

func (c *cutter) serve(client *net.TCPConn) {
	defer client.Close()
	up, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	defer up.Close()
	said := &bytes.Buffer{}
	c.mu.Lock()
	most := int64(1) << 60
	if len(c.after) > 0 {
		most, c.after = int64(c.after[0]), c.after[1:]
	}
	c.passed = append(c.passed, said)
	c.mu.Unlock()
	var listening gosync.WaitGroup
	listening.Go(func() {
		io.Copy(up, client)
		up.Close()
	})
	n, _ := io.Copy(io.MultiWriter(client, said), io.LimitReader(up, most))
	up.Close()
	if n == most && c.reset {
		client.SetLinger(0)
		client.Close()
	} else {
		client.CloseWrite() // what went before arrives
	}
	listening.Wait()
}

var announced = regexp.MustCompile(`BODY\[\] \{(\d+)\}\r\n`)

// whole counts, by their octets, the bodies that passed whole.
func (c *cutter) whole() map[string]int {
	c.wait.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]int{}
	for _, said := range c.passed {
		rest := said.Bytes()
		for {
			at := announced.FindSubmatchIndex(rest)
			if at == nil {
				break
			}
			size, _ := strconv.Atoi(string(rest[at[2]:at[3]]))
			if len(rest) < at[1]+size+len(")\r\n") { // a body without the end of its reply may be cut short
				break
			}
			out[string(rest[at[1]:at[1]+size])]++
			rest = rest[at[1]+size:]
		}
	}
	return out
}

// manyBoxes are mailboxes of which one is several pieces.
func manyBoxes() []hostile.Mailbox {
	return []hostile.Mailbox{world.NewMailbox("INBOX", 7, 1300), world.NewMailbox("Lists/Go", 8, 40), world.NewMailbox("Archiv", 9, 3), world.NewMailbox("Empty", 10, 0)}
}

// Wherever connections are cut, nothing that came whole is fetched again, and
// nothing is missing in the end.
func TestNothingIsFetchedTwice(t *testing.T) {
	boxes := manyBoxes()
	s := world.Serve(t, hostile.Options{Mailboxes: boxes})
	rounds := 8
	if testing.Short() {
		rounds = 6
	}
	for seed := range rounds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 1))
			h := newTestbed(t)
			var after []int
			for range 1 + r.IntN(8) {
				after = append(after, 1+r.IntN([]int{400, 5_000, 100_000, 400_000}[r.IntN(4)]))
			}
			c := cut(t, s.Address(), false, after...)
			acc := world.Alice(c.Addr)
			acc.Connections = 1 + seed%4
			acc.Retry.MaxTries = 20
			if run, err := h.run(acc); err != nil || !run.OK() { // cut in the same place too often
				h.clean(acc)
			}
			c.close()
			for body, n := range c.whole() {
				if n > 1 {
					t.Errorf("%.40q came whole %d times", body, n)
				}
			}
			for _, m := range boxes {
				h.Holds(m)
			}
		})
	}
}

// Cut at every octet of a small account's traffic, in one run after the other:
// each run ends well, for one cut is survived by it.
func TestCutAtEachOctet(t *testing.T) {
	boxes := []hostile.Mailbox{world.NewMailbox("INBOX", 7, 3), world.NewMailbox("x", 8, 1)}
	s := world.Serve(t, hostile.Options{Mailboxes: boxes})
	step := 23
	if testing.Short() {
		step = 97
	}
	h := newTestbed(t)
	c := cut(t, s.Address(), false)
	acc := world.Alice(c.Addr)
	acc.Connections = 1
	h.clean(acc)
	c.close()
	all := c.passed[0].Len()
	for at := 1; at < all; at += step {
		h := newTestbed(t)
		c := cut(t, s.Address(), at%2 == 0, at)
		acc.Wire.Address = c.Addr
		run, err := h.run(acc)
		if err != nil || !run.OK() {
			t.Fatalf("cut at octet %d of %d: %v\n%s", at, all, err, show(run))
		}
		c.close()
		for body, n := range c.whole() {
			if n > 1 && !c.reset {
				t.Errorf("cut at octet %d: %.40q came whole %d times", at, body, n)
			}
		}
		for _, m := range boxes {
			h.Holds(m)
		}
	}
}

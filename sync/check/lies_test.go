package check

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"archiverd/internal/imapd"
	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
)

// TestLies: a check that is lied to does not say that all balances when it does
// not. A list that leaves a message out is too short, and one that has another in
// its place has one that can't be fetched. Only a server whose answers all agree
// could hide one.
func TestLies(t *testing.T) {
	seeds := uint64(100)
	if testing.Short() {
		seeds = 20
	}
	h := newTestbed(t)
	user, addr := serveIMAP(t)
	names := map[string]int{"INBOX": 11, "Lists/Go": 6, "Archiv": 3}
	for name, n := range names {
		deliver(t, user, name, n)
	}
	last := h.clean(world.Alice(addr))
	for name := range names {
		m := deliver(t, user, name, 2)
		m.Expunge(m.Messages()[0].UID)
	}
	for i := range last.Mailboxes {
		last.Mailboxes[i].UIDNext = 1000 // as if the last run had been told of what came
	}
	ended := 0
	for seed := range seeds {
		liar, err := hostile.NewLiar(addr, seed)
		if err != nil {
			t.Fatal(err)
		}
		c := h.check(world.Alice(liar.Addr), &last)
		if err := liar.Close(); err != nil {
			t.Error(err)
		}
		if c.OK() || c.Error == "" && c.Sum.Missing == 0 {
			t.Errorf("seed %d: 6 messages are not archived, and the check says %+v\n%s", seed, c, strings.Join(liar.Lies(), "\n"))
		}
		if c.Error == "" {
			ended++
		}
	}
	if ended < int(seeds)/2 {
		t.Errorf("only %d of %d checks came to an end", ended, seeds)
	}
}

// serveIMAP starts a server in the process with user alice.
func serveIMAP(t *testing.T) (*imapd.User, string) {
	t.Helper()
	s := imapd.New(imapd.Options{UIDValidity: 1000})
	addr, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s.AddUser("alice", "secret"), addr
}

// deliver appends n messages, no two of one size: two bodies of one size in each
// other's place can't be told apart by anything that a server says of them.
func deliver(t *testing.T, u *imapd.User, name string, n int) *imapd.Mailbox {
	t.Helper()
	m, err := u.Mailbox(name)
	if err != nil {
		if m, err = u.Create(name); err != nil {
			t.Fatal(err)
		}
	}
	for range n {
		i := len(m.Messages())
		body := fmt.Sprintf("Subject: %s %d\r\n\r\n* 3 FETCH (FLAGS ()) or so\r\n%s", name, i, strings.Repeat("a line\r\n", 3*i+len(name)))
		m.Append(imapd.Message{Body: []byte(body), Flags: []string{`\Seen`}, InternalDate: time.Date(2021, 2, 3, 4, 5, i, 0, time.UTC)})
	}
	return m
}

package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"archiverd/internal/testing/dovecot"
)

// TestRestoreKilled kills a restore at random moments, 30 times, or 8 with -short, and
// starts it again each time. In the end each account it went to has every message
// once, in order, as the first server has it.
func TestRestoreKilled(t *testing.T) {
	t.Parallel()
	kills := 30
	if testing.Short() {
		kills = 8
	}
	srv := dovecot.Start(t)
	alice := srv.User(t, "alice")
	c := alice.Dial(t)
	corpus := dovecot.Corpus(11, 1500)
	c.Load(corpus)
	s := newSite(t)
	users := make([]*dovecot.User, 40)
	accounts := []string{"accounts:\n", s.overTLS(srv, alice)}
	for i := range users {
		users[i] = srv.User(t, fmt.Sprintf("new%d", i))
		accounts = append(accounts, s.overTLS(srv, users[i]))
	}
	s.configure(accounts...)
	s.run("sync", "alice").want(0)
	want := map[string][]dovecot.Msg{}
	for _, b := range corpus {
		want[b.Name] = c.Read(b.Name)
	}

	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	whole := s.run("restore", "--from", "alice", "--to", "new0", "--yes").want(0).elapsed
	equalMailboxes(t, users[0].Dial(t), want)
	killed, user := 0, 1
	for ; killed < kills; user++ {
		if user == len(users) {
			t.Fatalf("only %d restores could be killed", killed)
		}
		to := users[user]
		span := whole
		for ended := false; !ended; {
			p := s.start("restore", "--from", "alice", "--to", to.Name, "--yes")
			if killed < kills {
				p.killAfter(time.Duration(random.Int64N(int64(span))))
			}
			if r := p.wait(); r.status < 0 {
				killed++
				// A restore that continues a killed one may first wait for the
				// server, up to two seconds: an alarm that always came within would
				// kill every restore.
				span = whole + 2*time.Second
			} else {
				r.want(0)
				ended = true
			}
		}
		equalMailboxes(t, to.Dial(t), want)
	}
	t.Logf("seed %d: %d killed, %d accounts restored", seed, killed, user)
}

// equalMailboxes compares mailboxes with what they should hold, UIDs apart.
func equalMailboxes(t *testing.T, c *dovecot.Client, want map[string][]dovecot.Msg) {
	t.Helper()
	for name, messages := range want {
		got := c.Read(name)
		equal := slices.EqualFunc(got, messages, func(g, w dovecot.Msg) bool {
			return g.SHA256 == w.SHA256 && g.Date.Equal(w.Date) && slices.Equal(g.Flags, w.Flags)
		})
		if !equal {
			t.Errorf("%s: %d messages, want %d, or they are others", name, len(got), len(messages))
		}
	}
}

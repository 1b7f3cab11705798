package main

import (
	"fmt"
	"strings"
	gosync "sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"archiverd/internal/testing/dovecot"
	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
	"archiverd/state"
)

// flood is a server that answers one command with as much as it can.
type flood struct {
	name     string
	isQuick  bool
	command  string
	args     string // which the command has
	messages int    // in the INBOX
	answer   func(s *hostile.Session, cmd hostile.Command)
}

var floods = []flood{
	{"empty literals", true, "LIST", "", 20, func(s *hostile.Session, cmd hostile.Command) {
		s.Send("* LIST () \"/\" ")
		s.Flood("{0}\r\n")
	}},
	{"names of a million octets", true, "LIST", "", 20, func(s *hostile.Session, cmd hostile.Command) {
		name := strings.Repeat("x", 1_000_000-6)
		for i := range 200 {
			s.Write(fmt.Sprintf("* LIST () \"/\" {1000000}\r\n%06d%s\r\n", i, name))
		}
		s.Send(cmd.Tag + " OK x\r\n")
	}},
	{"flags of a million octets", false, "UID FETCH", "RFC822.SIZE", 2000, func(s *hostile.Session, cmd hostile.Command) {
		flag := strings.Repeat("x", 900_000)
		for i := range 2000 {
			s.Write(fmt.Sprintf("* %d FETCH (UID %d RFC822.SIZE 9 FLAGS ({%d}\r\n%s))\r\n", i+1, i+1, len(flag), flag))
		}
		s.Send(cmd.Tag + " OK x\r\n")
	}},
	{"codes without end", true, "EXAMINE", "INBOX", 20, func(s *hostile.Session, _ hostile.Command) {
		s.Flood("* OK [PERMANENTFLAGS (" + strings.Repeat("k ", 30_000) + ")] x\r\n")
	}},
	{"scattered UIDs", false, "UID SEARCH", "", 20, func(s *hostile.Session, cmd hostile.Command) {
		s.Write("* SEARCH")
		for u := 1_000_000_000; u < 1_005_000_000; u += 2 {
			s.Write(fmt.Sprint(" ", u))
		}
		s.Send("\r\n" + cmd.Tag + " OK x\r\n")
	}},
}

// serve starts a scripted server with mailboxes INBOX and Sent.
func serve(t *testing.T, messages int, script func(*hostile.Session, hostile.Command) bool) *hostile.Server {
	t.Helper()
	srv, err := hostile.New(hostile.Options{Script: script, Mailboxes: []hostile.Mailbox{world.NewMailbox("INBOX", 7, messages), world.NewMailbox("Sent", 8, 3)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return srv
}

// at returns an account of the site, with that name, at a scripted server.
func (s *site) at(name string, srv *hostile.Server) string {
	lines := s.plain(srv.Address(), &dovecot.User{Name: "alice", Password: "secret"}, "connections: 1")
	return strings.Replace(lines, "name: alice", "name: "+name, 1)
}

// runsOf decodes the runs of sync --json, by account.
func runsOf(r *result) map[string]state.Run {
	r.t.Helper()
	var runs []state.Run
	r.decode(&runs)
	byAccount := map[string]state.Run{}
	for _, run := range runs {
		byAccount[run.Account] = run
	}
	return byAccount
}

// TestFloodsTakeLittleMemory: whatever a server floods its answers with, a sync takes less
// than 128 MiB in all and ends by itself; the account's other mailbox is archived, unless
// the flood is the list of both, and the other account is complete. When the server
// floods no more, the next run completes its account too.
func TestFloodsTakeLittleMemory(t *testing.T) {
	t.Parallel()
	const maxMemory = 128 << 20
	isShort := testing.Short()
	for _, f := range floods {
		if isShort && !f.isQuick {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.program = plainProgram(t)
			var isOver atomic.Bool
			srv := serve(t, f.messages, func(s *hostile.Session, cmd hostile.Command) bool {
				if isOver.Load() || cmd.Name != f.command || !strings.Contains(cmd.Args, f.args) || strings.HasPrefix(cmd.Name, "UID") && s.Open.Name != "INBOX" {
					return false
				}
				f.answer(s, cmd)
				return true
			})
			s.configure("accounts:\n", s.at("alice", srv), s.at("bob", serve(t, 20, nil)))
			p := s.start("sync", "--json")
			peak := peakMemory(t, p)
			r := p.wait().want(1)
			if peak > maxMemory || peak == 0 {
				t.Errorf("%d MiB of memory", peak>>20)
			}
			t.Logf("%v, %d MiB of memory", r.elapsed.Round(time.Millisecond), peak>>20)
			runs := runsOf(r)
			if alice, bob := runs["alice"], runs["bob"]; alice.OK() || !bob.OK() || bob.Sum.Archived != 23 || bob.Ended.After(alice.Ended) {
				t.Errorf("alice: %+v\nbob: %+v", alice, bob)
			}
			for _, l := range runs["alice"].Mailboxes {
				if l.Mailbox == "INBOX" && l.Error == "" || l.Mailbox == "Sent" && l.Archived != 3 {
					t.Errorf("%+v", l)
				}
			}
			isOver.Store(true)
			s.run("sync").want(0)
		})
	}
}

// TestSilentServerDoesNotDelayStop: SIGTERM ends a command within ten seconds, whatever a
// server is doing to it.
func TestSilentServerDoesNotDelayStop(t *testing.T) {
	t.Parallel()
	const limit = 10 * time.Second
	for _, c := range []struct {
		name, command, args string
		hold                func(s *hostile.Session, cmd hostile.Command)
	}{
		{"silence at login", "AUTHENTICATE", "", func(s *hostile.Session, cmd hostile.Command) { s.Stall() }},
		{"silence at LIST", "LIST", "", func(s *hostile.Session, cmd hostile.Command) { s.Stall() }},
		{"drips of a reply to EXAMINE", "EXAMINE", "", func(s *hostile.Session, cmd hostile.Command) {
			s.Drip("* OK x\r\n", 20*time.Millisecond)
		}},
		{"silence within a body", "UID FETCH", "BODY.PEEK[]", func(s *hostile.Session, cmd hostile.Command) {
			s.Send("* 1 FETCH (UID 1 BODY[] {100000}\r\nSubject: x\r\n")
			s.Stall()
		}},
		{"drips of a body", "UID FETCH", "BODY.PEEK[]", func(s *hostile.Session, cmd hostile.Command) {
			s.Send("* 1 FETCH (UID 1 BODY[] {100000}\r\n")
			s.Drip("x", 20*time.Millisecond)
		}},
	} {
		for _, command := range []string{"run", "sync"} {
			t.Run(command+", "+c.name, func(t *testing.T) {
				t.Parallel()
				s := newSite(t)
				held := make(chan struct{})
				var once gosync.Once
				var isOver atomic.Bool
				srv := serve(t, 20, func(s *hostile.Session, cmd hostile.Command) bool {
					if isOver.Load() || cmd.Name != c.command || !strings.Contains(cmd.Args, c.args) {
						return false
					}
					once.Do(func() { close(held) })
					c.hold(s, cmd)
					return true
				})
				s.configure("accounts:\n", s.at("alice", srv))
				p := s.start(command)
				select {
				case <-held:
				case <-p.done:
					t.Fatalf("it ended before the server held it up:\n%s", p.err)
				}
				stopped := time.Now()
				p.signal(syscall.SIGTERM)
				p.wait()
				if took := time.Since(stopped); took > limit {
					t.Errorf("it ended after %v", took)
				}
				isOver.Store(true)
				s.run("sync").want(0)
			})
		}
	}
}

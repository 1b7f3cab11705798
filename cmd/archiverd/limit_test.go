package main

import (
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"archiverd/internal/daemon"
	"archiverd/internal/testing/dovecot"
	"archiverd/internal/testing/hostile"
)

// loginsOf returns the number of logins of the user in the server's log.
func loginsOf(srv *dovecot.Server, u *dovecot.User) int {
	return strings.Count(srv.Log(), "Login: user=<"+u.Name+">")
}

// limitStory is the site of TestDailyLimit: alice has more mail than her daily limit.
type limitStory struct {
	*site
	srv     *dovecot.Server
	user    *dovecot.User
	manager *manager
	account string // without a limit
}

const limitMessages = 20 // of some 110 kB each

func newLimitStory(t *testing.T) *limitStory {
	t.Helper()
	srv := dovecot.Start(t)
	u := srv.User(t, "alice")
	var msgs []dovecot.Msg
	for i := range limitMessages {
		msgs = append(msgs, dovecot.Msg{Body: []byte(fmt.Sprintf("Subject: %d\r\n\r\n%s", i, strings.Repeat("all work and no play\r\n", 5000)))})
	}
	u.Dial(t).Append("INBOX", msgs...)
	s := newSite(t)
	return &limitStory{site: s, srv: srv, user: u, manager: newManager(s), account: s.overTLS(srv, u, "connections: 2", "rate: 100MB")}
}

// limit writes the configuration; a line of the account may set a limit.
func (l *limitStory) limit(line string) {
	l.t.Helper()
	l.configure("schedule: '@hourly'\naccounts:\n", l.account+line)
}

// TestDailyLimit: a run that reaches the limit reports when it continues. Until then
// nothing connects to the server: no sync by hand, no daemon and no restarted daemon.
// Without the limit the next run fetches the rest.
func TestDailyLimit(t *testing.T) {
	t.Parallel()
	l := newLimitStory(t)
	l.limit("    daily_limit: 1MB\n")
	l.run("config", "check").want(0).prints("alice: alice at " + l.srv.Addr + ", tls implicit, 2 connections, at most 100 MB/s, at most 1.0 MB a day, schedule @hourly")
	l.syncStopsAtLimit()
	l.statusShowsRest()
	logins := loginsOf(l.srv, l.user)
	l.run("sync").want(1).prints("alice: NOT STARTED: daily limit of 1.0 MB reached; goes on at 20")
	for range 2 { // a daemon, and its next process
		l.daemonWaitsForNextDay()
	}
	if n := loginsOf(l.srv, l.user) - logins; n != 0 {
		t.Errorf("%d logins after the limit was reached", n)
	}
	l.reloadWithoutLimitEndsHoldOff()
	if run := l.sync(); run.Sum.Archived != limitMessages {
		t.Errorf("archived are %+v", run.Sum)
	}
}

// syncStopsAtLimit: the report names the limit, and no error.
func (l *limitStory) syncStopsAtLimit() {
	l.t.Helper()
	r := l.run("sync").want(1).prints("alice: INCOMPLETE after", "daily limit of 1.0 MB reached; goes on at 20", "(left to the next run)")
	if strings.Contains(r.out, "FAILED") || strings.Contains(r.out, "mailbox INBOX:") {
		l.t.Errorf("the report calls the limit an error:\n%s", r.out)
	}
}

// statusShowsRest: status has the counts of the day, when the next run starts, and
// an estimate of the days that remain.
func (l *limitStory) statusShowsRest() {
	l.t.Helper()
	var report daemon.Report
	l.run("status", "--json").want(1).decode(&report)
	acc := report.Accounts[0]
	if acc.Last == nil || acc.Last.Sum.Archived < 5 || acc.Last.Sum.Archived > 9 || acc.Last.Sum.Missing != limitMessages-acc.Last.Sum.Archived ||
		acc.DailyLimit != 1_000_000 || acc.LastDay < 600_000 || acc.LastDay > 1_000_000 || !acc.LastOK.IsZero() {
		l.t.Fatalf("status is %+v", acc)
	}
	if wait := time.Until(acc.Last.Resumes); wait < 23*time.Hour || wait > 26*time.Hour {
		l.t.Errorf("goes on in %v", wait)
	}
	if e := acc.Estimate; e == nil || e.Messages != acc.Last.Sum.Missing || e.Daily != 1_000_000 || e.Takes < 24*time.Hour {
		l.t.Errorf("the estimate is %+v", acc.Estimate)
	}
	l.run("status").want(1).prints("messages left, about 1.", " days, at 1.0 MB a day", "received in the last 24 hours", "goes on at 20")
}

func (l *limitStory) daemonWaitsForNextDay() {
	l.t.Helper()
	var report daemon.Report
	d := l.start("run")
	l.manager.waitFor("READY=1")
	eventually(l.t, "the missed run is left out", func() bool {
		report = l.status()
		return strings.Contains(d.err.String(), "left out") || !report.Accounts[0].Held.IsZero()
	})
	acc := report.Accounts[0]
	if !acc.Held.Equal(acc.Last.Resumes) || !acc.Next.Equal(acc.Held) || !strings.Contains(acc.HeldWhy, "daily limit") || acc.Last.Sum.Archived < 5 {
		l.t.Errorf("status is %+v", acc)
	}
	l.run("status").want(1).prints("held back until 20", "next run 20", " days, at 1.0 MB a day")
	d.signal(syscall.SIGTERM)
	d.wait().want(0)
}

func (l *limitStory) reloadWithoutLimitEndsHoldOff() {
	l.t.Helper()
	d := l.start("run")
	l.manager.waitFor("READY=1")
	l.limit("")
	d.signal(syscall.SIGHUP)
	eventually(l.t, "the account's hold-off ends", func() bool { return l.status().Accounts[0].Held.IsZero() })
	d.signal(syscall.SIGTERM)
	d.wait().want(0)
}

// TestStatedBackOffStartsHoldOff: if a server states a longer back-off than a run
// waits, neither the daemon nor its next process logs in before its end.
func TestStatedBackOffStartsHoldOff(t *testing.T) {
	t.Parallel()
	var throttled atomic.Bool
	throttled.Store(true)
	srv, err := hostile.New(hostile.Options{Mailboxes: []hostile.Mailbox{{Name: "INBOX", UIDValidity: 1}}, Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name == "AUTHENTICATE" && throttled.Load() {
			s.Send(cmd.Tag + " BAD Request is throttled. Suggested Backoff Time: 2999610 milliseconds\r\n")
			return true
		}
		return false
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	s := newSite(t)
	m := newManager(s)
	s.configure("schedule: '@every 1m'\naccounts:\n", s.plain(srv.Address(), &dovecot.User{Name: "alice", Password: "secret"}))
	for range 2 {
		d := s.start("run")
		m.waitFor("READY=1")
		eventually(t, "the account's hold-off starts", func() bool {
			r := s.status()
			return len(r.Accounts) == 1 && !r.Accounts[0].Held.IsZero() && r.Accounts[0].Running == nil
		})
		acc := s.status().Accounts[0]
		if wait := time.Until(acc.Held); wait < 45*time.Minute || wait > 50*time.Minute || !acc.Next.Equal(acc.Held) {
			t.Errorf("hold-off of %v, next run %v", wait, acc.Next)
		}
		s.run("status").want(1).prints("INCOMPLETE", "the server asks to stay away for 49m59.61s", "held back until", "goes on at")
		d.signal(syscall.SIGTERM)
		d.wait().want(0)
	}
	if n := strings.Count(strings.Join(srv.Commands(), "\n"), "AUTHENTICATE"); n != 1 {
		t.Errorf("%d logins", n)
	}
	throttled.Store(false)
	s.run("sync").want(0) // by hand whoever will may ask
}

package main

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"archiverd/internal/daemon"
	"archiverd/internal/testing/dovecot"
)

// manager takes what a daemon tells systemd.
type manager struct {
	t    *testing.T
	said chan string
}

// newManager listens on a socket, which it puts into the site's environment.
func newManager(s *site) *manager {
	s.t.Helper()
	path := filepath.Join(s.dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	s.env = append(s.env, "NOTIFY_SOCKET="+path)
	m := &manager{t: s.t, said: make(chan string, 10000)}
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				close(m.said)
				return
			}
			m.said <- string(buf[:n])
		}
	}()
	return m
}

// hears waits for a message with the text and returns it whole.
func (m *manager) hears(text string) string {
	m.t.Helper()
	end := time.After(patience)
	for {
		select {
		case got, ok := <-m.said:
			if !ok {
				m.t.Fatalf("the manager never heard %q", text)
			}
			if strings.Contains(got, text) {
				return got
			}
		case <-end:
			m.t.Fatalf("the manager never heard %q", text)
		}
	}
}

// status asks the running daemon. The error of a run that is not complete is
// none of it.
func (s *site) status() (report daemon.Report) {
	s.t.Helper()
	s.run("status", "--json").decode(&report)
	return report
}

var monotonic = regexp.MustCompile(`MONOTONIC_USEC=(\d+)`)

// TestDaemon is a day of the daemon as systemd would have it: started, asked,
// reloaded well and badly in the middle of a run, stopped.
func TestDaemon(t *testing.T) {
	t.Parallel()
	srv := dovecot.Start(t)
	alice, bob := srv.User(t, "alice"), srv.User(t, "bob")
	alice.Dial(t).Load(dovecot.Corpus(5, 400))
	bob.Dial(t).Append("INBOX", dovecot.Msg{Body: []byte("Subject: for bob\r\n\r\nhello\r\n")})
	s := newSite(t)
	m := newManager(s)
	s.env = append(s.env, "WATCHDOG_USEC=300000")
	tap := newProxy(t, srv.PlainAddr)
	tap.hold(200 << 10)
	one := s.plain(tap.Addr, alice, "schedule: '0 4 * * *'", "connections: 1")
	two := s.overTLS(srv, bob, "schedule: '@daily'")
	s.configure("log:\n  format: json\naccounts:\n", one)

	d := s.start("run")
	m.hears("READY=1")
	m.hears("WATCHDOG=1")
	eventually(t, "the run that was missed has begun", tap.full)
	if got := m.hears("STATUS=alice: fetching"); !strings.Contains(got, "WATCHDOG=1") {
		t.Errorf("the daemon says %q, without WATCHDOG=1", got)
	}

	// Asked while it works.
	report := s.status()
	if len(report.Accounts) != 1 || report.Daemon == nil || report.Daemon.PID != d.cmd.Process.Pid {
		t.Fatalf("status is %+v", report)
	}
	acc := report.Accounts[0]
	if acc.Running == nil || acc.Running.Stage != "fetching" || acc.Running.Messages == 0 || acc.Last != nil ||
		!acc.Next.After(time.Now()) || acc.Next.Local().Hour() != 4 {
		t.Errorf("status of a run under way is %+v", acc)
	}
	s.run("status").want(0).prints("daemon running since", "running now: fetching", "next run")
	socket := filepath.Join(s.dir, "control.sock")
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the control socket: %v, %v", info, err)
	}

	// Nobody else writes to the archive, and everybody reads.
	before := string(read(t, filepath.Join(s.archive, "archive.json")))
	s.run("sync").want(3).says("another archiverd is writing to this archive")
	s.run("run").want(3).says("another archiverd is writing to this archive")
	s.run("rebuild").want(3)
	s.run("list").want(0)
	s.run("verify").want(0)
	if after := string(read(t, filepath.Join(s.archive, "archive.json"))); after != before {
		t.Errorf("a second archiverd changed archive.json from %s to %s", before, after)
	}

	// A faulty configuration changes nothing, and each fault is told.
	s.configure("colour: red\nschedule: 'every day'\naccounts:\n", one, two)
	d.signal(syscall.SIGHUP)
	got := m.hears("RELOADING=1")
	m.hears("READY=1")
	checkClock(t, got)
	for _, text := range []string{"the old one stays", "colour", "every day"} {
		eventually(t, "the log says "+text, func() bool { return strings.Contains(d.err.String(), text) })
	}
	s.run("status").want(2).says("colour", "every day")
	s.configure("accounts:\n", one, two)
	if n := len(s.status().Accounts); n != 1 {
		t.Errorf("after a faulty reload there are %d accounts, want 1", n)
	}

	// A good one is taken over, beside the run under way.
	s.configure("log:\n  format: json\naccounts:\n", one, two)
	d.signal(syscall.SIGHUP)
	checkClock(t, m.hears("RELOADING=1"))
	m.hears("READY=1")
	eventually(t, "the new account's missed run is made up for", func() bool {
		r := s.status()
		return len(r.Accounts) == 2 && r.Accounts[1].Last != nil && r.Accounts[1].Running == nil
	})
	report = s.status()
	if bob := report.Accounts[1].Last; bob.Sum.Archived != 1 || !bob.OK() {
		t.Errorf("bob's run is %+v", bob)
	}
	if report.Accounts[0].Running == nil {
		t.Error("the reload ended the run under way")
	}
	tap.hold(-1)
	eventually(t, "the run under way ends well", func() bool {
		r := s.status()
		return r.Accounts[0].Last != nil && r.Accounts[0].Last.OK() && r.Accounts[0].Running == nil
	})
	if got := s.status().Accounts[0].Last.Sum.Archived; got != 400 {
		t.Errorf("%d messages are archived, want 400", got)
	}
	m.hears("STATUS=idle, next run ")
	s.run("status").want(0).prints("alice: complete", "bob: complete", "last complete one")

	d.signal(syscall.SIGTERM)
	m.hears("STOPPING=1")
	r := d.wait().want(0)
	for line := range strings.Lines(r.err) {
		if !strings.HasPrefix(line, `{"time":`) {
			t.Errorf("the log has the line %q", line)
		}
	}
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the control socket is left: %v", err)
	}
	s.run("status").want(0).prints("no daemon is running", "alice: complete")
}

// checkClock checks the time of a reload, which systemd wants (sd_notify(3)).
func checkClock(t *testing.T, text string) {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	found := monotonic.FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("no MONOTONIC_USEC in %q", text)
	}
	usec, err := strconv.ParseInt(found[1], 10, 64)
	if ago := now.Nano()/1000 - usec; err != nil || ago < 0 || ago > patience.Microseconds() {
		t.Errorf("MONOTONIC_USEC is %d µs ago (%v)", ago, err)
	}
}

// TestTick waits for cron: the daemon archives what came after its first run.
func TestTick(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: a tick of the clock takes a minute")
	}
	t.Parallel()
	srv := dovecot.Start(t)
	u := srv.User(t, "alice")
	c := u.Dial(t)
	c.Load(dovecot.Corpus(6, 50))
	s := newSite(t)
	s.configure("schedule: '@every 1m'\naccounts:\n", s.overTLS(srv, u))
	d := s.start("run")
	eventually(t, "the first run", func() bool { return strings.Contains(d.err.String(), "run complete") })
	c.Append("INBOX", dovecot.Msg{Body: []byte("Subject: late\r\n\r\nlate\r\n")})
	end := time.After(2 * time.Minute)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for strings.Count(d.err.String(), "run complete") < 2 {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("no second run:\n%s", d.err)
		}
	}
	if got := s.status().Accounts[0].Last.Sum; got.Added != 1 || got.Archived != 51 {
		t.Errorf("the second run counts %+v", got)
	}
	d.signal(syscall.SIGTERM)
	d.wait().want(0)
}

// TestRefusedLoginIsHeld: servers lock accounts of which the login fails often.
func TestRefusedLoginIsHeld(t *testing.T) {
	t.Parallel()
	srv := dovecot.Start(t)
	u := srv.User(t, "alice")
	u.Dial(t).Append("INBOX", dovecot.Msg{Body: []byte("Subject: one\r\n\r\none\r\n")})
	s := newSite(t)
	account := s.overTLS(srv, u)
	s.write("alice.password", "not this\n")
	s.configure("schedule: '@daily'\naccounts:\n", account)
	d := s.start("run")
	eventually(t, "the login is refused", func() bool { return strings.Contains(d.err.String(), "AUTHENTICATIONFAILED") })
	eventually(t, "the account is held", func() bool { return !s.status().Accounts[0].Held.IsZero() })
	s.run("status").want(1).prints("held back until", "check username and password")
	d.signal(syscall.SIGTERM)
	d.wait().want(0)
	if got := refusals(t, srv); got != 1 {
		t.Errorf("the server refused %d logins, want 1", got)
	}
	s.write("alice.password", u.Password+"\n")
	s.run("sync").want(0)
}

// TestStaleSocket: what a dead daemon left does not keep the next from starting.
func TestStaleSocket(t *testing.T) {
	t.Parallel()
	srv := dovecot.Start(t)
	u := srv.User(t, "alice")
	s := newSite(t)
	m := newManager(s)
	s.configure("accounts:\n", s.overTLS(srv, u))
	for i := range 2 {
		d := s.start("run")
		m.hears("READY=1")
		eventually(t, "the run is over", func() bool { return strings.Contains(d.err.String(), "run complete") || i > 0 })
		d.signal(syscall.SIGKILL)
		<-d.done
	}
	if _, err := os.Stat(filepath.Join(s.dir, "control.sock")); err != nil {
		t.Errorf("a killed daemon took its socket with it: %v", err)
	}
	s.run("status").want(0).prints("no daemon is running")
}

// refusals is how many attempts to log in the server refused, once it has said so.
func refusals(t *testing.T, srv *dovecot.Server) (n int) {
	t.Helper()
	eventually(t, "the server logs a refusal", func() bool { return strings.Contains(srv.Log(), "auth failed, ") })
	for _, m := range regexp.MustCompile(`auth failed, (\d+) attempts`).FindAllStringSubmatch(srv.Log(), -1) {
		attempts, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		n += attempts
	}
	return n
}

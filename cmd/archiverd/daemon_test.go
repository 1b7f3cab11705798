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

// manager receives the notifications that a daemon sends to systemd (sd_notify(3)).
type manager struct {
	t        *testing.T
	messages chan string
}

// newManager listens on a socket and names it in the site's environment.
func newManager(s *site) *manager {
	s.t.Helper()
	path := filepath.Join(s.dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	s.env = append(s.env, "NOTIFY_SOCKET="+path)
	m := &manager{t: s.t, messages: make(chan string, 10000)}
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				close(m.messages)
				return
			}
			m.messages <- string(buf[:n])
		}
	}()
	return m
}

// waitFor waits for a notification with the text and returns the whole notification.
func (m *manager) waitFor(text string) string {
	m.t.Helper()
	end := time.After(patience)
	for {
		select {
		case got, ok := <-m.messages:
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

// status runs status --json, whatever its exit status.
func (s *site) status() (report daemon.Report) {
	s.t.Helper()
	s.run("status", "--json").decode(&report)
	return report
}

var monotonic = regexp.MustCompile(`MONOTONIC_USEC=(\d+)`)

// daemonDay is the site of TestDaemon: the daemon runs as a systemd service, and
// the download of account alice stops at the proxy until the test lets it continue.
type daemonDay struct {
	*site
	manager    *manager
	daemon     *process
	tap        *proxy
	alice, bob string // accounts of the configuration
	socket     string // the control socket
}

const daemonDayMessages = 400 // in alice's mailboxes

func newDaemonDay(t *testing.T) *daemonDay {
	t.Helper()
	srv := dovecot.Start(t)
	alice, bob := srv.User(t, "alice"), srv.User(t, "bob")
	alice.Dial(t).Load(dovecot.Corpus(5, daemonDayMessages))
	bob.Dial(t).Append("INBOX", dovecot.Msg{Body: []byte("Subject: for bob\r\n\r\nhello\r\n")})
	s := newSite(t)
	d := &daemonDay{site: s, manager: newManager(s), tap: newProxy(t, srv.PlainAddr), socket: filepath.Join(s.dir, "control.sock")}
	s.env = append(s.env, "WATCHDOG_USEC=300000")
	d.tap.passAtMost(200 << 10)
	d.alice = s.plain(d.tap.Addr, alice, "schedule: '0 4 * * *'", "connections: 1")
	d.bob = s.overTLS(srv, bob, "schedule: '@daily'")
	s.configure("log:\n  format: json\naccounts:\n", d.alice)
	return d
}

// TestDaemon is a day of the daemon as a systemd service: it starts, answers
// status, reloads a faulty and a valid configuration in the middle of a run, and stops.
func TestDaemon(t *testing.T) {
	t.Parallel()
	d := newDaemonDay(t)
	d.startNotifiesManager()
	d.statusShowsRunUnderWay()
	d.secondWriterIsRefused()
	d.faultyReloadChangesNothing()
	d.reloadAddsAccountBesideRun()
	d.runUnderWayCompletes()
	d.stopRemovesSocket()
}

// startNotifiesManager: the daemon reports READY, its stages and the watchdog, and
// starts the missed run at once.
func (d *daemonDay) startNotifiesManager() {
	d.t.Helper()
	d.daemon = d.start("run")
	d.manager.waitFor("READY=1")
	d.manager.waitFor("WATCHDOG=1")
	eventually(d.t, "the missed run starts", d.tap.limitReached)
	if got := d.manager.waitFor("STATUS=alice: fetching"); !strings.Contains(got, "WATCHDOG=1") {
		d.t.Errorf("the daemon sends %q, without WATCHDOG=1", got)
	}
}

func (d *daemonDay) statusShowsRunUnderWay() {
	d.t.Helper()
	report := d.status()
	if len(report.Accounts) != 1 || report.Daemon == nil || report.Daemon.PID != d.daemon.cmd.Process.Pid {
		d.t.Fatalf("status is %+v", report)
	}
	acc := report.Accounts[0]
	if acc.Running == nil || acc.Running.Stage != "fetching" || acc.Running.Messages == 0 || acc.Last != nil ||
		!acc.Next.After(time.Now()) || acc.Next.Local().Hour() != 4 {
		d.t.Errorf("status of a run under way is %+v", acc)
	}
	d.run("status").want(0).prints("daemon running since", "running now: fetching", "next run")
	if info, err := os.Stat(d.socket); err != nil || info.Mode().Perm() != 0o600 {
		d.t.Errorf("the control socket: %v, %v", info, err)
	}
}

// secondWriterIsRefused: while the daemon runs, no other process writes to the
// archive, and every process may read it.
func (d *daemonDay) secondWriterIsRefused() {
	d.t.Helper()
	before := string(read(d.t, filepath.Join(d.archive, "archive.json")))
	d.run("sync").want(3).says("another archiverd is writing to this archive")
	d.run("run").want(3).says("another archiverd is writing to this archive")
	d.run("rebuild").want(3)
	d.run("list").want(0)
	d.run("verify").want(0)
	if after := string(read(d.t, filepath.Join(d.archive, "archive.json"))); after != before {
		d.t.Errorf("a second archiverd changed archive.json from %s to %s", before, after)
	}
}

// faultyReloadChangesNothing: the daemon logs each fault of a faulty configuration
// and continues with the old one.
func (d *daemonDay) faultyReloadChangesNothing() {
	d.t.Helper()
	d.configure("colour: red\nschedule: 'every day'\naccounts:\n", d.alice, d.bob)
	d.daemon.signal(syscall.SIGHUP)
	got := d.manager.waitFor("RELOADING=1")
	d.manager.waitFor("READY=1")
	checkClock(d.t, got)
	for _, text := range []string{"the old one stays", "colour", "every day"} {
		eventually(d.t, "the log has "+text, func() bool { return strings.Contains(d.daemon.err.String(), text) })
	}
	d.run("status").want(2).says("colour", "every day")
	d.configure("accounts:\n", d.alice, d.bob)
	if n := len(d.status().Accounts); n != 1 {
		d.t.Errorf("after a faulty reload there are %d accounts, want 1", n)
	}
}

// reloadAddsAccountBesideRun: a valid configuration is in force at once, and the
// run under way continues.
func (d *daemonDay) reloadAddsAccountBesideRun() {
	d.t.Helper()
	d.configure("log:\n  format: json\naccounts:\n", d.alice, d.bob)
	d.daemon.signal(syscall.SIGHUP)
	checkClock(d.t, d.manager.waitFor("RELOADING=1"))
	d.manager.waitFor("READY=1")
	eventually(d.t, "the new account's missed run ends", func() bool {
		r := d.status()
		return len(r.Accounts) == 2 && r.Accounts[1].Last != nil && r.Accounts[1].Running == nil
	})
	report := d.status()
	if bob := report.Accounts[1].Last; bob.Sum.Archived != 1 || !bob.OK() {
		d.t.Errorf("bob's run is %+v", bob)
	}
	if report.Accounts[0].Running == nil {
		d.t.Error("the reload ended the run under way")
	}
}

func (d *daemonDay) runUnderWayCompletes() {
	d.t.Helper()
	d.tap.passAtMost(-1)
	eventually(d.t, "the run under way completes", func() bool {
		r := d.status()
		return r.Accounts[0].Last != nil && r.Accounts[0].Last.OK() && r.Accounts[0].Running == nil
	})
	if got := d.status().Accounts[0].Last.Sum.Archived; got != daemonDayMessages {
		d.t.Errorf("%d messages are archived, want %d", got, daemonDayMessages)
	}
	d.manager.waitFor("STATUS=idle, next run ")
	d.run("status").want(0).prints("alice: complete", "bob: complete", "last complete one")
}

// stopRemovesSocket: SIGTERM ends the daemon with status 0. Every line of its log
// is JSON, and status works without it.
func (d *daemonDay) stopRemovesSocket() {
	d.t.Helper()
	d.daemon.signal(syscall.SIGTERM)
	d.manager.waitFor("STOPPING=1")
	r := d.daemon.wait().want(0)
	for line := range strings.Lines(r.err) {
		if !strings.HasPrefix(line, `{"time":`) {
			d.t.Errorf("the log has the line %q", line)
		}
	}
	if _, err := os.Stat(d.socket); !os.IsNotExist(err) {
		d.t.Errorf("the control socket still exists: %v", err)
	}
	d.run("status").want(0).prints("no daemon is running", "alice: complete")
}

// checkClock checks the time of a reload, which systemd requires (sd_notify(3)).
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

// TestTick waits for the schedule: the second run archives what arrived after the
// first.
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

// TestRefusedLoginStartsHoldOff: a daemon does not repeat a refused login, since
// servers lock accounts after several. A sync by hand logs in.
func TestRefusedLoginStartsHoldOff(t *testing.T) {
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
	eventually(t, "the account's hold-off starts", func() bool { return !s.status().Accounts[0].Held.IsZero() })
	s.run("status").want(1).prints("held back until", "check username and password")
	d.signal(syscall.SIGTERM)
	d.wait().want(0)
	if got := loginFailures(t, srv); got != 1 {
		t.Errorf("the server refused %d logins, want 1", got)
	}
	s.write("alice.password", u.Password+"\n")
	s.run("sync").want(0)
}

// TestStaleSocket: a daemon starts although a killed daemon's control socket exists.
func TestStaleSocket(t *testing.T) {
	t.Parallel()
	srv := dovecot.Start(t)
	u := srv.User(t, "alice")
	s := newSite(t)
	m := newManager(s)
	s.configure("accounts:\n", s.overTLS(srv, u))
	for i := range 2 {
		d := s.start("run")
		m.waitFor("READY=1")
		eventually(t, "the run is over", func() bool { return strings.Contains(d.err.String(), "run complete") || i > 0 })
		d.signal(syscall.SIGKILL)
		<-d.done
	}
	if _, err := os.Stat(filepath.Join(s.dir, "control.sock")); err != nil {
		t.Errorf("a killed daemon took its socket with it: %v", err)
	}
	s.run("status").want(0).prints("no daemon is running")
}

// loginFailures returns the number of logins that the server has refused, which is
// at least one: it waits for the server's log.
func loginFailures(t *testing.T, srv *dovecot.Server) (n int) {
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

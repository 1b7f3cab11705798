package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"archiverd/internal/daemon"
	"archiverd/internal/demomail"
	"archiverd/internal/imapd"
	"archiverd/internal/testing/dovecot"
	"archiverd/sync/drill"
)

// drilledSite is a site that has archived an imapd's mail: messages with flags,
// keywords and time zones, the demo's mail, and all real mail that is available. It
// returns the number of messages.
func drilledSite(t *testing.T, more ...string) (*site, int) {
	t.Helper()
	s := newSite(t)
	server := newIMAPServer(t, imapd.Options{Delimiter: '.'})
	user := server.AddUser("alice", "secret")
	n := 0
	add := func(mailbox string, m imapd.Message) {
		server.mailbox(user, mailbox).Append(m)
		n++
	}
	for i, flags := range [][]string{nil, {`\Seen`}, {`\Answered`, `\Deleted`, `\Draft`, `\Flagged`}, {"$Forwarded", "CamelCase", "a.b-c"}} {
		for _, mailbox := range []string{"INBOX", "INBOX.below", "a/slash.Ünï.日本語", `"odd" \ %.&`} {
			date := time.Date(2024, 2, 29, 23, 59, i, 0, time.FixedZone("", 60*(345*i-600)))
			add(mailbox, imapd.Message{Flags: flags, InternalDate: date, Body: fmt.Appendf(nil, "A: %s %d\n\nbare LF, NUL \x00\n", mailbox, i)})
		}
	}
	items, err := demomail.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range items {
		add("Demo", imapd.Message{Flags: it.Flags, InternalDate: it.InternalDate, Body: it.Body})
	}
	for _, f := range append(dovecot.Mail(t), dovecot.File{Data: []byte("no header")}) {
		add("Real", imapd.Message{InternalDate: time.Unix(int64(n), 0), Body: f.Data})
	}
	s.configureAlice(server, more...)
	if run := s.sync(); run.Sum.Archived != n {
		t.Fatalf("%d messages are archived, want %d", run.Sum.Archived, n)
	}
	return s, n
}

// drillResults runs drill --json and returns its results.
func (s *site) drillResults(status int, args ...string) []drill.Result {
	s.t.Helper()
	var results []drill.Result
	s.run(append([]string{"drill", "--json"}, args...)...).want(status).decode(&results)
	return results
}

// damage changes an octet of a mailbox's first message. It returns the message's ID
// and a function that restores the file.
func (s *site) damage(account, mailbox string) (id string, mend func()) {
	s.t.Helper()
	var list []listedMessage
	s.run("list", "--json", "--archive", s.archive, account, mailbox).want(0).decode(&list)
	path := filepath.Join(s.archive, list[0].ID)
	info, err := os.Stat(path)
	if err != nil {
		s.t.Fatal(err)
	}
	whole := read(s.t, path)
	put := func(data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil { // in place: another name of the file is damaged as well
			s.t.Fatal(err)
		}
		if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
			s.t.Fatal(err)
		}
	}
	bad := slices.Clone(whole)
	bad[len(bad)/2] ^= 1
	put(bad)
	return list[0].ID, func() { put(whole) }
}

// TestDrill drills mail of all kinds, then an archive with a damaged message, and
// then the mended archive.
func TestDrill(t *testing.T) {
	t.Parallel()
	s, n := drilledSite(t)
	if out := s.run("status").want(0).out; strings.Contains(out, "drill") {
		t.Errorf("status shows a drill before the first:\n%s", out)
	}
	all := s.drillResults(0, "--sample", "all")
	if d := all[0]; len(all) != 1 || d.Messages != n || d.Archived != n || d.Equal != n || d.Mailboxes != 6 || d.Sample != "all" || len(d.Differences) > 0 {
		t.Fatalf("%d messages, of which are %d: %+v", len(all), n, all)
	}
	t.Logf("%d messages", n)
	s.run("drill").want(0).prints(fmt.Sprintf("alice: %d messages of 6 mailboxes restored and compared, all equal in ", min(n, 100)))
	s.run("drill", "--archive", s.archive, "--sample", "9", "alice").want(0).prints("9 messages of 6 mailboxes")
	s.run("drill", "--sample", "3").want(0).prints("3 messages of 3 mailboxes")
	for _, args := range [][]string{{"status"}, {"status", "--archive", s.archive}} {
		s.run(args...).want(0).prints("  last drill ", ": 3 messages of 3 mailboxes restored and compared, all equal\n")
	}

	id, mend := s.damage("alice", "INBOX")
	d := s.drillResults(1, "--sample", "all")[0]
	if !slices.ContainsFunc(d.Differences, func(x drill.Difference) bool {
		return x.ID == id && x.In[0] == "missing" && strings.Contains(x.What, "damaged")
	}) || d.OK() || d.Equal+d.Differing != n {
		t.Errorf("the damaged message %s is not named: %+v", id, d)
	}
	s.run("drill", "--sample", "all").want(1).prints("alice: FAILED: ", "  "+id+": it did not come back: the archive's file is damaged")
	s.run("status").want(1).prints("  last drill ", ": FAILED: ", id, "last drill without a difference: ", "`archiverd verify alice`")
	if r := s.statusOf("alice"); r.Drill == nil || r.Drill.OK() || r.Drill.LastOK.IsZero() || r.Drill.Differing != d.Differing {
		t.Errorf("status has %+v", r.Drill)
	}
	s.run("drill", "--archive", s.archive, "--sample", "1", "alice") // whatever it finds: it is stored
	mend()
	s.run("drill", "--sample", "100%").want(0)
	s.run("status").want(0).prints("all equal")

	// A result that can't be stored or read is a warning, and no failure.
	drills := filepath.Join(s.archive, "state.db.drills")
	if err := os.Remove(drills); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(drills, 0o700); err != nil {
		t.Fatal(err)
	}
	s.run("drill", "--sample", "5").want(0).says("warning: store the result of the drill: ", "status will not show this drill").prints("all equal")
	s.run("status").want(0).prints("note: read the results of drills")
	if err := os.Remove(drills); err != nil {
		t.Fatal(err)
	}

	for args, text := range map[string]string{
		"--sample 0": "--sample: expected a number", "--sample 101%": "got \"101%\"", "bob": `no account "bob" in the archive; it has alice`,
		"--into x": "give --to as well", "--to bob": `no account "bob"`, "--to alice --archive " + s.archive: "leave out one",
		"--archive /nonexistent": "no archive here",
	} {
		s.run(append([]string{"drill"}, strings.Fields(args)...)...).want(2).says(text)
	}
}

// statusOf returns what status reports of an account.
func (s *site) statusOf(account string) daemon.AccountStatus {
	s.t.Helper()
	for _, acc := range s.status().Accounts {
		if acc.Account == account {
			return acc
		}
	}
	s.t.Fatalf("status has no account %s", account)
	return daemon.AccountStatus{}
}

// TestDrillTo drills into a mailbox of another account. Also an interrupted drill
// removes everything that it created there.
func TestDrillTo(t *testing.T) {
	t.Parallel()
	srv := dovecot.Start(t)
	alice, bob := srv.User(t, "alice"), srv.User(t, "bob")
	alice.Dial(t).Load(dovecot.Corpus(3, 300))
	c := bob.Dial(t)
	c.Create("Keep")
	c.Append("Keep", dovecot.Msg{Body: []byte("Subject: keep\r\n\r\nkeep\r\n"), Flags: []string{`\Seen`}})
	names := func() (out []string) {
		for _, line := range c.Do(`LIST "" *`) {
			out = append(out, line[strings.LastIndex(line, `"/"`):])
		}
		return append(out, c.Do(`LSUB "" *`)...)
	}
	before := names()
	checkUntouched := func() {
		t.Helper()
		if after := names(); !slices.Equal(after, before) {
			t.Errorf("the scratch account has %q, before it had %q", after, before)
		}
		if got := c.Read("Keep"); len(got) != 1 || !slices.Equal(got[0].Flags, []string{`\Seen`}) {
			t.Errorf("Keep has %+v", got)
		}
	}
	s := newSite(t)
	tap := newProxy(t, srv.PlainAddr)
	s.configure("accounts:\n", s.overTLS(srv, alice), s.plain(tap.Addr, bob))
	s.run("sync", "alice").want(0)

	d := s.drillResults(0, "alice", "--to", "bob", "--sample", "all")[0]
	if !d.OK() || d.Messages != 300 || d.Equal != 300 || !strings.HasPrefix(d.To, "bob: archiverd-drill-20") {
		t.Errorf("%d of %d equal: %+v", d.Equal, d.Messages, d)
	}
	checkUntouched()
	s.run("status").want(0).prints("300 messages of 10 mailboxes restored and compared, in bob: archiverd-drill-20")
	s.run("drill", "alice", "--to", "bob", "--into", "Keep").want(1).prints(`FAILED: mailbox "Keep" is at bob already`)
	checkUntouched()
	s.run("drill", "alice").want(0)

	tap.reset()
	tap.passAtMost(40 << 10)
	p := s.start("drill", "alice", "--to", "bob", "--into", "x/y", "--sample", "all")
	eventually(t, "the drill is under way", func() bool { return tap.limitReached() && len(c.Do(`LIST "" x/y/*`)) > 0 })
	p.signal(syscall.SIGINT)
	eventually(t, "the drill prints that it removes its mailboxes", func() bool { return strings.Contains(p.err.String(), "being removed") })
	tap.passAtMost(-1)
	p.wait().want(1).prints("alice: INTERRUPTED")
	checkUntouched()
	if d := s.statusOf("alice").Drill; !d.OK() || d.To != "" {
		t.Errorf("an interrupted drill was stored: %+v", d)
	}
}

// drillDay is the site of TestDaemonDrills: a daemon whose drills have a schedule.
type drillDay struct {
	*site
	messages   int
	manager    *manager
	configText string // with the drill schedule '@daily'
}

// schedule writes the configuration with another schedule of drills.
func (d *drillDay) schedule(cron string) {
	d.t.Helper()
	d.write("config.yaml", strings.Replace(d.configText, "'@daily'", "'"+cron+"'", 1))
}

// stop ends a daemon with SIGTERM.
func (d *drillDay) stop(daemon *process) *result {
	d.t.Helper()
	daemon.signal(syscall.SIGTERM)
	return daemon.wait().want(0)
}

// TestDaemonDrills: the daemon drills when a drill is due, and a missed drill at its
// start; status and log show the result.
func TestDaemonDrills(t *testing.T) {
	t.Parallel()
	// The accounts' own schedule never comes due during the test.
	s, n := drilledSite(t, "schedule: '0 4 29 2 *'\ndrill:\n  schedule: '@daily'\n  sample: all\n")
	d := &drillDay{site: s, messages: n, manager: newManager(s), configText: string(read(t, s.config))}
	id, mend := s.damage("alice", "INBOX")
	daemon := s.start("run")
	d.manager.waitFor("READY=1")
	d.firstDrillNamesDamage(daemon, id)
	mend()
	s.run("drill", "--sample", "7").want(0)
	s.run("status").want(0).prints("7 messages of 6 mailboxes", "next drill ") // a drill by hand, beside the daemon
	d.reloadChangesSchedule(daemon)
	d.schedule("@hourly")
	d.stop(daemon)
	d.restartDrillsOnlyIfMissed()
}

func (d *drillDay) firstDrillNamesDamage(daemon *process, id string) {
	d.t.Helper()
	eventually(d.t, "the first drill", func() bool { return d.statusOf("alice").Drill != nil })
	acc := d.statusOf("alice")
	if acc.Drill.OK() || acc.Drill.Messages != d.messages || !acc.NextDrill.After(time.Now()) || acc.DrillSchedule != "@daily" {
		d.t.Errorf("status has %+v, drill %+v", acc, acc.Drill)
	}
	d.run("status").want(1).prints("FAILED: ", id, "next drill ", "(@daily)")
	eventually(d.t, "the log has the failed drill", func() bool { return strings.Contains(daemon.err.String(), "drill failed") })
	if !strings.Contains(daemon.err.String(), "level=ERROR msg=\"not restored as it is in the archive\"") || !strings.Contains(daemon.err.String(), id) {
		d.t.Errorf("the log does not name %s:\n%s", id, daemon.err)
	}
}

// reloadChangesSchedule: a reload puts another drill schedule in force, unless it
// is faulty.
func (d *drillDay) reloadChangesSchedule(daemon *process) {
	d.t.Helper()
	d.schedule("weekly")
	daemon.signal(syscall.SIGHUP)
	d.manager.waitFor("READY=1")
	eventually(d.t, "the log names the fault", func() bool { return strings.Contains(daemon.err.String(), "drill.schedule") })
	d.schedule("0 5 1 * *")
	daemon.signal(syscall.SIGHUP)
	d.manager.waitFor("READY=1")
	eventually(d.t, "the new schedule is in force", func() bool { return d.statusOf("alice").DrillSchedule == "0 5 1 * *" })
	if next := d.statusOf("alice").NextDrill.Local(); next.Day() != 1 || next.Hour() != 5 {
		d.t.Errorf("the next drill is %v", next)
	}
}

// restartDrillsOnlyIfMissed: a daemon that starts again drills at once only if a
// drill was due since the last one.
func (d *drillDay) restartDrillsOnlyIfMissed() {
	d.t.Helper()
	last := *d.statusOf("alice").Drill
	last.Started, last.Ended, last.Differing = time.Now(), time.Now(), 1
	save := func() {
		if err := drill.Save(filepath.Join(d.archive, "state.db"), last); err != nil {
			d.t.Fatal(err)
		}
	}
	d.schedule("0 0 1 1 *")
	save()
	daemon := d.start("run")
	d.manager.waitFor("READY=1")
	d.manager.waitFor("STATUS=idle")
	if r := d.stop(daemon); strings.Contains(r.err, "drill") {
		d.t.Errorf("a drill that was not due:\n%s", r.err)
	}
	last.Started = time.Now().AddDate(-2, 0, 0)
	save()
	daemon = d.start("run")
	eventually(d.t, "the missed drill completes", func() bool { return strings.Contains(daemon.err.String(), "drill complete") })
	d.run("status").want(0).prints(fmt.Sprintf("%d messages of 6 mailboxes restored and compared, all equal", d.messages))
	d.stop(daemon)
}

// TestDaemonDrillStops: SIGTERM ends a drill in progress, which is then not stored. A
// drill that completed before the signal came says nothing: another one is due then.
func TestDaemonDrillStops(t *testing.T) {
	t.Parallel()
	s, _ := drilledSite(t, "schedule: '0 4 29 2 *'\ndrill: {schedule: '@daily', sample: all}\n")
	for range 50 {
		d := s.start("run")
		started := func() bool { return s.statusOf("alice").Drilling != nil }
		completed := func() bool { return strings.Contains(d.err.String(), "drill complete") }
		eventually(t, "a drill is under way, or over", func() bool { return started() || completed() })
		d.signal(syscall.SIGTERM)
		r := d.wait().want(0)
		if strings.Contains(r.err, "drill interrupted") {
			if got := s.statusOf("alice").Drill; got != nil {
				t.Errorf("an interrupted drill was stored: %+v", got)
			}
			return
		}
		if !completed() {
			t.Fatalf("the log says neither that the drill was interrupted nor that it is complete:\n%s", r.err)
		}
		if err := os.Remove(filepath.Join(s.archive, "state.db.drills")); err != nil {
			t.Fatal(err)
		}
	}
	t.Error("no drill was interrupted")
}

// TestDrillOfNothing: before the first sync there is nothing to drill.
func TestDrillOfNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	server := newIMAPServer(t, imapd.Options{})
	server.AddUser("alice", "secret")
	s.configureAlice(server)
	s.run("drill").want(1).says("no archive here")
	s.sync()
	s.run("drill").want(0).prints("alice: nothing is archived yet")
	if s.statusOf("alice").Drill != nil {
		t.Error("status shows a drill of nothing")
	}
}

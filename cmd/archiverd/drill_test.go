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

// drilledSite is a site that has archived an imapd's mail: some with flags,
// keywords and zones, the demo's, and all real mail there is. It returns how many
// messages those are.
func drilledSite(t *testing.T, more ...string) (*site, int) {
	t.Helper()
	s := newSite(t)
	cert, err := imapd.SelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	server := imapd.New(imapd.Options{TLS: cert.Server, Delimiter: '.'})
	t.Cleanup(func() { server.Close() })
	user := server.AddUser("alice", "secret")
	n := 0
	give := func(mailbox string, m imapd.Message) {
		box, err := user.Mailbox(mailbox)
		if err != nil {
			if box, err = user.Create(mailbox); err != nil {
				t.Fatal(err)
			}
		}
		box.Append(m)
		n++
	}
	for i, flags := range [][]string{nil, {`\Seen`}, {`\Answered`, `\Deleted`, `\Draft`, `\Flagged`}, {"$Forwarded", "CamelCase", "a.b-c"}} {
		for _, mailbox := range []string{"INBOX", "INBOX.below", "a/slash.Ünï.日本語", `"odd" \ %.&`} {
			date := time.Date(2024, 2, 29, 23, 59, i, 0, time.FixedZone("", 60*(345*i-600)))
			give(mailbox, imapd.Message{Flags: flags, InternalDate: date, Body: fmt.Appendf(nil, "A: %s %d\n\nbare LF, NUL \x00\n", mailbox, i)})
		}
	}
	items, err := demomail.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range items {
		give("Demo", imapd.Message{Flags: it.Flags, InternalDate: it.InternalDate, Body: it.Body})
	}
	for _, f := range append(dovecot.Mail(t), dovecot.File{Data: []byte("no header")}) {
		give("Real", imapd.Message{InternalDate: time.Unix(int64(n), 0), Body: f.Data})
	}
	addr, err := server.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.configure(append(more, "accounts:\n", s.account(&dovecot.User{Name: "alice", Password: "secret"}, addr, "tls_ca_file: "+s.write("ca.pem", string(cert.PEM))))...)
	if run := s.sync(); run.Sum.Archived != n {
		t.Fatalf("%d messages are archived, want %d", run.Sum.Archived, n)
	}
	return s, n
}

// drills are the results that drill prints.
func (s *site) drills(status int, args ...string) []drill.Result {
	s.t.Helper()
	var results []drill.Result
	s.run(append([]string{"drill", "--json"}, args...)...).want(status).decode(&results)
	return results
}

// damage changes an octet of a message and returns its ID, and how to undo it.
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

// TestDrill is a drill as a person does it, of mail of all kinds; then of an archive
// with a damaged message, and of the mended one.
func TestDrill(t *testing.T) {
	t.Parallel()
	s, n := drilledSite(t)
	if out := s.run("status").want(0).out; strings.Contains(out, "drill") {
		t.Errorf("status tells of a drill before the first:\n%s", out)
	}
	all := s.drills(0, "--sample", "all")
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
	d := s.drills(1, "--sample", "all")[0]
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

	// What can't be stored, or read, is said, and no failure.
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

// statusOf is what status has of an account.
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

// TestDrillTo drills into a mailbox of a real account, is interrupted in it, and
// leaves nothing there.
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
	untouched := func() {
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

	d := s.drills(0, "alice", "--to", "bob", "--sample", "all")[0]
	if !d.OK() || d.Messages != 300 || d.Equal != 300 || !strings.HasPrefix(d.To, "bob: archiverd-drill-20") {
		t.Errorf("%d of %d equal: %+v", d.Equal, d.Messages, d)
	}
	untouched()
	s.run("status").want(0).prints("300 messages of 10 mailboxes restored and compared, in bob: archiverd-drill-20")
	s.run("drill", "alice", "--to", "bob", "--into", "Keep").want(1).prints(`FAILED: mailbox "Keep" is at bob already`)
	untouched()
	s.run("drill", "alice").want(0)

	tap.forget()
	tap.hold(40 << 10)
	p := s.start("drill", "alice", "--to", "bob", "--into", "x/y", "--sample", "all")
	eventually(t, "the drill is under way", func() bool { return tap.full() && len(c.Do(`LIST "" x/y/*`)) > 0 })
	p.signal(syscall.SIGINT)
	eventually(t, "it is told what happens", func() bool { return strings.Contains(p.err.String(), "is being removed") })
	tap.hold(-1)
	p.wait().want(1).prints("alice: INTERRUPTED")
	untouched()
	if d := s.statusOf("alice").Drill; !d.OK() || d.To != "" {
		t.Errorf("an interrupted drill was stored: %+v", d)
	}
}

// TestDaemonDrills: the daemon drills when it is due, and at once what it has missed;
// what comes of it is in status and log.
func TestDaemonDrills(t *testing.T) {
	t.Parallel()
	// The accounts' own schedule stays out of the way.
	s, n := drilledSite(t, "schedule: '0 4 29 2 *'\ndrill:\n  schedule: '@daily'\n  sample: all\n")
	m := newManager(s)
	id, mend := s.damage("alice", "INBOX")
	d := s.start("run")
	m.hears("READY=1")
	eventually(t, "the first drill", func() bool { return s.statusOf("alice").Drill != nil })
	acc := s.statusOf("alice")
	if acc.Drill.OK() || acc.Drill.Messages != n || !acc.NextDrill.After(time.Now()) || acc.DrillSchedule != "@daily" {
		t.Errorf("status has %+v, drill %+v", acc, acc.Drill)
	}
	s.run("status").want(1).prints("FAILED: ", id, "next drill ", "(@daily)")
	eventually(t, "the log tells", func() bool { return strings.Contains(d.err.String(), "drill failed") })
	if !strings.Contains(d.err.String(), "level=ERROR msg=\"not restored as it is in the archive\"") || !strings.Contains(d.err.String(), id) {
		t.Errorf("the log does not name %s:\n%s", id, d.err)
	}

	// By hand, beside the daemon: its status shows that one.
	mend()
	s.run("drill", "--sample", "7").want(0)
	s.run("status").want(0).prints("7 messages of 6 mailboxes", "next drill ")

	// Another schedule is taken over; a faulty one is not.
	text := string(read(t, s.config))
	s.write("config.yaml", strings.Replace(text, "'@daily'", "'weekly'", 1))
	d.signal(syscall.SIGHUP)
	m.hears("READY=1")
	eventually(t, "the fault is told", func() bool { return strings.Contains(d.err.String(), "drill.schedule") })
	s.write("config.yaml", strings.Replace(text, "'@daily'", "'0 5 1 * *'", 1))
	d.signal(syscall.SIGHUP)
	m.hears("READY=1")
	eventually(t, "the new schedule is taken over", func() bool { return s.statusOf("alice").DrillSchedule == "0 5 1 * *" })
	if next := s.statusOf("alice").NextDrill.Local(); next.Day() != 1 || next.Hour() != 5 {
		t.Errorf("the next drill is %v", next)
	}
	s.write("config.yaml", strings.Replace(text, "'@daily'", "'@hourly'", 1))
	d.signal(syscall.SIGTERM)
	d.wait().want(0)

	// Started again: nothing is due, until one was missed.
	last := *s.statusOf("alice").Drill
	last.Started, last.Ended, last.Differing = time.Now(), time.Now(), 1
	save := func() {
		if err := drill.Save(filepath.Join(s.archive, "state.db"), last); err != nil {
			t.Fatal(err)
		}
	}
	s.write("config.yaml", strings.Replace(text, "'@daily'", "'0 0 1 1 *'", 1))
	save()
	d = s.start("run")
	m.hears("READY=1")
	m.hears("STATUS=idle")
	d.signal(syscall.SIGTERM)
	if r := d.wait().want(0); strings.Contains(r.err, "drill") {
		t.Errorf("a drill that was not due:\n%s", r.err)
	}
	last.Started = time.Now().AddDate(-2, 0, 0)
	save()
	d = s.start("run")
	eventually(t, "the drill that was missed is made up for", func() bool { return strings.Contains(d.err.String(), "drill complete") })
	s.run("status").want(0).prints(fmt.Sprintf("%d messages of 6 mailboxes restored and compared, all equal", n))
	d.signal(syscall.SIGTERM)
	d.wait().want(0)
}

// TestDaemonDrillStops: SIGTERM ends a drill in progress, which is then not stored.
func TestDaemonDrillStops(t *testing.T) {
	t.Parallel()
	s, _ := drilledSite(t, "schedule: '0 4 29 2 *'\ndrill: {schedule: '@daily', sample: all}\n")
	// A message that takes a while to come: a pipe in the place of its file.
	var list []listedMessage
	s.run("list", "--json", "alice", "Demo").want(0).decode(&list)
	path := filepath.Join(s.archive, list[0].ID)
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	d := s.start("run")
	pipe, err := os.OpenFile(path, os.O_WRONLY, 0) // opens when the drill reads
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the drill is under way", func() bool { return s.statusOf("alice").Drilling != nil })
	s.run("status").want(0).prints("drill in progress: restoring")
	d.signal(syscall.SIGTERM)
	eventually(t, "it is told to stop", func() bool { return strings.Contains(d.err.String(), "stopping") })
	if err := pipe.Close(); err != nil {
		t.Fatal(err)
	}
	r := d.wait().want(0)
	if !strings.Contains(r.err, "drill interrupted") {
		t.Errorf("the log does not say that the drill was interrupted:\n%s", r.err)
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	if got := s.statusOf("alice").Drill; got != nil {
		t.Errorf("an interrupted drill was stored: %+v", got)
	}
}

// TestDrillOfNothing: before the first sync there is nothing to drill.
func TestDrillOfNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	cert, err := imapd.SelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	server := imapd.New(imapd.Options{TLS: cert.Server})
	defer server.Close()
	server.AddUser("alice", "secret")
	addr, err := server.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.configure("accounts:\n", s.account(&dovecot.User{Name: "alice", Password: "secret"}, addr, "tls_ca_file: "+s.write("ca.pem", string(cert.PEM))))
	s.run("drill").want(1).says("no archive here")
	s.sync()
	s.run("drill").want(0).prints("alice: nothing is archived yet")
	if s.statusOf("alice").Drill != nil {
		t.Error("status shows a drill of nothing")
	}
}

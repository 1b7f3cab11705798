package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unicode"

	"archiverd/archive"
	"archiverd/internal/imapd"
	"archiverd/internal/testing/dovecot"
)

// checkPrintable checks that a text has no character that a terminal would
// interpret.
func checkPrintable(t *testing.T, what, text string) {
	t.Helper()
	for _, r := range text {
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
			t.Errorf("%s prints %U:\n%q", what, r, text)
			return
		}
	}
}

// TestOneAccountFails: a failed account does not stop the next, and the exit status
// is 1.
func TestOneAccountFails(t *testing.T) {
	t.Parallel()
	srv := dovecot.Start(t)
	u := srv.User(t, "alice")
	u.Dial(t).Append("INBOX", dovecot.Msg{Body: []byte("Subject: one\r\n\r\none\r\n")})
	s := newSite(t)
	s.configure("accounts:\n", s.overTLS(srv, &dovecot.User{Name: "mallory", Password: "x"}), s.overTLS(srv, u))
	s.run("sync").want(1).prints("mallory: FAILED: ", "alice: complete")
	s.run("status").want(1).prints("mallory: FAILED: ", "alice: complete")
	s.run("sync", "alice").want(0)
	s.configure("accounts:\n", s.overTLS(srv, u))
	s.run("status").want(0)
	s.run("verify").want(0).prints("1 message,")
	if err := os.RemoveAll(s.archive); err != nil { // mallory's failure stays in it
		t.Fatal(err)
	}
}

// TestExcluded: messages that the configuration excludes are counted, and each count
// names its rule.
func TestExcluded(t *testing.T) {
	t.Parallel()
	const largest = 8000
	srv := dovecot.Start(t)
	u := srv.User(t, "alice")
	c := u.Dial(t)
	corpus := dovecot.Corpus(14, 300)
	c.Load(corpus)
	s := newSite(t)
	s.configure("limits:\n  largest_message: 8kB\naccounts:\n", s.overTLS(srv, u, `mailboxes: {exclude: ['Archive/*', '\Trash']}`))
	want := map[string]int{}
	for _, m := range corpus {
		for _, msg := range m.Msgs {
			if msg.Size > largest || strings.HasPrefix(m.Name, "Archive/") || m.Name == "Trash" {
				want[m.Name]++
			}
		}
	}
	for range 2 { // the second time by the counters of LIST
		run := s.sync()
		all := 0
		for _, l := range run.Mailboxes {
			if l.Excluded != want[l.Mailbox] || l.Excluded > 0 && l.Rule == "" {
				t.Errorf("%s: %d messages are excluded by %q, want %d", l.Mailbox, l.Excluded, l.Rule, want[l.Mailbox])
			}
			all += l.Excluded
		}
		if run.Sum.Server != 300 || run.Sum.Archived != 300-all || all == 0 {
			t.Errorf("the sum is %+v, with %d excluded", run.Sum, all)
		}
	}
	s.run("sync").want(0).prints("excluded: ", "largest_message", `\Trash`)
	s.run("config", "check", "--connect").want(0).prints("not archived: ")
	// Without limits the other messages are archived.
	s.configure("accounts:\n", s.overTLS(srv, u))
	if got := s.sync().Sum; got.Archived != 300 || got.Excluded != 0 {
		t.Errorf("without limits the sum is %+v", got)
	}
}

// TestOneLoginOnly: a sync tries a refused login once, since servers lock accounts
// after several.
func TestOneLoginOnly(t *testing.T) {
	t.Parallel()
	srv := dovecot.Start(t)
	s := newSite(t)
	s.configure("accounts:\n", s.overTLS(srv, &dovecot.User{Name: "mallory", Password: "x"}, "connections: 8"))
	s.run("sync").want(1)
	if got := loginFailures(t, srv); got != 1 {
		t.Errorf("the server refused %d logins, want 1", got)
	}
	if err := os.RemoveAll(s.archive); err != nil {
		t.Fatal(err)
	}
}

// TestUsage: a wrong argument or configuration is named, with what to change, and
// the status is 2.
func TestUsage(t *testing.T) {
	t.Parallel()
	srv := dovecot.Start(t)
	u := srv.User(t, "alice")
	s := newSite(t)
	for _, c := range []struct {
		args []string
		says []string
	}{
		{[]string{"sync"}, []string{"no configuration", "--config", "--server"}},
		{[]string{"sync", "--config", "nowhere.yaml"}, []string{"nowhere.yaml", "no such file"}},
		{[]string{"sync", "--colour"}, []string{"unknown flag: --colour"}},
		{[]string{"snyc"}, []string{"unknown command", "sync"}},
		{[]string{"show"}, []string{"arg"}},
		{[]string{"show", "--raw", "--part", "1", "x"}, []string{"raw", "part"}},
		{[]string{"config", "check", "x"}, []string{"x"}},
		{[]string{"run", "x"}, []string{"x"}},
		{[]string{"config", "chekc"}, []string{"chekc"}},
		{[]string{"list", "--archive", "nowhere"}, []string{"nowhere", "no archive here"}},
		{[]string{"verify", "--archive", "nowhere"}, []string{"no archive here"}},
		{[]string{"status", "--archive", "nowhere"}, []string{"no archive here"}},
		{[]string{"sync", "--server", "127.0.0.1", "--archive", "x"}, []string{"username"}},
		{[]string{"sync", "--username", "me"}, []string{"server", "archive"}},
		{[]string{"sync", "--server", "127.0.0.1", "--username", "me", "--archive", "x"}, []string{"terminal", "--password-file"}},
	} {
		r := s.run(c.args...).want(2).says(c.says...)
		if r.out != "" {
			t.Errorf("%q prints %q", c.args, r.out)
		}
	}
	s.write("config.yaml", "archive:\n  pth: /x\nschedule: never\naccounts:\n  - name: alice\n    server: h\n    tls: maybe\n    conections: 4\n")
	for _, args := range [][]string{{"sync"}, {"config", "check"}, {"status"}, {"run"}} {
		s.run(args...).want(2).says("config.yaml:2:", "pth", "path", "config.yaml:3:", "never", "maybe", "config.yaml:8:", "conections", "connections", "username", "password")
	}

	s.configure("accounts:\n", s.overTLS(srv, u))
	s.run("sync", "bob").want(2).says(`no account "bob"`, "alice")
	s.run("sync", "alice").want(0)
	s.run("verify", "bob").want(2).says(`no account "bob"`, "alice")
	s.run("list", "alice", "nothing").want(2).says(`no mailbox "nothing"`, "INBOX")
	s.run("show", "nothing").want(2).says(`no message "nothing"`)
	s.run("config", "check").want(0).prints("the configuration is valid: 1 account")
	s.run("config", "check", "--connect").want(0).prints("alice: logged in to "+srv.Addr, "INBOX", "0 messages")
	s.run("version").want(0).prints("archiverd ")
	s.run("help").want(0).prints("Exit status:")
}

// TestPasswordSources logs in with a password from a file, a command, the
// environment and the configuration, and without a configuration from the file that
// a flag names.
func TestPasswordSources(t *testing.T) {
	t.Parallel()
	srv := dovecot.Start(t)
	u := srv.User(t, "alice")
	u.Dial(t).Append("INBOX", dovecot.Msg{Body: []byte("Subject: one\r\n\r\none\r\n")})
	s := newSite(t)
	text := s.overTLS(srv, u)
	s.env = append(s.env, "SECRET="+u.Password)
	for _, source := range []string{
		"password_file: " + filepath.Join(s.dir, "alice.password"),
		"password_command: [cat, alice.password]",
		"password_env: SECRET",
		"password: '" + u.Password + "'",
	} {
		s.configure("accounts:\n", strings.Replace(text, "password_file: "+filepath.Join(s.dir, "alice.password"), source, 1))
		if got := s.sync().Sum.Archived; got != 1 {
			t.Errorf("with %s %d messages are archived, want 1", source, got)
		}
		if r := s.run("config", "check", "--connect").want(0); strings.Contains(r.out+r.err, u.Password) {
			t.Errorf("the password is printed:\n%s%s", r.out, r.err)
		}
	}
	one := newSite(t)
	one.write("pw", u.Password+"\n")
	args := []string{"sync", "--server", srv.Addr, "--tls-ca-file", srv.CAFile, "--username", "alice", "--archive", "archive", "--password-file", "pw"}
	one.run(args...).want(0).prints("alice: complete in ", "in all")
	one.run(args...).want(0).prints("(unchanged)")
	one.run("status", "--archive", "archive").want(0).prints("alice: complete")
	if err := os.Chmod(filepath.Join(one.dir, "pw"), 0o644); err != nil {
		t.Fatal(err)
	}
	one.run(args...).want(2).says("chmod 600")
	if err := os.Chmod(filepath.Join(one.dir, "pw"), 0o600); err != nil {
		t.Fatal(err)
	}
	one.run(args...).want(0)
}

// TestHostileText: control characters in names and mail are printed as escapes.
func TestHostileText(t *testing.T) {
	t.Parallel()
	const evil = "\x1b]0;owned\x07\x1b[2J\u202egnp.exe"
	cert, err := imapd.SelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	server := imapd.New(imapd.Options{TLS: cert.Server})
	defer server.Close()
	user := server.AddUser("alice", "secret")
	box, err := user.Create("box " + evil)
	if err != nil {
		t.Fatal(err)
	}
	box.Append(imapd.Message{Flags: []string{`\Seen`, "odd"}, Body: []byte("From: =?utf-8?q?=1B[31mEve?= <eve@example.org>\r\nSubject: =?utf-8?q?=1B]0;x=07=E2=80=AEtxt?=\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\n\r\nline one " + evil + "\r\nline two\r\n")})
	inbox, err := user.Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	inbox.Append(imapd.Message{Body: []byte("Subject: plain\r\n\r\nplain text\r\n")})
	addr, err := server.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t)
	s.configure("accounts:\n", s.account(&dovecot.User{Name: "alice", Password: "secret"}, addr, "tls_ca_file: "+s.write("ca.pem", string(cert.PEM))))
	name := "box " + evil
	shown := `box \x1b]0;owned\x07\x1b[2J\u202egnp.exe`
	s.run("sync").want(0).prints(shown)
	var list []listedMessage
	s.run("list", "--json", "alice", name).want(0).decode(&list)
	if len(list) != 1 {
		t.Fatalf("%d messages, want 1", len(list))
	}
	for _, args := range [][]string{
		{"sync"}, {"status"}, {"list"}, {"list", "alice"}, {"list", "alice", name}, {"verify"}, {"show", list[0].ID}, {"show", "INBOX"},
		{"config", "check", "--connect"}, {"list", "alice", "no\x1b[31m"}, {"show", "no\x1b[31m"}, {"sync", "no\x1b[31m"}, {"no\x1b[31m"},
	} {
		r := s.run(args...)
		checkPrintable(t, strings.Join(args, " "), r.out+r.err)
	}
	s.run("show", list[0].ID).want(0).prints("From: ", "Eve", "Subject: ", "line one ", "\nline two", `Flags: \Seen odd`, `\x1b[2J`)
	if got := s.run("show", "--raw", list[0].ID).want(0).out; !strings.Contains(got, evil) {
		t.Errorf("show --raw prints %q", got)
	}
	for _, args := range [][]string{{"sync", "--json"}, {"status", "--json"}, {"list", "--json"}, {"list", "--json", "alice", name},
		{"verify", "--json"}, {"show", "--json", list[0].ID}} {
		r := s.run(args...).want(0)
		var v any
		r.decode(&v)
		if strings.ContainsRune(r.out, 0x1b) {
			t.Errorf("%q prints an escape:\n%s", args, r.out)
		}
	}
}

// TestDemo runs the demo, and reads every message of its archive and every part.
func TestDemo(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	r := s.run("demo", "--keep", s.archive).want(0).prints("The first sync", "nothing twice", `"event":"sealed"`, "0 damaged", "Проекты")
	checkPrintable(t, "demo", r.out+r.err)
	if r.elapsed > promptly {
		t.Errorf("the demo took %v", r.elapsed)
	}
	var boxes []listedMailbox
	s.run("list", "--json", "--archive", s.archive).want(0).decode(&boxes)
	messages, parts := 0, 0
	for _, b := range boxes {
		var list []listedMessage
		s.run("list", "--json", "--archive", s.archive, b.Account, b.Mailbox).want(0).decode(&list)
		for _, l := range list {
			messages++
			r := s.run("show", "--archive", s.archive, l.ID).want(0).prints("ID: ")
			checkPrintable(t, "show "+l.ID, r.out)
			if raw := s.run("show", "--archive", s.archive, "--raw", l.ID).want(0).out; raw != string(read(t, filepath.Join(s.archive, l.ID))) {
				t.Errorf("show --raw %s is not the file", l.ID)
			}
			var shown struct {
				Message struct{ Parts []struct{ Number int } }
			}
			s.run("show", "--archive", s.archive, "--json", l.ID).want(0).decode(&shown)
			for _, p := range shown.Message.Parts {
				s.run("show", "--archive", s.archive, "--part", strconv.Itoa(p.Number), l.ID).want(0)
				parts++
			}
			s.run("show", "--archive", s.archive, "--part", "99", l.ID).want(2).says("part 99")
		}
	}
	if messages < 40 || parts < 5 {
		t.Errorf("%d messages and %d parts were shown", messages, parts)
	}
}

// TestDamage: verify names the damaged file, sync does not overwrite it, and the
// archive verifies after the file is restored.
func TestDamage(t *testing.T) {
	t.Parallel()
	srv := dovecot.Start(t)
	u := srv.User(t, "alice")
	c := u.Dial(t)
	c.Append("INBOX", dovecot.Msg{Body: []byte("Subject: one\r\n\r\none\r\n")}, dovecot.Msg{Body: []byte("Subject: two\r\n\r\ntwo\r\n")})
	s := newSite(t)
	s.configure("accounts:\n", s.overTLS(srv, u))
	s.sync()
	var list []listedMessage
	s.run("list", "--json", "alice", "INBOX").want(0).decode(&list)
	path := filepath.Join(s.archive, list[0].ID)
	good := read(t, path)
	if err := os.WriteFile(path, []byte("Subject: One\r\n\r\none\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.run("verify").want(4).prints("DAMAGE "+list[0].ID, "SHA-256", "1 damaged")
	var found []archive.VerifyResult // the mailbox, and the archive with its seal
	s.run("verify", "--json").want(4).decode(&found)
	if len(found) != 2 || len(found[0].Findings) != 1 || !found[0].Findings[0].Damage || found[1].Dir != "" || found[1].Seal == "" {
		t.Errorf("verify --json says %+v", found)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.run("verify").want(4).prints("missing")
	s.run("list", "alice", "INBOX").want(0)
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	journal := filepath.Join(s.archive, "alice", "INBOX", "journal.jsonl")
	lines := read(t, journal)
	if err := os.WriteFile(journal, []byte(strings.Replace(string(lines), `"size":`, `"size":1`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.run("verify").want(4).prints("journal.jsonl")
	c.Append("INBOX", dovecot.Msg{Body: []byte("Subject: three\r\n\r\nthree\r\n")})
	s.run("sync").want(1).prints("mailbox INBOX:", "journal")
	if err := os.WriteFile(journal, lines, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := s.sync().Sum; got.Archived != 3 || got.Added != 1 {
		t.Errorf("with the journal put back the ledger is %+v", got)
	}
}

// TestUnwritable: an archive that can't be written to is named and does not change.
func TestUnwritable(t *testing.T) {
	t.Parallel()
	srv := dovecot.Start(t)
	u := srv.User(t, "alice")
	c := u.Dial(t)
	c.Append("INBOX", dovecot.Msg{Body: []byte("Subject: one\r\n\r\none\r\n")})
	s := newSite(t)
	s.configure("accounts:\n", s.overTLS(srv, u))
	s.sync()
	c.Append("INBOX", dovecot.Msg{Body: []byte("Subject: two\r\n\r\ntwo\r\n")})
	if os.Geteuid() == 0 { // to whom no mode is a hindrance
		if err := syscall.Mount(s.archive, s.archive, "", syscall.MS_BIND, ""); err != nil {
			t.Skipf("mount: %v", err)
		}
		t.Cleanup(func() {
			if err := syscall.Unmount(s.archive, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		if err := syscall.Mount("", s.archive, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
			t.Skipf("mount: %v", err)
		}
		s.run("sync").want(1).says("read-only file system", s.archive)
		s.run("run").want(1).says("read-only file system", s.archive)
		s.run("list").want(0)
		s.run("verify").want(0)
		s.run("status").want(0)
		if err := syscall.Mount("", s.archive, "", syscall.MS_BIND|syscall.MS_REMOUNT, ""); err != nil {
			t.Fatal(err)
		}
	} else {
		if err := os.Chmod(s.archive, 0o500); err != nil {
			t.Fatal(err)
		}
		s.run("sync").want(1).says("permission denied")
		if err := os.Chmod(s.archive, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s.sync()
}

// TestFewDescriptors archives with a limit of very few file descriptors.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	srv := dovecot.Start(t)
	u := srv.User(t, "alice")
	c := u.Dial(t)
	corpus := dovecot.Corpus(9, 1500)
	c.Load(corpus)
	s := newSite(t)
	s.configure("accounts:\n", s.overTLS(srv, u))
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, few := range []string{"12", "64"} {
		cmd := exec.Command("sh", "-c", `ulimit -n "$0" && exec "$@"`, few, self, "sync")
		r := s.execute(cmd).wait()
		if r.status != 0 {
			r.want(1)
			if !strings.Contains(r.out+r.err, "too many open files") {
				t.Errorf("with %s descriptors: %s%s", few, r.out, r.err)
			}
		}
		t.Logf("with %s descriptors: %d: %s%s", few, r.status, r.out, r.err)
		s.run("verify", "--archive", s.archive)
	}
	s.sync()
	compareWithServer(t, s, c, "alice", []string{"INBOX", "Archive", "Проекты/日本語"})
}

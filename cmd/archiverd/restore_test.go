package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/internal/imapd"
	"archiverd/internal/testing/hostile"
	"archiverd/sync/restore"
)

// restoreSite is a site whose accounts alice and bob are on one server. Alice's mail
// is archived, bob has an empty INBOX.
type restoreSite struct {
	*site
	server     *imapd.Server
	addr       string
	alice, bob *imapd.User
}

// letters is alice's mail by mailbox: the n-th message of each arrived on day n of
// November 2026, half past midnight in a zone of its own. Its octets have NUL, bare
// LF and no last line end.
func letters() map[string][]imapd.Message {
	out := map[string][]imapd.Message{}
	for name, n := range map[string]int{"INBOX": 5, "Lists/go": 3, "Entwürfe & \"mehr\"": 2, "Empty": 0, "Lists": 0} {
		out[name] = nil
		for i := range n {
			out[name] = append(out[name], imapd.Message{
				Flags:        []string{`\Seen`, "$Forwarded", fmt.Sprint("key", i)}[:i%4],
				InternalDate: time.Date(2026, 11, i+1, 0, 30, 0, 0, time.FixedZone("", -5400)),
				Body:         fmt.Appendf(nil, "Subject: %d of %s\n\nbare \x00 LF\r\nno end", i, name),
			})
		}
	}
	return out
}

func newRestoreSite(t *testing.T) *restoreSite {
	t.Helper()
	cert, err := imapd.SelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	server := imapd.New(imapd.Options{TLS: cert.Server, AppendLimit: 4 << 20})
	t.Cleanup(func() { server.Close() }) // behind the parallel ones
	s := &restoreSite{site: newSite(t), server: server, alice: server.AddUser("alice", "secret"), bob: server.AddUser("bob", "secret")}
	if s.addr, err = server.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	for name, list := range letters() {
		box := s.mailbox(s.alice, name)
		for _, m := range list {
			box.Append(m)
		}
	}
	s.write("ca.pem", string(cert.PEM))
	s.write("password", "secret\n")
	text := "accounts:\n"
	for _, name := range []string{"alice", "bob"} {
		text += fmt.Sprintf("  - {name: %s, server: '%s', username: %s, password_file: password, tls_ca_file: ca.pem}\n", name, s.addr, name)
	}
	s.configure(text)
	s.run("sync", "alice").want(0)
	return s
}

// mailbox returns a user's mailbox, which it creates if it is missing.
func (s *restoreSite) mailbox(u *imapd.User, name string) *imapd.Mailbox {
	s.t.Helper()
	box, err := u.Mailbox(name)
	if err != nil {
		if box, err = u.Create(name); err != nil {
			s.t.Fatal(err)
		}
	}
	return box
}

// bobHas checks that bob's mailboxes have just these messages: octets, flags and
// INTERNALDATE with its zone.
func (s *restoreSite) bobHas(want map[string][]imapd.Message) {
	s.t.Helper()
	for _, name := range s.bob.Names() {
		if _, ok := want[name]; !ok && (name != "INBOX" || len(s.mailbox(s.bob, name).Messages()) > 0) {
			s.t.Errorf("there is a mailbox %q", name)
		}
	}
	for name, list := range want {
		box, err := s.bob.Mailbox(name)
		if err != nil {
			s.t.Error(err)
			continue
		}
		if got, want := contents(box.Messages()), contents(list); !slices.Equal(got, want) {
			s.t.Errorf("mailbox %q has\n%q, want\n%q", name, got, want)
		}
	}
}

func contents(list []imapd.Message) (out []string) {
	for _, m := range list {
		slices.Sort(m.Flags)
		out = append(out, fmt.Sprintf("%s %q %q", m.InternalDate.Format(time.RFC3339), m.Flags, m.Body))
	}
	return out
}

// ids returns the IDs of alice's messages in a mailbox, by UID.
func (s *restoreSite) ids(mailbox string) (out []string) {
	s.t.Helper()
	var list []listedMessage
	s.run("list", "--json", "alice", mailbox).want(0).decode(&list)
	for _, l := range list {
		out = append(out, l.ID)
	}
	return out
}

// TestRestore restores a whole account to another: the plan changes nothing, the
// restore appends every message, and a second restore appends none.
func TestRestore(t *testing.T) {
	t.Parallel()
	s := newRestoreSite(t)
	plan := s.run("restore", "--to", "bob", "--dry-run").want(0).prints("from archive "+s.archive+", account alice\n",
		"to account bob: bob on "+s.addr+"\n", "to append", "Lists/go  (new)", "Empty  (new)", "in all")
	if plan.err != "" || strings.Contains(plan.out, "(!)") {
		t.Errorf("the plan is\n%s%s", plan.out, plan.err)
	}
	s.bobHas(nil)
	s.run("restore", "--to", "bob", "--yes").want(0).prints("to account bob: ", "bob: complete: 10 messages appended in ")
	s.bobHas(letters())
	s.run("restore", "--to", "bob").want(0).prints("nothing to do: ") // nobody is asked
	var done restore.Result
	s.run("restore", "--to", "bob", "--from", "alice", "--json").want(0).decode(&done)
	if !done.OK() || done.Sum.Present != 10 || done.Sum.Appended != 0 {
		t.Errorf("the second restore is %+v", done.Sum)
	}
	s.bobHas(letters())

	// --flags-only sets lost flags, and appends no missing message.
	inbox := s.mailbox(s.bob, "INBOX")
	inbox.SetFlags(2, `\Deleted`)
	inbox.Expunge(1)
	s.run("restore", "--to", "bob", "--flags-only", "--dry-run").want(0).prints("other flags", "not there")
	s.run("restore", "--to", "bob", "--flags-only", "--yes").want(0).prints("bob: complete: flags of 1 message set")
	want := letters()
	want["INBOX"] = want["INBOX"][1:]
	s.bobHas(want)
	s.run("restore", "--to", "bob", "--flags-only", "--yes").want(0).prints("nothing to do: ")
	s.run("restore", "--to", "bob", "--yes").want(0).prints("1 message appended")
}

// TestRestoreManyAccounts: if the archive has several accounts, --from must name
// one.
func TestRestoreManyAccounts(t *testing.T) {
	t.Parallel()
	s := newRestoreSite(t)
	s.run("sync").want(0)
	s.run("restore", "--to", "bob", "--dry-run").want(1).says("nothing to restore", `account "bob"`) // its own
	s.run("restore", "--to", "bob", "--from", "alice", "--dry-run").want(0).prints("account alice")
	s.write("config.yaml", strings.Replace(string(read(t, s.config)), "name: bob", "name: robert", 1))
	s.run("restore", "--to", "robert", "--dry-run").want(2).says(`no account "robert"`, "--from", `it has alice, bob`)
}

// TestRestoreAsks: a restore shows a person what it will append, and starts only
// after a yes.
func TestRestoreAsks(t *testing.T) {
	t.Parallel()
	s := newRestoreSite(t)
	for _, c := range []struct {
		typed  string
		status int
		shows  string
	}{
		{"\n", 1, "not confirmed; nothing was changed"},
		{"y\n", 0, "10 messages appended"},
	} {
		s.bobHas(nil)
		term := openTerminal(t, 100)
		p := s.startOn(term, "restore", "--to", "bob")
		eventually(t, "it asks", func() bool {
			return strings.Contains(term.String(), "Append 10 messages (") && strings.Contains(term.String(), ") to bob on "+s.addr+"? [y/N] ")
		})
		if _, err := term.far.WriteString(c.typed); err != nil {
			t.Fatal(err)
		}
		p.wait().want(c.status)
		eventually(t, "it shows "+c.shows, func() bool { return strings.Contains(term.String(), c.shows) })
	}
	s.bobHas(letters())
}

// TestRestoreInTrouble: the report names a message that is too large, a damaged one
// and a corrupt journal, and every other message is restored, also while a writer
// has the archive open.
func TestRestoreInTrouble(t *testing.T) {
	t.Parallel()
	s := newRestoreSite(t)
	ids := s.ids("INBOX")
	damaged := filepath.Join(s.archive, ids[1])
	journal := filepath.Join(s.archive, "alice", "Lists", "go", "journal.jsonl")
	good := map[string][]byte{damaged: read(t, damaged), journal: read(t, journal)}
	overwrite := func(path string, text []byte) {
		t.Helper()
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overwrite(damaged, []byte("Subject: other\n"))
	overwrite(journal, []byte(strings.Replace(string(good[journal]), `"size":`, `"size":1`, 1)))
	w, err := archive.OpenWriter(s.archive, archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	s.run("restore", "--to", "bob", "--dry-run").want(1).prints("Lists/go  (!)", "mailbox Lists/go: ", "alice/Lists/go/journal.jsonl:", "put this file back from a backup")
	s.run("restore", "--to", "bob", "--yes").want(1).prints("bob: INCOMPLETE: 6 messages appended", "alice/Lists/go/journal.jsonl:", ids[1]+": refused: ", "run the same command again")
	want := letters()
	delete(want, "Lists/go")
	want["INBOX"] = slices.Delete(want["INBOX"], 1, 2)
	s.bobHas(want)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for path, text := range good {
		overwrite(path, text)
	}
	s.run("restore", "--to", "bob", "--yes").want(0).prints("4 messages appended")

	// The server accepts messages of at most 4 MiB.
	s.mailbox(s.alice, "INBOX").Append(imapd.Message{Body: []byte(strings.Repeat("large\r\n", 800_000))})
	s.run("sync", "alice").want(0)
	s.run("restore", "--to", "bob", "--dry-run").want(1).prints("too large", "larger than the server accepts, and left out: 1 message")
	s.run("restore", "--to", "bob", "--yes").want(1).prints("nothing to do: ")
	if n := len(s.mailbox(s.bob, "INBOX").Messages()); n != 5 {
		t.Errorf("bob's INBOX has %d messages, want 5", n)
	}
}

// TestRestoreOverQuota: a restore that exceeds the server's quota does not start
// without --over-quota.
func TestRestoreOverQuota(t *testing.T) {
	t.Parallel()
	s := newRestoreSite(t)
	small, err := hostile.New(hostile.Options{Capabilities: "IMAP4rev1 AUTH=PLAIN QUOTA", Username: "carol", Mailboxes: []hostile.Mailbox{{Name: "INBOX", UIDValidity: 1}},
		Script: func(s *hostile.Session, cmd hostile.Command) bool {
			if cmd.Name != "GETQUOTAROOT" {
				return false
			}
			s.Send("* QUOTAROOT INBOX \"\"\r\n* QUOTA \"\" (STORAGE 1024 1024)\r\n" + cmd.Tag + " OK done\r\n")
			return true
		}})
	if err != nil {
		t.Fatal(err)
	}
	defer small.Close()
	s.write("config.yaml", string(read(t, s.config))+fmt.Sprintf("  - {name: carol, server: '%s', username: carol, password_file: password, tls: none}\n", small.Address()))
	args := []string{"restore", "--to", "carol", "--from", "alice", "--mailbox", "INBOX"}
	s.run(append(args, "--yes")...).want(1).prints("the quota leaves 0 B").says("account carol: the quota leaves 0 B", "--over-quota")
	s.run(append(args, "--dry-run")...).want(1).says("--over-quota")
	s.run(append(args, "--dry-run", "--over-quota")...).want(0)
	s.run(append(args, "--over-quota")...).want(2).says("--yes") // that far it comes
	for _, cmd := range small.Commands() {
		if strings.Contains(cmd, "APPEND") || strings.Contains(cmd, "SELECT") || strings.Contains(cmd, "CREATE") {
			t.Errorf("the server was told %q", cmd)
		}
	}
}

// TestRestoreStopped: the first signal prints what the restore still does, and the
// second ends it at once.
func TestRestoreStopped(t *testing.T) {
	t.Parallel()
	s := newRestoreSite(t)
	slow, err := hostile.New(hostile.Options{Username: "carol", Mailboxes: []hostile.Mailbox{{Name: "INBOX", UIDValidity: 1}},
		Script: func(s *hostile.Session, cmd hostile.Command) bool {
			if cmd.Name == "APPEND" {
				s.Stall()
			}
			return false
		}})
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	s.write("config.yaml", string(read(t, s.config))+fmt.Sprintf("  - {name: carol, server: '%s', username: carol, password_file: password, tls: none}\n", slow.Address()))
	p := s.start("restore", "--to", "carol", "--from", "alice", "--mailbox", "INBOX", "--yes")
	eventually(t, "a message is sent", func() bool {
		return slices.ContainsFunc(slow.Commands(), func(cmd string) bool { return strings.Contains(cmd, "APPEND") })
	})
	p.signal(os.Interrupt)
	eventually(t, "it says what it does", func() bool {
		return strings.Contains(p.err.String(), "stopping; the server is being asked which of the messages arrived. Again to stop at once.")
	})
	p.signal(os.Interrupt)
	if r := p.wait().want(1); r.elapsed > 2*patience {
		t.Errorf("it took %v to stop", r.elapsed)
	}
}

// TestRestoreHostileText: control characters in names are printed as escapes.
func TestRestoreHostileText(t *testing.T) {
	t.Parallel()
	s := newRestoreSite(t)
	const evil = "box \x1b]0;owned\x07\u202egnp"
	s.mailbox(s.alice, evil).Append(imapd.Message{Body: []byte("Subject: x\r\n\r\n")})
	s.run("sync", "alice").want(0)
	for _, c := range []struct {
		args   []string
		status int
	}{
		{[]string{"--dry-run"}, 0}, {[]string{"--dry-run", "--mailbox", "no\x1b[31m"}, 2}, {[]string{"--to", "no\x1b[31m"}, 2}, {[]string{"no\x1b[31m"}, 2},
		{[]string{"--into", "\x1b[2J", "--dry-run"}, 0}, {[]string{"--json", "--dry-run"}, 0}, {[]string{"--yes"}, 0},
	} {
		r := s.run(append([]string{"restore", "--to", "bob"}, c.args...)...).want(c.status)
		checkPrintable(t, strings.Join(r.args, " "), r.err)
		if !slices.Contains(c.args, "--json") { // JSON has escapes of its own, and keeps the name
			checkPrintable(t, strings.Join(r.args, " "), r.out)
		}
	}
	if n := len(s.mailbox(s.bob, evil).Messages()); n != 1 {
		t.Errorf("bob has %d messages in it, want 1", n)
	}
}

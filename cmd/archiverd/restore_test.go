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

// restoreSite is a site whose accounts alice and bob are on one server. What
// alice has is archived, bob has an empty INBOX.
type restoreSite struct {
	*site
	server     *imapd.Server
	addr       string
	alice, bob *imapd.User
}

// letters are what alice has, by mailbox: the n-th of each arrived on day n of
// November 2026, half past midnight in a zone of its own, and nothing in them is
// as an IMAP server would like it.
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
		box := s.box(s.alice, name)
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

// box is a user's mailbox, made if it is missing.
func (s *restoreSite) box(u *imapd.User, name string) *imapd.Mailbox {
	s.t.Helper()
	box, err := u.Mailbox(name)
	if err != nil {
		if box, err = u.Create(name); err != nil {
			s.t.Fatal(err)
		}
	}
	return box
}

// has checks that bob's mailboxes hold just these messages: octets, flags and
// INTERNALDATE with its zone.
func (s *restoreSite) has(want map[string][]imapd.Message) {
	s.t.Helper()
	for _, name := range s.bob.Names() {
		if _, ok := want[name]; !ok && (name != "INBOX" || len(s.box(s.bob, name).Messages()) > 0) {
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

// ids are the IDs of alice's messages in a mailbox, by UID.
func (s *restoreSite) ids(mailbox string) (out []string) {
	s.t.Helper()
	var list []listedMessage
	s.run("list", "--json", "alice", mailbox).want(0).decode(&list)
	for _, l := range list {
		out = append(out, l.ID)
	}
	return out
}

// TestRestore puts a whole account into another: a plan that changes nothing,
// then all of it, and a second time nothing.
func TestRestore(t *testing.T) {
	t.Parallel()
	s := newRestoreSite(t)
	plan := s.run("restore", "--to", "bob", "--dry-run").want(0).prints("from archive "+s.archive+", account alice\n",
		"to account bob: bob on "+s.addr+"\n", "to append", "Lists/go  (new)", "Empty  (new)", "in all")
	if plan.err != "" || strings.Contains(plan.out, "(!)") {
		t.Errorf("the plan is\n%s%s", plan.out, plan.err)
	}
	s.has(nil)
	s.run("restore", "--to", "bob", "--yes").want(0).prints("to account bob: ", "bob: complete: 10 messages appended in ")
	s.has(letters())
	s.run("restore", "--to", "bob").want(0).prints("nothing to do: ") // nobody is asked
	var done restore.Result
	s.run("restore", "--to", "bob", "--from", "alice", "--json").want(0).decode(&done)
	if !done.OK() || done.Sum.Present != 10 || done.Sum.Appended != 0 {
		t.Errorf("the second restore is %+v", done.Sum)
	}
	s.has(letters())

	// Flags that were lost come back; what is not there is not appended.
	inbox := s.box(s.bob, "INBOX")
	inbox.SetFlags(2, `\Deleted`)
	inbox.Expunge(1)
	s.run("restore", "--to", "bob", "--flags-only", "--dry-run").want(0).prints("other flags", "not there")
	s.run("restore", "--to", "bob", "--flags-only", "--yes").want(0).prints("bob: complete: flags of 1 message set")
	want := letters()
	want["INBOX"] = want["INBOX"][1:]
	s.has(want)
	s.run("restore", "--to", "bob", "--flags-only", "--yes").want(0).prints("nothing to do: ")
	s.run("restore", "--to", "bob", "--yes").want(0).prints("1 message appended")
}

// TestRestoreSelections: what flags and arguments select, and where it goes.
func TestRestoreSelections(t *testing.T) {
	t.Parallel()
	s := newRestoreSite(t)
	s.box(s.alice, "INBOX").Expunge(2, 3)
	if err := s.alice.Delete("Lists/go"); err != nil {
		t.Fatal(err)
	}
	inbox, lists := s.ids("INBOX"), s.ids("Lists/go")
	s.run("sync", "alice").want(0).prints("vanished")
	s.env = append(s.env, "TZ=Pacific/Honolulu") // ten hours behind UTC: the day begins at 10:00
	mail := filepath.Join(s.dir, "mail")
	if err := os.CopyFS(mail, os.DirFS(filepath.Join(s.archive, "alice"))); err != nil {
		t.Fatal(err)
	}
	const drafts = `Entwürfe & "mehr"`
	for _, c := range []struct {
		args string // separated by "|"
		want map[string]int
	}{
		{"", map[string]int{"INBOX": 3, drafts: 2, "Empty": 0, "Lists": 0}},
		{"--mailbox|inbox", map[string]int{"INBOX": 3}},
		{"--mailbox|E*", map[string]int{drafts: 2, "Empty": 0}},
		{"--mailbox|INBOX|--mailbox|%rf%", map[string]int{"INBOX": 3, drafts: 2}},
		{"--after|2026-11-04T02:00:00Z", map[string]int{"INBOX": 2}}, // a mailbox with none of it is not asked for
		{"--after|2026-11-04T02:00:01Z", map[string]int{"INBOX": 1}},
		{"--after|2026-11-01T02:00:00Z|--before|2026-11-02T02:00:00Z", map[string]int{"INBOX": 1, drafts: 1}},
		{"--before|2026-11-02", map[string]int{"INBOX": 1, drafts: 2}},
		{"--gone", map[string]int{"INBOX": 2, "Lists/go": 3}},
		{"--gone|--mailbox|Lists/*|--after|2026-11-02", map[string]int{"Lists/go": 1}},
		{"--at|now", map[string]int{"INBOX": 3, drafts: 2, "Empty": 0, "Lists": 0}},
		{"--gone|--since|1h", map[string]int{"INBOX": 2, "Lists/go": 3}},
		{"--at|now|" + inbox[0], map[string]int{"INBOX": 1}},
		{"--into|Old/2026", map[string]int{"Old/2026/INBOX": 3, "Old/2026/" + drafts: 2, "Old/2026/Empty": 0, "Old/2026/Lists": 0}},
		{"--gone|--map|Lists=Archive/L", map[string]int{"INBOX": 2, "Archive/L/go": 3}},
		{"--gone|--map|Lists=L|--map|Lists/go=Go|--into|X", map[string]int{"X/INBOX": 2, "X/Go": 3}},
		{"--from|alice|--archive|archive", map[string]int{"INBOX": 3, drafts: 2, "Empty": 0, "Lists": 0}},
		{inbox[0], map[string]int{"INBOX": 1}},
		{inbox[1], map[string]int{"INBOX": 1}}, // it is gone
		{strings.Join(slices.Concat(inbox, lists, inbox[:1]), "|"), map[string]int{"INBOX": 5, "Lists/go": 3}},
		{"Lists/go/2026-11/20261102|" + filepath.Base(inbox[4]) + "|--into|Found", map[string]int{"Found/Lists/go": 1, "Found/INBOX": 1}},
		{"mail|--mailbox|Rescued/here", map[string]int{"Rescued/here": 10}},
		{"mail/INBOX|mail/INBOX/2026-11|--mailbox|INBOX", map[string]int{"INBOX": 5}},
		{"mail/Lists|" + inbox[0] + "|--mailbox|Files|--into|Both", map[string]int{"Both/Files": 3, "Both/INBOX": 1}},
	} {
		t.Run(c.args, func(t *testing.T) {
			args := []string{"restore", "--to", "bob", "--json", "--dry-run"}
			if c.args != "" {
				args = append(args, strings.Split(c.args, "|")...)
			}
			var plan restore.Plan
			s.run(args...).want(0).decode(&plan)
			got := map[string]int{}
			for _, m := range plan.Mailboxes {
				got[m.To] = m.Selected
				if m.Missing != m.Selected || m.Create == (m.To == "INBOX") {
					t.Errorf("of %s the plan says %+v", m.To, m)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("the plan has %v, want %v", got, c.want)
			}
			if plan.Account != "bob" || plan.Username != "bob" || plan.Server != s.addr {
				t.Errorf("the plan is for %s, %s on %s", plan.Account, plan.Username, plan.Server)
			}
		})
	}
	s.has(nil)
}

// TestRestoreUsage: what can't be meant is said, and nothing is done.
func TestRestoreUsage(t *testing.T) {
	t.Parallel()
	s := newRestoreSite(t)
	s.write("one.eml", "Subject: one\r\n\r\none\r\n")
	s.write("mbox", "From a\n")
	if err := os.MkdirAll(filepath.Join(s.dir, "folder", "none"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(s.dir, "other"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   string
		status int
		says   []string
	}{
		{"", 2, []string{`required flag(s) "to" not set`}},
		{"--to|carol", 2, []string{`no account "carol"`, "alice, bob"}},
		{"--to|bob|--from|carol", 2, []string{`no account "carol" in the archive`, "it has alice"}},
		{"--to|bob|--mailbox|INBOX|--mailbox|Lsts", 2, []string{`no mailbox "Lsts" in account "alice"`, `"Lists/go"`}},
		{"--to|bob|--mailbox|", 2, []string{"--mailbox", "empty name"}},
		{"--to|bob|--after|someday", 2, []string{`--after "someday"`, "2026-11-01", "RFC 3339"}},
		{"--to|bob|--before|2026-13-01", 2, []string{`--before "2026-13-01"`}},
		{"--to|bob|--after|2026-11-02|--before|2026-11-02", 2, []string{"after 2026-11-02", "before 2026-11-02"}},
		{"--to|bob|--map|Lists", 2, []string{`--map "Lists"`, "OLD=NEW"}},
		{"--to|bob|--map|Lists=", 2, []string{"OLD=NEW"}},
		{"--to|bob|--map|A=B|--map|A=C", 2, []string{`"A"`, `"B" already`}},
		{"--to|bob|one.eml", 2, []string{"one.eml", "--mailbox"}},
		{"--to|bob|one.eml|--mailbox|A|--mailbox|B", 2, []string{"one.eml", "one --mailbox"}},
		{"--to|bob|one.eml|--mailbox|A*", 2, []string{"wildcards"}},
		{"--to|bob|one.eml|--mailbox|A|--gone", 2, []string{"--gone"}},
		{"--to|bob|mbox|--mailbox|A", 2, []string{"mbox", "neither an .eml file"}},
		{"--to|bob|folder|--mailbox|A", 1, []string{"nothing to restore", "folder", "no .eml file"}},
		{"--to|bob|nothing.eml", 2, []string{`no such file or directory on disk, and no message "nothing.eml"`, "archiverd list"}},
		{"--to|bob|2026-11/", 2, []string{`"2026-11" is a part of several IDs`, "alice/"}},
		{"--to|bob|" + s.ids("INBOX")[0] + "|--mailbox|A", 2, []string{"own mailbox", "--map"}},
		{"--to|bob|" + s.ids("INBOX")[0] + "|--after|2026-11-01", 2, []string{"--after"}},
		{"--to|bob|--archive|nowhere", 2, []string{"no archive here"}},
		{"--to|bob|--at|2020-01-01", 1, []string{"nothing to restore", "was on the server at 2020-01-01 23:59:59"}},
		{"--to|bob|--at|2020-01-01|" + s.ids("INBOX")[0], 2, []string{"was not archived yet at 2020-01-01"}},
		{"--to|bob|one.eml|--mailbox|A|--at|now", 2, []string{"--at", "is on disk"}},
		{"--to|bob|--gone", 1, []string{"nothing to restore", `account "alice"`, "is gone from the server"}},
		{"--to|bob|--mailbox|Empty", 1, []string{"nothing to restore", `"Empty"`}},
		{"--to|bob|--after|2027-01-01", 1, []string{"nothing to restore", "after 2027-01-01", "last sync"}},
		{"--to|bob|--yess", 2, []string{"unknown flag"}},
		{"--to|bob", 2, []string{"not a terminal", "--yes"}},
	} {
		t.Run(c.args, func(t *testing.T) {
			args := []string{"restore"}
			if c.args != "" {
				args = append(args, strings.Split(c.args, "|")...)
			}
			r := s.run(args...).want(c.status).says(c.says...)
			readable(t, c.args, r.out+r.err)
		})
	}
	s.box(s.alice, "INBOX").Expunge(2, 3)
	s.run("sync", "alice").want(0)
	s.run("restore", "--to", "bob", "--mailbox", "INBOX", "--before", "2026-11-04", "--after", "2026-11-02").want(1).says("nothing to restore", `"INBOX"`, "--gone selects 2 messages")
	s.has(nil)
	s.write("password", "wrong\n")
	s.run("restore", "--to", "bob", "--dry-run").want(1).says("account bob", "bob on "+s.addr, "AUTHENTICATIONFAILED")
	s.write("password", "secret\n")
	if r := s.run("restore", "--help").want(0); !strings.Contains(r.out, "Exit status:") || !strings.Contains(r.out, "--over-quota") {
		t.Errorf("the help is\n%s", r.out)
	}
}

// TestRestoreManyAccounts: which account to restore from is not guessed.
func TestRestoreManyAccounts(t *testing.T) {
	t.Parallel()
	s := newRestoreSite(t)
	s.run("sync").want(0)
	s.run("restore", "--to", "bob", "--dry-run").want(1).says("nothing to restore", `account "bob"`) // its own
	s.run("restore", "--to", "bob", "--from", "alice", "--dry-run").want(0).prints("account alice")
	s.write("config.yaml", strings.Replace(string(read(t, s.config)), "name: bob", "name: robert", 1))
	s.run("restore", "--to", "robert", "--dry-run").want(2).says(`no account "robert"`, "--from", `it has alice, bob`)
}

// TestRestoreAsks: a person is told what would go where, and only a yes is one.
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
		s.has(nil)
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
	s.has(letters())
}

// TestRestoreInTrouble: a message that is too large, a damaged one and a corrupt
// journal are told, and everything else is restored, beside a writer.
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
	s.has(want)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for path, text := range good {
		overwrite(path, text)
	}
	s.run("restore", "--to", "bob", "--yes").want(0).prints("4 messages appended")

	// The server takes no more than 4 MiB in a message.
	s.box(s.alice, "INBOX").Append(imapd.Message{Body: []byte(strings.Repeat("large\r\n", 800_000))})
	s.run("sync", "alice").want(0)
	s.run("restore", "--to", "bob", "--dry-run").want(1).prints("too large", "1 of the messages are larger than the server accepts")
	s.run("restore", "--to", "bob", "--yes").want(1).prints("nothing to do: ")
	if n := len(s.box(s.bob, "INBOX").Messages()); n != 5 {
		t.Errorf("bob's INBOX has %d messages, want 5", n)
	}
}

// TestRestoreOverQuota: what the server's quota will not hold is not begun,
// unless one says so.
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

// TestRestoreStopped: a signal is answered with what is still being done, a
// second one at once.
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
	if r := p.wait().want(1); r.took > 2*patience {
		t.Errorf("it took %v to stop", r.took)
	}
}

// TestRestoreHostileText: names that would take over a terminal are shown, and
// do not.
func TestRestoreHostileText(t *testing.T) {
	t.Parallel()
	s := newRestoreSite(t)
	const evil = "box \x1b]0;owned\x07\u202egnp"
	s.box(s.alice, evil).Append(imapd.Message{Body: []byte("Subject: x\r\n\r\n")})
	s.run("sync", "alice").want(0)
	for _, c := range []struct {
		args   []string
		status int
	}{
		{[]string{"--dry-run"}, 0}, {[]string{"--dry-run", "--mailbox", "no\x1b[31m"}, 2}, {[]string{"--to", "no\x1b[31m"}, 2}, {[]string{"no\x1b[31m"}, 2},
		{[]string{"--into", "\x1b[2J", "--dry-run"}, 0}, {[]string{"--json", "--dry-run"}, 0}, {[]string{"--yes"}, 0},
	} {
		r := s.run(append([]string{"restore", "--to", "bob"}, c.args...)...).want(c.status)
		readable(t, strings.Join(r.args, " "), r.err)
		if !slices.Contains(c.args, "--json") { // JSON has escapes of its own, and keeps the name
			readable(t, strings.Join(r.args, " "), r.out)
		}
	}
	if n := len(s.box(s.bob, evil).Messages()); n != 1 {
		t.Errorf("bob has %d messages in it, want 1", n)
	}
}

package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/archive/history"
	"archiverd/internal/daemon"
	"archiverd/internal/mbox"
	"archiverd/internal/testing/dovecot"
	"archiverd/state"
)

// elsewhere is an account of a configuration that a test does nothing with.
const elsewhere = "accounts:\n  - {name: work, server: imap.example.com, username: me, password: x}\n"

// brought imports with these arguments, and returns the ledger.
func (s *site) brought(status int, args ...string) (run state.Run) {
	s.t.Helper()
	s.run(append([]string{"import", "--json"}, args...)...).want(status).decode(&run)
	if status == 0 {
		balanced(s.t, run)
	}
	return run
}

// told is a message in a line: its sum, its INTERNALDATE in seconds, its flags.
func told(sum any, date time.Time, flags []string) string {
	slices.Sort(flags)
	return fmt.Sprintf("%x %d %q", sum, date.Unix(), flags)
}

// lists are the messages of a mailbox of the archive, in no order, as its journal
// and its files tell them.
func (s *site) lists(account, mailbox string) (out []string) {
	s.t.Helper()
	r, err := archive.Open(s.archive)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Close()
	for sel, err := range history.Select(r, history.Selection{Account: account, Mailbox: func(n archive.Name) bool { return n.Mailbox == mailbox }}) {
		if err != nil {
			s.t.Fatal(err)
		}
		for _, m := range sel.Messages {
			out = append(out, told(sha256.Sum256(read(s.t, filepath.Join(s.archive, sel.Mailbox.Dir, m.Path))), m.InternalDate, m.Flags))
		}
	}
	slices.Sort(out)
	return out
}

// equal checks that a mailbox has these messages, as told tells them.
func equal(t *testing.T, mailbox string, got, want []string) {
	t.Helper()
	lack := func(from, in []string) (out []string) {
		left := slices.Clone(in)
		for _, m := range from {
			if i := slices.Index(left, m); i >= 0 {
				left = slices.Delete(left, i, i+1)
			} else {
				out = append(out, m)
			}
		}
		return out
	}
	if more, less := lack(got, want), lack(want, got); len(more)+len(less) > 0 {
		t.Errorf("%s: %d messages, want %d; %d are not to be there, such as %.300q; %d lack, such as %.300q", mailbox, len(got), len(want),
			len(more), more[:min(2, len(more))], len(less), less[:min(2, len(less))])
	}
}

// servers are the messages of a mailbox of a Dovecot.
func servers(c *dovecot.Client, mailbox string) (out []string) {
	for _, m := range c.Read(mailbox) {
		out = append(out, told(m.SHA256, m.Date, m.Flags))
	}
	slices.Sort(out)
	return out
}

// TestImportFolder imports all real mail there is and made mail, each a file: octets
// are those of the files, and a second import adds nothing.
func TestImportFolder(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.configure(elsewhere)
	folder := filepath.Join(s.dir, "mail")
	want := map[string][]string{} // by mailbox: sums
	add := func(mailbox, name string, data []byte) {
		path := filepath.Join(folder, mailbox, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		want[mailbox] = append(want[mailbox], fmt.Sprintf("%x", sha256.Sum256(data)))
	}
	for _, m := range dovecot.Corpus(5, 80) {
		for i, msg := range m.Msgs {
			add("made/"+m.Name, fmt.Sprint(i, ".eml"), msg.Body)
		}
	}
	for i, f := range dovecot.Mail(t) {
		add("real/"+filepath.Dir(f.Name), fmt.Sprint(i, ".eml"), f.Data)
	}
	total := 0
	for _, sums := range want {
		total += len(sums)
	}
	dry := s.brought(0, "--account", "old", "--dry-run", folder)
	if _, err := os.Stat(s.archive); !os.IsNotExist(err) {
		t.Errorf("a dry run has written something: %v", err)
	}
	run := s.brought(0, "--account", "old", folder)
	if run.Sum.Added != total || dry.Sum.Added != total {
		t.Errorf("%d messages were added, %d to be added, want %d", run.Sum.Added, dry.Sum.Added, total)
	}
	for mailbox, sums := range want {
		var list []listedMessage
		var got []string
		s.run("list", "--json", "old", mailbox).want(0).decode(&list)
		for _, m := range list {
			if sum := fmt.Sprintf("%x", sha256.Sum256(read(t, filepath.Join(s.archive, m.ID)))); sum != m.SHA256 {
				t.Errorf("%s is not what it was", m.ID)
			}
			got = append(got, m.SHA256)
		}
		slices.Sort(got)
		slices.Sort(sums)
		if !slices.Equal(got, sums) {
			t.Errorf("%s: %d messages, want %d, or other octets", mailbox, len(got), len(sums))
		}
	}
	if again := s.brought(0, "--account", "old", folder); again.Sum.Added != 0 || again.Sum.FlagsChanged != 0 || again.Sum.Archived != total {
		t.Errorf("the second import: %+v", again.Sum)
	}

	// What the archive alone knows, and every other command.
	s.run("status").want(0).prints("old: import complete", "from "+folder)
	s.run("rebuild").want(0)
	s.run("status").want(0).prints("imported")
	if again := s.brought(0, "--account", "old", folder); again.Sum.Added != 0 {
		t.Errorf("after a rebuild %d messages are added", again.Sum.Added)
	}
	s.run("drill", "old", "--sample", "50").want(0).prints("all equal")
}

// TestImportMaildir imports the Maildir of a Dovecot, in both layouts: the archive
// has what the server shows, and it can be restored to another account.
func TestImportMaildir(t *testing.T) {
	t.Parallel()
	for name, extra := range map[string]string{"nested": "mail_save_crlf = no", "Maildir++, CRLF": plusLayout(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := dovecot.StartWith(t, dovecot.Options{Format: "maildir", Extra: extra})
			u := srv.User(t, "alice")
			c := u.Dial(t)
			corpus := dovecot.Corpus(9, 120)
			c.Load(corpus)
			names := []string{}
			for _, m := range corpus {
				names = append(names, m.Name)
			}
			if name != "nested" {
				c.Create("Real")
				var msgs []dovecot.Msg
				for i, f := range dovecot.Mail(t) {
					// Dovecot takes no empty message. What it shows of NULs is not what it has
					// stored, and mixed line ends it stores as the octets come in.
					if len(f.Data) > 0 && len(f.Data) < 20_000 && evenLines(f.Data) && !bytes.Contains(f.Data, []byte{0}) {
						msgs = append(msgs, dovecot.Msg{Body: f.Data, Date: time.Date(2001, 2, 3, 4, 5, i, 0, time.UTC), Flags: []string{"real"}})
					}
				}
				c.Append("Real", msgs...)
				names = append(names, "Real")
			}
			s := newSite(t)
			s.configure("accounts:\n", s.account(srv.User(t, "bob"), srv.Addr, "tls_ca_file: "+srv.CAFile))
			run := s.brought(0, "--account", "old", u.Store())
			compare := func() {
				t.Helper()
				for _, name := range names {
					equal(t, name, s.lists("old", name), servers(c, name))
				}
			}
			compare()
			if len(run.Mailboxes) != len(names) {
				t.Errorf("%d mailboxes, want %d", len(run.Mailboxes), len(names))
			}

			uids := []uint32{1, 2, 7}
			c.Store("INBOX", `FLAGS (\Answered new)`, uids...)
			c.Expunge("Sent", 1)
			sent := len(s.lists("old", "Sent"))
			again := s.brought(0, "--account", "old", u.Store())
			if again.Sum.Added != 0 || again.Sum.FlagsChanged != len(uids) {
				t.Errorf("three with other flags: %+v", again.Sum)
			}
			if got := len(s.lists("old", "Sent")); got != sent {
				t.Errorf("after an expunge %d messages, want %d", got, sent)
			}
			names = slices.DeleteFunc(names, func(n string) bool { return n == "Sent" })
			compare()

			s.run("restore", "--from", "old", "--to", "bob", "--mailbox", "*/*", "--yes").want(0)
			bob := srv.AddUser(t, "bob", "another").Dial(t)
			for _, name := range names {
				if !strings.Contains(name, "/") {
					continue
				}
				equal(t, name, servers(bob, name), s.lists("old", name))
			}
			s.run("verify", "old").want(0)
		})
	}
}

// evenLines says whether all lines of a text end alike, in CRLF or in LF.
func evenLines(text []byte) bool {
	crlf, lf, cr := bytes.Count(text, []byte("\r\n")), bytes.Count(text, []byte("\n")), bytes.Count(text, []byte("\r"))
	return cr == crlf && (crlf == lf || crlf == 0)
}

// plusLayout is the setting of Dovecot's own layout of a Maildir.
func plusLayout(t *testing.T) string {
	out, err := exec.Command("dovecot", "--version").Output()
	if err == nil && !bytes.HasPrefix(out, []byte("2.3.")) {
		return "mailbox_list_layout = maildir++"
	}
	return "mail_location = maildir:~/mail"
}

// pythons writes an mbox and a Maildir with Python's module mailbox: mboxo, as it
// has no other.
const pythons = `
import mailbox, sys, os
box = mailbox.mbox(sys.argv[1])
for i, (date, flags, body) in enumerate([
    (1600000000, "RFA", b"Subject: one\n\nFrom here\n>From there is lost in mboxo\nend\n"),
    (1600000001, "", b"Subject: two\nStatus-Report: yes\n\nb\n\n\n"),
    (1600000001, "OD", b"Subject: two\n\nFrom\n"),
    (1600000001, "OD", b"Subject: two\n\nFrom\n"),
    (0, "ROT", b"Subject: \xc3\xa4\n\n\xff\x00\n")]):
    m = mailbox.mboxMessage(body)
    import time
    m.set_from("me@example.com", time.gmtime(date))
    m.set_flags(flags)
    box.add(m)
box.flush()
tree = mailbox.Maildir(sys.argv[2], create=True)
for folder in (tree, tree.add_folder("Lists.go")):
    m = mailbox.MaildirMessage(b"Subject: three\n\nc\n")
    m.set_subdir("cur"); m.set_flags("FPS"); m.set_date(1500000000)
    folder.add(m)
    m = mailbox.MaildirMessage(b"Subject: four\n\nc\n"); m.set_date(1500000001)
    folder.add(m)
`

// TestImportPython imports what Python's module mailbox writes.
func TestImportPython(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.configure(elsewhere)
	file, tree := filepath.Join(s.dir, "Old mail.mbox"), filepath.Join(s.dir, "tree")
	if out, err := exec.Command("python3", "-c", pythons, file, tree).CombinedOutput(); err != nil {
		t.Fatalf("python3: %v: %s", err, out)
	}
	line := func(text string, date int64, flags ...string) string {
		return told(sha256.Sum256([]byte(strings.ReplaceAll(text, "\n", "\r\n"))), time.Unix(date, 0), flags)
	}
	box := []string{
		line("Subject: one\n\nFrom here\nFrom there is lost in mboxo\nend\n", 1600000000, `\Seen`, `\Flagged`, `\Answered`),
		line("Subject: two\nStatus-Report: yes\n\nb\n\n\n", 1600000001),
		line("Subject: two\n\nFrom\n", 1600000001, `\Deleted`),
		line("Subject: two\n\nFrom\n", 1600000001, `\Deleted`),
		line("Subject: \xc3\xa4\n\n\xff\x00\n", 0, `\Seen`, `\Draft`),
	}
	in := []string{line("Subject: three\n\nc\n", 1500000000, `\Seen`, `\Flagged`, "$Forwarded"), line("Subject: four\n\nc\n", 1500000001)}
	slices.Sort(box)
	slices.Sort(in)
	for added := range 2 {
		run := s.brought(0, "--account", "py", "--mbox-format", "mboxo", "--into", "From Python", file, tree)
		if want := (len(box) + 2*len(in)) * (1 - added); run.Sum.Added != want || run.Sum.FlagsChanged != 0 {
			t.Errorf("%d messages are added, want %d: %+v", run.Sum.Added, want, run.Sum)
		}
	}
	for mailbox, want := range map[string][]string{"From Python/Old mail": box, "From Python/INBOX": in, "From Python/Lists/go": in} {
		equal(t, mailbox, s.lists("py", mailbox), want)
	}
}

// TestImportMbox imports mbox files as archiverd writes them: what went in comes out.
func TestImportMbox(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.configure(elsewhere)
	corpus := dovecot.Corpus(21, 60)
	for _, v := range []mbox.Variant{mbox.RD, mbox.CL2} {
		folder := filepath.Join(s.dir, string(v))
		for _, m := range corpus {
			var text bytes.Buffer
			for _, msg := range m.Msgs {
				form, err := mbox.Measure(bytes.NewReader(msg.Body), v)
				if err == nil {
					err = mbox.Write(&text, v, mbox.Envelope{Date: msg.Date, Flags: msg.Flags}, form, bytes.NewReader(msg.Body))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			path := filepath.Join(folder, m.Name+".mbox")
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if run := s.brought(0, "--account", "old", folder); len(run.Mailboxes) != len(corpus) || v != mbox.RD && run.Sum.Added != 0 {
			t.Errorf("%s: %d mailboxes, want %d; %d messages added", v, len(run.Mailboxes), len(corpus), run.Sum.Added)
		}
		for name, want := range all(corpus) {
			equal(t, name, s.lists("old", name), want)
		}
	}
}

// TestImportAgain: what a source has twice is there twice, and not more often; what
// it loses stays; what it has of flags is taken over.
func TestImportAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.configure(elsewhere)
	dir := filepath.Join(s.dir, "tree")
	when := time.Date(2026, 11, 7, 12, 0, 0, 0, time.UTC)
	lay := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, "cur", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(filepath.Join(dir, "cur", from), filepath.Join(dir, "cur", to)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "new"), 0o700); err != nil {
		t.Fatal(err)
	}
	expect := func(what string, added, flags int, want ...string) {
		t.Helper()
		run := s.brought(0, "--account", "old", dir)
		if run.Sum.Added != added || run.Sum.FlagsChanged != flags {
			t.Errorf("%s: %d were added and %d got other flags, want %d and %d", what, run.Sum.Added, run.Sum.FlagsChanged, added, flags)
		}
		var list []listedMessage
		var got []string
		s.run("list", "--json", "old", "INBOX").want(0).decode(&list)
		for i, m := range list {
			if m.UID != uint32(i+1) {
				t.Errorf("%s: UID %d, want %d", what, m.UID, i+1)
			}
			got = append(got, fmt.Sprint(string(read(t, filepath.Join(s.archive, m.ID))), m.Flags))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	lay("1.a:2,", "a")
	lay("2.a:2,S", "a")
	expect("twice", 2, 0, "a[]", `a[\Seen]`)
	expect("again", 0, 0, "a[]", `a[\Seen]`)
	lay("3.a:2,", "a")
	lay("4.b:2,F", "b")
	expect("thrice", 2, 0, "a[]", `a[\Seen]`, "a[]", `b[\Flagged]`)
	move("1.a:2,", "1.a:2,S")
	move("4.b:2,F", "4.b:2,FR")
	expect("other flags", 0, 2, `a[\Seen]`, `a[\Seen]`, "a[]", `b[\Answered \Flagged]`)
	if err := os.Remove(filepath.Join(dir, "cur", "2.a:2,S")); err != nil {
		t.Fatal(err)
	}
	expect("one less", 0, 0, `a[\Seen]`, `a[\Seen]`, "a[]", `b[\Answered \Flagged]`)
	when = when.Add(time.Second)
	lay("5.b:2,", "b")
	expect("another date", 1, 0, `a[\Seen]`, `a[\Seen]`, "a[]", `b[\Answered \Flagged]`, "b[]")
}

// TestImportRefusals: whose mistakes cost nothing, and what each is told.
func TestImportRefusals(t *testing.T) {
	t.Parallel()
	s := newRestoreSite(t)
	letter := s.write("letter.eml", "Subject: x\r\n\r\n")
	s.run("import", letter).want(2).says("--account NAME")
	s.run("import", "--account", "old").want(2)
	s.run("import", "--account", "alice", letter).want(2).says(`account alice is archived from`, "name another")
	s.run("import", "--account", "Alice", letter).want(2).says("is archived from")
	s.run("import", "--account", "a/b", letter).want(2).says("no name for a directory")
	s.run("import", "--account", "old", "--mbox-format", "maildir", letter).want(2).says("mboxrd")
	s.run("import", "--account", "old", "--mailbox", "a//b", letter).want(2).says("level")
	s.run("import", "--account", "old", filepath.Join(s.archive, "alice")).want(2).says("into itself")
	s.run("import", "--account", "old", s.dir).want(2).says("into itself")
	if err := os.Mkdir(filepath.Join(s.dir, "nothing"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.run("import", "--account", "old", filepath.Join(s.dir, "nothing")).want(1).says("nothing to import")
	s.run("import", "--account", "old", filepath.Join(s.dir, "nowhere"), s.config).want(1).prints("nowhere: no such file", "config.yaml: it is no .eml file")
	// An account that no configuration has any more is a server's all the same.
	s.run("import", "--account", "alice", "--archive", s.archive, letter).want(2).says("was archived from a server", "name another account")
	if got, err := os.ReadDir(s.archive); err != nil || slices.ContainsFunc(got, func(d os.DirEntry) bool { return d.Name() == "old" || d.Name() == "Alice" }) {
		t.Errorf("something was begun: %v, %v", got, err)
	}

	// What is odd is named, the rest goes on; an old failure is no alarm.
	s.run("import", "--account", "old", "--mailbox", "Rescued/here", letter, filepath.Join(s.dir, "nowhere"), s.config).want(1).
		prints("INCOMPLETE", "nowhere: no such file", "Rescued/here")
	s.run("import", "--account", "OLD", letter).want(2).says("differs in case only")
	s.run("status").want(0).prints("old: import INCOMPLETE", "imported")
	s.run("sync", "alice").want(0)
	s.run("restore", "--from", "old", "--to", "bob", "--yes").want(0)
	if got := contents(s.box(s.bob, "Rescued/here").Messages()); len(got) != 1 {
		t.Errorf("restored: %q", got)
	}
	s.run("import", "--account", "old", "--mailbox", "Rescued/here", letter).want(0)
	s.run("sync", "bob").want(0)
}

// TestDaemonTellsImports: status tells an import whether the daemon answers it or not,
// also when the ledger is lost, and a mailbox of no server makes no alarm.
func TestDaemonTellsImports(t *testing.T) {
	t.Parallel()
	s := newRestoreSite(t)
	letter := s.write("letter.eml", "Subject: x\r\n\r\n")
	s.run("import", "--account", "old", "--mailbox", "Rescued/here", letter, filepath.Join(s.dir, "nowhere")).want(1)
	about := func() (acc daemon.AccountStatus) {
		t.Helper()
		var report daemon.Report
		s.run("status", "old", "--json").want(0).decode(&report)
		if len(report.Accounts) == 1 {
			acc = report.Accounts[0]
		}
		return acc
	}
	m := newManager(s.site)
	for _, c := range []struct{ has, text string }{{"a ledger", "old: import INCOMPLETE"}, {"no ledger", "Rescued/here: 1 message, imported"}} {
		want := about()
		if !want.Imported || (want.Last != nil) != (c.has == "a ledger") {
			t.Fatalf("without a daemon, with %s: %+v", c.has, want)
		}
		d := s.start("run")
		m.hears("READY=1")
		for range 2 { // the second answer is of what the first has read
			if got := about(); !reflect.DeepEqual(got, want) {
				t.Errorf("with %s the daemon says\n%+v, without it status says\n%+v", c.has, got, want)
			}
		}
		s.run("status", "old").want(0).prints("daemon running since", c.text)
		eventually(t, "bob's run is over", func() bool { return s.statusOf("bob").Last != nil })
		d.signal(syscall.SIGTERM)
		d.wait().want(0)
		if c.has == "a ledger" {
			s.run("rebuild").want(0)
		}
	}
	s.run("sync").want(0)
	s.run("import", "--account", "old", "--mailbox", "Rescued/here", letter).want(0)
}

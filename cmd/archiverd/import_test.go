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

// elsewhere is a configuration with an account that the test does not use.
const elsewhere = "accounts:\n  - {name: work, server: imap.example.com, username: me, password: x}\n"

// importFiles runs import --json with these arguments and returns its run.
func (s *site) importFiles(status int, args ...string) (run state.Run) {
	s.t.Helper()
	s.run(append([]string{"import", "--json"}, args...)...).want(status).decode(&run)
	if status == 0 {
		checkBalanced(s.t, run)
	}
	return run
}

// messageLine formats a message as a line: its sum, its INTERNALDATE in seconds, its
// flags.
func messageLine(sum any, date time.Time, flags []string) string {
	slices.Sort(flags)
	return fmt.Sprintf("%x %d %q", sum, date.Unix(), flags)
}

// archiveLines returns the messages of a mailbox of the archive, sorted, from its
// journal and its files.
func (s *site) archiveLines(account, mailbox string) (out []string) {
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
			out = append(out, messageLine(sha256.Sum256(read(s.t, filepath.Join(s.archive, sel.Mailbox.Dir, m.Path))), m.InternalDate, m.Flags))
		}
	}
	slices.Sort(out)
	return out
}

// equalLines checks that a mailbox has just these messages, each a messageLine.
func equalLines(t *testing.T, mailbox string, got, want []string) {
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

// serverLines returns the messages of a mailbox of a Dovecot, sorted.
func serverLines(c *dovecot.Client, mailbox string) (out []string) {
	for _, m := range c.Read(mailbox) {
		out = append(out, messageLine(m.SHA256, m.Date, m.Flags))
	}
	slices.Sort(out)
	return out
}

// mailFolder is a directory of .eml files, and the hex SHA-256 of each mailbox's
// messages.
type mailFolder struct {
	path  string
	sums  map[string][]string
	total int
}

// newMailFolder writes generated mail and all real mail that is available, each
// message as a file.
func newMailFolder(t *testing.T, path string) *mailFolder {
	t.Helper()
	f := &mailFolder{path: path, sums: map[string][]string{}}
	add := func(mailbox, name string, data []byte) {
		writeFile(t, filepath.Join(path, mailbox, name), data)
		f.sums[mailbox] = append(f.sums[mailbox], sum(data))
		f.total++
	}
	for _, m := range dovecot.Corpus(5, 80) {
		for i, msg := range m.Msgs {
			add("made/"+m.Name, fmt.Sprint(i, ".eml"), msg.Body)
		}
	}
	for i, file := range dovecot.Mail(t) {
		add("real/"+filepath.Dir(file.Name), fmt.Sprint(i, ".eml"), file.Data)
	}
	return f
}

// writeFile writes a file that only its owner may read, and the directories above it.
func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// checkMailbox checks that a mailbox of account old has just the messages with these
// sums, and that the files have the octets that the journal records.
func (s *site) checkMailbox(mailbox string, sums []string) {
	s.t.Helper()
	var list []listedMessage
	var got []string
	s.run("list", "--json", "old", mailbox).want(0).decode(&list)
	for _, m := range list {
		if sum(read(s.t, filepath.Join(s.archive, m.ID))) != m.SHA256 {
			s.t.Errorf("%s is not what it was", m.ID)
		}
		got = append(got, m.SHA256)
	}
	slices.Sort(got)
	slices.Sort(sums)
	if !slices.Equal(got, sums) {
		s.t.Errorf("%s: %d messages, want %d, or other octets", mailbox, len(got), len(sums))
	}
}

// TestImportFolder imports a directory of .eml files: the archive has their octets,
// a dry run writes nothing, and a second import adds nothing, also after a rebuild.
func TestImportFolder(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.configure(elsewhere)
	folder := newMailFolder(t, filepath.Join(s.dir, "mail"))
	dry := s.importFiles(0, "--account", "old", "--dry-run", folder.path)
	if _, err := os.Stat(s.archive); !os.IsNotExist(err) {
		t.Errorf("a dry run has written something: %v", err)
	}
	run := s.importFiles(0, "--account", "old", folder.path)
	if run.Sum.Added != folder.total || dry.Sum.Added != folder.total {
		t.Errorf("%d messages were added, %d to be added, want %d", run.Sum.Added, dry.Sum.Added, folder.total)
	}
	for mailbox, sums := range folder.sums {
		s.checkMailbox(mailbox, sums)
	}
	if again := s.importFiles(0, "--account", "old", folder.path); again.Sum.Added != 0 || again.Sum.FlagsChanged != 0 || again.Sum.Archived != folder.total {
		t.Errorf("the second import: %+v", again.Sum)
	}

	s.run("status").want(0).prints("old: import complete", "from "+folder.path)
	s.run("rebuild").want(0) // loses what only the state database has
	s.run("status").want(0).prints("imported")
	if again := s.importFiles(0, "--account", "old", folder.path); again.Sum.Added != 0 {
		t.Errorf("after a rebuild %d messages are added", again.Sum.Added)
	}
	s.run("drill", "old", "--sample", "50").want(0).prints("all equal")
}

// pythonScript writes an mbox and a Maildir with Python's module mailbox. Its only
// variant of mbox is mboxo.
const pythonScript = `
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
	if out, err := exec.Command("python3", "-c", pythonScript, file, tree).CombinedOutput(); err != nil {
		t.Fatalf("python3: %v: %s", err, out)
	}
	line := func(text string, date int64, flags ...string) string {
		return messageLine(sha256.Sum256([]byte(strings.ReplaceAll(text, "\n", "\r\n"))), time.Unix(date, 0), flags)
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
		run := s.importFiles(0, "--account", "py", "--mbox-format", "mboxo", "--into", "From Python", file, tree)
		if want := (len(box) + 2*len(in)) * (1 - added); run.Sum.Added != want || run.Sum.FlagsChanged != 0 {
			t.Errorf("%d messages are added, want %d: %+v", run.Sum.Added, want, run.Sum)
		}
	}
	for mailbox, want := range map[string][]string{"From Python/Old mail": box, "From Python/INBOX": in, "From Python/Lists/go": in} {
		equalLines(t, mailbox, s.archiveLines("py", mailbox), want)
	}
}

// TestImportMbox imports mbox files as archiverd writes them: octets, dates and
// flags are those of the exported messages.
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
			writeFile(t, filepath.Join(folder, m.Name+".mbox"), text.Bytes())
		}
		if run := s.importFiles(0, "--account", "old", folder); len(run.Mailboxes) != len(corpus) || v != mbox.RD && run.Sum.Added != 0 {
			t.Errorf("%s: %d mailboxes, want %d; %d messages added", v, len(run.Mailboxes), len(corpus), run.Sum.Added)
		}
		for name, want := range corpusLines(corpus) {
			equalLines(t, name, s.archiveLines("old", name), want)
		}
	}
}

// TestImportRefusals: wrong arguments write nothing, and each error names what to
// change.
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
	// An account that is in no configuration any more was archived from a server as well.
	s.run("import", "--account", "alice", "--archive", s.archive, letter).want(2).says("was archived from a server", "name another account")
	if got, err := os.ReadDir(s.archive); err != nil || slices.ContainsFunc(got, func(d os.DirEntry) bool { return d.Name() == "old" || d.Name() == "Alice" }) {
		t.Errorf("something was begun: %v, %v", got, err)
	}

	// A faulty source is named and does not stop the others. An old failure does not change
	// the exit status of status.
	s.run("import", "--account", "old", "--mailbox", "Rescued/here", letter, filepath.Join(s.dir, "nowhere"), s.config).want(1).
		prints("INCOMPLETE", "nowhere: no such file", "Rescued/here")
	s.run("import", "--account", "OLD", letter).want(2).says("differs in case only")
	s.run("status").want(0).prints("old: import INCOMPLETE", "imported")
	s.run("sync", "alice").want(0)
	s.run("restore", "--from", "old", "--to", "bob", "--yes").want(0)
	if got := contents(s.mailbox(s.bob, "Rescued/here").Messages()); len(got) != 1 {
		t.Errorf("restored: %q", got)
	}
	s.run("import", "--account", "old", "--mailbox", "Rescued/here", letter).want(0)
	s.run("sync", "bob").want(0)
}

// TestStatusShowsImports: status shows an import with and without a daemon, also
// after its ledger is lost. A mailbox that is on no server is no failure.
func TestStatusShowsImports(t *testing.T) {
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
		m.waitFor("READY=1")
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

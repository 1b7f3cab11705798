package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"archiverd/internal/export"
	"archiverd/internal/imapd"
	"archiverd/internal/maildir"
	"archiverd/internal/testing/dovecot"
)

// exportedMail is alice's mail in the tests of export: messages that are hard for
// other programs, and all real mail that is available, in mailboxes whose names are
// not valid names of files.
func exportedMail(t *testing.T) map[string][]imapd.Message {
	out := letters()
	flags := []string{`\Seen`, `\Flagged`, "$Forwarded", "work", `\Answered`, `\Draft`, `\Deleted`, "Später"}[:7]
	date := func(i int) time.Time { return time.Date(2001, 2, 3, 4, 5, i, 0, time.FixedZone("", 3600)) }
	for i, text := range []string{"Subject: a\r\n\r\nb\r\n", "Subject: a\r\n\r\nFrom here\r\n>From there\r\n", "From a@b Sat Nov  7 12:00:00 2026\r\nSubject: c\r\n\r\nb\r\n",
		"Subject: d\n\nLF\n", "Subject: e\r\n\r\nb\rc\r\n", "Subject: f", "Subject: g\r\n\r\nno end", "Status: RO\r\nX-Status: D\r\nSubject: h\r\n\r\nb\r\n", "Subject: a\r\n\r\nb\r\n"} {
		out["v1.2/a.mbox"] = append(out["v1.2/a.mbox"], imapd.Message{Flags: flags[i%7 : i%7+1], InternalDate: date(i), Body: []byte(text)})
	}
	out["v1.2/a"] = out["v1.2/a.mbox"][:1]
	for i, f := range dovecot.Mail(t) {
		m := imapd.Message{InternalDate: date(i), Body: f.Data}
		for k, flag := range flags {
			if i>>k&1 == 1 {
				m.Flags = append(m.Flags, flag)
			}
		}
		box := `Real/日本 "mail"?`
		if bytes.Contains(f.Data, []byte("\nX-UID:")) { // at which Dovecot stumbles in an mbox
			box = "X-UID"
		}
		out[box] = append(out[box], m)
	}
	return out
}

// archived is a message of the archive as list prints it, with its mailbox.
type archived struct {
	listedMessage
	mailbox, dir string
}

// newExportSite is a site that has archived exportedMail, and the messages that list
// then prints.
func newExportSite(t *testing.T) (*site, []archived) {
	t.Helper()
	server := newIMAPServer(t, imapd.Options{})
	u := server.AddUser("alice", "secret")
	for name, list := range exportedMail(t) {
		mailbox := server.mailbox(u, name)
		for _, m := range list {
			mailbox.Append(m)
		}
	}
	s := newSite(t)
	s.configureAlice(server)
	s.run("sync").want(0)
	return s, s.listAll()
}

// listAll returns all messages that list prints.
func (s *site) listAll() (out []archived) {
	s.t.Helper()
	var boxes []listedMailbox
	s.run("list", "--json").want(0).decode(&boxes)
	for _, b := range boxes {
		var list []listedMessage
		s.run("list", "--json", b.Account, b.Mailbox).want(0).decode(&list)
		for _, l := range list {
			out = append(out, archived{l, b.Mailbox, b.Dir})
		}
	}
	return out
}

// TestExport exports an archive in every format. Each part reads the export with
// other programs, and none changes the archive.
func TestExport(t *testing.T) {
	t.Parallel()
	one, all := newExportSite(t)
	for name, part := range map[string]func(*testing.T, *site, []archived){
		"eml": testExportEML, "used target": testExportIntoUsedTarget, "mbox": testExportMbox, "mbox to Dovecot": testExportMboxToDovecot, "mbox to mutt": testExportMboxToMutt, "maildir to notmuch": testExportMaildirToNotmuch,
		"maildir": testExportMaildir, "pack": testExportPack, "import pack": testImportPack, "selection": testExportSelection, "killed": testExportKilled, "refusals": testExportRefusals, "disk": testExportFullDisk,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			part(t, one.forTest(t), all)
		})
	}
}

// forTest returns the same site for a subtest, which works in a directory of its
// own.
func (s *site) forTest(t *testing.T) *site {
	t.Helper()
	part := *s
	part.t, part.dir = t, t.TempDir()
	part.env = append(slices.Clone(s.env), "ARCHIVERD_CONFIG="+s.config)
	return &part
}

// exportTo runs export --json and returns its report.
func (s *site) exportTo(status int, args ...string) *export.Report {
	s.t.Helper()
	var r export.Report
	s.run(append([]string{"export", "--json"}, args...)...).want(status).decode(&r)
	return &r
}

// python runs a script with arguments and reads the JSON that it prints.
func python(t *testing.T, v any, script string, args ...string) {
	t.Helper()
	cmd := exec.Command(tool(t, "python3"), append([]string{"-c", script}, args...)...)
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, v)
	}
	if err != nil {
		t.Fatalf("python: %v: %s", err, errOut.Bytes())
	}
}

// tool returns the path of a program that reads exports. Without it the test is
// skipped, or fails if ARCHIVERD_REQUIRE_DOVECOT requires all servers and tools.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && os.Getenv("ARCHIVERD_REQUIRE_DOVECOT") == "1" {
		t.Fatalf("no %s; on Debian and Ubuntu: apt-get install %s", name, name)
	}
	if err != nil {
		t.Skipf("no %s", name)
	}
	return path
}

// regularFiles returns all regular files below a directory by their path. Each must
// have mode 0600 and one link, and none may be temporary.
func regularFiles(t *testing.T, dir string) map[string]fs.FileInfo {
	t.Helper()
	out := map[string]fs.FileInfo{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Sys().(*syscall.Stat_t).Nlink != 1 || info.Mode().Perm() != 0o600 || strings.Contains(p, ".part") {
			t.Errorf("%s has mode %v and %d names", p, info.Mode(), info.Sys().(*syscall.Stat_t).Nlink)
		}
		rel, _ := filepath.Rel(dir, p) // it is below dir
		out[rel] = info
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func sum(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }

// testExportEML exports to .eml files, twice.
func testExportEML(t *testing.T, s *site, all []archived) {
	r := s.exportTo(0, "eml")
	if r.Sum.Written != len(all) || r.Sum.Present != 0 || !r.OK() {
		t.Errorf("the export counts %+v, want %d", r.Sum, len(all))
	}
	dir := filepath.Join(s.dir, "eml")
	files := regularFiles(t, dir)
	for _, m := range all {
		name := path.Join(m.dir, path.Base(m.ID))
		info := files[name]
		delete(files, name)
		if info == nil || !info.ModTime().Equal(m.InternalDate) || sum(read(t, filepath.Join(dir, name))) != m.SHA256 {
			t.Errorf("%s is %+v, want %v", name, info, m.InternalDate)
		}
	}
	if len(files) > 0 {
		t.Errorf("there is more: %v", files)
	}
	if _, err := os.Stat(filepath.Join(dir, "alice", "Empty")); err != nil {
		t.Error(err)
	}
	if r := s.exportTo(0, "eml"); r.Sum.Present != len(all) || r.Sum.Written != 0 {
		t.Errorf("a second export counts %+v", r.Sum)
	}
	s.run("export", "eml").want(0).prints("complete: 0 messages in ", "there", "in all")
}

// testExportIntoUsedTarget exports to targets that have files already.
func testExportIntoUsedTarget(t *testing.T, s *site, all []archived) {
	t.Run("eml", func(t *testing.T) { exportIntoChangedFiles(t, s.forTest(t), all) })
	inbox := []string{"--mailbox", "INBOX", "--mailbox", "v1.2/*"}
	t.Run("mbox", func(t *testing.T) {
		exportIntoOtherFile(t, s.forTest(t), filepath.Join("mbox", "alice", "INBOX.mbox"), append(inbox, "mbox", "--format", "mbox"))
	})
	t.Run("zip", func(t *testing.T) { exportIntoOtherFile(t, s.forTest(t), "all.zip", append(inbox, "all.zip")) })
}

// exportIntoChangedFiles exports again to a target in which a file was removed,
// changed, cut off, replaced by a symbolic link or a directory, and in which a
// killed export left a temporary file. Only the removed file is written again.
func exportIntoChangedFiles(t *testing.T, s *site, all []archived) {
	s.exportTo(0, "eml")
	at := func(m archived) string { return filepath.Join(s.dir, "eml", m.dir, path.Base(m.ID)) }
	removed, changed, cut, link, dir := all[0], all[1], all[2], all[3], all[4]
	outside := s.write("outside", "mine\n")
	for _, err := range []error{
		os.Remove(at(removed)),
		os.WriteFile(at(changed), bytes.Repeat([]byte("x"), int(changed.Size)), 0o600),
		os.WriteFile(at(cut), nil, 0o600),
		os.Remove(at(link)), os.Symlink(outside, at(link)),
		os.Remove(at(dir)), os.Mkdir(at(dir), 0o700),
		os.WriteFile(filepath.Join(s.dir, "eml", removed.dir, ".archiverd.old.part"), []byte("half"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r := s.exportTo(1, "eml")
	if r.Sum.Written != 1 || r.Sum.Failed != 4 || r.Sum.Present != len(all)-5 {
		t.Errorf("the export counts %+v", r.Sum)
	}
	s.run("export", "eml").want(1).prints("INCOMPLETE", changed.ID+": failed: something else is there already", cut.ID+": failed", link.ID+": failed", dir.ID+": failed")
	if got := string(read(t, outside)); got != "mine\n" {
		t.Errorf("a file outside of the target is %q", got)
	}
	if got := read(t, at(cut)); len(got) != 0 {
		t.Errorf("a file that was there is now %q", got)
	}
	for name := range regularFiles(t, filepath.Join(s.dir, "eml", removed.dir)) {
		if strings.HasSuffix(name, ".part") {
			t.Errorf("%s still exists", name)
		}
	}
}

// exportIntoOtherFile exports several messages to one file: it is the same file each
// time, and a different file at its place is an error and stays as it is.
func exportIntoOtherFile(t *testing.T, s *site, file string, args []string) {
	first := s.exportTo(0, args...)
	if r := s.exportTo(0, args...); r.Sum.Written != 0 || r.Sum.Present != first.Sum.Written {
		t.Errorf("a second export counts %+v", r.Sum)
	}
	name := filepath.Join(s.dir, file)
	before := read(t, name)
	for _, other := range [][]byte{before[:len(before)-1], append(slices.Clone(before), 'x'), nil} {
		if err := os.WriteFile(name, other, 0o600); err != nil {
			t.Fatal(err)
		}
		s.run(append([]string{"export"}, args...)...).want(1).prints("something else is there already")
		if !bytes.Equal(read(t, name), other) {
			t.Error("a file that was there has changed")
		}
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	s.exportTo(0, args...)
	if !bytes.Equal(read(t, name), before) {
		t.Error("the same archive gives another file")
	}
}

// maildirs reads Maildirs with Python's mailbox module.
const maildirs = `
import hashlib, json, mailbox, os, sys
out = []
for folder, dirs, _ in os.walk(sys.argv[1]):
    if "cur" not in dirs:
        continue
    box = mailbox.Maildir(folder, factory=None, create=False)
    for key in box.iterkeys():
        m = box[key]
        out.append({"dir": os.path.relpath(folder, sys.argv[1]), "sha256": hashlib.sha256(box.get_bytes(key)).hexdigest(),
                    "flags": "".join(sorted(f for f in m.get_flags() if f.isupper())), "date": int(m.get_date()), "sub": m.get_subdir()})
json.dump(out, sys.stdout)
`

// testExportMaildir exports to Maildir in both layouts. Python's mailbox module
// reads it, and a Dovecot serves it: mailboxes, octets, flags, keywords, dates.
func testExportMaildir(t *testing.T, s *site, all []archived) {
	for _, nested := range []bool{false, true} {
		t.Run(fmt.Sprintf("nested %v", nested), func(t *testing.T) {
			srv := dovecot.StartWith(t, dovecot.Options{Format: "maildir", Dotted: !nested})
			s := s.forTest(t)
			args := []string{"--format", "maildir", "out"}
			if nested {
				args = append(args, "--nested")
			}
			if r := s.exportTo(0, args...); r.Sum.Written != len(all) || r.Sum.Altered != 0 {
				t.Errorf("the export counts %+v, want %d", r.Sum, len(all))
			}
			root := filepath.Join(s.dir, "out", "alice")
			regularFiles(t, root)
			pythonReadsMaildir(t, root, all, nested)
			u := srv.User(t, "alice")
			u.Fill(t, root)
			dovecotServesMaildir(t, u.Dial(t), s.archive, all, nested)

			// A mail program sets a flag; the next export does not change it.
			names, err := os.ReadDir(filepath.Join(root, "cur"))
			if err != nil || len(names) == 0 {
				t.Fatal(err)
			}
			base, _ := maildir.Split(names[0].Name())
			if err := os.Rename(filepath.Join(root, "cur", names[0].Name()), filepath.Join(root, "cur", base+":2,DFT")); err != nil {
				t.Fatal(err)
			}
			if r := s.exportTo(0, args...); r.Sum.Present != len(all) || r.Sum.Written != 0 {
				t.Errorf("a second export counts %+v", r.Sum)
			}
		})
	}
}

// pythonReadsMaildir checks that Python's mailbox module reads all messages, each in
// its directory with its octets, date and flags.
func pythonReadsMaildir(t *testing.T, root string, all []archived, nested bool) {
	t.Helper()
	var messages []struct {
		Dir, SHA256, Flags, Sub string
		Date                    int64
	}
	python(t, &messages, maildirs, root)
	var got, want []string
	for _, m := range messages {
		got = append(got, fmt.Sprint(m.Dir, " ", m.SHA256, " ", m.Date, " ", m.Flags, m.Sub))
	}
	for _, m := range all {
		dir, err := maildir.Dir(strings.Split(strings.TrimPrefix(m.dir, "alice/"), "/"), nested)
		if err != nil {
			t.Fatal(err)
		}
		letters := strings.TrimPrefix(maildir.Keywords{}.Info(m.Flags), ":2,")
		want = append(want, fmt.Sprint(dir, " ", m.SHA256, " ", m.InternalDate.Unix(), " ", letters, "cur"))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("Python reads %d messages, want %d, or others", len(got), len(want))
	}
}

// dovecotServesMaildir checks that a Dovecot serves all messages and no others, each
// in its mailbox with its octets, date and flags.
func dovecotServesMaildir(t *testing.T, c *dovecot.Client, archive string, all []archived, nested bool) {
	t.Helper()
	byDir := map[string][]archived{"alice/Empty": nil}
	for _, m := range all {
		byDir[m.dir] = append(byDir[m.dir], m)
	}
	for dir, list := range byDir {
		name := strings.TrimPrefix(dir, "alice/")
		if !nested {
			name = strings.ReplaceAll(name, ".", "%2E")
		}
		served := map[string][]string{}
		for _, m := range c.Read(name) {
			key := fmt.Sprint(m.Date.Unix(), " ", m.Flags)
			served[key] = append(served[key], fmt.Sprintf("%x", m.SHA256))
		}
		for _, m := range list {
			key := fmt.Sprint(m.InternalDate.Unix(), " ", m.Flags)
			i := slices.Index(served[key], sum(wireForm(read(t, filepath.Join(archive, m.ID)))))
			if i < 0 {
				t.Errorf("Dovecot has no %s with %s", m.ID, key)
				continue
			}
			served[key] = slices.Delete(served[key], i, i+1)
		}
		for key, extra := range served {
			if len(extra) > 0 {
				t.Errorf("%s: Dovecot has %d more with %s", dir, len(extra), key)
			}
		}
	}
}

// wireForm is a message as Dovecot sends it from a Maildir: lines end in CRLF, and
// NUL, which IMAP does not allow, is 0x80.
func wireForm(body []byte) []byte {
	var out []byte
	for i, o := range body {
		switch {
		case o == '\n' && (i == 0 || body[i-1] != '\r'):
			out = append(out, '\r', '\n')
		case o == 0:
			out = append(out, 0x80)
		default:
			out = append(out, o)
		}
	}
	return out
}

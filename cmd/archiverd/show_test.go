package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unicode"

	"archiverd/archive"
	"archiverd/internal/imapd"
	"archiverd/internal/testing/dovecot"
)

// newShowSite makes a site whose archive has these messages, in INBOX of alice.
// Their IDs end in .1.eml, .2.eml, ….
func newShowSite(t *testing.T, mails ...string) *site {
	t.Helper()
	server := imapd.New(imapd.Options{})
	t.Cleanup(func() { server.Close() })
	inbox, err := server.AddUser("alice", "secret").Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	for _, mail := range mails {
		inbox.Append(imapd.Message{Body: []byte(strings.ReplaceAll(mail, "\n", "\r\n"))})
	}
	addr, err := server.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t)
	s.configure("accounts:\n", s.plain(addr, &dovecot.User{Name: "alice", Password: "secret"}))
	s.run("sync").want(0)
	return s
}

const attachments = `From: =?utf-8?q?Zo=C3=AB?= <zoe@example.org>
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=
X-Odd: =?utf-8?q?=C3=BC=1B[31m?=
Content-Type: multipart/mixed; boundary=x

--x
Content-Type: multipart/alternative; boundary=y

--y

The plain text.
--y
Content-Type: text/html

<p>The <a href="https://evil.example/">https://bank.example</a> page.</p>
--y--
--x
Content-Type: application/octet-stream
Content-Disposition: attachment; filename="../../escape.bin"

one
--x
Content-Type: application/octet-stream
Content-Disposition: attachment; filename="escape.bin"

two
--x
Content-Type: application/pdf

three
--x
Content-Type: message/rfc822
Content-Transfer-Encoding: base64

U3ViamVjdDogaW5uZXIKQ29udGVudC1UeXBlOiBhL2I7IG5hbWU9aW5uZXIuYmluCgp4
--x
Content-Type: application/octet-stream
Content-Disposition: attachment; filename*=utf-8''%E2%80%AEgpj%1B[2J.exe

four
--x
Content-Type: application/octet-stream
Content-Disposition: attachment; filename=link

five
--x--
`

// filesIn returns the names, modes and contents of the files in a directory.
func filesIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		all[filepath.Base(path)] = fmt.Sprintf("%v %s", info.Mode(), b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestShowSaves saves attachments under safe names, overwrites no file, and writes
// no file outside the directory.
func TestShowSaves(t *testing.T) {
	t.Parallel()
	s := newShowSite(t, attachments, "Subject: none\n\ntext\n")
	dir := filepath.Join(s.dir, "saved")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	outside := s.write("outside", "untouched")
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	r := s.run("show", "--save", dir, ".1.eml").want(0).prints("saved part 3, 3 B: "+filepath.Join(dir, "escape.bin"), "escape (2).bin", "part-5.pdf", "part-6.eml", "_gpj_[2J.exe", "link (2)")
	checkPrintable(t, "show --save", r.out+r.err)
	inner := "Subject: inner\nContent-Type: a/b; name=inner.bin\n\nx"
	want := map[string]string{"escape.bin": "-rw------- one", "escape (2).bin": "-rw------- two", "part-5.pdf": "-rw------- three", "part-6.eml": "-rw------- " + inner,
		"_gpj_[2J.exe": "-rw------- four", "link": "Lrwxrwxrwx untouched", "link (2)": "-rw------- five"}
	if got := filesIn(t, dir); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("saved are\n%q, want\n%q", got, want)
	}
	// A second save overwrites nothing. --part saves one part, also of the inner message.
	one := filepath.Join(s.dir, "new", "one")
	s.run("show", "--save", one, "--part", "7", ".1.eml").want(0).prints("inner.bin")
	s.run("show", "--save", one, "--part", "7", ".1.eml").want(0).prints("inner (2).bin")
	s.run("show", "--save", one, "--part", "1", ".1.eml").want(0).prints("part-1.txt")
	want = map[string]string{"inner.bin": "-rw------- x", "inner (2).bin": "-rw------- x", "part-1.txt": "-rw------- The plain text."}
	if got := filesIn(t, one); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("saved are\n%q, want\n%q", got, want)
	}
	if info, err := os.Stat(one); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder made: %v, %v", info, err)
	}
	s.run("show", "--save", one, "--part", "9", ".1.eml").want(0)
	s.run("show", "--save", one, "--part", "10", ".1.eml").want(2).says("part 10: no such part", "without --part lists them")
	s.run("show", "--part", "10", ".1.eml").want(2).says("part 10: no such part; the same")
	s.run("show", "").want(2).says(`no message "" in the archive`)
	s.run("show", "--part", "0", ".1.eml").want(2).says("numbered from 1")
	s.run("show", "--save", "", ".1.eml").want(2).says("--save: name a directory")
	s.run("show", "--save", one, ".2.eml").want(0).says("has no attachments")
	s.run("show", "--save", outside, ".1.eml").want(2).says("outside")
	for _, args := range [][]string{{"--save", one, "--raw"}, {"--save", one, "--json"}, {"--all-headers", "--raw"}, {"--html", "--part", "1"}} {
		s.run(append([]string{"show", ".1.eml"}, args...)...).want(2).says(strings.TrimPrefix(args[0], "--"))
	}
	if got := string(read(t, outside)); got != "untouched" {
		t.Errorf("the file outside is %q", got)
	}
}

// TestShowSaveBreaksOff: a save that fails, as on a full disk, leaves no partial
// file.
func TestShowSaveBreaksOff(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := &app{out: &bytes.Buffer{}, err: &bytes.Buffer{}}
	half := &brokenReader{text: strings.Split(attachments, "three")[0]}
	if err := a.saveParts(half, dir, 0); err == nil || !strings.Contains(err.Error(), "input/output error") {
		t.Errorf("got %v", err)
	}
	want := map[string]string{"escape.bin": "-rw------- one", "escape (2).bin": "-rw------- two"}
	if got := filesIn(t, dir); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("left are\n%q, want\n%q", got, want)
	}
	if out := a.out.(*bytes.Buffer).String(); strings.Count(out, "saved part") != 2 {
		t.Errorf("it says\n%s", out)
	}
}

// brokenReader is a file that can't be read to its end.
type brokenReader struct{ text string }

func (r *brokenReader) Read(p []byte) (int, error) {
	if r.text == "" {
		return 0, fmt.Errorf("read: %w", syscall.EIO)
	}
	n := copy(p, r.text)
	r.text = r.text[n:]
	return n, nil
}

// TestShowPage: the page of a message has its header, its parts, the real targets of
// links, and with a flag all header fields.
func TestShowPage(t *testing.T) {
	t.Parallel()
	s := newShowSite(t, attachments)
	page := s.run("show", ".1.eml").want(0).prints("From: Zoë <zoe@example.org>\n", "Subject: Grüße\n", "\nThe plain text.\n\n[part 3: escape.bin, 3 B]\n", "[end of part 6]\n",
		"\nParts:\n", "  3  application/octet-stream", "attachment  escape.bin\n", "inner.bin  (in part 6)\n").out
	checkPrintable(t, "show", page)
	if strings.Contains(page, "bank.example") || strings.Contains(page, "X-Odd") {
		t.Errorf("it prints more than was asked for:\n%s", page)
	}
	s.run("show", "--html", ".1.eml").want(0).prints("The https://bank.example <https://evil.example/> page.")
	s.run("show", "--all-headers", ".1.eml").want(0).prints("X-Odd: ü\\x1b[31m\n", "Content-Type: multipart/mixed; boundary=x\n", "\n\nReceived: ")
	var shown struct {
		ID      string
		Message struct {
			Header []struct{ Name, Value string }
			Text   string
			Parts  []struct {
				Number     int
				Name       string
				Attachment bool
			}
		}
	}
	r := s.run("show", "--json", ".1.eml").want(0)
	checkPrintable(t, "show --json", r.out)
	r.decode(&shown)
	if m := shown.Message; len(m.Parts) != 9 || !m.Parts[2].Attachment || m.Parts[0].Attachment || m.Text != "The plain text.\n\nSubject: inner\n" || m.Header[2].Value != "ü\x1b[31m" {
		t.Errorf("--json says %+v", m)
	}
}

// TestShowDamaged: show prints a damaged message with a warning that says what differs,
// and exits with status 4.
func TestShowDamaged(t *testing.T) {
	t.Parallel()
	s := newShowSite(t, "Subject: one\n\nmine\n")
	s.run("show", "--raw", ".1.eml").want(0).prints("mine")
	files, err := filepath.Glob(filepath.Join(s.archive, "alice", "INBOX", "*", "*.eml"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	whole := read(t, files[0])
	for _, c := range []struct{ octets, says string }{
		{"Subject: one\r\n\r\nyours\r\n", "has 23 octets; the journal says 22"},
		{"Subject: one\r\n\r\nMine\r\n", "SHA-256 is"},
	} {
		if err := os.WriteFile(files[0], []byte(c.octets), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{}, {"--raw"}, {"--json"}} {
			s.run(append([]string{"show", ".1.eml"}, args...)...).want(4).says("is not what was archived", c.says, "verify").prints("one")
		}
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	s.run("show", ".1.eml").want(4).says(".1.eml is not what was archived", "no such file", "verify")
	if err := os.WriteFile(files[0], whole, 0o600); err != nil { // as the site's verify wants it
		t.Fatal(err)
	}
}

// TestShowAtTerminal: lines are wrapped at the terminal's width, and coloured unless
// NO_COLOR is set.
func TestShowAtTerminal(t *testing.T) {
	t.Parallel()
	s := newShowSite(t, "Subject: "+strings.Repeat("long subject ", 10)+"\nContent-Type: text/plain; format=flowed; charset=utf-8\n\n"+strings.Repeat("> some words that are quoted \n", 5)+"> .\n"+
		strings.Repeat("日本語", 20)+"\nhttps://example.com/"+strings.Repeat("x", 60)+"\n")
	for _, colour := range []bool{true, false} {
		s.env = []string{"TERM=xterm", "NO_COLOR="}
		if !colour {
			s.env = []string{"NO_COLOR=1"}
		}
		term := openTerminal(t, 50)
		s.startOn(term, "show", ".1.eml").wait().want(0)
		eventually(t, "the page is shown", func() bool { return strings.Contains(term.String(), "xxx\r\n") })
		screen := strings.ReplaceAll(term.String(), "\r", "")
		if got := strings.Contains(screen, "\x1b[1mSubject:\x1b[0m long subject"); got != colour {
			t.Errorf("colour is %v, want %v:\n%q", got, colour, screen)
		}
		for _, code := range []string{"\x1b[1m", "\x1b[36m", "\x1b[33m", "\x1b[0m"} {
			screen = strings.ReplaceAll(screen, code, "")
		}
		checkPrintable(t, "show at a terminal", screen)
		for _, want := range []string{"\n    subject ", "\n> ", "日本語\n", "\nhttps://example.com/" + strings.Repeat("x", 60) + "\n"} {
			if !strings.Contains(screen, want) {
				t.Errorf("it lacks %q:\n%s", want, screen)
			}
		}
		s.startOn(term, "show", "--part", "1", ".1.eml").wait().want(2)
	}
}

// TestShowRealMail prints every real message in each way: the output has no control
// characters. TestWrapRealMail in package ui wraps its lines for a narrow terminal.
func TestShowRealMail(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("ARCHIVERD_TEST_MAIL")
	if dir == "" {
		t.Skip("ARCHIVERD_TEST_MAIL names no folder of mail")
	}
	shown := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".eml" {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		shown++
		for _, v := range []showFlags{{}, {html: true, allFields: true}} {
			var out bytes.Buffer
			a := &app{out: &out, err: &out, json: v.html}
			if err := a.showMessage(bytes.NewReader(b), v, "alice/INBOX/1.eml", &archive.Message{}); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			page := strings.ReplaceAll(out.String(), "\t", " ")
			checkPrintable(t, fmt.Sprintf("%s, %+v", path, v), page)
		}
		var out bytes.Buffer
		to := filepath.Join(t.TempDir(), "saved")
		a := &app{out: &out, err: &out}
		if err := a.saveParts(bytes.NewReader(b), to, 0); err != nil {
			t.Errorf("save %s: %v", path, err)
		}
		checkPrintable(t, "save "+path, out.String())
		for name := range filesIn(t, to) {
			if strings.ContainsFunc(name, unicode.IsControl) || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "-") {
				t.Errorf("%s: saved as %q", path, name)
			}
		}
		return os.RemoveAll(to)
	})
	if err != nil {
		t.Fatal(err)
	}
	if shown == 0 {
		t.Errorf("no mail in %s", dir)
	}
}

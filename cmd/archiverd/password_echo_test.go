package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"archiverd/internal/testing/dovecot"
	"archiverd/internal/testing/hostile"
)

// echoedPassword has a bracket, which ends a response code, and characters that quoting
// and encoding change.
const echoedPassword = `Tr0ub]4dor "& 3ä\x`

// echoes are the forms in which a server sends the password back.
func echoes() []string {
	p := echoedPassword
	std := base64.StdEncoding.EncodeToString
	forms := []string{
		p, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(p), fmt.Sprintf("%q", p), url.QueryEscape(p), url.PathEscape(p),
		std([]byte(p)), std([]byte("\x00alice\x00" + p)), std([]byte("login alice " + p)), hex.EncodeToString([]byte(p)),
	}
	for _, form := range forms {
		forms = append(forms, strings.ToUpper(form))
	}
	return forms
}

// echoReplies are status responses that carry a form of the password, so that what cuts,
// folds or splits a text has something to do. TAG stands for the tag.
var echoReplies = []string{
	"TAG NO you said FORM\r\n",
	"TAG NO [FORM] no\r\n",
	"TAG NO [ALERT FORM] no\r\n",
	"TAG BAD " + strings.Repeat("x", 290) + "FORM\r\n",
	"* OK [ALERT] " + strings.Repeat("ü", 140) + "FORM\r\nTAG NO no\r\n",
	"* BYE [UNAVAILABLE] FORM\r\n",
	"FORM is what you said\r\n",
	"* FORM\r\n",
	"+ FORM\r\n",
	"* 1 FETCH (UID 1 FLAGS (FORM\r\n",
	"* LIST (FORM \"/\r\n",
	"T1 FORM\r\n",
}

// checkNoEcho reports a form of the password in an output, in any case.
func checkNoEcho(t *testing.T, what, text string) {
	t.Helper()
	text = strings.ToUpper(text)
	for _, form := range echoes() {
		if i := strings.Index(text, strings.ToUpper(form)); i >= 0 {
			t.Errorf("%s shows %q: …%.200q", what, form, text[max(0, i-80):])
			return
		}
	}
	if i := strings.Index(text, strings.ToUpper(echoedPassword[:8])); i >= 0 {
		t.Errorf("%s shows the beginning of the password: …%.200q", what, text[max(0, i-80):])
	}
}

// echoServer is a server that sends the password back in answers to one command.
type echoServer struct {
	*hostile.Server
	place        atomic.Value // the command, or "greeting"
	refusalsOnly atomic.Bool  // leaves out what breaks a connection: a run waits then, and connects again
	n            atomic.Int64 // of the next echo
}

func newEchoServer(t *testing.T) *echoServer {
	t.Helper()
	e := &echoServer{}
	e.place.Store("")
	body := []byte("Subject: x\r\n\r\nx\r\n")
	message := []hostile.Message{{UID: 1, Date: "01-Jan-2026 00:00:00 +0000", Body: body}}
	var err error
	e.Server, err = hostile.New(hostile.Options{Username: "alice", Password: echoedPassword,
		Mailboxes: []hostile.Mailbox{{Name: "INBOX", UIDValidity: 1, Messages: message}, {Name: "Other", UIDValidity: 2, Messages: message}},
		Greet: func(s *hostile.Session) bool {
			if e.place.Load() == "greeting" {
				s.Send(e.echo("*"))
				return false
			}
			s.Send("* OK [ALERT] welcome back, " + e.form() + "\r\n")
			return true
		}, Script: func(s *hostile.Session, cmd hostile.Command) bool {
			if cmd.Name != e.place.Load() {
				return false
			}
			s.Send(e.echo(cmd.Tag))
			return true
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// form returns the next form of the password.
func (e *echoServer) form() string {
	forms := echoes()
	return forms[int(e.n.Add(1))%len(forms)]
}

// echo returns the next reply with the next form.
func (e *echoServer) echo(tag string) string {
	replies := echoReplies
	if e.refusalsOnly.Load() {
		replies = replies[:4]
	}
	form := e.form()
	return strings.NewReplacer("TAG", tag, "FORM", form).Replace(replies[int(e.n.Load())%len(replies)])
}

// TestPasswordEchoedByServer: a server sends the password back, in every form, place and
// command, and in the greeting of later connections. No output of any command, no log, no
// status report and no stored error shows it.
func TestPasswordEchoedByServer(t *testing.T) {
	t.Parallel()
	srv, s := newEchoServer(t), newSite(t)
	account := s.plain(srv.Address(), &dovecot.User{Name: "alice", Password: echoedPassword}, "timeout: 1s")
	s.configure("accounts:\n", account)
	check := func(r *result) {
		t.Helper()
		if r.status == exitUsage {
			t.Fatalf("archiverd %s: %s", strings.Join(r.args, " "), r.err)
		}
		checkNoEcho(t, fmt.Sprintf("archiverd %s at %s", strings.Join(r.args, " "), srv.place.Load()), r.out+"\n"+r.err)
	}
	for _, where := range []string{"greeting", "AUTHENTICATE", "CAPABILITY", "LIST", ""} {
		srv.place.Store(where)
		for i := range len(echoReplies) {
			if testing.Short() && i%4 != 0 {
				srv.n.Add(1)
				continue
			}
			check(s.run("config", "check", "--connect"))
		}
		check(s.run("remote", "list", "alice"))
	}
	srv.refusalsOnly.Store(true)
	for i, where := range []string{"AUTHENTICATE", "EXAMINE", "UID SEARCH", "UID FETCH"} {
		srv.place.Store(where)
		s.configure("log:\n  level: debug\n  format: "+[]string{"text", "json"}[i%2]+"\naccounts:\n", account)
		for _, args := range [][]string{{"sync"}, {"status"}, {"status", "--json"}, {"status", "--check"}} {
			check(s.run(args...))
		}
	}
	srv.place.Store("UID FETCH")
	checkDaemonShowsNoEcho(t, s, check)
	if err := os.Remove(filepath.Join(s.dir, "alice.password")); err != nil {
		t.Fatal(err)
	}
	checkFilesHaveNoEcho(t, s.dir)
	srv.place.Store("")
	s.write("alice.password", echoedPassword+"\n")
	s.run("sync").want(0)
}

// checkDaemonShowsNoEcho checks the daemon's log and its status report.
func checkDaemonShowsNoEcho(t *testing.T, s *site, check func(*result)) {
	t.Helper()
	m := newManager(s)
	d := s.start("run")
	m.waitFor("READY=1")
	eventually(t, "the daemon's run is over", func() bool {
		r := s.status()
		return r.Accounts[0].Last != nil && r.Accounts[0].Running == nil
	})
	check(s.run("status", "--json"))
	d.signal(syscall.SIGTERM)
	check(d.wait())
}

// checkFilesHaveNoEcho checks every file of a directory: the state database, the journals.
func checkFilesHaveNoEcho(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			checkNoEcho(t, path, string(read(t, path)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

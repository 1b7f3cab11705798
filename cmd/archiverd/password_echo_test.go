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

// TestPasswordEchoedByServer: a server sends the password back, in every form, place and
// command, and in the greeting of later connections. No output of any command, no log, no
// status report and no stored error shows it.
func TestPasswordEchoedByServer(t *testing.T) {
	t.Parallel()
	var refusalsOnly atomic.Bool
	var n atomic.Int64 // of the echo that comes next
	forms := echoes()
	echo := func(tag string) string {
		i := int(n.Add(1))
		if refusalsOnly.Load() {
			return strings.NewReplacer("TAG", tag, "FORM", forms[i%len(forms)]).Replace(echoReplies[i%4])
		}
		return strings.NewReplacer("TAG", tag, "FORM", forms[i%len(forms)]).Replace(echoReplies[i%len(echoReplies)])
	}
	var place atomic.Value
	place.Store("")
	srv, err := hostile.New(hostile.Options{Username: "alice", Password: echoedPassword, Mailboxes: []hostile.Mailbox{
		{Name: "INBOX", UIDValidity: 1, Messages: []hostile.Message{{UID: 1, Date: "01-Jan-2026 00:00:00 +0000", Body: []byte("Subject: x\r\n\r\nx\r\n")}}},
		{Name: "Other", UIDValidity: 2, Messages: []hostile.Message{{UID: 1, Date: "01-Jan-2026 00:00:00 +0000", Body: []byte("Subject: y\r\n\r\ny\r\n")}}},
	}, Greet: func(s *hostile.Session) bool {
		if place.Load() == "greeting" {
			s.Send(echo("*"))
			return false
		}
		s.Send("* OK [ALERT] welcome back, " + forms[int(n.Add(1))%len(forms)] + "\r\n")
		return true
	}, Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name != place.Load() {
			return false
		}
		s.Send(echo(cmd.Tag))
		return true
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	s := newSite(t)
	account := s.plain(srv.Address(), &dovecot.User{Name: "alice", Password: echoedPassword}, "timeout: 1s")
	s.configure("accounts:\n", account)
	check := func(r *result) {
		t.Helper()
		if r.status == exitUsage {
			t.Fatalf("archiverd %s: %s", strings.Join(r.args, " "), r.err)
		}
		checkNoEcho(t, fmt.Sprintf("archiverd %s at %s", strings.Join(r.args, " "), place.Load()), r.out+"\n"+r.err)
	}
	for _, where := range []string{"greeting", "AUTHENTICATE", "CAPABILITY", "LIST", ""} {
		place.Store(where)
		for i := range len(echoReplies) {
			if testing.Short() && i%4 != 0 {
				n.Add(1)
				continue
			}
			check(s.run("config", "check", "--connect"))
		}
		check(s.run("remote", "list", "alice"))
	}
	// What breaks a connection makes a run wait and connect again: refusals only.
	refusalsOnly.Store(true)
	for i, where := range []string{"AUTHENTICATE", "EXAMINE", "UID SEARCH", "UID FETCH"} {
		place.Store(where)
		s.configure("log:\n  level: debug\n  format: "+[]string{"text", "json"}[i%2]+"\naccounts:\n", account)
		check(s.run("sync"))
		check(s.run("status"))
		check(s.run("status", "--json"))
		check(s.run("status", "--check"))
	}
	place.Store("UID FETCH")
	m := newManager(s)
	d := s.start("run")
	m.waitFor("READY=1")
	eventually(t, "the daemon's run is over", func() bool { r := s.status(); return r.Accounts[0].Last != nil && r.Accounts[0].Running == nil })
	check(s.run("status", "--json"))
	d.signal(syscall.SIGTERM)
	check(d.wait())
	if err := os.Remove(filepath.Join(s.dir, "alice.password")); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(s.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			checkNoEcho(t, path, string(read(t, path)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	place.Store("")
	s.write("alice.password", echoedPassword+"\n")
	s.run("sync").want(0)
}

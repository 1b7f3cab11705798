package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"archiverd/internal/imapd"
)

// TestScript runs the everyday stories in testdata/script. README.md there documents what a
// script finds and which commands it has beside those of testscript.
func TestScript(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		Setup:               setUpScript,
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exit":     scriptExit,
			"deliver":  scriptDeliver,
			"expunge":  scriptExpunge,
			"flag":     scriptFlag,
			"messages": scriptMessages,
			"matches":  scriptMatches,
		},
	})
}

// setUpScript starts the script's IMAP server with the users ada and bob, and writes its address for
// $IMAP into the script's YAML files. Behind the script it verifies the archive.
func setUpScript(e *testscript.Env) error {
	cert, err := imapd.SelfSigned()
	if err != nil {
		return err
	}
	server := imapd.New(imapd.Options{TLS: cert.Server, UIDValidity: 1})
	e.Defer(func() { server.Close() })
	address, err := server.Listen("127.0.0.1:0")
	if err != nil {
		return err
	}
	e.Values["ada"] = server.AddUser("ada", "correct horse")
	e.Values["bob"] = server.AddUser("bob", "battery staple")
	e.Setenv("IMAP", address)
	e.Setenv("TZ", "UTC")
	e.Setenv("HOME", e.WorkDir)
	if os.Geteuid() == 0 && exists(filepath.Join(e.WorkDir, localConfig)) { // root does not read that one unnamed
		e.Setenv("ARCHIVERD_CONFIG", localConfig)
	}
	if err := os.WriteFile(filepath.Join(e.WorkDir, "ca.pem"), cert.PEM, 0o644); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(e.WorkDir, "*.yaml"))
	if err != nil {
		return err
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, bytes.ReplaceAll(text, []byte("$IMAP"), []byte(address)), 0o600); err != nil {
			return err
		}
	}
	for _, path := range []string{"ada.password", "bob.password"} {
		if err := os.Chmod(filepath.Join(e.WorkDir, path), 0o600); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	e.Defer(func() { verifyScript(e) })
	return nil
}

// verifyScript checks that the archive that a script leaves behind, if any, is not damaged.
func verifyScript(e *testscript.Env) {
	dir := filepath.Join(e.WorkDir, "archive")
	if _, err := os.Stat(dir); err != nil {
		return
	}
	var out bytes.Buffer
	if status := run(context.Background(), []string{"verify", "--archive", dir}, strings.NewReader(""), &out, &out); status != 0 {
		e.T().Fatal("verify the script's archive:\n" + out.String())
	}
}

// scriptExit runs a program that has to end with an exit status: exit STATUS PROGRAM [ARGUMENT...]
func scriptExit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exit STATUS PROGRAM [ARGUMENT...]")
	}
	status := 0
	var ended *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &ended) {
		status = ended.ExitCode()
	} else if err != nil {
		ts.Fatalf("%s: %v", args[1], err)
	}
	if args[0] != strconv.Itoa(status) {
		ts.Fatalf("exit status %d, want %s", status, args[0])
	}
}

// scriptDeliver puts a message into a mailbox, which is made if it is missing: deliver USER
// MAILBOX FILE [FLAG...]. The line ends become CRLF, INTERNALDATE is the time of the Date field.
func scriptDeliver(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: deliver USER MAILBOX FILE [FLAG...]")
	}
	body := strings.ReplaceAll(ts.ReadFile(args[2]), "\n", "\r\n")
	parsed, err := mail.ReadMessage(strings.NewReader(body))
	ts.Check(err)
	date, err := parsed.Header.Date()
	ts.Check(err)
	user := scriptUser(ts, args[0])
	box, err := user.Mailbox(args[1])
	if errors.Is(err, imapd.ErrNotFound) {
		box, err = user.Create(args[1])
	}
	ts.Check(err)
	box.Append(imapd.Message{Flags: args[3:], InternalDate: date, Body: []byte(body)})
}

// scriptExpunge removes messages from a mailbox: expunge USER MAILBOX UID...
func scriptExpunge(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: expunge USER MAILBOX UID...")
	}
	box := scriptMailbox(ts, args[0], args[1])
	for _, uid := range args[2:] {
		if box.Expunge(scriptUID(ts, uid)) == 0 {
			ts.Fatalf("there is no message with UID %s", uid)
		}
	}
}

// scriptFlag sets the flags of a message: flag USER MAILBOX UID [FLAG...]
func scriptFlag(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: flag USER MAILBOX UID [FLAG...]")
	}
	if !scriptMailbox(ts, args[0], args[1]).SetFlags(scriptUID(ts, args[2]), args[3:]...) {
		ts.Fatalf("there is no message with UID %s", args[2])
	}
}

// scriptMessages prints the messages of a mailbox at the server, one a line: UID, subject, flags.
func scriptMessages(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: messages USER MAILBOX")
	}
	out := ts.Stdout()
	for _, m := range scriptMailbox(ts, args[0], args[1]).Messages() {
		parsed, err := mail.ReadMessage(bytes.NewReader(m.Body))
		ts.Check(err)
		slices.Sort(m.Flags)
		fmt.Fprintln(out, strings.Join(append([]string{fmt.Sprint(m.UID), parsed.Header.Get("Subject")}, m.Flags...), " "))
	}
}

// scriptMatches compares two texts line by line, where … in the expected line stands for any
// text: matches GOT WANT
func scriptMatches(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: matches GOT WANT")
	}
	got, want := ts.ReadFile(args[0]), ts.ReadFile(args[1])
	lines := strings.Split(want, "\n")
	for i, l := range strings.Split(got, "\n") {
		if i >= len(lines) || !matchesLine(l, lines[i]) {
			ts.Fatalf("line %d of %s is\n%s\nwhole:\n%swant:\n%s", i+1, args[0], l, got, want)
		}
	}
	if n := strings.Count(got, "\n"); n+1 < len(lines) {
		ts.Fatalf("%s has no more than %d lines, want:\n%s", args[0], n, want)
	}
}

// matchesLine reports whether a line is what a pattern says, in which … is any text.
func matchesLine(line, pattern string) bool {
	parts := strings.Split(pattern, "…")
	first, last := parts[0], parts[len(parts)-1]
	if len(parts) == 1 {
		return line == pattern
	}
	if len(line) < len(first)+len(last) || !strings.HasPrefix(line, first) || !strings.HasSuffix(line, last) {
		return false
	}
	line = line[len(first) : len(line)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		_, rest, found := strings.Cut(line, part)
		if !found {
			return false
		}
		line = rest
	}
	return true
}

func scriptUser(ts *testscript.TestScript, name string) *imapd.User {
	user, ok := ts.Value(name).(*imapd.User)
	if !ok {
		ts.Fatalf("the server has the users ada and bob, not %s", name)
	}
	return user
}

func scriptMailbox(ts *testscript.TestScript, user, name string) *imapd.Mailbox {
	box, err := scriptUser(ts, user).Mailbox(name)
	ts.Check(err)
	return box
}

func scriptUID(ts *testscript.TestScript, text string) uint32 {
	uid, err := strconv.ParseUint(text, 10, 32)
	ts.Check(err)
	return uint32(uid)
}

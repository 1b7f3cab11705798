package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"archiverd/internal/imapd"
)

// TestOrderOfSystemCalls has an independent program look at every system call
// of a sync, as strace tells them: the data of a message before its name, names
// before the journal, the journal before the database, and nothing committed
// that rests on a sync that failed. The program is in the folder that
// ARCHIVERD_TEST_TOOLS names.
func TestOrderOfSystemCalls(t *testing.T) {
	tools := os.Getenv("ARCHIVERD_TEST_TOOLS")
	if tools == "" {
		t.Skip("ARCHIVERD_TEST_TOOLS is not set: the order of commits is shown by crashes only, in package state")
	}
	checker := filepath.Join(tools, "fsync_order.py")
	program := plainProgram(t)
	cert, err := imapd.SelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	server := imapd.New(imapd.Options{TLS: cert.Server})
	t.Cleanup(func() { server.Close() }) // behind the parallel ones
	user := server.AddUser("alice", "secret")
	const messages = 300
	for i := range messages {
		// new mailboxes are made while others are being committed
		name := []string{"INBOX", "Sent", "Archive/2026", "Lists", "Lists/go", "Drafts", "Trash", "Archive/2025"}[i%8]
		box, err := user.Mailbox(name)
		if err != nil {
			if box, err = user.Create(name); err != nil {
				t.Fatal(err)
			}
		}
		box.Append(imapd.Message{Body: fmt.Appendf(nil, "Subject: %d\r\n\r\nbody %d\r\n", i/7, i/7), // some are the same
			InternalDate: time.Date(2025, time.Month(1+i%12), 1+i%28, 0, 0, i, 0, time.UTC)})
	}
	addr, err := server.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	inject := func(call string, when int) []string {
		return []string{"--inject", fmt.Sprintf("%s:error=EIO:when=%d", call, when)}
	}
	type run struct {
		name   string
		path   string // "file": an fsync for each
		inject []string
	}
	runs := []run{{"syncfs", "", nil}, {"file", "file", nil}}
	for when := 1; when <= 3; when++ {
		runs = append(runs, run{fmt.Sprintf("syncfs fails %d", when), "", inject("syncfs", when)},
			run{fmt.Sprintf("fdatasync fails %d", when), "", inject("fdatasync", 2*when)},
			run{fmt.Sprintf("fsync fails %d", when), "", inject("fsync", 3*when)},
			run{fmt.Sprintf("fsync of a file fails %d", when), "file", inject("fsync", 40*when)},
			run{fmt.Sprintf("rename fails %d", when), "", inject("renameat2", 30*when)})
	}
	for _, r := range runs {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.write("ca.pem", string(cert.PEM))
			s.write("password", "secret\n")
			s.configure(fmt.Sprintf("accounts:\n  - name: alice\n    server: %s\n    username: alice\n    password_file: password\n    tls_ca_file: ca.pem\n", addr))
			s.program = program
			s.env = []string{"GOMAXPROCS=1", "ARCHIVERD_SYNC=" + r.path} // strace counts calls by thread
			args := append([]string{checker, "--tmp", "*/tmp/*.part", "--tmp", ".*.new", "--db", "*.db", "--db", "*.db.new", "--root", s.archive}, r.inject...)
			cmd := exec.Command("python3", append(args, "--", program, "sync")...)
			seen := s.execute(cmd).wait()
			if r.inject == nil {
				// W1, a name before the data, is only a warning there
				if seen.status != 0 || !strings.Contains(seen.out, " 0 violations") || strings.Contains(seen.out, " W1 ") {
					t.Errorf("the order is not right:\n%s%s", seen.out, seen.err)
				}
			} else if !strings.Contains(seen.out, "fsync_order: command exit") || strings.Contains(seen.out, " V4 ") {
				t.Errorf("what failed was committed:\n%s%s", seen.out, seen.err)
			}
			s.run("verify", "--archive", s.archive).want(0)
			s.run("sync").want(0)
			if n := recordedOnce(t, s.archive); n != messages {
				t.Errorf("%d messages are recorded, want %d", n, messages)
			}
		})
	}
}

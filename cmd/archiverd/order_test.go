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

// orderCase is a sync whose system calls are checked: one of them may fail.
type orderCase struct {
	name     string
	syncMode string   // ARCHIVERD_SYNC: "file" is an fsync for each file
	inject   []string // arguments of strace that make a call fail
}

// failing returns the arguments that make the n-th such call of a thread fail.
func failing(call string, n int) []string {
	return []string{"--inject", fmt.Sprintf("%s:error=EIO:when=%d", call, n)}
}

func orderCases() []orderCase {
	cases := []orderCase{{name: "syncfs"}, {name: "file", syncMode: "file"}}
	for n := 1; n <= 3; n++ {
		cases = append(cases,
			orderCase{fmt.Sprintf("syncfs fails %d", n), "", failing("syncfs", n)},
			orderCase{fmt.Sprintf("fdatasync fails %d", n), "", failing("fdatasync", 2*n)},
			orderCase{fmt.Sprintf("fsync fails %d", n), "", failing("fsync", 3*n)},
			orderCase{fmt.Sprintf("fsync of a file fails %d", n), "file", failing("fsync", 40*n)},
			orderCase{fmt.Sprintf("rename fails %d", n), "", failing("renameat2", 30*n)})
	}
	return cases
}

const orderMessages = 300

// newOrderServer is a server whose mailboxes are created in the archive while other
// mailboxes are being committed.
func newOrderServer(t *testing.T) *imapServer {
	t.Helper()
	server := newIMAPServer(t, imapd.Options{})
	user := server.AddUser("alice", "secret")
	names := []string{"INBOX", "Sent", "Archive/2026", "Lists", "Lists/go", "Drafts", "Trash", "Archive/2025"}
	for i := range orderMessages {
		server.mailbox(user, names[i%8]).Append(imapd.Message{
			Body:         fmt.Appendf(nil, "Subject: %d\r\n\r\nbody %d\r\n", i/7, i/7), // some are the same
			InternalDate: time.Date(2025, time.Month(1+i%12), 1+i%28, 0, 0, i, 0, time.UTC)})
	}
	return server
}

// TestOrderOfSystemCalls has an independent program check every system call of a
// sync, as strace reports them: the data of a message before its name, names before
// the journal, the journal before the database, and no commit that depends on a sync
// that failed. The program is in the folder that ARCHIVERD_TEST_TOOLS names.
func TestOrderOfSystemCalls(t *testing.T) {
	tools := os.Getenv("ARCHIVERD_TEST_TOOLS")
	if tools == "" {
		t.Skip("ARCHIVERD_TEST_TOOLS is not set: only the crash tests of package state hold the order of commits")
	}
	program := plainProgram(t)
	server := newOrderServer(t)
	for _, c := range orderCases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.configureAlice(server)
			s.program = program
			s.env = []string{"GOMAXPROCS=1", "ARCHIVERD_SYNC=" + c.syncMode} // strace counts calls by thread
			args := append([]string{filepath.Join(tools, "fsync_order.py"), "--tmp", "*/tmp/*.part", "--tmp", ".*.new",
				"--db", "*.db", "--db", "*.db.new", "--root", s.archive}, c.inject...)
			r := s.execute(exec.Command("python3", append(args, "--", program, "sync")...)).wait()
			if c.inject == nil {
				// W1, a name before the data, is only a warning there.
				if r.status != 0 || !strings.Contains(r.out, " 0 violations") || strings.Contains(r.out, " W1 ") {
					t.Errorf("the order is wrong:\n%s%s", r.out, r.err)
				}
			} else if !strings.Contains(r.out, "fsync_order: command exit") || strings.Contains(r.out, " V4 ") {
				t.Errorf("a commit depends on a call that failed:\n%s%s", r.out, r.err)
			}
			s.run("verify", "--archive", s.archive).want(0)
			s.run("sync").want(0)
			if n := recordedOnce(t, s.archive); n != orderMessages {
				t.Errorf("%d messages are recorded, want %d", n, orderMessages)
			}
		})
	}
}

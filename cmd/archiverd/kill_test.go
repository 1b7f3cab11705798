package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"archiverd/internal/daemon"
	"archiverd/internal/testing/dovecot"
)

// TestKilledFiftyTimes kills a sync at random moments, 50 times in a row, or 12 with
// -short. Now and then it removes the state database, and it appends new mail
// whenever a sync ended before it was killed.
func TestKilledFiftyTimes(t *testing.T) {
	t.Parallel()
	kills := 50
	if testing.Short() {
		kills = 12
	}
	srv := dovecot.Start(t)
	u := srv.User(t, "alice")
	c := u.Dial(t)
	corpus := dovecot.Corpus(7, 3000)
	c.Load(corpus)
	whole := newSite(t)
	whole.configure("accounts:\n", whole.overTLS(srv, u))
	began := time.Now()
	whole.sync()
	span := time.Since(began) // of a whole sync, with the start of the process

	s := newSite(t)
	s.configure("accounts:\n", s.overTLS(srv, u))
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, a whole sync takes %v", seed, span)
	random := rand.New(rand.NewPCG(seed, 0))
	more := dovecot.Corpus(8, 3000)[0].Msgs
	killed, ended, lost := 0, 0, 0
	for killed < kills {
		if killed+ended > 4*kills {
			t.Fatalf("only %d of %d syncs could be killed", killed, killed+ended)
		}
		// The longest time until a kill grows, from a tenth of the time of a sync.
		reach := time.Duration(float64(span) * (0.1 + float64(killed)/float64(kills)))
		p := s.start("sync")
		p.killAfter(time.Duration(random.Int64N(int64(reach))))
		if r := p.wait(); r.status >= 0 {
			r.want(0)
			ended++
			span = r.elapsed // of what is left to do, with what comes now
			n := min(len(more), 15)
			c.Append(corpus[random.IntN(len(corpus))].Name, more[:n]...)
			more = more[n:]
			continue
		}
		killed++
		if random.IntN(5) == 0 {
			if err := os.Remove(filepath.Join(s.archive, "state.db")); err == nil {
				lost++
			}
		}
	}
	run := s.sync()
	t.Logf("%d killed, %d ended before, the state database lost %d times; the last run added %d", killed, ended, lost, run.Sum.Added)
	var names []string
	for _, m := range corpus {
		names = append(names, m.Name)
	}
	messages, distinct := compareWithServer(t, s, c, "alice", names)
	if got, inodes := files(t, s.archive); got != messages || inodes != distinct {
		t.Errorf("%d files that are %d inodes, want %d and %d", got, inodes, messages, distinct)
	}
	if got := recordedOnce(t, s.archive); got != messages {
		t.Errorf("the journals record %d messages, want %d", got, messages)
	}
}

// recordedOnce reads the journals without the package archive and returns the number
// of recorded messages. A message that is recorded twice is an error.
func recordedOnce(t *testing.T, dir string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "journal.jsonl" {
			return err
		}
		seen := map[string]bool{}
		var validity uint32
		for line := range strings.Lines(string(read(t, path))) {
			var e struct {
				Event            string
				UID, UIDValidity uint32
			}
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			switch e.Event {
			case "opened":
				validity = e.UIDValidity
			case "added":
				id := fmt.Sprintf("%d.%d", validity, e.UID)
				if seen[id] {
					t.Errorf("%s records %s twice", path, id)
				}
				seen[id] = true
				n++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestTermination stops a sync in the middle of a message of a silent server: the
// messages that were received whole are archived, and the sync does not wait for the
// others.
func TestTermination(t *testing.T) {
	t.Parallel()
	srv := dovecot.Start(t)
	u := srv.User(t, "alice")
	u.Dial(t).Load(dovecot.Corpus(3, 600))
	s := newSite(t)
	tap := newProxy(t, srv.PlainAddr)
	s.configure("accounts:\n", s.plain(tap.Addr, u, "connections: 2", "schedule: '@daily'"))
	tap.passAtMost(2 << 20)

	running := s.start("run")
	received := func() int {
		var report daemon.Report
		if r := s.run("status", "--json"); json.Unmarshal([]byte(r.out), &report) != nil || len(report.Accounts) == 0 || report.Accounts[0].Running == nil {
			return -1
		}
		return report.Accounts[0].Running.Received
	}
	eventually(t, "the daemon has received what has been let through", func() bool { return tap.limitReached() && received() == tap.wholeBodies() })
	whole := tap.wholeBodies()
	stopped := time.Now()
	running.signal(syscall.SIGTERM)
	running.wait().want(0).says("run interrupted")
	if took := time.Since(stopped); took > promptly {
		t.Errorf("SIGTERM took %v", took)
	}
	if got := recordedOnce(t, s.archive); got != whole || whole == 0 {
		t.Errorf("%d messages are archived, want %d", got, whole)
	}
	s.run("verify").want(0)
	s.run("status").want(1).prints("INTERRUPTED")

	tap.reset()
	tap.passAtMost(1 << 20)
	p := s.start("sync")
	eventually(t, "the proxy stops the server", tap.limitReached)
	p.signal(os.Interrupt)
	r := p.wait().want(1).says("stopping; what has been received is being committed")
	if r.elapsed > promptly {
		t.Errorf("an interrupted sync took %v", r.elapsed)
	}
	r.prints("INTERRUPTED")

	before := recordedOnce(t, s.archive)
	tap.reset()
	tap.passAtMost(-1)
	s.sync()
	if got, want := tap.wholeBodies(), 600-before; got != want {
		t.Errorf("the last sync fetched %d messages, want %d", got, want)
	}
}

// TestSecondSignal: a second signal ends a sync whose output nobody reads, and that
// therefore can't end.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	srv := dovecot.Start(t)
	u := srv.User(t, "alice")
	c := u.Dial(t)
	for i := range 150 { // their report is longer than the buffer of a pipe
		c.Create(fmt.Sprintf("%03d%s", i, strings.Repeat("x", 200)))
	}
	s := newSite(t)
	s.configure("accounts:\n", s.overTLS(srv, u))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var errOut buffer
	cmd := exec.Command(self, "sync", "--json")
	cmd.Stdout, cmd.Stderr = w, &errOut
	p := s.execute(cmd)
	if err := r.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 1)); err != nil { // the run is stored before the report
		t.Fatalf("the report begins: %v\n%s", err, errOut.String())
	}
	p.signal(os.Interrupt)
	eventually(t, "the first signal is answered", func() bool { return strings.Contains(errOut.String(), "stopping") })
	select {
	case <-p.done:
		t.Error("a sync ends although nobody reads its output")
	default:
	}
	p.signal(os.Interrupt)
	if r := p.wait().want(1); r.elapsed > patience {
		t.Errorf("two signals took %v", r.elapsed)
	}
}

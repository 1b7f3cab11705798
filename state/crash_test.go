package state

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"archiverd/archive"
	"archiverd/internal/uid"
)

// served is a mailbox as a server has it: bodies and flags by UID. A body of ""
// can't be fetched.
type served struct {
	name        string
	uidValidity uint32
	bodies      map[uint32]string
	flags       map[uint32]string
}

// rounds is what the server has at two times.
func rounds() [2][]served {
	return [2][]served{
		{
			{"INBOX", 1, map[uint32]string{1: "a", 2: "b", 3: "c", 4: "a", 5: "e"}, map[uint32]string{1: `\Seen`}},
			{"INBOX/Lists", 7, map[uint32]string{1: "a", 2: "m", 3: "n"}, nil},
			{"Entwürfe", 1, map[uint32]string{1: "x", 2: "", 3: "b"}, nil},
		},
		{
			{"INBOX", 1, map[uint32]string{1: "a", 2: "b", 4: "a", 5: "e", 6: "f", 7: "b"}, map[uint32]string{1: `\Flagged \Seen`, 4: `\Answered`}},
			// under other UIDs; those of 2 and 3 have their dates still, and are linked
			{"INBOX/Lists", 8, map[uint32]string{11: "a", 2: "m", 3: "n", 14: "o"}, nil},
			{"Entwürfe", 1, map[uint32]string{1: "x", 2: "y"}, nil},
			{"Trash", 1, map[uint32]string{1: "c"}, nil},
		},
	}
}

// sync archives what the server has and the database has not, two messages per mailbox and
// commit, and ends the run.
func (h *house) sync(server []served) {
	h.t.Helper()
	for {
		var batches []*archive.Batch
		for _, s := range server {
			b := h.batch(s.name)
			h.compare(b, s)
			if b.Len() == 0 {
				if err := b.Discard(); err != nil {
					h.t.Fatal(err)
				}
				continue
			}
			batches = append(batches, b)
		}
		if len(batches) == 0 {
			break
		}
		h.apply(h.commit(batches...))
	}
	if _, err := h.w.Checkpoint(); err != nil {
		h.t.Fatal(err)
	}
	if err := h.db.FinishRun(Run{Account: "alice", Started: clock}, nil); err != nil {
		h.t.Fatal(err)
	}
}

// compare adds to the batch what the archive lacks, at most two messages.
func (h *house) compare(b *archive.Batch, s served) {
	h.t.Helper()
	dir := b.Mailbox().Dir
	info, _, err := h.db.Mailbox(dir)
	if err != nil {
		h.t.Fatal(err)
	}
	have, err := h.db.UIDs(dir)
	if err != nil {
		h.t.Fatal(err)
	}
	failures, err := h.db.Failures(dir)
	if err != nil {
		h.t.Fatal(err)
	}
	if info.UIDValidity != s.uidValidity {
		b.Record(opened(s.name, s.uidValidity))
		have, failures = UIDs{}, nil
	}
	var listed uid.Set
	for u := range s.bodies {
		listed.Add(u)
	}
	if gone := have.Archived.Union(have.Failed).Subtract(listed); !gone.Empty() {
		b.Record(archive.Event{Kind: archive.Gone, UIDs: gone})
	}
	added := 0
	for u := range listed.Subtract(have.Archived).All() {
		switch body := s.bodies[u]; {
		case body == "" && failures[u] == "":
			b.Record(archive.Event{Kind: archive.Failed, UID: u, Reason: "no body"})
		case body != "" && added < 2:
			added++
			if !h.link(b, s.uidValidity, u, body, strings.Fields(s.flags[u])...) {
				h.add(b, s.uidValidity, u, body, strings.Fields(s.flags[u])...)
			}
		}
	}
	var flags []MessageFlags
	for u := range listed.All() {
		flags = append(flags, MessageFlags{u, s.flags[u]})
	}
	if info.UIDValidity != s.uidValidity {
		return
	}
	changed, err := h.db.ChangedFlags(dir, flags)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, f := range changed {
		b.Record(archive.Event{Kind: archive.Flags, UID: f.UID, Flags: strings.Fields(f.Flags)})
	}
}

// link adds to the batch a message that the database has as a candidate.
func (h *house) link(b *archive.Batch, uidValidity, u uint32, body string, flags ...string) bool {
	h.t.Helper()
	e := event(u, body, flags...)
	e.Size, e.Sum, e.Matched = int64(len(body)), sha256.Sum256([]byte(body)), "header"
	for _, k := range h.known(e.Size, e.InternalDate) {
		if !k.MatchesSum(e.Sum) {
			continue
		}
		st, err := os.Stat(filepath.Join(h.dir, k.Path))
		if err == nil {
			err = b.Link(uidValidity, e, k.Path, st)
		}
		if err != nil {
			h.t.Fatal(err)
		}
		return true
	}
	return false
}

// TestCrashChild is the process that is killed: it archives both rounds until the n-th
// step of its commits. The environment names the archive and the step.
func TestCrashChild(t *testing.T) {
	dir, n := os.Getenv("ARCHIVERD_CRASH_DIR"), os.Getenv("ARCHIVERD_CRASH_STEP")
	if dir == "" {
		t.Skip("run by TestCrashAtEachStep")
	}
	left, err := strconv.Atoi(n)
	if err != nil {
		t.Fatal(err)
	}
	steps := make(chan int, 1)
	steps <- left
	h := &house{t: t, dir: dir, step: func(string) error {
		left := <-steps
		if left == 0 {
			// SIGKILL runs nothing behind it: not a deferred call, not a flush.
			if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
				return err
			}
			select {}
		}
		steps <- left - 1
		return nil
	}}
	h.open()
	for _, server := range rounds() {
		h.sync(server)
	}
	h.close()
}

// A process that is killed before any step of any commit, or of the checkpoints of a run,
// leaves an archive without loss or damage, and raises no alarm. The same work, done
// again, ends as it would have without the crash.
func TestCrashAtEachStep(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a process for each step")
	}
	want := withoutCrash(t)
	for n := range want.ends[1] {
		for _, keep := range []bool{true, false} {
			t.Run(fmt.Sprintf("step=%d,database=%v", n, keep), func(t *testing.T) {
				t.Parallel()
				crashAt(t, n, keep, want)
			})
		}
	}
}

// outcome is what two rounds end in.
type outcome struct {
	ends   [2]int // steps up to the end of each round
	views  string
	events int
}

// withoutCrash runs both rounds and counts their steps.
func withoutCrash(t *testing.T) (o outcome) {
	t.Helper()
	h := newHouse(t)
	h.close()
	counted := make(chan int, 1)
	counted <- 0
	h.step = func(string) error { counted <- <-counted + 1; return nil }
	h.open()
	for i, server := range rounds() {
		h.sync(server)
		o.ends[i] = <-counted
		counted <- o.ends[i]
	}
	h.step = nil
	o.views, o.events = h.views(), h.once()
	if got := strings.Count(o.views, "here false"); got != 2 {
		t.Fatalf("the work without a crash ends in\n%s", o.views)
	}
	matched := 0
	for _, b := range h.boxes() {
		_, err := h.w.Replay(b, archive.Position{}, func(e archive.Event) error {
			if e.Matched != "" {
				matched++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if matched < 2 {
		t.Fatalf("%d messages are linked without a crash", matched)
	}
	return o
}

// crashAt kills a process at a step, then completes both rounds: the outcome must be the
// one without a crash. keep says whether the database outlives the crash.
func crashAt(t *testing.T, step int, keep bool, want outcome) {
	t.Helper()
	h := &house{t: t, dir: filepath.Join(t.TempDir(), "archive")}
	child := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
	child.Env = append(os.Environ(), "ARCHIVERD_CRASH_DIR="+h.dir, "ARCHIVERD_CRASH_STEP="+strconv.Itoa(step))
	out, err := child.CombinedOutput()
	if status, ok := child.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the child was not killed: %v\n%s", err, out)
	}
	if !keep {
		if err := os.Remove(h.path()); err != nil {
			t.Fatal(err)
		}
	}
	h.readable()
	h.open()
	if h.db.Broken() {
		t.Error("the database is broken")
	}
	if stopped, lost := h.w.Stopped(), h.w.Losses("alice"); stopped != nil || len(lost) > 0 {
		t.Errorf("false alarm after the crash: %v, %v", stopped, lost)
	}
	for i, server := range rounds() {
		if step < want.ends[i] { // that round had not ended
			h.sync(server)
		}
	}
	if got := h.views(); got != want.views {
		t.Errorf("the archive is\n%swant\n%s", got, want.views)
	}
	if got := h.once(); got != want.events {
		t.Errorf("%d events, want %d", got, want.events)
	}
	h.verify()
	h.sameRebuilt()
	h.shared()
	h.close()
}

// readable fails on damage in an archive that nobody has opened since a crash.
func (h *house) readable() {
	h.t.Helper()
	a, err := archive.Open(h.dir)
	if err != nil {
		h.t.Fatal(err)
	}
	defer a.Close()
	whole, err := a.VerifyCheckpoints()
	if err != nil || slices.ContainsFunc(whole.Findings, func(f archive.Finding) bool { return f.Damage }) {
		h.t.Errorf("after the crash the checkpoints have %v, %v", whole, err)
	}
	c, err := a.ReadCheckpoints()
	if err != nil {
		h.t.Fatal(err)
	}
	boxes, err := a.ToVerify(c, "")
	if err != nil {
		h.t.Fatal(err)
	}
	for _, b := range boxes {
		v, err := a.Verify(h.t.Context(), b, archive.VerifyOptions{Checkpoints: c})
		if err != nil {
			h.t.Fatal(err)
		}
		if slices.ContainsFunc(v.Findings, func(f archive.Finding) bool { return f.Damage }) {
			h.t.Errorf("after the crash: %v", v.Findings)
		}
	}
}

// once fails if any message was recorded twice, and counts the events.
func (h *house) once() int {
	h.t.Helper()
	n := 0
	for _, b := range h.boxes() {
		var epoch uint32
		seen := map[string]bool{}
		_, err := h.w.Replay(b, archive.Position{}, func(e archive.Event) error {
			n++
			if e.Kind == archive.Opened {
				epoch = e.UIDValidity
			}
			key := fmt.Sprint(epoch, "/", e.UID)
			if e.Kind == archive.Added && seen[key] {
				h.t.Errorf("%s: UID %d of epoch %d was recorded twice", b.Dir, e.UID, epoch)
			}
			seen[key] = seen[key] || e.Kind == archive.Added
			return nil
		})
		if err != nil {
			h.t.Fatal(err)
		}
	}
	return n
}

// shared fails unless equal octets are one file.
func (h *house) shared() {
	h.t.Helper()
	files := map[archive.Sum]string{}
	for _, b := range h.boxes() {
		v, _, err := h.w.Fold(b)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, m := range v.All() {
			name := filepath.Join(h.dir, b.Dir, m.Path)
			first, ok := files[m.Sum]
			if !ok {
				files[m.Sum] = name
				continue
			}
			infos := make([]os.FileInfo, 0, 2)
			for _, f := range []string{first, name} {
				st, err := os.Stat(f)
				if err != nil {
					h.t.Fatal(err)
				}
				infos = append(infos, st)
			}
			if !os.SameFile(infos[0], infos[1]) {
				h.t.Errorf("%s and %s have equal octets and are two files", first, name)
			}
		}
	}
	if want := []string{"a", "b", "c", "e", "f", "m", "n", "o", "x", "y"}; len(files) != len(slices.Compact(want)) {
		h.t.Errorf("%d different messages, want %d", len(files), len(want))
	}
}

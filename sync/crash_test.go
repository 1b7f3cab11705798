package sync

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	gosync "sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/internal/commit"
	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
)

var errInjected = errors.New("injected")

// failAt makes the n-th step of that name fail with err, and the later ones too
// if forever is set.
func (h *testbed) failAt(step string, nth int64, forever bool, err error) {
	var n atomic.Int64
	f := func(name string) error {
		if name != step {
			return nil
		}
		if k := n.Add(1); k == nth || forever && k > nth {
			return err
		}
		return nil
	}
	h.OnStep(f)
}

// commitSteps are the steps of a commit in their order.
var commitSteps = []string{archive.StepData, archive.StepNames, archive.StepDirs, archive.StepAppend, archive.StepJournal, archive.StepDone}

// Whatever step of whichever commit fails: it is said, nothing of it is
// recorded, and the next run completes the archive.
func TestCommitFails(t *testing.T) {
	last := int64(4)
	if testing.Short() {
		last = 2
	}
	for _, step := range commitSteps {
		for nth := int64(1); nth <= last; nth++ {
			t.Run(fmt.Sprintf("%s %d", step, nth), func(t *testing.T) {
				h := newTestbed(t)
				boxes := world.ThreeMailboxes()
				s := world.Serve(t, hostile.Options{Mailboxes: boxes})
				h.failAt(step, nth, false, errInjected)
				run, err := h.run(world.Alice(s.Address()))
				h.OnStep(nil)
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range run.Mailboxes {
					if (l.Error != "") != (l.Missing > 0) || l.Error != "" && !strings.Contains(l.Error, "injected") {
						t.Errorf("ledger is %+v", l)
					}
				}
				if run.Sum.Archived != h.Count() {
					t.Errorf("the ledger has %d archived, the journals %d", run.Sum.Archived, h.Count())
				}
				if step == archive.StepDone && !run.OK() {
					t.Errorf("what is durable failed:\n%s", show(run))
				}
				h.completes(boxes)
			})
		}
	}
}

// A new epoch that does not come into the journal: the old one's messages are
// not counted as the new one's.
func TestNewEpochFails(t *testing.T) {
	h := newTestbed(t)
	boxes := world.ThreeMailboxes()
	h.completes(boxes)
	boxes[0].UIDValidity = 70
	for i := range boxes[0].Messages { // or they would be known
		boxes[0].Messages[i] = world.NewMessage("another", uint32(i+1))
	}
	s := world.Serve(t, hostile.Options{Mailboxes: boxes})
	h.failAt(archive.StepJournal, 1, true, errInjected)
	run, err := h.run(world.Alice(s.Address()))
	h.OnStep(nil)
	if l := of(t, run, "INBOX"); err != nil || l.Archived != 0 || l.Missing != 9 || l.Error == "" {
		t.Errorf("%v: ledger is %+v", err, l)
	}
	h.completes(boxes)
}

// A full or broken disk ends the run at once: going on would only repeat it.
func TestDiskFails(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS, syscall.EDQUOT} {
		h := newTestbed(t)
		boxes := world.ThreeMailboxes()
		s := world.Serve(t, hostile.Options{Mailboxes: boxes})
		h.failAt(archive.StepNames, 1, true, &os.PathError{Op: "rename", Path: "x", Err: cause})
		run, err := h.run(world.Alice(s.Address()))
		h.OnStep(nil)
		if !errors.Is(err, cause) {
			t.Errorf("error is %v, want %v", err, cause)
		}
		if run.Sum.Missing == 0 || run.Sum.Archived != h.Count() {
			t.Errorf("%d are archived, ledger\n%s", h.Count(), show(run))
		}
		h.completes(boxes)
	}
}

// The state database fails in mid-run: it is made anew and the archive goes on.
func TestStateFails(t *testing.T) {
	for _, when := range []string{archive.StepData, archive.StepJournal, archive.StepDone} {
		for _, nth := range []int64{1, 2, 3} {
			t.Run(fmt.Sprintf("%s %d", when, nth), func(t *testing.T) {
				h := newTestbed(t)
				boxes := world.ThreeMailboxes()
				s := world.Serve(t, hostile.Options{Mailboxes: boxes})
				var n atomic.Int64
				f := func(name string) error {
					if name == when && n.Add(1) == nth {
						return h.Committer.State.Close()
					}
					return nil
				}
				h.OnStep(f)
				// a run ends when it sees the database fail; what is committed stays
				run, err := h.run(world.Alice(s.Address()))
				h.OnStep(nil)
				if err == nil && !run.OK() {
					t.Errorf("nothing is said:\n%s", show(run))
				}
				h.completes(boxes)
			})
		}
	}
	// before the run
	h := newTestbed(t)
	boxes := world.ThreeMailboxes()
	if err := h.Committer.State.Close(); err != nil {
		t.Fatal(err)
	}
	h.completes(boxes)
	// at its end, when all mailboxes are done: the run is recorded all the same
	s := world.Serve(t, hostile.Options{Mailboxes: boxes})
	j := &Job{Account: world.Alice(s.Address()), Committer: h.Committer, Log: h.Log}
	j.Now = func() time.Time {
		if p := j.Progress(); p.Stage == "fetching" && p.Finished == p.Mailboxes {
			h.Committer.State.Close()
		}
		return time.Now()
	}
	if run, err := h.runWith(t.Context(), j); err != nil || !run.OK() {
		t.Fatalf("run is not clean: %v\n%s", err, show(run))
	}
	runs, err := h.Committer.State.Runs("alice")
	if err != nil || len(runs) != 1 || runs[0].Sum.Archived != count(boxes) {
		t.Errorf("runs are %+v, %v", runs, err)
	}
}

// After the loss of the state database no body is downloaded.
func TestStateIsLost(t *testing.T) {
	h := newTestbed(t)
	boxes := manyBoxes()
	h.completes(boxes)
	h.Close()
	if err := os.Remove(h.Dir + ".db"); err != nil {
		t.Fatal(err)
	}
	h.Open()
	h.completes(boxes)
}

// A run that is stopped, whenever, is out quickly, archives what it has, and
// says that it was stopped.
func TestInterrupted(t *testing.T) {
	boxes := manyBoxes()
	rounds := 8
	if testing.Short() {
		rounds = 3
	}
	for seed := range rounds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 2))
			h := newTestbed(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			at, n := int64(r.IntN(1400)), atomic.Int64{}
			var stopped atomic.Int64
			stop := func() {
				if n.Add(1) == at+1 {
					stopped.Store(time.Now().UnixNano())
					cancel()
				}
			}
			s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
				if at < 12 { // at some command
					stop()
					return false
				}
				if !world.WantsBodies(cmd) {
					return false
				}
				for i, m := range s.Open.Messages {
					if world.Requests(cmd, m.UID) {
						s.Fetched(i, "UID BODY[]")
						if stop(); n.Load() == at+1 {
							s.Send("")
						}
					}
				}
				s.Send(cmd.Tag + " OK done\r\n")
				return true
			}})
			acc := world.Alice(s.Address())
			acc.Connections = 1 + seed%4
			run, err := h.runWith(ctx, &Job{Account: acc, Policy: h.policy, Committer: h.Committer, Log: h.Log})
			if n.Load() <= at { // it was not that many
				return
			}
			if took := time.Since(time.Unix(0, stopped.Load())); took > world.Patient().Answer/2 {
				t.Errorf("took %v to stop", took)
			}
			if err != nil && !errors.Is(err, commit.ErrInterrupted) || err == nil && !run.OK() {
				t.Errorf("error is %v\n%s", err, show(run))
			}
			if run.LoginRefused || run.Sum.Archived != h.Count() {
				t.Errorf("%d are archived, ledger %+v", h.Count(), run.Sum)
			}
			h.completes(boxes)
		})
	}
}

// Jobs of many accounts share a store; equal messages are stored once.
func TestJobsShareAStore(t *testing.T) {
	h := newTestbed(t)
	boxes := manyBoxes()
	s := world.Serve(t, hostile.Options{Mailboxes: boxes})
	var wait gosync.WaitGroup
	for i := range 3 {
		wait.Go(func() {
			acc := world.Alice(s.Address())
			if i > 0 {
				acc.Name = fmt.Sprintf("alice %d", i)
			}
			run, err := (&Job{Account: acc, Policy: h.policy, Committer: h.Committer, Log: h.Log}).Run(t.Context())
			ledger(t, run, err)
			if err != nil || !run.OK() {
				t.Errorf("%v\n%s", err, show(run))
			}
		})
	}
	wait.Wait()
	h.Verify()
	for _, m := range boxes {
		h.Holds(m)
	}
	if n := h.Count(); n != 3*count(boxes) {
		t.Errorf("%d messages are archived, want %d", n, 3*count(boxes))
	}
}

package sync

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
)

// numbered makes EXAMINE of INBOX, which is the first of boxes, tell another
// UIDVALIDITY the n-th time.
func numbered(boxes []hostile.Mailbox, tell func(nth int) uint32, then lie) lie {
	var n atomic.Int64
	return func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name != "EXAMINE" || !strings.Contains(cmd.Args, "INBOX") {
			return then(s, cmd)
		}
		s.Open = &boxes[0]
		s.Send(fmt.Sprintf("* %d EXISTS\r\n* OK [UIDVALIDITY %d] x\r\n* OK [UIDNEXT 99] x\r\n%s OK done\r\n",
			len(s.Open.Messages), tell(int(n.Add(1))), cmd.Tag))
		return true
	}
}

// dawdling is a clock that lets all others go first.
func dawdling() time.Time {
	for range 100 {
		runtime.Gosched()
	}
	return time.Now()
}

// UIDs that are renumbered while the run is under way begin an epoch; nothing
// of the old one is taken for the new one's, and the mailbox is not left out.
// Many times, for it is a matter of who comes last.
func TestUIDValidityChangesOnce(t *testing.T) {
	for _, connections := range []int{1, 3} {
		for range 40 {
			h := newTestbed(t)
			boxes := []hostile.Mailbox{world.NewMailbox("INBOX", 7, 9)}
			s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: numbered(boxes, func(n int) uint32 {
				if n == 1 {
					return 7
				}
				return 70
			}, poison(times(1, dies("")), 5)())})
			acc := world.Alice(s.Address())
			acc.Connections = connections
			run, err := h.runWith(t.Context(), &Job{Account: acc, Committer: h.Committer, Log: h.Log, Now: dawdling})
			if err != nil || !run.OK() {
				t.Fatalf("%v\n%s", err, show(run))
			}
			h.Holds(boxes[0])
			_, v := h.Mailbox("INBOX")
			if len(v.Epochs) != 2 || v.Epoch().UIDValidity != 70 || len(v.Epochs[0].Messages) != 4 {
				t.Fatalf("epochs are %+v", v.Epochs)
			}
			if t.Failed() {
				return
			}
		}
	}
}

// Renumbered when the second connection opens the mailbox, while the first is in
// the middle of it: it is surveyed again when the last of the old is committed,
// although nobody has anything else to do then.
func TestUIDValidityChangesUnderAnotherWorker(t *testing.T) {
	for range 2 {
		h := newTestbed(t)
		boxes := []hostile.Mailbox{world.NewMailbox("INBOX", 7, 3200)}
		s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: numbered(boxes, func(n int) uint32 {
			if n == 1 {
				return 7
			}
			return 70
		}, func(*hostile.Session, hostile.Command) bool { return false })})
		run, err := h.runWith(t.Context(), &Job{Account: world.Alice(s.Address()), Committer: h.Committer, Log: h.Log, Now: dawdling})
		if err != nil || !run.OK() {
			t.Fatalf("%v\n%s", err, show(run))
		}
		h.Holds(boxes[0])
	}
}

// Renumbered between two runs: a new epoch, the old one as it was.
func TestUIDValidityChangesBetweenRuns(t *testing.T) {
	h := newTestbed(t)
	boxes := world.ThreeMailboxes()
	h.completes(boxes)
	boxes[0].UIDValidity = 70
	s := world.Serve(t, hostile.Options{Mailboxes: boxes})
	run := h.clean(world.Alice(s.Address()))
	if l := of(t, run, "INBOX"); l.Added != 9 || l.Matched != 8 || l.Linked != 9 || l.Gone != 0 || s.TotalSent() != 1 {
		t.Errorf("ledger is %+v, %d bodies fetched", l, s.TotalSent())
	}
	h.Holds(boxes[0])
	_, v := h.Mailbox("INBOX")
	if len(v.Epochs) != 2 || len(v.Epochs[0].Messages) != 9 {
		t.Errorf("epochs are %+v", v.Epochs)
	}
	// and back: what was there under the old one is known
	boxes[0].UIDValidity = 7
	s = world.Serve(t, hostile.Options{Mailboxes: boxes})
	run = h.clean(world.Alice(s.Address()))
	if l := of(t, run, "INBOX"); l.Matched != 9 || s.TotalSent() != 0 {
		t.Errorf("ledger is %+v, %d bodies fetched", l, s.TotalSent())
	}
	h.Holds(boxes[0])
}

// A server whose UIDVALIDITY is never the same is given up, and the others are not.
func TestUIDValidityChangesEndlessly(t *testing.T) {
	for _, connections := range []int{1, 3} {
		h := newTestbed(t)
		boxes := world.ThreeMailboxes()
		s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: numbered(boxes, func(n int) uint32 { return uint32(100 + n) }, poison(dies(""), 1, 2, 3, 4, 5, 6, 7, 8, 9)())})
		acc := world.Alice(s.Address())
		acc.Connections = connections
		run, err := h.run(acc)
		if err != nil {
			t.Fatal(err)
		}
		if l := of(t, run, "INBOX"); !strings.Contains(l.Error, "UIDVALIDITY changed") || l.Missing != 9 {
			t.Errorf("ledger is %+v", l)
		}
		h.Holds(boxes[1])
		h.Holds(boxes[2])
		h.completes(boxes)
	}
}

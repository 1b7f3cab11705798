package sync

import (
	"fmt"
	"slices"
	"strings"
	gosync "sync"
	"testing"

	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
)

// sized answers metadata with sizes of its own: those of estimate.
func sized(estimate func(u uint32, size int) int) lie {
	return func(s *hostile.Session, cmd hostile.Command) bool {
		if !world.WantsMetadata(cmd) || !strings.Contains(cmd.Args, "RFC822.SIZE") {
			return false
		}
		for i, m := range s.Open.Messages {
			if world.Requests(cmd, m.UID) {
				s.Send(fmt.Sprintf("* %d FETCH (UID %d FLAGS (%s) INTERNALDATE %q RFC822.SIZE %d)\r\n", i+1, m.UID, m.Flags, m.Date, estimate(m.UID, len(m.Body))))
			}
		}
		s.Send(cmd.Tag + " OK done\r\n")
		return true
	}
}

// TestEstimatedSizes: a server whose sizes are all wrong by as much costs a second download
// of the messages before the third, in the first run only.
func TestEstimatedSizes(t *testing.T) {
	h := newTestbed(t)
	j := &Job{Committer: h.Committer, Log: h.Log}
	for i, n := range []int{60, 400} {
		boxes := []hostile.Mailbox{world.NewMailbox("INBOX", 7, n)}
		s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: sized(func(_ uint32, size int) int { return size + 17 })})
		j.Account = world.Alice(s.Address())
		if run, err := h.runWith(t.Context(), j); err != nil || !run.OK() {
			t.Fatalf("%v\n%s", err, show(run))
		}
		h.Holds(boxes[0])
		if want := []int{60 + minAlike - 1, 340}[i]; s.TotalSent() != want {
			t.Errorf("%d bodies were fetched, want %d", s.TotalSent(), want)
		}
	}
}

// TestSwappedBodies: if a server sends two bodies under each other's UID once, both are
// downloaded again and archived correctly.
func TestSwappedBodies(t *testing.T) {
	h := newTestbed(t)
	boxes := []hostile.Mailbox{world.NewMailbox("INBOX", 7, 9)}
	var once gosync.Once
	s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
		lied := false
		if world.WantsBodies(cmd) {
			once.Do(func() {
				lied = true
				all := slices.Clone(s.Open.Messages)
				all[3].Body, all[4].Body = all[4].Body, all[3].Body
				for i, m := range all {
					s.Send(fmt.Sprintf("* %d FETCH (UID %d BODY[] {%d}\r\n%s)\r\n", i+1, m.UID, len(m.Body), m.Body))
				}
				s.Send(cmd.Tag + " OK done\r\n")
			})
		}
		return lied
	}})
	h.clean(world.Alice(s.Address()))
	h.Holds(boxes[0])
	if n := s.TotalSent(); n != 2 {
		t.Errorf("%d bodies were fetched again, want 2", n)
	}
}

// TestOtherOctetsEachTime: a message whose octets differ in each download fails, with that
// reason.
func TestOtherOctetsEachTime(t *testing.T) {
	h := newTestbed(t)
	n := 0
	boxes := world.ThreeMailboxes()
	s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: poison(func(s *hostile.Session, _ hostile.Command, seq int) told {
		n++
		s.Send(fmt.Sprintf("* %d FETCH (UID 5 BODY[] {3}\r\n%03d)\r\n", seq, n))
		return lied
	}, 5)()})
	acc := world.Alice(s.Address())
	acc.Connections = 1
	run, err := h.run(acc)
	if l := of(t, run, "INBOX"); err != nil || !strings.Contains(l.Failures[5], "other octets each time") || l.Failed != 1 {
		t.Errorf("%v, %+v", err, l)
	}
	h.Holds(boxes[0], 5)
	h.completes(boxes)
}

// TestDateMissedOnce: a date that is missing in one reply is asked for again, because a message
// archived without its date stays without it.
func TestDateMissedOnce(t *testing.T) {
	for _, reply := range []string{
		"", "* SEQ FETCH (UID 5 FLAGS (\\Flag\r\n", "* SEQ FETCH (UID 5 FLAGS () RFC822.SIZE 9)\r\n",
		"* SEQ FETCH (UID 6 FLAGS () INTERNALDATE \"01-Jan-2001 00:00:00 +0000\" RFC822.SIZE 9)\r\n",
	} {
		h := newTestbed(t)
		boxes := world.ThreeMailboxes()
		s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: poisonMeta(times(1, says(reply)), 5)()})
		h.clean(world.Alice(s.Address()))
		h.Holds(boxes[0])
	}
}

// TestSearchListsAnotherInItsPlace: a UID listed in place of another leaves the count right, so
// that a message would be missed. The second list, for the message that can't be fetched,
// shows it.
func TestSearchListsAnotherInItsPlace(t *testing.T) {
	h := newTestbed(t)
	boxes := world.ThreeMailboxes()
	boxes[0].UIDNext = 100 // the other one is below it
	n := 0
	s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name != "UID SEARCH" || !inbox(s) {
			return false
		}
		if n++; n > 1 {
			return false
		}
		s.Send("* SEARCH 1 2 3 4 6 7 8 9 77\r\n" + cmd.Tag + " OK done\r\n")
		return true
	}})
	acc := world.Alice(s.Address())
	acc.Connections = 1
	run, err := h.run(acc)
	if l := of(t, run, "INBOX"); err != nil || !strings.Contains(l.Error, "did not list all messages at first: UIDs 5") {
		t.Errorf("%v, %+v", err, l)
	}
	h.completes(boxes)
}

// TestSecondSearchLeavesOneOut: a message that is left out of FETCH, and then of the list that
// would show whether it is still there, is not taken for expunged.
func TestSecondSearchLeavesOneOut(t *testing.T) {
	h := newTestbed(t)
	boxes := world.ThreeMailboxes()
	n := 0
	silent := poison(says(""), 5)()
	s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name == "UID SEARCH" && inbox(s) {
			if n++; n > 1 {
				s.Send("* SEARCH 1 2 3 4 6 7 8 9 77\r\n" + cmd.Tag + " OK done\r\n")
				return true
			}
		}
		return silent(s, cmd)
	}})
	acc := world.Alice(s.Address())
	acc.Connections = 1
	run, err := h.run(acc)
	if l := of(t, run, "INBOX"); err != nil || l.Failures[5] == "" && l.Error == "" {
		t.Errorf("UID 5 is missing, and nothing says so: %v, %+v", err, l)
	}
	h.completes(boxes)
}

package sync

import (
	"fmt"
	"slices"
	"strings"
	gosync "sync"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/internal/session"
	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
	"archiverd/state"
)

// replicas answers LIST and EXAMINE as the server does that a connection has reached.
// connection counts them from 0.
func replicas(pick func(connection int) *hostile.Mailbox) lie {
	var mu gosync.Mutex
	numbers := map[*hostile.Session]int{}
	return func(s *hostile.Session, cmd hostile.Command) bool {
		mu.Lock()
		defer mu.Unlock()
		n, ok := numbers[s]
		if !ok {
			n = len(numbers)
			numbers[s] = n
		}
		m := pick(n)
		next := m.UIDNext
		if next == 0 {
			next = m.Messages[len(m.Messages)-1].UID + 1
		}
		switch cmd.Name {
		case "LIST":
			s.Send(fmt.Sprintf("* LIST () \"/\" %s\r\n* STATUS %s (MESSAGES %d UIDNEXT %d UIDVALIDITY %d HIGHESTMODSEQ %d)\r\n",
				m.Name, m.Name, len(m.Messages), next, m.UIDValidity, m.HighestModSeq))
		case "EXAMINE":
			s.Open = m
			s.Send(fmt.Sprintf("* %d EXISTS\r\n* OK [UIDVALIDITY %d] x\r\n* OK [UIDNEXT %d] x\r\n* OK [HIGHESTMODSEQ %d] x\r\n",
				len(m.Messages), m.UIDValidity, next, m.HighestModSeq))
		default:
			return false
		}
		s.Send(cmd.Tag + " OK done\r\n")
		return true
	}
}

// serveReplicas starts a server of replicas, and returns an account of one connection at a
// time.
func serveReplicas(t testing.TB, pick func(connection int) *hostile.Mailbox) session.Account {
	t.Helper()
	acc := world.Serve(t, hostile.Options{Script: replicas(pick)}).Alice()
	acc.Connections = 1
	return acc
}

// TestLaggingReplica: what one connection no longer lists, and another does, is not gone,
// and older flags are not recorded, whatever shows that the state is an older one.
func TestLaggingReplica(t *testing.T) {
	for name, older := range map[string]func(m *hostile.Mailbox){
		"all is older":                 func(m *hostile.Mailbox) { m.HighestModSeq = 15 },
		"UIDNEXT alone is older":       func(m *hostile.Mailbox) { m.HighestModSeq += 100 },
		"HIGHESTMODSEQ alone is older": func(m *hostile.Mailbox) { m.UIDNext, m.HighestModSeq = 10, 15 },
		"nothing but the messages":     func(m *hostile.Mailbox) { m.UIDNext = 10 },
	} {
		t.Run(name, func(t *testing.T) {
			h := newTestbed(t)
			now := world.NewMailbox("INBOX", 7, 9)
			was := now
			was.Messages = slices.Clone(now.Messages[:6])
			older(&was)
			acc := serveReplicas(t, func(connection int) *hostile.Mailbox {
				if connection%2 == 1 {
					return &was
				}
				return &now
			})
			h.clean(acc) // connection 0
			before := h.lines("INBOX")
			for range 3 { // 1 and 2, 3 and 4, 5 and 6
				h.clean(acc)
				if n := h.lines("INBOX"); fmt.Sprint(n) != fmt.Sprint(before) {
					t.Errorf("events are %v, were %v", n, before)
				}
			}
			h.Holds(now)
		})
	}
}

// TestTwoConnectionsAgree: what two connections no longer list is gone, in the same run.
func TestTwoConnectionsAgree(t *testing.T) {
	h := newTestbed(t)
	m := world.NewMailbox("INBOX", 7, 9)
	acc := serveReplicas(t, func(int) *hostile.Mailbox { return &m })
	h.clean(acc)
	m.Messages, m.HighestModSeq = slices.Clone(m.Messages[:6]), 15
	if run := h.clean(acc); of(t, run, "INBOX").Gone != 3 {
		t.Errorf("%s", show(run))
	}
	h.Holds(m)
}

// TestUIDValidityAlternates: a UIDVALIDITY that depends on the connection writes nothing into
// the journal, and is told.
func TestUIDValidityAlternates(t *testing.T) {
	h := newTestbed(t)
	one, two := world.NewMailbox("INBOX", 7, 9), world.NewMailbox("INBOX", 70, 9)
	acc := serveReplicas(t, func(connection int) *hostile.Mailbox {
		if connection%2 == 1 {
			return &two
		}
		return &one
	})
	h.clean(acc)
	before := h.lines("INBOX")
	for range 4 {
		run := h.clean(acc)
		if len(run.Warnings) != 1 || !strings.Contains(run.Warnings[0], "UIDVALIDITY alternates") {
			t.Errorf("warnings are %q", run.Warnings)
		}
	}
	if n := h.lines("INBOX"); fmt.Sprint(n) != fmt.Sprint(before) {
		t.Errorf("events are %v, were %v", n, before)
	}
	h.Holds(one)
}

// TestUIDValidityNeverTheSame: a UIDVALIDITY that no two connections agree on begins no epoch.
func TestUIDValidityNeverTheSame(t *testing.T) {
	h := newTestbed(t)
	var all [40]hostile.Mailbox
	for i := range all {
		all[i] = world.NewMailbox("INBOX", uint32(100+i), 9)
	}
	acc := serveReplicas(t, func(connection int) *hostile.Mailbox { return &all[connection] })
	h.clean(acc)
	before := h.lines("INBOX")
	for range 3 {
		run, err := h.run(acc)
		if l := of(t, run, "INBOX"); err != nil || !strings.Contains(l.Error, "between two connections") {
			t.Errorf("%v\n%s", err, show(run))
		}
	}
	if n := h.lines("INBOX"); fmt.Sprint(n) != fmt.Sprint(before) {
		t.Errorf("events are %v, were %v", n, before)
	}
}

// TestUIDsAboveUIDNEXT: a UID of UIDNEXT or higher that a second list does not have is not
// asked for.
func TestUIDsAboveUIDNEXT(t *testing.T) {
	h := newTestbed(t)
	boxes := []hostile.Mailbox{world.NewMailbox("INBOX", 7, 9)}
	searches := 0
	s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name == "UID SEARCH" {
			searches++
			s.Send(fmt.Sprintf("* SEARCH %d %d\r\n", 1000*searches, 1000*searches+1))
		}
		return false
	}})
	run := h.clean(s.Alice())
	if l := of(t, run, "INBOX"); l.Server != 9 || l.UIDNext != 10 || searches != 2 || h.lines("INBOX")[archive.Failed] > 0 {
		t.Errorf("%+v, %d searches", l, searches)
	}
	h.Holds(boxes[0])
}

// cleanAt is a run at a time.
func (h *testbed) cleanAt(acc session.Account, at time.Time) state.Run {
	h.t.Helper()
	run, err := h.runWith(h.t.Context(), &Job{Account: acc, Policy: h.policy, Committer: h.Committer, Log: h.Log, Now: func() time.Time { return at }})
	if err != nil || !run.OK() {
		h.t.Fatalf("%v\n%s", err, show(run))
	}
	return run
}

// TestOpenedOnceADay: a mailbox whose counters never change is opened once a day all the same:
// new messages are found, and flags that changed without HIGHESTMODSEQ.
func TestOpenedOnceADay(t *testing.T) {
	h := newTestbed(t)
	boxes := []hostile.Mailbox{world.NewMailbox("INBOX", 7, 9)}
	s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name != "LIST" {
			return false
		}
		s.Send("* LIST () \"/\" INBOX\r\n* STATUS INBOX (MESSAGES 9 UIDNEXT 10 UIDVALIDITY 7 HIGHESTMODSEQ 19)\r\n" + cmd.Tag + " OK done\r\n")
		return true
	}})
	start := time.Now()
	h.cleanAt(s.Alice(), start)
	was := boxes[0]
	boxes[0].Messages = append(slices.Clone(was.Messages), world.NewMessage("INBOX", 10))
	boxes[0].Messages[3].Flags = `\Draft`
	if run := h.cleanAt(s.Alice(), start.Add(23*time.Hour)); !of(t, run, "INBOX").Unchanged {
		t.Errorf("%s", show(run))
	}
	h.Holds(was)
	h.cleanAt(s.Alice(), start.Add(25*time.Hour))
	h.Holds(boxes[0])
	// not again within a day, and never if the configuration says so
	opened := len(slices.DeleteFunc(s.Commands(), func(c string) bool { return !strings.HasPrefix(c, "EXAMINE") }))
	boxes[0].Messages[4].Flags = `\Draft`
	h.policy.Reopen = -1
	h.cleanAt(s.Alice(), start.Add(100*time.Hour))
	if n := h.lines("INBOX"); n[archive.Flags] != 1 {
		t.Errorf("events are %v, %d times opened", n, opened)
	}
	h.policy.Reopen = time.Hour
	h.cleanAt(s.Alice(), start.Add(101*time.Hour))
	h.Holds(boxes[0])
}

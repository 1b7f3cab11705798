package sync

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"archiverd/archive"
	"archiverd/internal/session"
	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
	"archiverd/internal/uid"
)

// lines counts the events of a mailbox's journal, by kind.
func (h *testbed) lines(mailbox string) map[archive.Kind]int {
	h.t.Helper()
	dir, _ := h.Mailbox(mailbox)
	counts := map[archive.Kind]int{}
	if _, err := h.Committer.Archive.Replay(dir, archive.Position{}, func(e archive.Event) error { counts[e.Kind]++; return nil }); err != nil {
		h.t.Error(err)
	}
	return counts
}

// isNewEpoch fails unless the mailbox has begun its second epoch, and nothing of the first is
// gone or changed.
func (h *testbed) isNewEpoch(was, is hostile.Mailbox) {
	h.t.Helper()
	h.Holds(is)
	_, v := h.Mailbox(is.Name)
	if len(v.Epochs) != 2 {
		h.t.Fatalf("%s has %d epochs", is.Name, len(v.Epochs))
	}
	for u, want := range world.MessagesOf(was) {
		if m := v.Epochs[0].Messages[u]; m == nil || !m.Listed() || strings.Join(m.Flags, " ") != want.Flags {
			h.t.Errorf("%s: UID %d of the old epoch is %+v", is.Name, u, m)
		}
	}
	if n := h.lines(is.Name); n[archive.Gone] > 0 || n[archive.Failed] > 0 {
		h.t.Errorf("%s: events are %v", is.Name, n)
	}
}

// TestAnotherMailboxOfOneUIDValidity: another mailbox with the same UIDVALIDITY, behind the
// same address or another one, is archived completely: no message counts as archived
// because another has its UID, no flags are recorded for another message, and none is gone.
func TestAnotherMailboxOfOneUIDValidity(t *testing.T) {
	for _, isMoved := range []bool{false, true} {
		for _, n := range []int{1, 6, 9, 20, 700} {
			t.Run(fmt.Sprintf("moved %v, %d messages", isMoved, n), func(t *testing.T) {
				h := newTestbed(t)
				was, is := world.NewMailbox("INBOX", 1, 9), world.NewMailbox("Elsewhere", 1, n)
				is.Name, is.HighestModSeq = "INBOX", was.HighestModSeq
				boxes := []hostile.Mailbox{was}
				s := world.Serve(t, hostile.Options{Mailboxes: boxes})
				h.clean(s.Alice())
				if boxes[0] = is; isMoved {
					s = world.Serve(t, hostile.Options{Mailboxes: boxes})
				} else {
					boxes[0].HighestModSeq++
				}
				run := h.clean(s.Alice())
				if l := of(t, run, "INBOX"); l.Added != n || l.Gone != 0 || len(run.Warnings) != 1 || !strings.Contains(run.Warnings[0], "other messages") {
					t.Errorf("%+v, warnings %q", l, run.Warnings)
				}
				h.isNewEpoch(was, is)
				before := s.TotalSent()
				if run := h.clean(s.Alice()); !of(t, run, "INBOX").Unchanged || s.TotalSent() != before {
					t.Errorf("the run after it: %s", show(run))
				}
				h.isNewEpoch(was, is)
			})
		}
	}
}

// TestUIDUsedAgain: a UID that the server gave to a second message after EXPUNGE begins a new
// epoch, for which only that message is downloaded.
func TestUIDUsedAgain(t *testing.T) {
	for _, again := range []int{19, 7} {
		h := newTestbed(t)
		boxes := []hostile.Mailbox{world.NewMailbox("INBOX", 1, 20)}
		was := boxes[0]
		s := world.Serve(t, hostile.Options{Mailboxes: boxes})
		h.clean(s.Alice())
		boxes[0].Messages = slices.Clone(was.Messages)
		boxes[0].Messages[again] = world.NewMessage("Other", uint32(again+1))
		boxes[0].HighestModSeq++
		h.clean(s.Alice())
		h.isNewEpoch(was, boxes[0])
		if n := s.TotalSent(); n > 21+minVerified {
			t.Errorf("%d bodies were fetched of 21", n)
		}
	}
}

// TestMailboxesSwappedByRename: two mailboxes of one UIDVALIDITY that change their names are
// two new epochs, for which next to nothing is downloaded.
func TestMailboxesSwappedByRename(t *testing.T) {
	h := newTestbed(t)
	boxes := []hostile.Mailbox{world.NewMailbox("One", 1, 60), world.NewMailbox("Two", 1, 60)}
	s := world.Serve(t, hostile.Options{Mailboxes: boxes})
	h.clean(s.Alice())
	boxes[0].Messages, boxes[1].Messages = boxes[1].Messages, boxes[0].Messages
	boxes[0].HighestModSeq++
	boxes[1].HighestModSeq++
	run := h.clean(s.Alice())
	h.isNewEpoch(hostile.Mailbox{Messages: boxes[1].Messages}, boxes[0])
	h.isNewEpoch(hostile.Mailbox{Messages: boxes[0].Messages}, boxes[1])
	if run.Sum.Matched < 100 || s.TotalSent() > 140 {
		t.Errorf("%+v, %d bodies", run.Sum, s.TotalSent())
	}
}

// TestServerPutBackFromBackup: UIDNEXT and HIGHESTMODSEQ fall, and UIDs that came after the
// backup were given to other messages since: they are archived, and those that are the same
// are not downloaded.
func TestServerPutBackFromBackup(t *testing.T) {
	h := newTestbed(t)
	boxes := []hostile.Mailbox{world.NewMailbox("INBOX", 1, 90)}
	was := boxes[0]
	s := world.Serve(t, hostile.Options{Mailboxes: boxes})
	h.clean(s.Alice())
	boxes[0].Messages = append(slices.Clone(was.Messages[:50]), world.NewMessage("After", 51), world.NewMessage("After", 52))
	boxes[0].HighestModSeq = 40
	h.clean(s.Alice())
	h.isNewEpoch(was, boxes[0])
	if n := s.TotalSent(); n > 92+minVerified {
		t.Errorf("%d bodies were fetched", n)
	}
}

// TestUIDsThatDoNotStick: a server that says UIDNOTSTICKY is compared completely each time.
func TestUIDsThatDoNotStick(t *testing.T) {
	h := newTestbed(t)
	boxes := []hostile.Mailbox{world.NewMailbox("INBOX", 1, 100)}
	s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name == "EXAMINE" {
			s.Send("* NO [UIDNOTSTICKY] they do not\r\n")
		}
		return false
	}})
	h.clean(s.Alice())
	was := boxes[0]
	boxes[0].HighestModSeq++
	h.clean(s.Alice())
	if n := h.lines("INBOX"); n[archive.Opened] != 1 {
		t.Errorf("events are %v", n)
	}
	for range 3 { // no sample would always find it
		boxes[0].Messages = slices.Clone(boxes[0].Messages)
		boxes[0].Messages[40] = world.NewMessage(fmt.Sprint("Other", boxes[0].HighestModSeq), 41)
		boxes[0].HighestModSeq++
		h.clean(s.Alice())
		h.Holds(boxes[0])
	}
	if _, v := h.Mailbox("INBOX"); len(v.Epochs) != 4 || len(v.Epochs[0].Messages) != len(was.Messages) {
		t.Errorf("%d epochs", len(v.Epochs))
	}
}

// TestOtherServerOfTheSameMailbox: a server's name that changes, as one that is only another
// name of it, has the mailboxes compared, once, and changes nothing in a journal. Sizes
// and dates that a server gives otherwise than before are no other mailbox.
func TestOtherServerOfTheSameMailbox(t *testing.T) {
	estimate := func(u uint32, size int) int { return size + 100 + int(u) }
	for name, script := range map[string]lie{
		"the same":  nil,
		"two sizes": sized(func(u uint32, size int) int { return size + 3*max(0, int(u)-38) }),
		"all sizes": sized(estimate),
		"dates an hour later": func(s *hostile.Session, cmd hostile.Command) bool {
			if !world.WantsMetadata(cmd) || !strings.Contains(cmd.Args, "RFC822.SIZE") {
				return false
			}
			for i, m := range s.Open.Messages {
				if world.Requests(cmd, m.UID) {
					date := strings.Replace(m.Date, " +0", " -0", 1)
					s.Send(fmt.Sprintf("* %d FETCH (UID %d FLAGS (%s) INTERNALDATE %q RFC822.SIZE %d)\r\n", i+1, m.UID, m.Flags, date, len(m.Body)))
				}
			}
			s.Send(cmd.Tag + " OK done\r\n")
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newTestbed(t)
			boxes := []hostile.Mailbox{world.NewMailbox("INBOX", 1, 40)}
			h.clean(world.Serve(t, hostile.Options{Mailboxes: boxes}).Alice())
			before := h.lines("INBOX")
			s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: script})
			h.clean(s.Alice())
			if run := h.clean(s.Alice()); !of(t, run, "INBOX").Unchanged {
				t.Errorf("it is compared again: %s", show(run))
			}
			boxes[0].HighestModSeq++
			h.clean(s.Alice())
			asked := len(headers(s))
			boxes[0].HighestModSeq++
			h.clean(s.Alice())
			if n := h.lines("INBOX"); fmt.Sprint(n) != fmt.Sprint(before) || s.TotalSent() > 0 || asked > 1 || len(headers(s)) != asked {
				t.Errorf("events are %v, were %v; %d bodies; headers %q", n, before, s.TotalSent(), headers(s))
			}
			h.Holds(boxes[0])
		})
	}
}

// TestMailboxSwappedWithinARun: a piece whose connection opens another mailbox than the scan
// saw, of the same UIDVALIDITY, is not taken for it.
func TestMailboxSwappedWithinARun(t *testing.T) {
	h := newTestbed(t)
	boxes := []hostile.Mailbox{world.NewMailbox("INBOX", 1, 40)}
	is := world.NewMailbox("Other", 1, 60)
	is.Name = "INBOX"
	first := true
	s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if world.WantsBodies(cmd) && first {
			first = false
			boxes[0] = is
			s.HangUp()
			return true
		}
		return false
	}})
	acc := s.Alice()
	acc.Connections = 1
	run, err := h.run(acc)
	if err != nil || !run.OK() {
		t.Errorf("%v\n%s", err, show(run))
	}
	h.Holds(is)
}

// TestNoMetadataToCompareBy: a server that refuses sizes and dates is known by headers; one that
// refuses these too has nothing recorded after it was moved.
func TestNoMetadataToCompareBy(t *testing.T) {
	h := newTestbed(t)
	boxes := []hostile.Mailbox{world.NewMailbox("INBOX", 1, 9)}
	h.clean(world.Serve(t, hostile.Options{Mailboxes: boxes}).Alice())
	refuses := func(what string) session.Account {
		return world.Serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
			if cmd.Name != "UID FETCH" || !strings.Contains(cmd.Args, "RFC822.SIZE") && !strings.Contains(cmd.Args, what) {
				return false
			}
			s.Send(cmd.Tag + " NO no\r\n")
			return true
		}}).Alice()
	}
	boxes[0].Messages[2].Flags, boxes[0].Messages[2].ModSeq = `\Draft`, 1000
	boxes[0].HighestModSeq = 1000
	run, err := h.run(refuses("HEADER"))
	if l := of(t, run, "INBOX"); err != nil || !strings.Contains(l.Error, "another mailbox") || h.lines("INBOX")[archive.Flags] > 0 {
		t.Errorf("%+v, %v", l, err)
	}
	h.clean(refuses("nothing else"))
	h.Holds(boxes[0])
}

// TestSpread: UIDs at equal distances, with the first and the last.
func TestSpread(t *testing.T) {
	for _, c := range []struct{ of, n int }{{1, 16}, {16, 16}, {17, 16}, {2500, 2000}, {100000, 32}} {
		set := uid.Above(0).Subtract(uid.Above(uint32(c.of)))
		if got := spread(set, c.n); got.Len() != min(c.of, c.n) || !got.Contains(1) || got.Max() != uint32(c.of) || !got.Subtract(set).Empty() {
			t.Errorf("%v: %d UIDs, the last is %d", c, got.Len(), got.Max())
		}
	}
}

// TestJournalWithoutServer: a journal of an earlier version, which names no server, is compared
// once; a mailbox of which all known messages are gone is not another one for that.
func TestJournalWithoutServer(t *testing.T) {
	h := newTestbed(t)
	boxes := []hostile.Mailbox{world.NewMailbox("INBOX", 1, 9), world.NewMailbox("Other", 1, 9)}
	s := world.Serve(t, hostile.Options{Mailboxes: boxes})
	before := named(s)
	before.Wire.Address, before.User = "", ""
	h.clean(before)
	if _, v := h.Mailbox("INBOX"); v.Epoch().Server != "" {
		t.Errorf("the server is %q", v.Epoch().Server)
	}
	boxes[0].Messages = []hostile.Message{world.NewMessage("INBOX", 10), world.NewMessage("INBOX", 11)}
	boxes[0].HighestModSeq = 50
	run := h.clean(named(s))
	if l := of(t, run, "INBOX"); l.Gone != 9 || l.Added != 2 || len(run.Warnings) > 0 {
		t.Errorf("%+v, warnings %q", l, run.Warnings)
	}
	if l := of(t, h.clean(named(s)), "Other"); !l.Unchanged {
		t.Errorf("compared again: %+v", l)
	}
	h.Holds(boxes[0])
	h.Holds(boxes[1])
}

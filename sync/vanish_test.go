package sync

import (
	"slices"
	"strings"
	"testing"

	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
)

// TestVanishedAndListedAgain: a message that vanishes is recorded as gone and kept. When
// it is listed again it is recognised by its UID, and nothing is downloaded.
func TestVanishedAndListedAgain(t *testing.T) {
	h := newTestbed(t)
	boxes := world.ThreeMailboxes()
	h.completes(boxes)
	full := boxes[0].Messages
	boxes[0].Messages = slices.Delete(slices.Clone(full), 3, 5)
	run := h.completes(boxes)
	if l := of(t, run, "INBOX"); l.Gone != 2 || l.Server != 7 || l.Archived != 7 {
		t.Errorf("ledger is %+v", l)
	}
	_, v := h.Mailbox("INBOX")
	if ep := v.Epoch(); len(ep.Messages) != 9 || ep.Messages[4].Listed() || !ep.Messages[3].Listed() {
		t.Errorf("the archive has %v", ep.Messages)
	}
	boxes[0].Messages = slices.Clone(full)
	boxes[0].Messages[3].Flags = `\Draft`
	s := world.Serve(t, hostile.Options{Mailboxes: boxes})
	run = h.clean(world.Alice(s.Address()))
	if l := of(t, run, "INBOX"); l.Matched != 2 || l.Added != 2 || s.TotalSent() != 0 {
		t.Errorf("ledger is %+v, %d bodies fetched", l, s.TotalSent())
	}
	h.Holds(boxes[0])
	_, v = h.Mailbox("INBOX")
	if m := v.Epoch().Messages[4]; m.Matched != "uid" {
		t.Errorf("message 4 is %+v", m)
	}
}

// TestAnotherMessageUnderAnOldUID: another message under the UID of a vanished one is
// downloaded.
func TestAnotherMessageUnderAnOldUID(t *testing.T) {
	h := newTestbed(t)
	boxes := world.ThreeMailboxes()
	h.completes(boxes)
	full := boxes[0].Messages
	boxes[0].Messages = full[:8]
	h.completes(boxes)
	boxes[0].Messages = append(slices.Clone(full[:8]), hostile.Message{UID: 9, Date: full[8].Date, Body: []byte("quite another\r\n")})
	h.clean(world.Alice(world.Serve(t, hostile.Options{Mailboxes: boxes}).Address()))
	h.Holds(boxes[0])
}

// TestMailboxVanishesAndComesBack: a mailbox that the server no longer lists stays in the
// archive, with a warning. When it is listed again nothing is downloaded.
func TestMailboxVanishesAndComesBack(t *testing.T) {
	h := newTestbed(t)
	boxes := world.ThreeMailboxes()
	h.completes(boxes)
	s := world.Serve(t, hostile.Options{Mailboxes: boxes[:2]})
	run := h.clean(world.Alice(s.Address()))
	if l := of(t, run, "Archiv"); !l.Vanished || len(run.Warnings) != 1 || !strings.Contains(run.Warnings[0], "Archiv") {
		t.Errorf("ledger is %+v, warnings %q", l, run.Warnings)
	}
	if _, v := h.Mailbox("Archiv"); v.Vanished.IsZero() || len(v.Epoch().Messages) != 3 {
		t.Errorf("the archive has %+v", v)
	}
	s = world.Serve(t, hostile.Options{Mailboxes: boxes[:2]})
	if run = h.clean(world.Alice(s.Address())); len(run.Warnings) > 0 {
		t.Errorf("it warns again: %q", run.Warnings)
	}
	s = world.Serve(t, hostile.Options{Mailboxes: boxes})
	run = h.clean(world.Alice(s.Address()))
	if l := of(t, run, "Archiv"); l.Matched != 3 || s.TotalSent() != 0 {
		t.Errorf("ledger is %+v, %d bodies fetched", l, s.TotalSent())
	}
	if _, v := h.Mailbox("Archiv"); !v.Vanished.IsZero() {
		t.Error("the mailbox is still taken for vanished")
	}
	h.Holds(boxes[2])
}

// TestNoselect: a mailbox that becomes \Noselect counts as vanished; one that always was
// is skipped.
func TestNoselect(t *testing.T) {
	h := newTestbed(t)
	boxes := world.ThreeMailboxes()
	h.clean(named(world.Serve(t, hostile.Options{Mailboxes: boxes})))
	boxes[2].Attrs = `\Noselect`
	boxes = append(boxes, hostile.Mailbox{Name: "Above", Attrs: `\NonExistent \HasChildren`})
	s := world.Serve(t, hostile.Options{Mailboxes: boxes})
	run := h.clean(named(s))
	if l := of(t, run, "Above"); l.Skipped == "" {
		t.Errorf("ledger is %+v", l)
	}
	for _, c := range s.Commands() {
		if strings.HasPrefix(c, "EXAMINE") {
			t.Errorf("sent %q", c)
		}
	}
	if _, v := h.Mailbox("Archiv"); v.Vanished.IsZero() || len(v.Epoch().Messages) != 3 {
		t.Errorf("the archive has %+v", v)
	}
}

// TestAllGone: if many messages vanish at once the run warns, and all of them stay.
func TestAllGone(t *testing.T) {
	h := newTestbed(t)
	boxes := []hostile.Mailbox{world.NewMailbox("INBOX", 7, 150)}
	h.completes(boxes)
	full := boxes[0].Messages
	boxes[0].Messages = nil
	boxes[0].UIDNext = 151
	boxes[0].HighestModSeq++
	run := h.completes(boxes)
	if len(run.Warnings) != 1 || !strings.Contains(run.Warnings[0], "150 of 150") {
		t.Errorf("warnings are %q", run.Warnings)
	}
	if _, v := h.Mailbox("INBOX"); len(v.Epoch().Messages) != 150 {
		t.Errorf("the archive has %d messages", len(v.Epoch().Messages))
	}
	boxes[0].Messages = full
	boxes[0].HighestModSeq++
	s := world.Serve(t, hostile.Options{Mailboxes: boxes})
	h.clean(world.Alice(s.Address()))
	if s.TotalSent() != 0 {
		t.Errorf("%d bodies fetched", s.TotalSent())
	}
	h.Holds(boxes[0])
}

// TestExpungedBeforeFetch: a message that is expunged between SEARCH and FETCH is neither
// archived nor failed, and the run is complete.
func TestExpungedBeforeFetch(t *testing.T) {
	h := newTestbed(t)
	boxes := world.ThreeMailboxes()
	after := slices.Clone(boxes)
	after[0].Messages = slices.Delete(slices.Clone(boxes[0].Messages), 4, 6)
	searched := false
	s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if inbox(s) && searched {
			s.Open = &after[0]
		}
		if searched && cmd.Name == "EXAMINE" && strings.Contains(cmd.Args, "INBOX") {
			s.Open = &after[0]
			s.Send("* 7 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 10] x\r\n* OK [HIGHESTMODSEQ 19] x\r\n" + cmd.Tag + " OK done\r\n")
			return true
		}
		searched = searched || inbox(s) && cmd.Name == "UID SEARCH"
		return false
	}})
	acc := world.Alice(s.Address())
	acc.Connections = 1
	run := h.clean(acc)
	if l := of(t, run, "INBOX"); l.Server != 7 || l.Archived != 7 || l.Gone != 0 {
		t.Errorf("ledger is %+v", l)
	}
	h.Holds(after[0])
	h.completes(after)
}

// TestExpungedBeforeSearch: messages that are expunged between EXAMINE and SEARCH are
// recorded as gone, no others are.
func TestExpungedBeforeSearch(t *testing.T) {
	h := newTestbed(t)
	boxes := world.ThreeMailboxes()
	h.completes(boxes)
	after := slices.Clone(boxes)
	after[0].Messages = slices.Delete(slices.Clone(boxes[0].Messages), 4, 6)
	boxes[0].HighestModSeq++
	examined := 0
	s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name == "EXAMINE" {
			examined++
		}
		if inbox(s) && cmd.Name == "UID SEARCH" {
			s.Open = &after[0]
		}
		if cmd.Name == "EXAMINE" && examined > 1 && strings.Contains(cmd.Args, "INBOX") {
			s.Open = &after[0]
			s.Send("* 7 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 10] x\r\n* OK [HIGHESTMODSEQ 20] x\r\n" + cmd.Tag + " OK done\r\n")
			return true
		}
		return false
	}})
	acc := world.Alice(s.Address())
	acc.Connections = 1
	run := h.clean(acc)
	if l := of(t, run, "INBOX"); l.Server != 7 || l.Archived != 7 || l.Gone != 2 {
		t.Errorf("ledger is %+v", l)
	}
	h.Holds(after[0])
}

// TestLargestMessage: a message above the limit is excluded. When the limit rises it is
// fetched.
func TestLargestMessage(t *testing.T) {
	h := newTestbed(t)
	boxes := world.ThreeMailboxes()
	boxes[0].Messages[3].Body = []byte("Subject: big\r\n\r\n" + strings.Repeat("x", 5000))
	s := world.Serve(t, hostile.Options{Mailboxes: boxes})
	acc := world.Alice(s.Address())
	h.policy.MaxMessage = 1000
	for i := range 2 {
		run := h.clean(acc)
		if l := of(t, run, "INBOX"); l.Excluded != 1 || l.Archived != 8 || !strings.Contains(l.Rule, "1000") || l.Unchanged != (i == 1) {
			t.Errorf("ledger is %+v", l)
		}
		h.Holds(boxes[0], 4)
	}
	if s.TotalSent() != count(boxes)-1 {
		t.Errorf("%d bodies fetched", s.TotalSent())
	}
	h.policy.MaxMessage = 10000
	if l := of(t, h.clean(acc), "INBOX"); l.Excluded != 0 || l.Archived != 9 || l.Rule != "" {
		t.Errorf("ledger is %+v", l)
	}
	h.Holds(boxes[0])
	if s.TotalSent() != count(boxes) {
		t.Errorf("%d bodies fetched", s.TotalSent())
	}
}

// TestFailedThenExcluded: a failed message counts as excluded once a limit excludes it.
func TestFailedThenExcluded(t *testing.T) {
	h := newTestbed(t)
	boxes := world.ThreeMailboxes()
	boxes[0].Messages[3].Body = []byte("Subject: big\r\n\r\n" + strings.Repeat("x", 5000))
	s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: poison(says("* SEQ FETCH (UID 4 BODY[] NIL)\r\n"), 4)()})
	acc := world.Alice(s.Address())
	run, err := h.run(acc)
	if l := of(t, run, "INBOX"); err != nil || l.Failed != 1 {
		t.Errorf("%v: ledger is %+v", err, l)
	}
	h.policy.MaxMessage = 1000
	if l := of(t, h.clean(acc), "INBOX"); l.Failed != 0 || l.Excluded != 1 {
		t.Errorf("ledger is %+v", l)
	}
	h.policy = Policy{}
	h.completes(boxes)
}

// TestLyingAboutTheSize: a message that is announced as small and comes larger than the
// limit is refused and counts as failed.
func TestLyingAboutTheSize(t *testing.T) {
	h := newTestbed(t)
	boxes := world.ThreeMailboxes()
	boxes[0].Messages[3].Body = []byte("Subject: big\r\n\r\n" + strings.Repeat("x", 5000))
	s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: poisonMeta(says("* SEQ FETCH (UID 4 FLAGS () RFC822.SIZE 10)\r\n"), 4)()})
	acc := world.Alice(s.Address())
	h.policy.MaxMessage = 1000
	run, err := h.run(acc)
	if l := of(t, run, "INBOX"); err != nil || l.Failed != 1 || !strings.Contains(l.Failures[4], "5016 octets, over the limit of 1000") {
		t.Errorf("%v: ledger is %+v", err, l)
	}
	h.Holds(boxes[0], 4)
	h.policy = Policy{}
	h.completes(boxes)
}

// TestFlagsChange: changed flags are recorded. With CONDSTORE only changed ones are asked
// for, without it the flags of all messages.
func TestFlagsChange(t *testing.T) {
	for _, condstore := range []bool{true, false} {
		h := newTestbed(t)
		boxes := world.ThreeMailboxes()
		caps := "IMAP4rev1 AUTH=PLAIN SASL-IR LIST-STATUS"
		if condstore {
			caps += " CONDSTORE"
		} else {
			boxes[0].HighestModSeq = 0
		}
		s := world.Serve(t, hostile.Options{Mailboxes: boxes, Capabilities: caps})
		h.clean(world.Alice(s.Address()))
		change := func(i int, flags string) {
			m := &boxes[0]
			m.Messages = slices.Clone(m.Messages)
			if condstore {
				m.HighestModSeq++
			}
			m.Messages[i].Flags, m.Messages[i].ModSeq = flags, m.HighestModSeq
		}
		// a keyword's case is kept, and its change is a change
		for i, flags := range []string{`$FORWARDED NonJunk \Seen`, `$Forwarded NonJunk \Seen`, `$Forwarded \Seen nonjunk`, ``, `\Recent \Seen`} {
			change(2, flags)
			s = world.Serve(t, hostile.Options{Mailboxes: boxes, Capabilities: caps})
			run := h.clean(world.Alice(s.Address()))
			if l := of(t, run, "INBOX"); l.FlagsChanged != 1 || s.TotalSent() != 0 {
				t.Errorf("%d: ledger is %+v, %d bodies fetched", i, l, s.TotalSent())
			}
			changedSince := slices.ContainsFunc(s.Commands(), func(c string) bool { return strings.Contains(c, "CHANGEDSINCE") })
			if changedSince != condstore {
				t.Errorf("asked %q", s.Commands())
			}
			if _, v := h.Mailbox("INBOX"); strings.Join(v.Epoch().Messages[3].Flags, " ") != strings.TrimPrefix(flags, `\Recent `) {
				t.Errorf("flags are %q, want %q", v.Epoch().Messages[3].Flags, flags)
			}
		}
	}
}

// TestHighestModSeqFallsBack: a server that was restored from a backup has a lower
// HIGHESTMODSEQ. Flags are not asked for by a mod-sequence above it.
func TestHighestModSeqFallsBack(t *testing.T) {
	h := newTestbed(t)
	boxes := world.ThreeMailboxes()
	boxes[0].HighestModSeq = 1000
	h.completes(boxes)
	boxes[0].HighestModSeq = 50
	boxes[0].Messages[2].Flags, boxes[0].Messages[2].ModSeq = `\Draft`, 50
	run := h.completes(boxes)
	if l := of(t, run, "INBOX"); l.FlagsChanged != 1 {
		t.Errorf("ledger is %+v", l)
	}
}

// TestFlagsRefused: if the server refuses flags, new messages are archived, the ledger
// says so, and the next run asks again.
func TestFlagsRefused(t *testing.T) {
	h := newTestbed(t)
	boxes := world.ThreeMailboxes()
	h.completes(boxes)
	boxes[0].Messages = append(slices.Clone(boxes[0].Messages), world.NewMessage("INBOX", 20))
	boxes[0].Messages[2].Flags, boxes[0].Messages[2].ModSeq = `\Draft`, 500
	boxes[0].HighestModSeq = 500
	s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if world.WantsMetadata(cmd) && strings.Contains(cmd.Args, "CHANGEDSINCE") {
			s.Send(cmd.Tag + " NO not now\r\n")
			return true
		}
		return false
	}})
	run, err := h.run(world.Alice(s.Address()))
	if l := of(t, run, "INBOX"); err != nil || !strings.Contains(l.Error, "not now") || l.Added != 1 || l.Missing != 0 {
		t.Errorf("%v: ledger is %+v", err, l)
	}
	h.completes(boxes)
}

// TestOddFlags: replies with too many flags, or of unknown messages, change nothing.
func TestOddFlags(t *testing.T) {
	h := newTestbed(t)
	boxes := world.ThreeMailboxes()
	h.completes(boxes)
	boxes[0].HighestModSeq++
	s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if !world.WantsMetadata(cmd) || !inbox(s) {
			return false
		}
		s.Send("* 1 FETCH (UID 77 FLAGS (\\Deleted))\r\n* 2 FETCH (FLAGS (\\Deleted))\r\n* 3 FETCH (UID 0 FLAGS (\\Deleted))\r\n* 3 FETCH (UID 3 FLAGS NIL)\r\n" + cmd.Tag + " OK done\r\n")
		return true
	}})
	run := h.clean(world.Alice(s.Address()))
	if l := of(t, run, "INBOX"); l.FlagsChanged != 0 {
		t.Errorf("ledger is %+v", l)
	}
	h.Holds(boxes[0])

	boxes[0].HighestModSeq++
	boxes[0].Messages = append(slices.Clone(boxes[0].Messages), world.NewMessage("INBOX", 4294967294))
	h.completes(boxes)
	boxes[0].HighestModSeq++
	s = world.Serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if world.WantsMetadata(cmd) && inbox(s) {
			s.Flood("* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n")
		}
		return false
	}})
	run, err := h.run(world.Alice(s.Address()))
	if l := of(t, run, "INBOX"); err != nil || l.Error == "" {
		t.Errorf("%v: ledger is %+v", err, l)
	}
}

package sync

import (
	"fmt"
	"strings"
	"testing"

	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
)

// A mailbox that the server lists beyond the limit does not count as gone: the run says
// how many are left out, and all others are archived.
func TestMailboxesBeyondTheLimitAreNotGone(t *testing.T) {
	h := newTestbed(t)
	boxes := world.ThreeMailboxes()
	h.completes(boxes)
	acc := world.Alice(world.Serve(t, hostile.Options{Mailboxes: boxes}).Address())
	acc.Wire.Limits.Mailboxes = 2
	run, err := h.run(acc)
	l := of(t, run, "(further mailboxes)")
	if err != nil || run.OK() || !strings.Contains(l.Error, "1 mailboxes more than the 2") {
		t.Errorf("ledger is %+v", l)
	}
	for _, l := range run.Mailboxes {
		if l.Vanished {
			t.Errorf("%s counts as gone", l.Mailbox)
		}
	}
	if len(run.Warnings) > 0 {
		t.Errorf("warnings %q", run.Warnings)
	}
	h.completes(boxes)
}

// A mailbox whose name has thousands of levels, or octets, is an error by name; its
// neighbours are archived.
func TestMailboxesOfTooManyLevels(t *testing.T) {
	h := newTestbed(t)
	boxes := world.ThreeMailboxes()
	deep := append(boxes[:len(boxes):len(boxes)],
		hostile.Mailbox{Name: strings.Repeat("a/", 100) + "b", UIDValidity: 5},
		hostile.Mailbox{Name: strings.Repeat("a/", 1900) + "b", UIDValidity: 5},
		hostile.Mailbox{Name: strings.Repeat("long", 2000), UIDValidity: 5},
		hostile.Mailbox{Name: strings.Repeat("a/", 99) + "b", UIDValidity: 5},
	)
	run, err := h.run(world.Alice(world.Serve(t, hostile.Options{Mailboxes: deep}).Address()))
	if err != nil {
		t.Error(err)
	}
	want := map[string]string{"101 levels": "", "1901 levels": "", "8000 octets": ""}
	for _, l := range run.Mailboxes {
		for text := range want {
			if strings.Contains(l.Error, text) {
				want[text] = l.Mailbox
			}
		}
	}
	for text, name := range want {
		if name == "" {
			t.Errorf("no mailbox with %q:\n%s", text, show(run))
		}
	}
	for _, m := range boxes {
		h.Holds(m)
	}
	if mailboxes, err := h.Committer.Archive.Mailboxes(""); err != nil || len(mailboxes) != len(boxes)+1 {
		t.Errorf("%d mailboxes, %v", len(mailboxes), err)
	}
}

// The flags of thousands of messages that each have the most that is allowed are not all
// kept in memory at once.
func TestFlagsOfAllMessagesAreBoundedTogether(t *testing.T) {
	var c metadataCollector
	c.metadata = map[uint32]wire.Metadata{}
	flags := strings.Fields(strings.Repeat("keyword ", 500))
	for u := range uint32(2000) {
		c.add(wire.Metadata{UID: u + 1, HasFlags: true, Flags: flags, HasSize: true, Size: 5})
	}
	if c.octets > maxMetadataOctets || !c.flagsDropped {
		t.Errorf("%d octets", c.octets)
	}
	if md := c.metadata[2000]; md.Problem == "" || md.HasFlags || md.Size != 5 {
		t.Errorf("%+v", md)
	}
	if md := c.metadata[1]; len(md.Flags) != 500 {
		t.Errorf("%+v", md)
	}
}

// A body that is announced with more octets than are allowed, or than can be, costs one
// connection and no octet of it: its neighbours are archived, and it is not asked for
// again in the run.
func TestBodiesOfAbsurdSizesAreNotDrawn(t *testing.T) {
	for _, size := range []string{"2000000000", "4294967297", "9000000000000000000"} {
		for _, limit := range []int64{1_000_000_000, 0} {
			h := newTestbed(t)
			h.policy.MaxMessage = limit
			boxes := world.ThreeMailboxes()
			fetched := 0 // bodies of UID 4 that were begun
			s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
				if cmd.Name != "UID FETCH" || !strings.Contains(cmd.Args, "BODY.PEEK[]") || s.Open == nil || s.Open.Name != "INBOX" {
					return false
				}
				set, err := uid.Parse(strings.Fields(cmd.Args)[0])
				if err != nil || !set.Contains(4) {
					return false
				}
				fetched++
				s.Send("* 4 FETCH (UID 4 BODY[] {" + size + "}\r\n")
				s.Flood("never wanted ")
				return true
			}})
			run, err := h.run(world.Alice(s.Address()))
			l := of(t, run, "INBOX")
			if err != nil || l.Failed != 1 || l.Missing != 0 || !strings.Contains(l.Failures[4], "octets") {
				t.Errorf("%s of %d: %v\n%s", size, limit, err, show(run))
			}
			if fetched > 1 {
				t.Errorf("%s of %d: fetched %d times", size, limit, fetched)
			}
		}
	}
}

// The sizes of messages over the limit are not asked for again in each run that finds the
// mailbox changed. A higher limit, or another one that is set for the first time, asks.
func TestExcludedMessagesAreRemembered(t *testing.T) {
	h := newTestbed(t)
	boxes := world.ThreeMailboxes()[:1]
	for i := range 5 {
		boxes[0].Messages[i].Body = fmt.Appendf(nil, "Message-ID: <%d@x>\r\nSubject: big\r\n\r\n%s", i, strings.Repeat("x", 5000))
	}
	full := boxes[0].Messages
	h.policy.MaxMessage = 1000
	asked := func(messages, excluded int) string {
		t.Helper()
		boxes[0].Messages = full[:messages]
		s := world.Serve(t, hostile.Options{Mailboxes: boxes})
		acc := named(s)
		acc.Connections = 1
		if l := of(t, h.clean(acc), "INBOX"); l.Excluded != excluded || l.Archived != messages-excluded {
			t.Errorf("ledger is %+v", l)
		}
		for _, line := range s.Commands() {
			if strings.HasPrefix(line, "UID FETCH") && strings.Contains(line, "RFC822.SIZE") {
				set, err := uid.Parse(strings.Fields(line)[2])
				if err == nil && set.Contains(1) {
					return line
				}
			}
		}
		return ""
	}
	if asked(6, 5) == "" {
		t.Error("the sizes were never asked for")
	}
	if line := asked(8, 5); line != "" {
		t.Errorf("asked again: %s", line)
	}
	h.policy.MaxMessage = 900
	if line := asked(9, 5); line != "" {
		t.Errorf("asked again with a lower limit: %s", line)
	}
	h.policy.MaxMessage = 2000
	if asked(9, 5) == "" {
		t.Error("not asked for with a higher limit")
	}
	h.policy.MaxMessage = 0
	asked(9, 0)
	boxes[0].Messages = full
	h.Holds(boxes[0])
}

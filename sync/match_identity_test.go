package sync

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
	"archiverd/internal/uid"
)

// TestTwinsWithoutMessageID: two messages of one header, size and date, and other bodies, as a
// program writes them that sets no Message-ID, are not taken for each other.
func TestTwinsWithoutMessageID(t *testing.T) {
	for name, twin := range map[string]func(i int) string{
		"small": func(i int) string { return fmt.Sprintf("Subject: backup\r\n\r\nresult %04d\r\n", i) },
		"large": func(i int) string { return fmt.Sprintf("Subject: backup\r\n\r\nresult %04d\r\n", i) + large },
	} {
		t.Run(name, func(t *testing.T) {
			h := newTestbed(t)
			var first, second []string
			for i := range 12 {
				first, second = append(first, twin(i)), append(second, twin(100+i))
			}
			never := func(p *Policy) { p.Matching.Check = -1 }
			h.downloads(mails("INBOX", 7, first[0]), 1, never)
			h.downloads(mails("INBOX", 8, second...), 12, never)
			h.downloads(mails("INBOX", 9, append(first, second...)...), 24, never)
		})
	}
}

// TestFewSmallMatchesAreDownloaded: small messages that were matched by their headers are
// downloaded all the same if they are few, and what they really are is archived.
func TestFewSmallMatchesAreDownloaded(t *testing.T) {
	h := newTestbed(t)
	was := texts(maxFewSmall)
	h.downloads(was, maxFewSmall, nil)
	is := unlike(was, 8)
	is.Messages[0].Body = was.Messages[0].Body // the smallest is what it seems
	h.downloads(is, maxFewSmall, nil)
	again := is
	again.UIDValidity = 9
	if run, _ := h.downloads(again, maxFewSmall, nil); run.Sum.Matched != 0 || run.Sum.Linked != maxFewSmall {
		t.Errorf("%+v", run.Sum)
	}
}

// TestUIDSeenAgainNeedsItsHeader: a UID that was gone and is listed again with its size and
// date is the message that it was only if its header, or its EMAILID, says so.
func TestUIDSeenAgainNeedsItsHeader(t *testing.T) {
	const same, other = "Message-ID: <1@x>\r\n\r\nThe body\r\n", "Message-ID: <2@x>\r\n\r\nAnother.\r\n"
	for _, c := range []struct {
		name            string
		body, id        string
		bodies, headers int
	}{
		{"the same", same, "", 0, 1},
		{"another header", other, "", 1, 2}, // as the same UID, and as any message
		{"the same EMAILID", same, "M1", 0, 0},
		{"another EMAILID", other, "M2", 1, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newTestbed(t)
			boxes := []hostile.Mailbox{mails("INBOX", 7, same, "Message-ID: <9@x>\r\n\r\nstays\r\n")}
			capabilities := "IMAP4rev1 AUTH=PLAIN LIST-STATUS CONDSTORE"
			if c.id != "" {
				capabilities += " OBJECTID"
				boxes[0].Messages[0].ID, boxes[0].Messages[1].ID = "M1", "M9"
			}
			s := world.Serve(t, hostile.Options{Mailboxes: boxes, Capabilities: capabilities})
			h.clean(s.Alice())
			full := boxes[0].Messages
			boxes[0].Messages = full[1:]
			boxes[0].HighestModSeq++
			h.clean(s.Alice())
			before := s.TotalSent()
			boxes[0].Messages = slices.Clone(full)
			boxes[0].Messages[0].Body, boxes[0].Messages[0].ID = []byte(c.body), c.id
			boxes[0].HighestModSeq++
			h.clean(s.Alice())
			h.Holds(boxes[0])
			if n := s.TotalSent() - before; n != c.bodies || len(headers(s)) != c.headers {
				t.Errorf("%d bodies, headers %q", n, headers(s))
			}
		})
	}
}

// TestSampleOfAllSizesAndAges: the first matches that are verified are the smallest, the newest
// and one of middle size, as the share allows; over many mailboxes all sizes and ages come.
func TestSampleOfAllSizesAndAges(t *testing.T) {
	var matches []match
	for i := range 100 {
		matches = append(matches, match{uid: uint32(i + 1), date: time.Unix(int64(i), 0), archivedFile: archivedFile{size: int64(100 * (1 + (i*37)%100)), hasBody: true}})
	}
	var got uid.Set
	order := bySizeAndAge(matches)
	if len(order) != 100 || order[0].size != 100 {
		t.Errorf("%d, the first has %d octets", len(order), order[0].size)
	}
	for _, c := range order[:7] {
		got.Add(c.uid)
	}
	sizes := fmt.Sprint(order[1].uid, order[2].size, order[3].size, order[4].uid)
	if got.Len() != 7 || sizes != "100 5000 10000 50" {
		t.Errorf("%s: %s", got, sizes)
	}
	if !strings.Contains(got.String(), "100") {
		t.Errorf("the newest is not among %s", got)
	}
}

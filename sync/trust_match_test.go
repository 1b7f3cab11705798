package sync

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"archiverd/archive"
	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
)

// unlike is the mailbox with other bodies of the same size behind the headers.
func unlike(m hostile.Mailbox, uidValidity uint32) hostile.Mailbox {
	m.UIDValidity = uidValidity
	m.Messages = slices.Clone(m.Messages)
	for i := range m.Messages {
		head, body, _ := bytes.Cut(m.Messages[i].Body, []byte("\r\n\r\n"))
		m.Messages[i].Body = slices.Concat(head, []byte("\r\n\r\n"), bytes.ToUpper(body))
	}
	return m
}

// texts are messages with a body each.
func texts(n int) hostile.Mailbox {
	var bodies []string
	for i := range n {
		bodies = append(bodies, fmt.Sprintf("Message-ID: <%d@x>\r\n\r\n%s\r\n", i, strings.Repeat("text", 1+i%40)))
	}
	return mails("INBOX", 7, bodies...)
}

// TestMismatch: if messages are not what their headers say, the first verified one shows it.
// Then all are downloaded, in this run and later ones, until UIDVALIDITY changes.
func TestMismatch(t *testing.T) {
	h := newTestbed(t)
	was := texts(60)
	h.downloads(was, 60, nil)
	is := unlike(was, 8)
	run, _ := h.downloads(is, 60, nil)
	if run.Sum.Matched != 0 || len(run.Warnings) != 1 || !strings.Contains(run.Warnings[0], "other octets") {
		t.Errorf("%+v, warnings %q", run.Sum, run.Warnings)
	}
	// remembered, also by a database made anew
	if _, err := h.Committer.State.Rebuild(); err != nil {
		t.Fatal(err)
	}
	more := is
	more.Messages = append(slices.Clone(is.Messages), was.Messages[5])
	more.Messages[60].UID = 100
	more.HighestModSeq++
	if run, s := h.downloads(more, 1, nil); run.Sum.Matched != 0 || len(run.Warnings) > 0 || len(headers(s)) > 0 {
		t.Errorf("%+v, warnings %q, headers %q", run.Sum, run.Warnings, headers(s))
	}
	// a new epoch begins anew: known are both contents of each header
	again := unlike(was, 9)
	again.Messages = append(again.Messages, hostile.Message{UID: 70, Date: when, Body: []byte("Subject: x\r\n\r\ntext"), ModSeq: 1})
	h.downloads(again, 61, nil)
}

// TestLateMismatch: after a mismatch, messages that were matched before, in this run and earlier
// ones, are downloaded.
func TestLateMismatch(t *testing.T) {
	h := newTestbed(t)
	was := texts(60)
	h.downloads(was, 60, nil)
	is := was
	is.UIDValidity, is.Messages = 8, slices.Clone(was.Messages[:30])
	run, _ := h.downloads(is, 1, func(p *Policy) { p.Matching.Check = -1 })
	if run.Sum.Matched != 29 {
		t.Errorf("%+v", run.Sum)
	}
	is.HighestModSeq++
	is.Messages = append(is.Messages, unlike(was, 8).Messages[30:]...)
	run, _ = h.downloads(is, 30+29, func(p *Policy) { p.Matching.Check = 1 })
	if l := of(t, run, "INBOX"); l.Matched != 0 || l.Server != 60 || l.Archived != 60 || len(run.Warnings) != 1 {
		t.Errorf("%+v, warnings %q", l, run.Warnings)
	}
	s := world.Serve(t, hostile.Options{Mailboxes: []hostile.Mailbox{is}})
	if h.clean(world.Alice(s.Address())); s.TotalSent() != 0 {
		t.Errorf("%d bodies are fetched again", s.TotalSent())
	}
}

// TestDoubtIsNotComplete: a mistrusted mailbox is not complete until its matched messages are
// downloaded.
func TestDoubtIsNotComplete(t *testing.T) {
	h := newTestbed(t)
	was := texts(60)
	h.downloads(was, 60, nil)
	is := was
	is.UIDValidity, is.Messages = 8, slices.Clone(was.Messages[:30])
	h.downloads(is, 1, func(p *Policy) { p.Matching.Check = -1 })
	is.HighestModSeq++
	is.Messages = append(is.Messages, unlike(was, 8).Messages[30:]...)
	s := world.Serve(t, hostile.Options{Mailboxes: []hostile.Mailbox{is}, Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if !world.WantsBodies(cmd) || !world.Requests(cmd, 2) && !world.Requests(cmd, 3) {
			return false
		}
		s.Send(cmd.Tag + " NO not now\r\n")
		return true
	}})
	acc := world.Alice(s.Address())
	h.policy.Matching.Check = 1
	run, err := h.run(acc)
	if l := of(t, run, "INBOX"); err != nil || l.Archived != 60 || !strings.Contains(l.Error, "still to be downloaded") {
		t.Errorf("%+v, %v", l, err)
	}
	h.policy = Policy{}
	run, _ = h.downloads(is, 2, nil)
	if l := of(t, run, "INBOX"); l.Matched != 0 {
		t.Errorf("%+v", l)
	}
}

// TestCheckAll: if the configuration says so, all matches are verified.
func TestCheckAll(t *testing.T) {
	h := newTestbed(t)
	box := texts(40)
	h.downloads(box, 40, nil)
	box.UIDValidity = 8
	run, _ := h.downloads(box, 40, func(p *Policy) { p.Matching.Check = 1 })
	if run.Sum.Matched != 0 || len(run.Warnings) > 0 {
		t.Errorf("%+v, warnings %q", run.Sum, run.Warnings)
	}
}

// TestSample: verified matches are a share of their number and octets, and the first ones are
// small.
func TestSample(t *testing.T) {
	s, share := &sampler{}, Matching{}.share()
	var all, some, octets, downloaded int64
	for range 400 {
		m := &mailboxRun{tally: tally{verifying: map[uint32]archive.Sum{}, verified: minVerified}}
		var matches []match
		for u := range uint32(500) {
			size := int64(1000 + rand.IntN(9000))
			if rand.IntN(100) == 0 {
				size *= 1000
			}
			matches = append(matches, match{uid: u + 1, archivedFile: archivedFile{size: size, hasBody: true}})
			all++
			octets += size
		}
		for u := range s.sample(m, matches, share).All() {
			some++
			downloaded += matches[u-1].size
		}
	}
	if one := float64(all) / float64(some); one < 150 || one > 300 {
		t.Errorf("1 in %.0f is compared", one)
	}
	if downloaded*200 > octets {
		t.Errorf("%d octets of %d are downloaded", downloaded, octets)
	}
	s = &sampler{}
	m := &mailboxRun{tally: tally{verifying: map[uint32]archive.Sum{}}}
	matches := []match{{uid: 1, archivedFile: archivedFile{size: 500, hasBody: true}}, {uid: 2, archivedFile: archivedFile{size: 100}}, {uid: 3, archivedFile: archivedFile{size: 300, hasBody: true}}}
	if got := s.sample(m, matches, share).String(); got != "3" {
		t.Errorf("compared are %s, want the smallest with a body", got)
	}
	if got := s.sample(m, matches, share).String(); got != "" {
		t.Errorf("compared are %s, over the share", got)
	}
	s.budget = 1e6
	if got := s.sample(m, matches, share).String(); got != "1,3" {
		t.Errorf("compared are %s, want what is left of the first", got)
	}
}

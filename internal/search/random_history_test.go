package search

import (
	"fmt"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/archive/history"
)

// mailboxHistory is a mailbox whose contents change at random.
type mailboxHistory struct {
	account, name string
	exists        bool
	uidValidity   uint32
	nextUID       uint32
	uids          []uint32 // that the server lists
}

// step commits one random change: mail arrives (also mail equal to earlier mail), flags
// change, messages and mailboxes disappear, or UIDVALIDITY changes. The clock may go
// back. texts are the messages of all mailboxes so far.
func (h *mailboxHistory) step(s *testArchive, g generator, texts *[]string) {
	s.now = s.now.Add(time.Duration(g.IntN(40)-4) * time.Second)
	if !h.exists {
		h.uidValidity, h.uids, h.nextUID, h.exists = h.uidValidity+1, nil, 1, true
		s.commit(h.account, h.name, h.uidValidity, []archive.Event{openedEvent(h.name, h.uidValidity)})
		return
	}
	switch n := g.IntN(20); {
	case n == 0:
		h.exists = false // the next step opens a new epoch, with or without a vanished event before it
		if g.IntN(2) == 0 {
			s.commit(h.account, h.name, h.uidValidity, []archive.Event{{Kind: archive.Vanished}})
		}
	case n < 4 && len(h.uids) > 0:
		s.commit(h.account, h.name, h.uidValidity, []archive.Event{{Kind: archive.Flags, UID: h.uids[g.IntN(len(h.uids))], Flags: g.flags()}})
	case n < 7 && len(h.uids) > 0:
		i := g.IntN(len(h.uids))
		j := i + 1 + g.IntN(len(h.uids)-i)
		s.commit(h.account, h.name, h.uidValidity, []archive.Event{goneEvent(h.uids[i:j]...)})
		h.uids = append(h.uids[:i:i], h.uids[j:]...)
	default:
		h.addMessages(s, g, texts)
	}
}

// addMessages commits up to four messages.
func (h *mailboxHistory) addMessages(s *testArchive, g generator, texts *[]string) {
	var messages []testMessage
	for range 1 + g.IntN(4) {
		text := g.message()
		if len(*texts) > 0 && g.IntN(3) == 0 {
			text = (*texts)[g.IntN(len(*texts))]
		}
		*texts = append(*texts, text)
		date := g.day()
		if g.IntN(12) == 0 {
			date = time.Time{}
		}
		messages = append(messages, testMessage{h.nextUID, date, g.flags(), text})
		h.uids = append(h.uids, h.nextUID)
		h.nextUID++
	}
	s.commit(h.account, h.name, h.uidValidity, nil, messages...)
}

// selection returns a random selection.
func (g generator) selection() (s history.Selection) {
	if g.IntN(3) == 0 {
		s.At = startTime.Add(time.Duration(g.IntN(1000)) * time.Second)
	}
	if g.IntN(3) == 0 {
		s.Gone = true
		if g.IntN(2) == 0 {
			s.Since = startTime.Add(time.Duration(g.IntN(500)) * time.Second)
		}
	}
	if g.IntN(6) == 0 {
		s.Account = "alice"
	}
	if g.IntN(6) == 0 {
		s.After = g.day()
	}
	if g.IntN(6) == 0 {
		s.Before = g.day()
	}
	return s
}

// The results are the same with the index, whatever its age, and without it: for random
// queries, selections and limits over random histories.
func TestSameAnswersWithAndWithoutIndex(t *testing.T) {
	seeds := uint64(2)
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			g := newGenerator(seed)
			s := newTestArchive(t)
			mailboxes := []*mailboxHistory{{account: "alice", name: "INBOX"}, {account: "alice", name: "Lists/go"},
				{account: "bob", name: "INBOX"}, {account: "bob", name: "Büro"}}
			var texts []string
			results := 0
			for step := range 60 {
				mailboxes[g.IntN(len(mailboxes))].step(s, g, &texts)
				if step == 5 || step > 5 && g.IntN(12) == 0 {
					if report := s.updateIndex(); len(report.Errors) > 0 || len(report.Notes) > 0 {
						t.Fatalf("the update has errors %q, notes %q", report.Errors, report.Notes)
					}
				}
				if step < 10 {
					continue
				}
				for range 3 {
					selection := g.selection()
					report := s.searchBothWays(g.query(), selection, []int{0, 0, 1, 3, 10}[g.IntN(5)])
					results += len(report.Results)
				}
				if t.Failed() {
					t.Fatalf("after step %d", step)
				}
			}
			if results < 100 {
				t.Errorf("only %d results in all", results)
			}
		})
	}
}

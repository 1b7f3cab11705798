package search

import (
	"testing"
	"time"

	"archiverd/archive"
)

// mailboxHistory is a mailbox on its way through a history at random.
type mailboxHistory struct {
	account, name string
	epoch         uint32
	uids          []uint32
	nextUID       uint32
	exists        bool
}

// step lets something happen: mail arrives (equal mail too), flags change, mail and
// mailboxes disappear, mailboxes are renumbered and renamed, the clock goes back.
func (l *mailboxHistory) step(s *testArchive, a generator, bodies *[]string) {
	s.now = s.now.Add(time.Duration(a.IntN(40)-4) * time.Second)
	if !l.exists {
		l.epoch, l.uids, l.nextUID, l.exists = l.epoch+1, nil, 1, true
		s.commit(l.account, l.name, l.epoch, []archive.Event{openedEvent(l.name, l.epoch)})
		return
	}
	switch n := a.IntN(20); {
	case n == 0:
		l.exists = false // renumbered at once, or after it was away
		if a.IntN(2) == 0 {
			s.commit(l.account, l.name, l.epoch, []archive.Event{{Kind: archive.Vanished}})
		}
	case n < 4 && len(l.uids) > 0:
		s.commit(l.account, l.name, l.epoch, []archive.Event{{Kind: archive.Flags, UID: l.uids[a.IntN(len(l.uids))], Flags: a.flags()}})
	case n < 7 && len(l.uids) > 0:
		i := a.IntN(len(l.uids))
		j := i + 1 + a.IntN(len(l.uids)-i)
		s.commit(l.account, l.name, l.epoch, []archive.Event{goneEvent(l.uids[i:j]...)})
		l.uids = append(l.uids[:i:i], l.uids[j:]...)
	default:
		var letters []testMessage
		for range 1 + a.IntN(4) {
			body := a.message()
			if len(*bodies) > 0 && a.IntN(3) == 0 {
				body = (*bodies)[a.IntN(len(*bodies))]
			}
			*bodies = append(*bodies, body)
			date := a.day()
			if a.IntN(12) == 0 {
				date = time.Time{}
			}
			letters = append(letters, testMessage{l.nextUID, date, a.flags(), body})
			l.uids = append(l.uids, l.nextUID)
			l.nextUID++
		}
		s.commit(l.account, l.name, l.epoch, nil, letters...)
	}
}

// With the index, however old it is, and without it the answers are the same: for
// queries, selections and limits at random over histories at random.
func TestSameAnswersWithAndWithoutIndex(t *testing.T) {
	for seed := range uint64(2) {
		a := newGenerator(seed)
		s := newTestArchive(t)
		lives := []*mailboxHistory{{account: "alice", name: "INBOX"}, {account: "alice", name: "Lists/go"}, {account: "bob", name: "INBOX"}, {account: "bob", name: "Büro"}}
		var bodies []string
		some := 0
		for round := range 60 {
			lives[a.IntN(len(lives))].step(s, a, &bodies)
			if round == 5 || round > 5 && a.IntN(12) == 0 {
				if done := s.updateIndex(); len(done.Errors) > 0 || len(done.Notes) > 0 {
					t.Fatalf("seed %d: %q %q", seed, done.Errors, done.Notes)
				}
			}
			if round < 10 {
				continue
			}
			for range 3 {
				var sel archive.Selection
				if a.IntN(3) == 0 {
					sel.At = startTime.Add(time.Duration(a.IntN(1000)) * time.Second)
				}
				if a.IntN(3) == 0 {
					sel.Gone = true
					if a.IntN(2) == 0 {
						sel.Since = startTime.Add(time.Duration(a.IntN(500)) * time.Second)
					}
				}
				if a.IntN(6) == 0 {
					sel.Account = "alice"
				}
				if a.IntN(6) == 0 {
					sel.After = a.day()
				}
				if a.IntN(6) == 0 {
					sel.Before = a.day()
				}
				found := s.searchBothWays(a.query(), sel, []int{0, 0, 1, 3, 10}[a.IntN(5)])
				some += len(found.Results)
			}
			if t.Failed() {
				t.Fatalf("seed %d, round %d", seed, round)
			}
		}
		if some < 100 {
			t.Errorf("seed %d: only %d results in all", seed, some)
		}
	}
}

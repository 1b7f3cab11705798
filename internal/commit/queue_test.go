package commit_test

import (
	"io"
	"testing"
	"testing/synctest"

	"archiverd/archive"
	"archiverd/internal/commit"
)

// TestQueueIsBounded: a third batch waits until the first one of two in flight is
// committed, and so does a second one if the octets of the first are the most that may
// be in flight.
func TestQueueIsBounded(t *testing.T) {
	for _, test := range []struct {
		name   string
		octets int64 // of the first batch; 0: a short message
		want   int   // batches submitted before the first commit
	}{
		{"batches", 0, 2},
		{"octets", 2 * commit.MaxOctets, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newTestArchive(t)
				m := a.mailbox("INBOX")
				first := m.batch()
				if test.octets > 0 {
					m.lastUID++
					if err := first.Add(1, archive.Event{UID: m.lastUID}, test.octets, io.LimitReader(zeros{}, test.octets)); err != nil {
						t.Fatal(err)
					}
				}
				batches := []*archive.Batch{first, m.batch(), m.batch()}
				next := a.stopCommits()
				q := a.Committer.NewQueue(2)
				submitted, committed, allCommitted := 0, 0, false
				submit := func(b *archive.Batch) {
					q.Submit(b, func(*archive.Batch) { committed++ })
					submitted++
				}
				submit(batches[0])
				synctest.Wait() // the first batch has a commit of its own
				go func() {
					for _, b := range batches[1:] {
						submit(b)
					}
					q.WaitAll()
					allCommitted = committed == len(batches)
				}()
				synctest.Wait()
				if submitted != test.want || committed != 0 {
					t.Errorf("%d submitted and %d committed, want %d and 0", submitted, committed, test.want)
				}
				next.passOne()
				synctest.Wait()
				if submitted != len(batches) || committed != 1 {
					t.Errorf("after a commit %d submitted and %d committed, want 3 and 1", submitted, committed)
				}
				next.passAll()
				synctest.Wait()
				if !allCommitted {
					t.Errorf("WaitAll waited for %d batches of 3", committed)
				}
			})
		})
	}
}

package search

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"reflect"
	"testing"

	"archiverd/archive/history"
)

// flipQueries reach every table of an index.
var flipQueries = []string{"invoice*", "-zzz", "from:a*", "flag:seen", "larger:1", "has:attachment"}

// An index with one bit flipped, anywhere, never gives another answer than the archive:
// it is not used where it is damaged, and the next update rebuilds it.
func TestFlippedBitInIndex(t *testing.T) {
	flips, step := 400, 1
	if testing.Short() {
		flips, step = 40, 10
	}
	s := newTestArchive(t)
	s.fill(1, "alice", "INBOX", 120)
	s.fill(2, "alice", "Old", 30)
	s.updateIndex()
	selections := []history.Selection{{}, {Gone: true}}
	var want []*Report
	for _, q := range flipQueries {
		for _, selection := range selections {
			want = append(want, s.search(q, selection, 0, false))
		}
	}
	path := s.indexer.Path
	intact, intactSums := readFile(t, path), readFile(t, path+sumsSuffix)
	r := rand.New(rand.NewPCG(5, 13))
	used, rebuilt := 0, 0
	for i := range flips {
		damaged, damagedSums := bytes.Clone(intact), bytes.Clone(intactSums)
		if i%20 == 19 { // the checksums are damaged themselves
			damagedSums[r.IntN(len(damagedSums))] ^= 1 << r.IntN(8)
		} else {
			damaged[r.IntN(len(damaged))] ^= 1 << r.IntN(8)
		}
		writeFile(t, path, damaged)
		writeFile(t, path+sumsSuffix, damagedSums)
		for j, q := range flipQueries {
			for k, selection := range selections {
				got := s.search(q, selection, 0, true)
				if w := want[j*len(selections)+k]; !reflect.DeepEqual(got.Results, w.Results) || len(got.Errors) > 0 {
					t.Fatalf("flip %d: %s finds %d messages, want %d; errors %v", i, q, len(got.Results), len(w.Results), got.Errors)
				}
				if got.UsedIndex {
					used++
				}
			}
		}
		if i%step == 0 && i%10 == 0 {
			update := s.updateIndex()
			if update.Documents != 150 || len(update.Notes) == 0 || update.Added != 150 {
				t.Fatalf("flip %d: the update reports %+v", i, update)
			}
			rebuilt++
			s.searchBothWays("invoice*", history.Selection{}, 0)
		}
	}
	if used == 0 || rebuilt == 0 {
		t.Errorf("%d searches used the index, %d updates rebuilt it", used, rebuilt)
	}
}

// An index whose last update was killed, so that its checksums are older, is rebuilt. So
// is one without checksums.
func TestIndexOlderOrNewerThanItsChecksums(t *testing.T) {
	s := newTestArchive(t)
	s.fill(1, "alice", "INBOX", 20)
	s.updateIndex()
	old := readFile(t, s.indexer.Path+sumsSuffix)
	s.fill(2, "alice", "New", 20)
	if update := s.updateIndex(); update.Added != 20 || len(update.Notes) != 0 {
		t.Fatalf("the update reports %+v", update)
	}
	s.searchBothWays("-zzz", history.Selection{}, 0)
	for _, damage := range []func() error{
		func() error { return os.WriteFile(s.indexer.Path+sumsSuffix, old, 0o600) },
		func() error { return os.Remove(s.indexer.Path + sumsSuffix) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if report := s.search("-zzz", history.Selection{}, 0, true); len(report.Results) != 40 || len(report.Errors) > 0 {
			t.Errorf("the search reports %+v", report)
		}
		if update := s.updateIndex(); update.Added != 40 || len(update.Notes) != 1 {
			t.Errorf("the update reports %+v", update)
		}
		s.searchBothWays("-zzz", history.Selection{}, 0)
	}
	// An update without changes writes nothing.
	before, err := os.Stat(s.indexer.Path + sumsSuffix)
	if err != nil {
		t.Fatal(err)
	}
	s.updateIndex()
	if after, err := os.Stat(s.indexer.Path + sumsSuffix); err != nil || !os.SameFile(before, after) {
		t.Errorf("an update without changes wrote the checksums anew: %v", err)
	}
	if _, err := os.Stat(s.indexer.Path + sumsSuffix + ".new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a temporary file is left: %v", err)
	}
}

package archive

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// lossWorld is a whole archive of 20 mailboxes in two accounts, with what state databases
// know of it. Losses happen to copies.
type lossWorld struct {
	t     testing.TB
	whole map[string][]byte // the files by path, of journals, messages and the root
	state lossState         // that of the last run
	old   lossState         // a copy from before the last run
}

// lossState is what a state database knows. The zero value is that of a lost one.
type lossState struct {
	name  string
	mark  CheckpointsMark
	known map[string]JournalState // by directory
}

// newLossWorld archives in several runs, with checkpoints after each.
func newLossWorld(t testing.TB, r *rand.Rand) *lossWorld {
	t.Helper()
	dir := t.TempDir()
	w := open(t, dir, Options{})
	l := &lossWorld{t: t, whole: map[string][]byte{}}
	var boxes []*Mailbox
	for i := range 20 {
		place, err := w.DirectoryOf([]string{"alice", "bob"}[i%2], Name{Mailbox: fmt.Sprintf("box%d", i), Delimiter: "/"})
		if err != nil {
			t.Fatal(err)
		}
		m, err := w.Mailbox(place, JournalState{})
		if err != nil {
			t.Fatal(err)
		}
		boxes = append(boxes, m)
	}
	next := map[*Mailbox]uint32{}
	for run := range 4 {
		var batches []*Batch
		for _, m := range boxes {
			if run > 0 && r.IntN(3) == 0 {
				continue
			}
			b := begin(t, m)
			if run == 0 {
				b.Record(opened(m.Dir, 1))
			}
			for range 1 + r.IntN(2) {
				next[m]++
				add(t, b, next[m], fmt.Sprintf("%s message %d\r\n\r\n", m.Dir, next[m]))
			}
			batches = append(batches, b)
		}
		commit(t, w, batches...)
		checkpoint(t, w)
		l.old = l.state
		l.state = lossState{"the state database", w.CheckpointsMark(), map[string]JournalState{}}
		for _, m := range boxes {
			l.state.known[m.Dir] = JournalState{m.id, m.end(), m.Stamp()}
		}
	}
	l.old.name = "an old state database"
	shut(t, w)
	err := fs.WalkDir(os.DirFS(dir), ".", func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			l.whole[p] = read(t, dir, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// files writes files to a new archive and returns its directory.
func (l *lossWorld) files(files map[string][]byte) string {
	l.t.Helper()
	dir := l.t.TempDir()
	for p, text := range files {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(p)), 0o700); err != nil {
			l.t.Fatal(err)
		}
		write(l.t, text, dir, p)
	}
	return dir
}

// dirs are the directories of all mailboxes.
func (l *lossWorld) dirs() []string { return slices.Sorted(maps.Keys(l.state.known)) }

// lose does one random loss to files, beside which there is the state database st. It
// returns the mailboxes that lost something, and whether the checkpoints did.
func (l *lossWorld) lose(r *rand.Rand, files map[string][]byte, st lossState) (what string, lost []string, checkpoints bool) {
	dirs := l.dirs()
	dir := dirs[r.IntN(len(dirs))]
	name := dir + "/" + journalName
	text := files[name]
	if text == nil {
		return "nothing more", nil, false
	}
	kinds := 8
	if st.known == nil {
		kinds = 7 // nothing can see what hits checkpoints and state database together
	}
	switch r.IntN(kinds) {
	case 0:
		delete(files, name)
		return "journal removed", []string{dir}, false
	case 1, 2:
		files[name] = text[:r.IntN(len(text))]
		return "journal cut", []string{dir}, false
	case 3, 4:
		flipped := bytes.Clone(text)
		flipped[r.IntN(len(flipped))] ^= 1 << r.IntN(8)
		files[name] = flipped
		return "journal flipped", []string{dir}, false
	case 5:
		other := dirs[r.IntN(len(dirs))]
		if other == dir || files[other+"/"+journalName] == nil {
			return "nothing", nil, false
		}
		files[name] = files[other+"/"+journalName]
		return "journal replaced by that of " + other, []string{dir}, false
	case 6:
		account, _, _ := strings.Cut(dir, "/")
		maps.DeleteFunc(files, func(p string, _ []byte) bool { return strings.HasPrefix(p, account+"/") })
		for _, d := range dirs {
			if strings.HasPrefix(d, account+"/") {
				lost = append(lost, d)
			}
		}
		return "account removed", lost, false
	default:
		if r.IntN(2) == 0 {
			delete(files, checkpointsName)
		} else {
			// What comes behind the place that the database knows is its loss too.
			to := min(int64(len(files[checkpointsName])), st.mark.Offset)
			files[checkpointsName] = files[checkpointsName][:r.Int64N(max(1, to))]
		}
		return "checkpoints lost", nil, true
	}
}

// TestRandomLosses: whatever is lost of an archive, alone or two losses at once, with the
// state database, an old copy of it or none: verify names every mailbox that lost something, and a
// writer appends to none of them. What lost nothing is named nowhere, and a whole archive
// never alarms.
func TestRandomLosses(t *testing.T) {
	rounds := 2000
	if testing.Short() {
		rounds = 80
	}
	r := rand.New(rand.NewPCG(13, 1))
	l := newLossWorld(t, r)
	kinds := map[string]int{}
	for round := range rounds {
		files := maps.Clone(l.whole)
		st := []lossState{{name: "no state database"}, l.old, l.state}[r.IntN(3)]
		kinds[st.name]++
		var whats, lost []string
		lostCheckpoints := false
		for range r.IntN(3) {
			what, dirs, cp := l.lose(r, files, st)
			whats, lost, lostCheckpoints = append(whats, what), append(lost, dirs...), lostCheckpoints || cp
			kinds[what[:min(len(what), 16)]]++
		}
		l.check(l.files(files), whats, lost, lostCheckpoints, st)
		if t.Failed() {
			t.Fatalf("round %d: %q, %s", round, whats, st.name)
		}
	}
	t.Log(kinds)
}

// check checks what verify and a writer with the state database st say of the archive in
// dir.
func (l *lossWorld) check(dir string, whats, lost []string, lostCheckpoints bool, st lossState) {
	l.t.Helper()
	damaged := map[string]bool{}
	for _, f := range verify(l.t, dir) {
		if f.Damage {
			damaged[f.Path] = true
		}
	}
	named := func(d string) bool {
		for p := range damaged {
			if p == d || strings.HasPrefix(p, d+"/") {
				return true
			}
		}
		return false
	}
	a, err := Open(dir)
	if err != nil {
		l.t.Fatal(err)
	}
	defer a.Close()
	c, err := a.ReadCheckpoints()
	if err != nil {
		l.t.Fatal(err)
	}
	// That they are cut at an end that they had before only the state database knows.
	if is, want := named(checkpointsName), c.ID == ""; is != want {
		l.t.Errorf("%q: verify names the checkpoints: %v, want %v", whats, is, want)
	}
	for _, d := range l.dirs() {
		isLost := slices.Contains(lost, d)
		switch is := named(d); {
		case is == isLost:
		case !is && lostCheckpoints && l.isIntact(dir, d, c.of(d).Offset): // nothing here knows more
		default:
			l.t.Errorf("%q: verify names %s: %v, want %v", whats, d, is, isLost)
		}
	}
	l.appends(dir, whats, lost, lostCheckpoints, st)
}

// isIntact reports whether a mailbox's journal has the octets that it had up to an offset.
func (l *lossWorld) isIntact(dir, box string, upTo int64) bool {
	return strings.HasPrefix(journalText(dir, box), string(l.whole[box+"/"+journalName][:upTo]))
}

// appends has a writer with the state database st add a message to every mailbox, and
// checks that it adds none to those that lost something.
func (l *lossWorld) appends(dir string, whats, lost []string, lostCheckpoints bool, st lossState) {
	l.t.Helper()
	w := openOnly(l.t, dir, Options{})
	defer shut(l.t, w)
	if err := w.CheckCheckpoints(st.mark); (err != nil) != lostCheckpoints {
		l.t.Errorf("%q: the checkpoints are %v", whats, err)
	}
	before := map[string]string{}
	was := map[string]error{}
	var batches []*Batch
	for _, d := range l.dirs() {
		account, _, _ := strings.Cut(d, "/")
		b := MailboxDir{account, d}
		known, err := st.known[d], w.Stopped()
		if err == nil && st.name != l.state.name {
			known, err = caughtUp(w, b, known)
		}
		if err != nil && !errors.Is(err, ErrLost) {
			l.t.Fatal(err)
		}
		before[d] = journalText(dir, d)
		m, err := w.Mailbox(b, known)
		if was[d] = err; err != nil {
			continue
		}
		batch := begin(l.t, m)
		add(l.t, batch, 99, "late")
		batches = append(batches, batch)
	}
	w.Commit(nil, batches...)
	for _, b := range batches {
		was[b.mailbox.Dir] = b.Err
	}
	for _, d := range l.dirs() {
		isLost := lostCheckpoints || slices.Contains(lost, d)
		if was[d] == nil == isLost || isLost && journalText(dir, d) != before[d] {
			l.t.Errorf("%q: the writer of %s says %v, which lost something: %v", whats, d, was[d], isLost)
		}
	}
}

// journalText is a mailbox's journal; "" if it has none.
func journalText(dir, box string) string {
	text, err := os.ReadFile(filepath.Join(dir, box, journalName))
	if err != nil {
		return ""
	}
	return string(text)
}

// caughtUp is what a state database that knew of a mailbox what known says, or nothing,
// knows after it has caught up.
func caughtUp(w *Writer, b MailboxDir, known JournalState) (JournalState, error) {
	err := w.CheckJournal(b, Checkpoint{known.ID, known.End})
	if errors.Is(err, ErrLost) && known.End.Offset > 0 {
		return known, nil
	}
	if err != nil && !errors.Is(err, ErrLost) && !errors.Is(err, ErrCorrupt) {
		return known, err
	}
	end, err := w.ReplayChecked(b, known.End, func(e Event) error {
		known.ID = cmp.Or(known.ID, e.Journal)
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrCorrupt) {
		return known, err
	}
	known.End = end
	return known, w.Distrust(b, end)
}

package archive

import (
	"bytes"
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

// lossWorld is a whole archive of 20 mailboxes in two accounts, with what a state database
// knows of it. Losses happen to copies.
type lossWorld struct {
	t     testing.TB
	whole map[string][]byte // the files by path, of journals, messages and the root
	mark  CheckpointsMark
	known map[string]JournalState
}

// newLossWorld archives in several runs, with checkpoints after each.
func newLossWorld(t testing.TB, r *rand.Rand) *lossWorld {
	t.Helper()
	dir := t.TempDir()
	w := open(t, dir, Options{})
	l := &lossWorld{t: t, whole: map[string][]byte{}, known: map[string]JournalState{}}
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
	}
	l.mark = w.CheckpointsMark()
	for _, m := range boxes {
		l.known[m.Dir] = JournalState{m.id, m.end(), m.Stamp()}
	}
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

// lose does one random loss to files; hasState says whether there is a state database. It returns the mailboxes that lost something, and
// whether the checkpoints did.
func (l *lossWorld) lose(r *rand.Rand, files map[string][]byte, hasState bool) (what string, lost []string, checkpoints bool) {
	dirs := slices.Sorted(maps.Keys(l.known))
	dir := dirs[r.IntN(len(dirs))]
	name := dir + "/" + journalName
	text := files[name]
	if text == nil {
		return "nothing more", nil, false
	}
	kinds := 8
	if !hasState {
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
			files[checkpointsName] = files[checkpointsName][:r.IntN(len(files[checkpointsName]))]
		}
		return "checkpoints lost", nil, true
	}
}

// TestRandomLosses: whatever is lost of an archive, alone or two losses at once, with the
// state database or without it: verify names every mailbox that lost something, and a
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
		hasState := r.IntN(3) > 0
		var whats, lost []string
		lostCheckpoints := false
		for range r.IntN(3) {
			what, dirs, cp := l.lose(r, files, hasState)
			whats, lost, lostCheckpoints = append(whats, what), append(lost, dirs...), lostCheckpoints || cp
			kinds[what[:min(len(what), 16)]]++
		}
		if t.Failed() {
			t.Fatalf("round %d: %q", round, whats)
		}
		l.check(l.files(files), whats, lost, lostCheckpoints, hasState)
	}
	t.Log(kinds)
}

// check checks what verify and a writer say of the archive in dir.
func (l *lossWorld) check(dir string, whats, lost []string, lostCheckpoints, hasState bool) {
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
	for d := range l.known {
		// Without checkpoints only the state database knows what a journal was.
		if is, want := named(d), slices.Contains(lost, d); is != want && !lostCheckpoints {
			l.t.Errorf("%q: verify names %s: %v, want %v", whats, d, is, want)
		}
	}
	l.appends(dir, whats, lost, lostCheckpoints, hasState)
}

// appends has a writer add a message to every mailbox, and checks that it adds none to
// those that lost something.
func (l *lossWorld) appends(dir string, whats, lost []string, lostCheckpoints, hasState bool) {
	l.t.Helper()
	w := openOnly(l.t, dir, Options{})
	defer shut(l.t, w)
	mark := CheckpointsMark{}
	if hasState {
		mark = l.mark
	}
	err := w.CheckCheckpoints(mark)
	if (err != nil) != lostCheckpoints {
		l.t.Errorf("%q: the checkpoints are %v", whats, err)
	}
	before := map[string]string{}
	was := map[string]error{}
	var batches []*Batch
	for d, known := range l.known {
		account, _, _ := strings.Cut(d, "/")
		b := MailboxDir{account, d}
		if !hasState {
			if known, err = l.caughtUp(w, b); err != nil {
				l.t.Fatal(err)
			}
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
	for d := range l.known {
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

// caughtUp is what a new state database knows of a mailbox.
func (l *lossWorld) caughtUp(w *Writer, b MailboxDir) (JournalState, error) {
	err := w.Settle(b, Checkpoint{})
	if err != nil && !errors.Is(err, ErrLost) && !errors.Is(err, ErrCorrupt) {
		return JournalState{}, err
	}
	v, end, err := w.Fold(b)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrCorrupt) {
		return JournalState{}, err
	}
	if err := w.Distrust(b, end); err != nil && !errors.Is(err, ErrLost) {
		return JournalState{}, err
	}
	return JournalState{ID: v.Journal, End: end}, nil
}

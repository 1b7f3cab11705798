package archive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// failAt returns an Options.Step that fails a step the n-th time.
type failAt struct {
	step string
	n    int
	with error
}

func (f *failAt) Step(step string) error {
	if step != f.step {
		return nil
	}
	if f.n--; f.n == 0 {
		return f.with
	}
	return nil
}

// An error at any step fails the batch: nothing of it is recorded, and once
// the mailbox is opened again the same messages commit.
func TestFailureAtEachStep(t *testing.T) {
	for _, perFile := range []bool{false, true} {
		for _, step := range steps {
			if step == StepDone {
				continue // nothing is left to fail
			}
			t.Run(fmt.Sprintf("%s,perFile=%v", step, perFile), func(t *testing.T) {
				dir := t.TempDir()
				f := &failAt{with: syscall.EIO}
				w := open(t, dir, Options{PerFile: perFile, Step: f.Step})
				m := mailbox(t, w, "INBOX")
				commit(t, w, first(t, m, "one"))
				end, text := m.end(), string(read(t, dir, "alice/INBOX", journalName))

				f.step, f.n = step, 1
				b := begin(t, m)
				add(t, b, 2, "two")
				add(t, b, 3, "one")
				w.Commit(known(t, w), b)
				if !errors.Is(b.Err, syscall.EIO) || !strings.HasPrefix(b.Err.Error(), "commit to alice/INBOX: ") {
					t.Fatalf("the batch's error is %v", b.Err)
				}
				holds(t, dir, "alice/INBOX", map[uint32]string{1: "one"})
				if m.end() != end {
					t.Errorf("the end is %v, want %v", m.end(), end)
				}
				if left := inTmp(t, dir, "alice/INBOX"); len(left) > 0 {
					t.Errorf("tmp/ holds %q", left)
				}
				for _, found := range verify(t, dir) {
					if found.Damage {
						t.Errorf("verify finds %v", found)
					}
				}

				// Whoever still has the mailbox can't write to it.
				late := begin(t, m)
				add(t, late, 4, "late")
				w.Commit(nil, late)
				if !errors.Is(late.Err, ErrBroken) {
					t.Errorf("a batch after the failed one: %v, want ErrBroken", late.Err)
				}

				m = mailbox(t, w, "INBOX")
				if got := string(read(t, dir, "alice/INBOX", journalName)); got != text {
					t.Errorf("the mended journal is\n%s\nwant\n%s", got, text)
				}
				again := begin(t, m)
				add(t, again, 2, "two")
				add(t, again, 3, "one")
				commit(t, w, again)
				holds(t, dir, "alice/INBOX", map[uint32]string{1: "one", 2: "two", 3: "one"})
				if found := verify(t, dir); len(found) > 0 {
					t.Errorf("verify finds %v", found)
				}
				sealsBy(t, read(t, dir, "alice/INBOX", journalName))
			})
		}
	}
}

// After an error at the first commit of a new mailbox the next one starts it anew.
func TestFailureOfFirstCommit(t *testing.T) {
	for _, step := range []string{StepData, StepNames, StepDirs, StepAppend, StepJournal} {
		t.Run(step, func(t *testing.T) {
			dir := t.TempDir()
			f := &failAt{step: step, n: 1, with: syscall.ENOSPC}
			w := open(t, dir, Options{Step: f.Step})
			b := first(t, mailbox(t, w, "INBOX"), "one")
			w.Commit(nil, b)
			if !errors.Is(b.Err, syscall.ENOSPC) {
				t.Fatal(b.Err)
			}
			commit(t, w, first(t, mailbox(t, w, "INBOX"), "one"))
			holds(t, dir, "alice/INBOX", map[uint32]string{1: "one"})
			if v, _ := fold(t, dir, "alice/INBOX"); len(v.Epochs) != 1 {
				t.Errorf("the journal has %d epochs", len(v.Epochs))
			}
		})
	}
}

// If one journal of a group fails, the batches of its mailbox fail, and no others.
func TestOneJournalOfAGroupFails(t *testing.T) {
	for _, step := range []string{StepAppend, StepJournal} {
		t.Run(step, func(t *testing.T) {
			dir := t.TempDir()
			var left atomic.Int32 // journals are written at the same time
			w := open(t, dir, Options{Step: func(s string) error {
				if s == step && left.Add(-1) == 0 {
					return syscall.EIO
				}
				return nil
			}})
			a, b, c := mailbox(t, w, "a"), mailbox(t, w, "b"), mailbox(t, w, "c")
			batches := []*Batch{first(t, a, "a1"), first(t, b, "b1"), first(t, c, "c1"), begin(t, a), begin(t, b), begin(t, c)}
			for i, x := range batches[3:] {
				add(t, x, 2, string(rune('a'+i))+"2")
			}
			left.Store(1)
			w.Commit(nil, batches...)
			failed := 0
			for i, name := range []string{"a", "b", "c"} {
				one, two := batches[i], batches[i+3]
				if (one.Err == nil) != (two.Err == nil) {
					t.Errorf("mailbox %s: %v, but %v", name, one.Err, two.Err)
				}
				want := map[uint32]string{1: name + "1", 2: name + "2"}
				if one.Err != nil {
					failed++
					want = map[uint32]string{}
				}
				holds(t, dir, "alice/"+name, want)
			}
			if failed != 1 {
				t.Errorf("%d mailboxes failed, want 1", failed)
			}
		})
	}
}

// Batches after one whose files can't be placed fail too: they may depend on its epoch.
// Those of other mailboxes do not.
func TestBatchesAfterAFailedOneFail(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	a, b := mailbox(t, w, "a"), mailbox(t, w, "b")
	// a file where the month's directory should be
	write(t, nil, dir, "alice/a/2026-11")
	one, two, other := first(t, a, "a1"), begin(t, a), first(t, b, "b1")
	two.Record(Event{Kind: Flags, UID: 1})
	w.Commit(nil, one, two, other)
	if one.Err == nil || two.Err == nil || other.Err != nil {
		t.Errorf("%v; %v; %v", one.Err, two.Err, other.Err)
	}
	holds(t, dir, "alice/b", map[uint32]string{1: "b1"})
	if got := len(read(t, dir, "alice/a", journalName)); got != 0 {
		t.Errorf("the journal has %d octets", got)
	}
	if err := os.Remove(filepath.Join(dir, "alice/a/2026-11")); err != nil {
		t.Fatal(err)
	}
	commit(t, w, first(t, mailbox(t, w, "a"), "a1"))
	holds(t, dir, "alice/a", map[uint32]string{1: "a1"})
}

// A line that can't be written fails the batch before the journal is touched.
func TestUnwritableEventFailsTheBatch(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	m := mailbox(t, w, "INBOX")
	commit(t, w, first(t, m, "one"))
	b := begin(t, m)
	add(t, b, 2, "two")
	b.Record(Event{Kind: Failed, UID: 3, Reason: strings.Repeat("x", maxLine)})
	w.Commit(nil, b)
	if b.Err == nil {
		t.Error("a line over the limit was written")
	}
	holds(t, dir, "alice/INBOX", map[uint32]string{1: "one"})
}

// The file system is full in the middle of receiving and of committing.
// Afterwards the archive is valid, and with free space commits succeed again.
func TestFullFileSystem(t *testing.T) {
	dir := tiny(t)
	w := open(t, dir, Options{})
	m := mailbox(t, w, "INBOX")
	commit(t, w, first(t, m, "one"))

	big := string(body(400<<10, 1))
	b := begin(t, m)
	var err error
	n := 0
	for ; err == nil && n < 100; n++ {
		err = b.Add(1, Event{UID: uint32(100 + n), InternalDate: clock}, int64(len(big)), strings.NewReader(big))
	}
	if !errors.Is(err, ErrWrite) || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("after %d messages: %v, want ENOSPC", n, err)
	}
	if err := w.CheckFreeSpace(0); !errors.Is(err, ErrNoSpace) {
		t.Errorf("Reserve: %v, want ErrNoSpace", err)
	}
	if err := b.Discard(); err != nil {
		t.Fatal(err)
	}
	if err := w.CheckFreeSpace(0); err != nil {
		t.Errorf("with room again: %v", err)
	}

	// The journal's append is what does not fit any more: a batch of one
	// short message and many lines, in what is left.
	m = mailbox(t, w, "INBOX")
	fill(t, dir, 100<<10)
	b = begin(t, m)
	add(t, b, 2, "two")
	for i := range 4000 {
		b.Record(Event{Kind: Failed, UID: uint32(1000 + i), Reason: "a reason of some length, to fill what is left of the disk"})
	}
	w.Commit(nil, b)
	if !errors.Is(b.Err, syscall.ENOSPC) {
		t.Fatalf("a journal on a full disk: %v, want ENOSPC", b.Err)
	}
	holds(t, dir, "alice/INBOX", map[uint32]string{1: "one"})
	if err := os.Remove(filepath.Join(dir, ".fill")); err != nil {
		t.Fatal(err)
	}
	m = mailbox(t, w, "INBOX")
	b = begin(t, m)
	add(t, b, 2, "two")
	commit(t, w, b)
	holds(t, dir, "alice/INBOX", map[uint32]string{1: "one", 2: "two"})
	sealsBy(t, read(t, dir, "alice/INBOX", journalName))
}

// fill fills the file system up to some free octets.
func fill(t *testing.T, dir string, leave uint64) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, ".fill"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for {
		var st syscall.Statfs_t
		if err := syscall.Fstatfs(int(f.Fd()), &st); err != nil {
			t.Fatal(err)
		}
		if st.Bavail*uint64(st.Bsize) <= leave {
			return
		}
		if _, err := f.Write(block); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil { // what is only promised is not counted
			t.Fatal(err)
		}
	}
}

// The write of a commit's lines fails after half of them.
func TestHalfWrittenJournal(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "alice/INBOX", journalName)
	cut := int64(-1)
	w := open(t, dir, Options{Step: func(step string) error {
		if step != StepJournal || cut < 0 {
			return nil
		}
		return errors.Join(os.Truncate(name, cut), syscall.ENOSPC)
	}})
	m := mailbox(t, w, "INBOX")
	commit(t, w, first(t, m, "one"))
	end := m.end()
	cut = end.Offset + 100
	b := begin(t, m)
	add(t, b, 2, "two")
	w.Commit(nil, b)
	if !errors.Is(b.Err, syscall.ENOSPC) {
		t.Fatal(b.Err)
	}
	cut = -1
	if got := int64(len(read(t, name))); got != end.Offset {
		t.Errorf("the journal has %d octets, want %d", got, end.Offset)
	}
	m = mailbox(t, w, "INBOX")
	b = begin(t, m)
	add(t, b, 2, "two")
	commit(t, w, b)
	holds(t, dir, "alice/INBOX", map[uint32]string{1: "one", 2: "two"})
}

func TestStepsInOrder(t *testing.T) {
	var got []string
	w := open(t, t.TempDir(), Options{Step: func(s string) error { got = append(got, s); return nil }})
	commit(t, w, first(t, mailbox(t, w, "INBOX"), "one"))
	if !slices.Equal(got, steps) {
		t.Errorf("the steps are %q, want %q", got, steps)
	}
}

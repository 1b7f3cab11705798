package archive

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// stat is the FileInfo of a message's file.
func stat(t testing.TB, dir, file string) fs.FileInfo {
	t.Helper()
	st, err := os.Stat(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// like is the event of a message of UID u, with the octets of body.
func like(u uint32, body string) Event {
	return Event{UID: u, InternalDate: date(int(u)), Flags: []string{"x"}, Size: int64(len(body)), Sum: sha256.Sum256([]byte(body)), Matched: "header"}
}

// A linked message gets name, line and seal like any other, without more octets. One that
// is undone leaves nothing.
func TestLink(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	a, b := mailbox(t, w, "a"), mailbox(t, w, "b")
	commit(t, w, first(t, a, "one", "two"))
	one, two := "alice/a/"+plain(1), "alice/a/"+plain(2)
	batch := begin(t, b)
	batch.Record(opened("b", 7))
	for _, l := range []struct {
		u          uint32
		body, file string
	}{{1, "one", one}, {2, "two", two}, {3, "one", one}} {
		if err := batch.Link(1, like(l.u, l.body), l.file, stat(t, dir, l.file)); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Undo(); err != nil {
		t.Fatal(err)
	}
	add(t, batch, 4, "four")
	if batch.Octets() != 4 || len(inTmp(t, dir, "alice/b")) != 3 {
		t.Errorf("%d octets, %v in tmp", batch.Octets(), inTmp(t, dir, "alice/b"))
	}
	commit(t, w, batch)
	if batch.Linked != 2 {
		t.Errorf("linked %d", batch.Linked)
	}
	holds(t, dir, "alice/b", map[uint32]string{1: "one", 2: "two", 4: "four"})
	if !sameFile(t, filepath.Join(dir, one), filepath.Join(dir, "alice/b", plain(1))) {
		t.Error("the message is a file of its own")
	}
	v, _ := fold(t, dir, "alice/b")
	if m := v.Epoch().Messages[1]; m.Matched != "header" || m.Path != plain(1) || !m.InternalDate.Equal(date(1)) {
		t.Errorf("message is %+v", m)
	}

	// under a name that it has already, and one that an interrupted commit left
	left := filepath.Join(dir, "alice/b", plain(5))
	if err := os.Link(filepath.Join(dir, one), left); err != nil {
		t.Fatal(err)
	}
	batch = begin(t, b)
	for _, u := range []uint32{1, 5} {
		if err := batch.Link(1, like(u, "one"), one, stat(t, dir, one)); err != nil {
			t.Fatal(err)
		}
	}
	commit(t, w, batch)
	holds(t, dir, "alice/b", map[uint32]string{1: "one", 2: "two", 4: "four", 5: "one"})
	if left := inTmp(t, dir, "alice/b"); len(left) > 0 {
		t.Errorf("tmp has %v", left)
	}
}

// Discarding a batch of links keeps the files that they are links to.
func TestLinkDiscarded(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	m := mailbox(t, w, "a")
	commit(t, w, first(t, m, "one"))
	batch := begin(t, m)
	file := "alice/a/" + plain(1)
	if err := batch.Link(1, like(2, "one"), file, stat(t, dir, file)); err != nil {
		t.Fatal(err)
	}
	if err := batch.Discard(); err != nil {
		t.Fatal(err)
	}
	if left := inTmp(t, dir, "alice/a"); len(left) > 0 {
		t.Errorf("tmp has %v", left)
	}
	holds(t, dir, "alice/a", map[uint32]string{1: "one"})
}

// Only the file that was read is linked: not one that replaced it, and none outside the
// archive.
func TestLinkOfAnotherFile(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	m := mailbox(t, w, "a")
	commit(t, w, first(t, m, "one", "two"))
	batch := begin(t, m)
	one, two := "alice/a/"+plain(1), "alice/a/"+plain(2)
	for _, file := range []string{one, "alice/a/gone.eml", "alice", "../x", "/etc/passwd", ""} {
		if err := batch.Link(1, like(3, "two"), file, stat(t, dir, two)); err == nil || errors.Is(err, ErrWrite) {
			t.Errorf("link of %q: %v", file, err)
		}
	}
	if batch.Len() != 0 || batch.Octets() != 0 || len(inTmp(t, dir, "alice/a")) != 0 {
		t.Errorf("the batch has %d events, %d octets; tmp %v", batch.Len(), batch.Octets(), inTmp(t, dir, "alice/a"))
	}
	if err := batch.Discard(); err != nil {
		t.Error(err)
	}
}

// If no link can be made the octets are copied, and discarded if they are others than
// expected.
func TestLinkAsCopy(t *testing.T) {
	for _, perFile := range []bool{false, true} {
		dir := t.TempDir()
		w := open(t, dir, Options{PerFile: perFile})
		m := mailbox(t, w, "a")
		commit(t, w, first(t, m, "one"))
		file := "alice/a/" + plain(1)
		batch := begin(t, m)
		if err := batch.copy(1, like(2, "one"), file); err != nil {
			t.Fatal(err)
		}
		for _, other := range []string{"two", "on", "onee"} {
			if err := batch.copy(1, like(3, other), file); err == nil || errors.Is(err, ErrWrite) {
				t.Errorf("a copy as %q: %v", other, err)
			}
		}
		if batch.Len() != 1 || batch.Octets() != 0 {
			t.Errorf("the batch has %d events, %d octets", batch.Len(), batch.Octets())
		}
		commit(t, w, batch)
		if batch.Linked != 1 {
			t.Errorf("linked %d", batch.Linked)
		}
		holds(t, dir, "alice/a", map[uint32]string{1: "one", 2: "one"})
	}
}

// A commit of links that fails at any step keeps the files that they are links to, and
// the same links can be made again.
func TestLinkFailsAtEachStep(t *testing.T) {
	for _, at := range steps[:len(steps)-1] {
		t.Run(at, func(t *testing.T) {
			dir := t.TempDir()
			armed := false
			w := open(t, dir, Options{Step: func(step string) error {
				if armed && step == at {
					armed = false
					return errors.New("injected")
				}
				return nil
			}})
			a, b := mailbox(t, w, "a"), mailbox(t, w, "b")
			commit(t, w, first(t, a, "one", "two"), first(t, b))
			links := func() *Batch {
				batch := begin(t, b)
				for u, body := range map[uint32]string{1: "one", 2: "two"} {
					file := "alice/a/" + plain(u)
					if err := batch.Link(1, like(u, body), file, stat(t, dir, file)); err != nil {
						t.Fatal(err)
					}
				}
				return batch
			}
			armed = true
			failed := links()
			if w.Commit(nil, failed); failed.Err == nil {
				t.Fatal("the commit does not fail")
			}
			holds(t, dir, "alice/a", map[uint32]string{1: "one", 2: "two"})
			holds(t, dir, "alice/b", map[uint32]string{})
			var err error
			if b, err = w.Mailbox(b.MailboxDir, JournalState{ID: b.id, End: b.end()}); err != nil {
				t.Fatal(err)
			}
			commit(t, w, links())
			holds(t, dir, "alice/b", map[uint32]string{1: "one", 2: "two"})
			if left := inTmp(t, dir, "alice/b"); len(left) > 0 {
				t.Errorf("tmp has %v", left)
			}
		})
	}
}

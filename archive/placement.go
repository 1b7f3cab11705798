package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	gosync "sync"

	"golang.org/x/sync/errgroup"

	"archiverd/internal/durable"
)

// placement moves or links the files of one commit into place. Its paths are relative to
// the archive.
type placement struct {
	pathOf func(Sum) (string, bool) // where octets of that sum lie; may be nil

	mu         gosync.Mutex
	newFiles   map[Sum]string  // files of this commit
	givenNames map[string]Sum  // names that this commit has given
	dirs       map[string]bool // directories with new entries
}

func newPlacement(pathOf func(Sum) (string, bool)) *placement {
	return &placement{pathOf: pathOf, newFiles: map[Sum]string{}, givenNames: map[string]Sum{}, dirs: map[string]bool{}}
}

// existing returns the path of a file with octets of that sum, if one is known.
func (n *placement) existing(s Sum) (string, bool) {
	n.mu.Lock()
	p, ok := n.newFiles[s]
	n.mu.Unlock()
	if ok || n.pathOf == nil {
		return p, ok
	}
	return n.pathOf(s)
}

// placed records that a file has its name. A file that was moved, not linked, is linked
// for equal messages from now on, instead of a file that turned out to be damaged.
func (n *placement) placed(m *Mailbox, e *Event, linked bool) {
	full := path.Join(m.Dir, e.Path)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.givenNames[full] = e.Sum
	n.dirs[path.Dir(full)] = true
	if !linked {
		n.newFiles[e.Sum] = full
	}
}

// nameTaken reports whether name, relative to the mailbox directory, is that of a
// message of this commit or of the journal, and the beginning of its sum.
func (n *placement) nameTaken(m *Mailbox, name string) (sumHead, bool, error) {
	n.mu.Lock()
	s, ok := n.givenNames[path.Join(m.Dir, name)]
	n.mu.Unlock()
	if ok {
		return s.head(), true, nil
	}
	return m.isNamed(name)
}

// place gives every file of the batches its name. It returns the batches that failed,
// with the error. Mailboxes are worked on at the same time; files that are equal to an
// earlier one of the group come last, when that has its name and can be linked.
func (n *placement) place(batches []*Batch) map[*Batch]error {
	repeated := map[*Batch]map[int]bool{} // by index in Batch.files: equal to an earlier file of the group
	seen := map[Sum]bool{}
	byMailbox := map[*Mailbox][]*Batch{}
	for _, b := range batches {
		repeated[b] = map[int]bool{}
		byMailbox[b.mailbox] = append(byMailbox[b.mailbox], b)
		for i, f := range b.files {
			sum := b.Events[f.event].Sum
			repeated[b][i] = seen[sum]
			seen[sum] = true
		}
	}
	var mu gosync.Mutex // guards failed
	failed := map[*Batch]error{}
	placeIn := func(list []*Batch, again bool) {
		var previous error // batches after a failed one of the mailbox fail too
		for _, b := range list {
			mu.Lock()
			err := failed[b]
			mu.Unlock()
			switch {
			case err != nil:
			case previous != nil:
				err = fmt.Errorf("%w: %w", ErrBroken, previous)
			default:
				err = b.place(n, func(i int) bool { return repeated[b][i] == again })
			}
			if previous = err; err != nil {
				mu.Lock()
				failed[b] = err
				mu.Unlock()
			}
		}
	}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, list := range byMailbox {
		g.Go(func() error { placeIn(list, false); return nil })
	}
	_ = g.Wait() // the errors are in failed
	for _, list := range byMailbox {
		placeIn(list, true)
	}
	for _, b := range batches {
		if failed[b] == nil {
			b.files = nil
		}
	}
	return failed
}

// place gives their names to the files of the batch for whose index which is true.
func (b *Batch) place(n *placement, which func(int) bool) error {
	if err := b.mailbox.createJournal(); err != nil {
		return err
	}
	months := map[string][]tempFile{}
	for i, f := range b.files {
		if which(i) {
			dir := path.Dir(b.Events[f.event].Path)
			months[dir] = append(months[dir], f)
		}
	}
	for dir, files := range months {
		if err := b.placeInMonth(dir, files, n); err != nil {
			return err
		}
	}
	return nil
}

// placeInMonth gives files their names in the directory of a month.
func (b *Batch) placeInMonth(month string, files []tempFile, n *placement) error {
	switch err := b.mailbox.root.Mkdir(month, b.mailbox.writer.dirMode()); {
	case err == nil:
		b.mailbox.writer.mu.Lock()
		b.mailbox.writer.unsyncedDirs[b.mailbox.Dir] = true
		b.mailbox.writer.mu.Unlock()
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	dir, err := durable.OpenDirAt(b.dir, month)
	if err != nil { // it may be a symbolic link within the archive
		dir, err = b.mailbox.root.Open(month)
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	for _, f := range files {
		e := &b.Events[f.event]
		linked := false
		if f.isLink {
			b.Linked++
		} else if existing, ok := n.existing(e.Sum); ok {
			if linked, err = b.linkIntoPlace(existing, f.name, e, n); err != nil {
				return err
			}
		}
		if linked {
			b.Linked++
		} else if err := b.moveIntoPlace(f.name, dir, e, n); err != nil {
			return err
		}
		n.placed(b.mailbox, e, linked)
	}
	return nil
}

// linkIntoPlace makes e's file a hard link to the file at path existing, and removes the
// received file. It returns false if the file system refuses the link or the file has
// other octets: it is read first, because replacing good octets with a link to damaged
// ones would lose the message.
func (b *Batch) linkIntoPlace(existing, tmp string, e *Event, n *placement) (bool, error) {
	w := b.mailbox.writer
	if sum, size, err := w.HashFile(existing); err != nil || sum != e.Sum || size != e.Size {
		return false, nil
	}
	final := path.Join(b.mailbox.Dir, e.Path)
	if existing == final {
		return true, b.mailbox.tmp.Remove(tmp)
	}
	err := w.root.Link(existing, final)
	if errors.Is(err, fs.ErrExist) {
		if _, taken, err := n.nameTaken(b.mailbox, e.Path); taken || err != nil {
			return false, err // moveIntoPlace chooses another name
		}
		// No journal names the file there: it is a leftover.
		if err := w.root.Remove(final); err != nil {
			return false, err
		}
		err = w.root.Link(existing, final)
	}
	if err != nil {
		return false, nil // no links here, or too many: the received file serves as well
	}
	return true, b.mailbox.tmp.Remove(tmp)
}

// moveIntoPlace renames a received file into place. A file there that no journal names
// is a leftover and is replaced. A file that a journal names stays: if it has the same
// octets it is used, else the new file gets a number at the end of its name.
func (b *Batch) moveIntoPlace(tmp string, dir *os.File, e *Event, n *placement) error {
	plain := e.Path
	for i := 2; ; i++ {
		err := durable.RenameNoReplaceAt(b.mailbox.tmpDir, tmp, dir, path.Base(e.Path))
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		sum, taken, err := n.nameTaken(b.mailbox, e.Path)
		if err != nil {
			return err
		}
		if !taken {
			err := b.mailbox.root.Rename(path.Join(tmpName, tmp), filepath.FromSlash(e.Path))
			// rename(2) does nothing if both names are links to one file, as an
			// interrupted commit may have left them.
			if rerr := b.mailbox.tmp.Remove(tmp); err == nil && !errors.Is(rerr, fs.ErrNotExist) {
				err = rerr
			}
			return err
		}
		if sum == e.Sum.head() {
			if there, size, err := b.mailbox.writer.HashFile(path.Join(b.mailbox.Dir, e.Path)); err == nil && there == e.Sum && size == e.Size {
				return b.mailbox.tmp.Remove(tmp)
			}
		}
		e.Path = strings.TrimSuffix(plain, ".eml") + "-" + strconv.Itoa(i) + ".eml"
	}
}

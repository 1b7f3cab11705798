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
	"archiverd/internal/uid"
)

// Index is what a caller knows of the archive without reading it, as the state database
// does. It may be wrong about PathOf: the file is read before it is relied on.
type Index interface {
	// PathOf returns where, relative to the archive, octets of a sum lie, if it knows.
	PathOf(s Sum) (path string, ok bool)
	// NamedUIDs returns those of the UIDs that the journal of the mailbox in dir may
	// have an added line of, in an epoch of that UIDVALIDITY.
	NamedUIDs(dir string, uidValidity uint32, uids uid.Set) uid.Set
}

// placement moves or links the files of one commit into place. Its paths are relative to
// the archive.
type placement struct {
	index Index // may be nil

	mu         gosync.Mutex
	newFiles   map[Sum]string  // files of this commit
	givenNames map[string]Sum  // names that this commit has given
	dirs       map[string]bool // directories with new entries
}

func newPlacement(index Index) *placement {
	return &placement{index: index, newFiles: map[Sum]string{}, givenNames: map[string]Sum{}, dirs: map[string]bool{}}
}

// existing returns the path of a file with octets of that sum, if one is known.
func (n *placement) existing(s Sum) (string, bool) {
	n.mu.Lock()
	p, ok := n.newFiles[s]
	n.mu.Unlock()
	if ok || n.index == nil {
		return p, ok
	}
	return n.index.PathOf(s)
}

// mayBeNamed returns the files of a batch whose UIDs the journal may have already: its
// names have to be looked up in the journal. For all others that would only cost time.
func (n *placement) mayBeNamed(b *Batch) map[string]bool {
	byUIDValidity := map[uint32]uid.Set{}
	for _, f := range b.files {
		s := byUIDValidity[f.uidValidity]
		s.Add(b.Events[f.event].UID)
		byUIDValidity[f.uidValidity] = s
	}
	if n.index != nil {
		for v, s := range byUIDValidity {
			byUIDValidity[v] = n.index.NamedUIDs(b.mailbox.Dir, v, s)
		}
	}
	out := map[string]bool{}
	for _, f := range b.files {
		if s := byUIDValidity[f.uidValidity]; s.Contains(b.Events[f.event].UID) {
			out[f.name] = true
		}
	}
	return out
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
// message of this commit or, if the journal is looked at, of the journal, and the
// beginning of its sum.
func (n *placement) nameTaken(m *Mailbox, name string, lookAtJournal bool) (sumHead, bool, error) {
	n.mu.Lock()
	s, ok := n.givenNames[path.Join(m.Dir, name)]
	n.mu.Unlock()
	if ok || !lookAtJournal {
		return s.head(), ok, nil
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
	if len(months) == 0 {
		return nil
	}
	named := n.mayBeNamed(b)
	for dir, files := range months {
		if err := b.placeInMonth(dir, files, named, n); err != nil {
			return err
		}
	}
	return nil
}

// placeInMonth gives files their names in the directory of a month. The journal may name
// those in named already.
func (b *Batch) placeInMonth(month string, files []tempFile, named map[string]bool, n *placement) error {
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
		dir, err = durable.OpenDirIn(b.mailbox.root, month)
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	for _, f := range files {
		e := &b.Events[f.event]
		linked, err := b.placeFile(f, dir, e, named[f.name], n)
		if err != nil {
			return err
		}
		if linked || f.isLink {
			b.Linked++
		}
		n.placed(b.mailbox, e, linked)
	}
	return nil
}

// placeFile gives a received file its name, and removes it if a file with its octets
// takes the place: linked is then true. A name that the journal has is taken also where
// its file is missing: a line must never be true of another message. The new file then
// gets a number at the end of its name. Any other file there is a leftover and is
// replaced.
func (b *Batch) placeFile(f tempFile, dir *os.File, e *Event, mayBeNamed bool, n *placement) (linked bool, err error) {
	for {
		there, err := b.chooseName(e, mayBeNamed, n)
		if err != nil {
			return false, err
		}
		if there {
			return true, b.mailbox.tmp.Remove(f.name)
		}
		linked, err := b.putInPlace(f, dir, e, mayBeNamed, n)
		if mayBeNamed || !errors.Is(err, fs.ErrExist) {
			return linked, err
		}
		mayBeNamed = true // the journal decides whether the file there is a leftover
	}
}

// chooseName sets the name of e's file to the first one that nothing else has. there is
// true if the file is there already, as a message of the journal or of this commit.
func (b *Batch) chooseName(e *Event, lookAtJournal bool, n *placement) (there bool, err error) {
	m := b.mailbox
	plain := e.Path
	for i := 2; ; i++ {
		head, taken, err := n.nameTaken(m, e.Path, lookAtJournal)
		if err != nil || !taken {
			return false, err
		}
		if head == e.Sum.head() {
			sum, size, err := m.writer.HashFile(path.Join(m.Dir, e.Path))
			if err == nil && sum == e.Sum && size == e.Size {
				return true, nil
			}
			if errors.Is(err, fs.ErrNotExist) {
				// A lost file may come back under its name.
				if same, err := m.isNamedFor(e.Path, e.Sum); same || err != nil {
					return false, err
				}
			}
		}
		e.Path = strings.TrimSuffix(plain, ".eml") + "-" + strconv.Itoa(i) + ".eml"
	}
}

// putInPlace links or renames a file to e's name, which nothing has. With replace a
// leftover there is replaced; without, it is an fs.ErrExist.
func (b *Batch) putInPlace(f tempFile, dir *os.File, e *Event, replace bool, n *placement) (linked bool, err error) {
	if !f.isLink {
		if existing, ok := n.existing(e.Sum); ok {
			linked, err := b.linkIntoPlace(existing, f.name, e, replace)
			if linked || err != nil {
				return linked, err
			}
		}
	}
	err = durable.RenameNoReplaceAt(b.mailbox.tmpDir, f.name, dir, path.Base(e.Path))
	if !replace || !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	err = b.mailbox.root.Rename(path.Join(tmpName, f.name), filepath.FromSlash(e.Path))
	// rename(2) does nothing if both names are links to one file, as an interrupted
	// commit may have left them.
	if rerr := b.mailbox.tmp.Remove(f.name); err == nil && !errors.Is(rerr, fs.ErrNotExist) {
		err = rerr
	}
	return false, err
}

// linkIntoPlace makes e's file a hard link to the file at path existing, and removes the
// received file. It returns false if the file system refuses the link or the file has
// other octets: it is read first, because replacing good octets with a link to damaged
// ones would lose the message.
func (b *Batch) linkIntoPlace(existing, tmp string, e *Event, replace bool) (bool, error) {
	w := b.mailbox.writer
	if sum, size, err := w.HashFile(existing); err != nil || sum != e.Sum || size != e.Size {
		return false, nil
	}
	final := path.Join(b.mailbox.Dir, e.Path)
	if existing == final { // a leftover after all
		return false, nil
	}
	err := w.root.Link(existing, final)
	if errors.Is(err, fs.ErrExist) {
		if !replace {
			return false, err
		}
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

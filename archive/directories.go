package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"golang.org/x/text/unicode/norm"
)

// DirectoryOf returns the directory that a mailbox of an account has or, if it is new,
// would get. account is the account's name, not its directory.
func (a *Archive) DirectoryOf(account string, n Name) (MailboxDir, error) {
	return a.Directories().For(account, n)
}

// Directories is DirectoryOf for many mailboxes: it reads each directory once, because
// an account may have thousands of mailboxes. Only its user may make directories
// meanwhile, and must call Created for each. It is not for several goroutines at once.
type Directories struct {
	a        *Archive
	byParent map[string]*directoryNames
	lost     map[string][]string // names of directories that the checkpoints know, by parent: also those that are gone
}

// Directories returns a Directories that has read no directory yet.
func (a *Archive) Directories() *Directories {
	return &Directories{a: a, byParent: map[string]*directoryNames{}}
}

// MaxLevels is how many levels a mailbox's name may have to get a directory: a path of
// many costs each access to it as many look-ups.
const MaxLevels = 100

// Directories is Archive.Directories. A directory that has a checkpoint keeps its place,
// also if it is gone: no other mailbox gets it, and its own none beside it.
func (w *Writer) Directories() *Directories {
	p := w.Archive.Directories()
	p.lost = map[string][]string{}
	for _, b := range w.CheckpointedMailboxes() {
		for d := b.Dir; path.Dir(d) != "."; d = path.Dir(d) {
			p.lost[path.Dir(d)] = append(p.lost[path.Dir(d)], path.Base(d))
		}
	}
	return p
}

// DirectoryOf is Archive.DirectoryOf with the places of directories that are gone.
func (w *Writer) DirectoryOf(account string, n Name) (MailboxDir, error) {
	return w.Directories().For(account, n)
}

// For is Archive.DirectoryOf. The error wraps ErrTooDeep if the name has more levels than
// MaxLevels.
func (p *Directories) For(account string, n Name) (MailboxDir, error) {
	if levels := len(n.Levels()); levels > MaxLevels {
		return MailboxDir{}, fmt.Errorf("its name has %d levels: %w", levels, ErrTooDeep)
	}
	dir := Escape(account)
	plain := n.escapedLevels()
	for i, c := range n.Levels() {
		s, err := p.namesIn(dir)
		if err != nil {
			return MailboxDir{}, fmt.Errorf("place mailbox: %w", err)
		}
		dir = path.Join(dir, s.choose(c, plain[i]))
	}
	return MailboxDir{Escape(account), dir}, nil
}

// Created records that the directory of b has been made.
func (p *Directories) Created(b MailboxDir) {
	for dir := b.Dir; dir != b.Account && dir != "."; dir = path.Dir(dir) {
		if s := p.byParent[path.Dir(dir)]; s != nil {
			s.add(path.Base(dir))
		}
	}
}

// namesIn returns the names of the mailbox directories in a directory, which may be
// missing.
func (p *Directories) namesIn(dir string) (*directoryNames, error) {
	if s := p.byParent[dir]; s != nil {
		return s, nil
	}
	names, err := p.a.readNames(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	s := newDirectoryNames(append(names, p.lost[dir]...))
	p.byParent[dir] = s
	return s, nil
}

// directoryNames are the names of the mailbox directories in one directory.
type directoryNames struct {
	byNFC    map[string]string // the name by its form in NFC; of several the first
	foldKeys map[string]bool   // foldKey of each
}

// newDirectoryNames selects the mailbox directories from all names in a directory.
func newDirectoryNames(names []string) *directoryNames {
	s := &directoryNames{map[string]string{}, map[string]bool{}}
	for _, n := range names {
		s.add(n)
	}
	return s
}

// add adds a name, unless no mailbox may have it.
func (s *directoryNames) add(name string) {
	if isReserved(name) {
		return
	}
	c := norm.NFC.String(name)
	if first := s.byNFC[c]; first == "" || name < first {
		s.byNFC[c] = name
	}
	s.foldKeys[foldKey(name)] = true
}

// choose returns the directory name of level c, whose escaped form is plain: the name
// that it has already, else plain or, if another level's directory might be taken for
// plain, plain with a hash of c.
func (s *directoryNames) choose(c, plain string) string {
	marked := withHash(c, plain)
	switch one, other := s.byNFC[norm.NFC.String(plain)], s.byNFC[norm.NFC.String(marked)]; {
	case one != "" && other != "":
		return min(one, other)
	case one != "" || other != "":
		return one + other
	case s.foldKeys[foldKey(plain)]:
		return marked
	}
	return plain
}

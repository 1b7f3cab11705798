package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"golang.org/x/text/unicode/norm"
)

// DirectoryOf says which directory a mailbox of an account has, or would get: an
// account of that name, a mailbox of that name on its server.
func (a *Archive) DirectoryOf(account string, n Name) (MailboxDir, error) {
	return a.Directories().For(account, n)
}

// Directories says which directories the mailboxes of an account have, as Archive.Place
// does, but reads each directory once: an account may have thousands. So it is for one
// who alone makes directories there, and who tells of each. It is not for several
// goroutines at once.
type Directories struct {
	a        *Archive
	byParent map[string]*directoryNames
}

// Directories begins to place mailboxes.
func (a *Archive) Directories() *Directories { return &Directories{a, map[string]*directoryNames{}} }

// For is Archive.Place.
func (p *Directories) For(account string, n Name) (MailboxDir, error) {
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

// Created tells that the directory of b has been made.
func (p *Directories) Created(b MailboxDir) {
	for dir := b.Dir; dir != b.Account && dir != "."; dir = path.Dir(dir) {
		if s := p.byParent[path.Dir(dir)]; s != nil {
			s.add(path.Base(dir))
		}
	}
}

// namesIn is what a directory has.
func (p *Directories) namesIn(dir string) (*directoryNames, error) {
	if s := p.byParent[dir]; s != nil {
		return s, nil
	}
	names, err := p.a.readNames(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	s := newDirectoryNames(names)
	p.byParent[dir] = s
	return s, nil
}

// directoryNames are the directories of mailboxes that lie in one.
type directoryNames struct {
	byNFC    map[string]string // by their names in NFC; of several the first
	foldKeys map[string]bool   // foldKey of each
}

// newDirectoryNames takes all names in a directory.
func newDirectoryNames(names []string) *directoryNames {
	s := &directoryNames{map[string]string{}, map[string]bool{}}
	for _, n := range names {
		s.add(n)
	}
	return s
}

// add takes one more name, unless it is none that a mailbox may have.
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

// choose chooses the directory for a component that would be called plain, true
// name c: the one it has already, or plain, or, where plain would collide with
// another's, plain with the suffix.
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

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
	a    *Archive
	read map[string]*siblings
}

// Directories begins to place mailboxes.
func (a *Archive) Directories() *Directories { return &Directories{a, map[string]*siblings{}} }

// For is Archive.Place.
func (p *Directories) For(account string, n Name) (MailboxDir, error) {
	dir := Escape(account)
	plain := n.components()
	for i, c := range n.Levels() {
		s, err := p.in(dir)
		if err != nil {
			return MailboxDir{}, fmt.Errorf("place mailbox: %w", err)
		}
		dir = path.Join(dir, s.place(c, plain[i]))
	}
	return MailboxDir{Escape(account), dir}, nil
}

// Created tells that the directory of b has been made.
func (p *Directories) Created(b MailboxDir) {
	for dir := b.Dir; dir != b.Account && dir != "."; dir = path.Dir(dir) {
		if s := p.read[path.Dir(dir)]; s != nil {
			s.add(path.Base(dir))
		}
	}
}

// in is what a directory has.
func (p *Directories) in(dir string) (*siblings, error) {
	if s := p.read[dir]; s != nil {
		return s, nil
	}
	names, err := p.a.names(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	s := newSiblings(names)
	p.read[dir] = s
	return s, nil
}

// siblings are the directories of mailboxes that lie in one.
type siblings struct {
	names map[string]string // by their names in NFC; of several the first
	keys  map[string]bool   // foldKey of each
}

// newSiblings takes all names in a directory.
func newSiblings(names []string) *siblings {
	s := &siblings{map[string]string{}, map[string]bool{}}
	for _, n := range names {
		s.add(n)
	}
	return s
}

// add takes one more name, unless it is none that a mailbox may have.
func (s *siblings) add(name string) {
	if reserved(name) {
		return
	}
	c := norm.NFC.String(name)
	if first := s.names[c]; first == "" || name < first {
		s.names[c] = name
	}
	s.keys[foldKey(name)] = true
}

// place chooses the directory for a component that would be called plain, true
// name c: the one it has already, or plain, or, where plain would collide with
// another's, plain with the suffix.
func (s *siblings) place(c, plain string) string {
	marked := suffixed(c, plain)
	switch one, other := s.names[norm.NFC.String(plain)], s.names[norm.NFC.String(marked)]; {
	case one != "" && other != "":
		return min(one, other)
	case one != "" || other != "":
		return one + other
	case s.keys[foldKey(plain)]:
		return marked
	}
	return plain
}

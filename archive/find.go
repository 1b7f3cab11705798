package archive

import (
	"errors"
	"path"
	"slices"
	"strings"
	"time"

	"archiverd/internal/pattern"
)

// FoundMessages are messages of one mailbox that FindMessages found.
type FoundMessages struct {
	Mailbox MailboxDir
	Name    Name
	Paths   []string // relative to the mailbox directory
}

// FindMessages finds the message of each ID: the one whose path in the archive is the
// ID or, if there is none, the only one whose path contains it. Messages that are gone
// are found too. In a corrupt journal those before the fault are found. The result is
// by mailbox directory. The error is a *NoMessageError or an *AmbiguousError if that
// fails for one of the IDs.
func (a *Archive) FindMessages(ids []string) ([]*FoundMessages, error) {
	mailboxes, err := a.Mailboxes("")
	if err != nil {
		return nil, err
	}
	f := &finder{archive: a, names: map[MailboxDir]Name{}, places: map[string][]messagePlace{}}
	for _, id := range ids {
		clean := path.Clean(id)
		if clean == "." {
			return nil, &NoMessageError{ID: id}
		}
		f.places[clean] = nil
	}
	if err := f.search(mailboxes); err != nil {
		return nil, err
	}
	byMailbox := map[MailboxDir]*FoundMessages{}
	for _, places := range f.places {
		p := places[0]
		if byMailbox[p.mailbox] == nil {
			byMailbox[p.mailbox] = &FoundMessages{Mailbox: p.mailbox, Name: f.names[p.mailbox]}
		}
		byMailbox[p.mailbox].Paths = append(byMailbox[p.mailbox].Paths, p.path)
	}
	var out []*FoundMessages
	for _, b := range mailboxes {
		if byMailbox[b] != nil {
			out = append(out, byMailbox[b])
		}
	}
	return out, nil
}

// messagePlace is where a message is.
type messagePlace struct {
	mailbox MailboxDir
	path    string // relative to the mailbox directory
}

// finder is one search for messages by ID.
type finder struct {
	archive *Archive
	names   map[MailboxDir]Name       // of the mailboxes that were read
	places  map[string][]messagePlace // by ID: up to two places
	corrupt error
}

// search finds one place for each ID. Whole paths come first: they say which mailboxes
// have to be read. Only what is left is searched for in all mailboxes.
func (f *finder) search(mailboxes []MailboxDir) error {
	for _, b := range mailboxes {
		if err := f.findPaths(b); err != nil {
			return err
		}
	}
	var parts []string
	for id, places := range f.places {
		if len(places) == 0 {
			parts = append(parts, id)
		}
	}
	slices.Sort(parts)
	for _, b := range mailboxes {
		if err := f.findParts(b, parts); err != nil {
			return err
		}
	}
	for _, id := range parts {
		switch list := f.places[id]; len(list) {
		case 0:
			return &NoMessageError{ID: id, Corrupt: f.corrupt}
		case 1:
		default:
			return &AmbiguousError{ID: id, Matches: []string{path.Join(list[0].mailbox.Dir, list[0].path), path.Join(list[1].mailbox.Dir, list[1].path)}}
		}
	}
	return nil
}

// eachPath calls fn with the path of every message that a mailbox ever had.
func (f *finder) eachPath(b MailboxDir, fn func(path string)) error {
	v, _, err := f.archive.Fold(b)
	if errors.Is(err, ErrCorrupt) {
		f.corrupt = err
	} else if err != nil {
		return err
	}
	f.names[b] = v.Name
	for _, m := range v.All() {
		fn(m.Path)
	}
	return nil
}

// findPaths finds the IDs that are paths of messages in the mailbox.
func (f *finder) findPaths(b MailboxDir) error {
	idOf := map[string]string{} // by path relative to the mailbox directory
	for id := range f.places {
		if rest, ok := strings.CutPrefix(id, b.Dir+"/"); ok {
			idOf[rest] = id
		}
	}
	if len(idOf) == 0 {
		return nil
	}
	return f.eachPath(b, func(path string) {
		if id, ok := idOf[path]; ok {
			f.places[id] = []messagePlace{{b, path}}
		}
	})
}

// findParts finds the messages of a mailbox whose paths contain the IDs.
func (f *finder) findParts(b MailboxDir, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	return f.eachPath(b, func(p string) {
		full, place := path.Join(b.Dir, p), messagePlace{b, p}
		for _, id := range ids {
			if list := f.places[id]; strings.Contains(full, id) && len(list) < 2 && !slices.Contains(list, place) {
				f.places[id] = append(list, place)
			}
		}
	})
}

// SimilarAccount returns the directory of an account whose name differs from name in
// case only; "": there is none. On some file systems both would have one directory.
func (a *Archive) SimilarAccount(name string) (string, error) {
	have, err := a.Accounts()
	i := slices.IndexFunc(have, func(dir string) bool { return dir != Escape(name) && strings.EqualFold(dir, name) })
	if err != nil || i < 0 {
		return "", err
	}
	return have[i], nil
}

// FindMailbox returns the mailbox of that name or directory in an account, with its
// view at a time, zero for now. The directory may be relative to the archive or the
// account's. The error is a *NoMailboxError if there was none; any other concerns the
// mailbox itself, and the view then holds what stands before the fault.
func (a *Archive) FindMailbox(account, mailbox string, at time.Time) (MailboxDir, *View, error) {
	mailboxes, err := a.Mailboxes(account)
	if err != nil {
		return MailboxDir{}, nil, err
	}
	missing := &NoMailboxError{Mailbox: mailbox}
	for _, b := range mailboxes {
		v, err := a.FoldAt(b, at)
		if err == nil && v.Epoch() == nil && !at.IsZero() {
			continue // not archived yet
		}
		if v.Name.Mailbox == mailbox || b.Dir == mailbox || b.Dir == path.Join(b.Account, mailbox) || pattern.SameName(v.Name.Mailbox, mailbox) {
			return b, v, err
		}
		if missing.Corrupt = errors.Join(missing.Corrupt, err); v.Epoch() != nil {
			missing.Names = append(missing.Names, v.Name.Mailbox)
		}
	}
	return MailboxDir{}, nil, missing
}

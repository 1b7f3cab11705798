package main

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"archiverd/archive"
	"archiverd/sync"
)

// messages picks the messages with these IDs, with their flags of a time; zero: of now.
func (p *picked) messages(ids []string, at time.Time) error {
	list, err := findMessages(p.archive, ids)
	if errors.Is(err, errNoMessage) {
		return usage(fmt.Errorf("no such file or folder on disk, and %w", err))
	}
	if err != nil {
		return err
	}
	for _, n := range list {
		n.at = at
		if _, err := n.load(p.archive); err != nil && !at.IsZero() {
			return usage(err)
		}
		p.sources = append(p.sources, sync.Source{Account: n.box.Account, Name: n.name, Load: func() ([]sync.Item, error) { return n.load(p.archive) }})
	}
	return nil
}

// errNoMessage is returned when the archive has no message with an ID.
var errNoMessage = errors.New("no message")

// named are messages of a mailbox that were asked for by ID.
type named struct {
	box   archive.MailboxDir
	name  archive.Name
	paths []string  // relative to the mailbox directory
	at    time.Time // as they were then; zero: as they are
}

// place is where a message is.
type place struct {
	box  archive.MailboxDir
	path string // relative to the mailbox directory
}

// findMessages finds the messages whose paths are, or alone contain, the IDs:
// also those that are gone, and what stands before the fault of a corrupt journal.
func findMessages(r *archive.Archive, ids []string) ([]*named, error) {
	boxes, err := r.Mailboxes("")
	if err != nil {
		return nil, err
	}
	f := &finder{archive: r, names: map[archive.MailboxDir]archive.Name{}, found: map[string][]place{}}
	for _, id := range ids {
		clean := path.Clean(id)
		if clean == "." {
			return nil, usage(fmt.Errorf("%q is no ID; `archiverd list ACCOUNT MAILBOX` prints IDs", id))
		}
		f.found[clean] = nil
	}
	// Whole paths first: these say which mailboxes have to be read.
	for _, b := range boxes {
		if err := f.whole(b); err != nil {
			return nil, err
		}
	}
	var parts []string
	for id, places := range f.found {
		if len(places) == 0 {
			parts = append(parts, id)
		}
	}
	slices.Sort(parts)
	for _, b := range boxes {
		if err := f.parts(b, parts); err != nil {
			return nil, err
		}
	}
	for _, id := range parts {
		if err := f.judge(id); err != nil {
			return nil, err
		}
	}
	of := map[archive.MailboxDir]*named{}
	for _, places := range f.found {
		pl := places[0]
		if of[pl.box] == nil {
			of[pl.box] = &named{box: pl.box, name: f.names[pl.box]}
		}
		of[pl.box].paths = append(of[pl.box].paths, pl.path)
	}
	var out []*named
	for _, b := range boxes {
		if of[b] != nil {
			out = append(out, of[b])
		}
	}
	return out, nil
}

// finder is a search for messages by ID.
type finder struct {
	archive *archive.Archive
	names   map[archive.MailboxDir]archive.Name
	found   map[string][]place // by ID: up to two places
	corrupt error
}

// each gives fn the path of every message that a mailbox ever had.
func (f *finder) each(b archive.MailboxDir, fn func(path string)) error {
	v, _, err := f.archive.Fold(b)
	if errors.Is(err, archive.ErrCorrupt) {
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

// whole finds the IDs that are paths of messages in the mailbox.
func (f *finder) whole(b archive.MailboxDir) error {
	below := map[string]string{}
	for id := range f.found {
		if rest, ok := strings.CutPrefix(id, b.Dir+"/"); ok {
			below[rest] = id
		}
	}
	if len(below) == 0 {
		return nil
	}
	return f.each(b, func(path string) {
		if id, ok := below[path]; ok {
			f.found[id] = []place{{b, path}}
		}
	})
}

// parts finds the messages of a mailbox that contain the IDs.
func (f *finder) parts(b archive.MailboxDir, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	return f.each(b, func(p string) {
		full, at := path.Join(b.Dir, p), place{b, p}
		for _, id := range ids {
			if list := f.found[id]; strings.Contains(full, id) && len(list) < 2 && !slices.Contains(list, at) {
				f.found[id] = append(list, at)
			}
		}
	})
}

// judge returns the error of an ID that is not a part of one message's alone.
func (f *finder) judge(id string) error {
	list := f.found[id]
	switch {
	case len(list) == 0:
		err := fmt.Errorf("%w %q in the archive; `archiverd list ACCOUNT MAILBOX` prints IDs", errNoMessage, id)
		return usage(errors.Join(err, f.corrupt))
	case len(list) > 1:
		return usage(fmt.Errorf("%q is a part of several IDs, of %s and %s among them: give more of it", id,
			path.Join(list[0].box.Dir, list[0].path), path.Join(list[1].box.Dir, list[1].path)))
	}
	return nil
}

// load is Source.Load of the messages: by epoch and UID, each as its mailbox knew
// it last, or at n.at.
func (n *named) load(r *archive.Archive) ([]sync.Item, error) {
	v, err := r.FoldAt(n.box, n.at)
	if err != nil && !errors.Is(err, archive.ErrCorrupt) {
		return nil, err
	}
	wanted, at := map[string]bool{}, map[string]int{}
	for _, p := range n.paths {
		wanted[p] = true
	}
	var items []sync.Item
	for _, m := range v.All() {
		if !wanted[m.Path] {
			continue
		}
		if i, twice := at[m.Path]; twice {
			items[i] = item(n.box, m)
			continue
		}
		at[m.Path] = len(items)
		items = append(items, item(n.box, m))
	}
	if len(items) < len(wanted) && !n.at.IsZero() {
		return nil, fmt.Errorf("mailbox %s: %s was not archived yet at %s", n.box.Dir, n.paths[0], localTime(n.at))
	}
	if len(items) < len(wanted) { // the journal was whole a moment ago
		return nil, errors.Join(fmt.Errorf("mailbox %s: %d messages that were found are no longer in its journal", n.box.Dir, len(wanted)-len(items)), err)
	}
	return items, nil
}

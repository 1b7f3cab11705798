package main

import (
	"errors"
	"fmt"
	"time"

	"archiverd/archive"
	"archiverd/sync/restore"
)

// messages picks the messages with these IDs, with their flags of a time; zero: of now.
func (p *picked) messages(ids []string, at time.Time) error {
	list, err := findMessages(p.archive, ids)
	if errors.Is(err, archive.ErrNoMessage) {
		return usage(fmt.Errorf("no such file or folder on disk, and %w", err))
	}
	if err != nil {
		return err
	}
	for _, found := range list {
		n := &named{*found, at}
		if _, err := n.load(p.archive); err != nil && !at.IsZero() {
			return usage(err)
		}
		p.sources = append(p.sources, restore.Source{Account: n.Mailbox.Account, Name: n.Name, Load: func() ([]restore.Item, error) { return n.load(p.archive) }})
	}
	return nil
}

// named are messages of a mailbox that were asked for by ID.
type named struct {
	archive.FoundMessages
	at time.Time // as they were then; zero: as they are
}

// findMessages finds the messages whose paths are, or alone contain, the IDs. What is
// wrong with an ID is a usage error.
func findMessages(r *archive.Archive, ids []string) ([]*archive.FoundMessages, error) {
	found, err := r.FindMessages(ids)
	if missing := (*archive.NoMessageError)(nil); errors.As(err, &missing) {
		err = fmt.Errorf("%w; `archiverd list ACCOUNT MAILBOX` prints IDs", missing)
		return nil, usage(errors.Join(err, missing.Corrupt))
	}
	if several := (*archive.AmbiguousError)(nil); errors.As(err, &several) {
		return nil, usage(err)
	}
	return found, err
}

// load is Source.Load of the messages: by epoch and UID, each as its mailbox knew
// it last, or at n.at.
func (n *named) load(r *archive.Archive) ([]restore.Item, error) {
	v, err := r.FoldAt(n.Mailbox, n.at)
	if err != nil && !errors.Is(err, archive.ErrCorrupt) {
		return nil, err
	}
	wanted, at := map[string]bool{}, map[string]int{}
	for _, p := range n.Paths {
		wanted[p] = true
	}
	var items []restore.Item
	for _, m := range v.All() {
		if !wanted[m.Path] {
			continue
		}
		if i, twice := at[m.Path]; twice {
			items[i] = restore.NewItem(n.Mailbox, m)
			continue
		}
		at[m.Path] = len(items)
		items = append(items, restore.NewItem(n.Mailbox, m))
	}
	if len(items) < len(wanted) && !n.at.IsZero() {
		return nil, fmt.Errorf("mailbox %s: %s was not archived yet at %s", n.Mailbox.Dir, n.Paths[0], localTime(n.at))
	}
	if len(items) < len(wanted) { // the journal was whole a moment ago
		return nil, errors.Join(fmt.Errorf("mailbox %s: %d messages that were found are no longer in its journal", n.Mailbox.Dir, len(wanted)-len(items)), err)
	}
	return items, nil
}

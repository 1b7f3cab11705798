package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/dustin/go-humanize/english"

	"archiverd/archive"
	"archiverd/internal/source"
	"archiverd/sync/restore"
)

// addFiles adds .eml files, and those in directories, for one mailbox. Symbolic links are
// followed only if they are named.
func (s *restoreSource) addFiles(ctx context.Context, args []string, mailbox string, errOut io.Writer) (err error) {
	found, err := source.Find(ctx, args, source.Options{OnlyEML: true})
	defer func() { err = errors.Join(err, found.Close()) }()
	if err != nil {
		return err
	}
	if len(found.Failed) > 0 {
		return explainFailure(&found.Failed[0])
	}
	if found.Links > 0 {
		fmt.Fprintf(errOut, "archiverd: %s in directories skipped; to restore what they point to, name it\n", english.Plural(found.Links, "symbolic link", ""))
	}
	if len(found.Mailboxes) == 0 {
		return fmt.Errorf("nothing to restore: no .eml file in %q", args)
	}
	items := make([]restore.Item, 0, found.Mailboxes[0].Count())
	for m, err := range found.Mailboxes[0].Messages(ctx) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		item, err := readItem(m)
		if err != nil {
			return fmt.Errorf("read %s: %w", m.Path, err)
		}
		items = append(items, item)
	}
	if s.name != "" {
		s.name += " and "
	}
	s.name += english.Plural(len(items), "file", "")
	// A person wrote the name: the server's delimiter in it separates levels.
	s.maps = []restore.Mapping{{Old: mailbox, New: mailbox}}
	s.mailboxes = append(s.mailboxes, restore.Source{Name: archive.Name{Mailbox: mailbox}, Load: func() ([]restore.Item, error) { return items, nil }})
	return nil
}

// explainFailure returns the error for a file that could not be found; it is a usage
// error if the file is not one to restore.
func explainFailure(f *source.Failure) error {
	if errors.Is(f, source.ErrNotEML) {
		return usage(fmt.Errorf("%w; restore takes each file as one message, so it can't restore an mbox", f))
	}
	return f
}

// readItem reads an .eml file to its end, for its hash and size.
func readItem(m *source.Message) (restore.Item, error) {
	r, err := m.Octets()
	if err != nil {
		return restore.Item{}, err
	}
	item := restore.Item{ID: m.Path, InternalDate: m.Date}
	item.Sum, item.Size, err = archive.Hash(r)
	return item, err
}

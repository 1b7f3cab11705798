package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/dustin/go-humanize/english"

	"archiverd/archive"
	"archiverd/internal/safetext"
	"archiverd/internal/setup"
)

// adopt goes on with mailboxes that lost something as they are: with one that arg names,
// those of an account, or all with an empty arg.
func (a *app) adopt(ctx context.Context, arg string) (err error) {
	parts, err := a.openAsOwner()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, parts.Close()) }()
	boxes, err := mailboxesToAdopt(ctx, parts, arg)
	if err != nil {
		return err
	}
	c := parts.Committer
	name := func(b archive.MailboxDir) archive.Name {
		if record, ok, err := c.State.Mailbox(b.Dir); err == nil && ok {
			return record.Name
		}
		return archive.Name{Mailbox: archive.MailboxOf(b.Dir), Delimiter: "/"}
	}
	isKnown := func(s archive.Sum) bool {
		_, ok := c.State.PathOf(s)
		return ok
	}
	done, err := c.Archive.Adopt(boxes, isKnown, name)
	if err == nil {
		err = parts.CatchUp()
	}
	if err == nil {
		err = c.Checkpoint()
	}
	if err != nil {
		return err
	}
	for _, d := range done {
		printAdopted(a, d)
	}
	_, err = fmt.Fprintf(a.out, "%s adopted\n", english.Plural(len(done), "mailbox", ""))
	return err
}

// printAdopted prints what was done for a mailbox.
func printAdopted(a *app, d *archive.Adopted) {
	what := "nothing was lost"
	if d.Lost != "" {
		what = d.Lost
	}
	if d.Moved != "" {
		what = "moved from " + d.Moved
	}
	found := "no message file was found besides"
	if d.Found > 0 {
		found = english.Plural(d.Found, "message file", "") + " found that no journal named"
	}
	fmt.Fprintf(a.out, "%s: %s; %s\n", safetext.Line(d.Dir), safetext.Line(what), found)
	for _, f := range d.Left {
		fmt.Fprintf(a.out, "  left as it is, it may not be whole: %s\n", safetext.Line(f))
	}
}

// mailboxesToAdopt returns the mailboxes that arg names. Of an account, or of all, these
// are the ones that lost something, or that have message files and no journal. If the
// checkpoints themselves are lost, they are all.
func mailboxesToAdopt(ctx context.Context, parts *setup.Parts, arg string) ([]archive.MailboxDir, error) {
	w := parts.Committer.Archive
	stopped := w.Stopped()
	switch {
	case stopped != nil && arg != "":
		return nil, fmt.Errorf("%w: that concerns every mailbox, so name none", stopped)
	case stopped != nil:
		return w.Mailboxes("")
	}
	// What is lost now is told by what is done about it, not by warnings.
	if _, err := parts.Committer.CatchUp(); err != nil {
		return nil, err
	}
	all, err := allMailboxes(parts)
	if err != nil {
		return nil, err
	}
	if arg != "" {
		if all, err = selectMailboxes(all, arg); err != nil {
			return nil, err
		}
		if len(all) == 1 {
			return all, nil
		}
	}
	c, err := w.ReadCheckpoints()
	if err != nil {
		return nil, err
	}
	var lost []archive.MailboxDir
	for _, b := range all {
		isLost, err := needsAdoption(w, c, b)
		if err != nil {
			return nil, err
		}
		if isLost {
			lost = append(lost, b)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return lost, nil
}

// needsAdoption reports whether a mailbox lost something, or has message files and no
// journal. Its journal is read whole: that its end is what it was does not tell that its
// middle is.
func needsAdoption(w *archive.Writer, c *archive.Checkpoints, b archive.MailboxDir) (bool, error) {
	if w.Losses(b.Account)[b.Dir] != nil {
		return true, nil
	}
	_, err := w.Replay(b, archive.Position{}, func(archive.Event) error { return nil })
	switch {
	case errors.Is(err, archive.ErrCorrupt):
		return true, nil
	case errors.Is(err, fs.ErrNotExist):
		return w.IsOrphaned(c, b)
	}
	return false, err
}

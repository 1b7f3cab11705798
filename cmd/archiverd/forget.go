package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"archiverd/archive"
	"archiverd/internal/safetext"
	"archiverd/internal/setup"
	"archiverd/internal/ui"
)

// forgetReason is what the checkpoints say of a mailbox that this command forgets.
const forgetReason = "removed by its owner"

func (a *app) forgetCommand() *cobra.Command {
	yes, remove := false, false
	cmd := &cobra.Command{
		Use:   "forget ACCOUNT[/MAILBOX]",
		Short: "Record that an account or a mailbox was removed on purpose, or remove it",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.checkConfirm(yes); err != nil {
				return err
			}
			return a.forget(args[0], yes, remove)
		},
	}
	yesFlag(cmd, &yes)
	cmd.Flags().BoolVar(&remove, "delete", false, "also delete their messages and journals from the archive")
	return cmd
}

// forget says what the mailboxes hold, asks, records that they are forgotten, and with
// remove deletes their files.
func (a *app) forget(arg string, yes, remove bool) (err error) {
	parts, err := a.openAsOwner()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, parts.Close()) }()
	if err := parts.CatchUp(); err != nil {
		return err
	}
	boxes, err := selectToForget(parts, arg)
	if err != nil {
		return err
	}
	if err := a.printToForget(parts, boxes); err != nil {
		return err
	}
	what := fmt.Sprintf("Forget %s of the archive %s?", english.Plural(len(boxes), "mailbox", ""), parts.Committer.Archive.Path())
	if remove {
		what += " Their messages and journals are DELETED."
	}
	if !yes {
		confirmed, err := a.confirm(what)
		if err != nil {
			return err
		}
		if !confirmed {
			return errors.New("not confirmed; nothing was forgotten")
		}
	}
	freed, err := parts.Committer.Archive.Forget(boxes, forgetReason, remove)
	if err == nil {
		err = parts.CatchUp()
	}
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s forgotten; no file was deleted", english.Plural(len(boxes), "mailbox", ""))
	if remove {
		text = fmt.Sprintf("%s forgotten and deleted; %s freed", english.Plural(len(boxes), "mailbox", ""), ui.Octets(freed))
	}
	_, err = fmt.Fprintln(a.out, text)
	return err
}

// selectToForget returns the mailboxes that an argument names. If none is there, those
// that were forgotten count: said again after a crash, forget makes durable what it finds
// done.
func selectToForget(parts *setup.Parts, arg string) ([]archive.MailboxDir, error) {
	all, err := allMailboxes(parts)
	if err != nil {
		return nil, err
	}
	boxes, err := selectMailboxes(all, arg)
	if err == nil {
		return boxes, nil
	}
	c, cerr := parts.Committer.Archive.ReadCheckpoints()
	if cerr != nil {
		return nil, cerr
	}
	if gone, gerr := selectMailboxes(c.Forgotten(), arg); gerr == nil {
		return gone, nil
	}
	return nil, err
}

// printToForget prints what mailboxes hold.
func (a *app) printToForget(parts *setup.Parts, boxes []archive.MailboxDir) error {
	for _, b := range boxes {
		v, _, err := parts.Committer.Archive.Fold(b)
		holds := "no journal"
		switch {
		case err == nil || errors.Is(err, archive.ErrCorrupt):
			n, octets := 0, int64(0)
			for _, m := range v.All() {
				n++
				octets += m.Size
			}
			holds = fmt.Sprintf("%s, %s", english.Plural(n, "message", ""), ui.Octets(octets))
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
		fmt.Fprintf(a.out, "%s  %s\n", safetext.Line(b.Dir), holds)
	}
	return nil
}

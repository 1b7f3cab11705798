package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"archiverd/archive"
	"archiverd/archive/history"
	"archiverd/internal/export"
	"archiverd/internal/progress"
	"archiverd/internal/safetext"
)

// exportFlags are the flags of export as they were typed.
type exportFlags struct {
	selecting
	account string
	query   string
	format  string
	nested  bool
}

func (a *app) exportCommand() *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "export TARGET",
		Short: "Copy messages to .eml files, mbox, Maildir, zip or tar.zst",
		Long: `Copies messages of the archive to where other programs read them. Without flags, all
that the servers still had at the last sync; --gone, --at and the other flags select, and
--query takes what a search with the same words would find.

  eml      folders with .eml files, called as in the archive (the default)
  mbox     TARGET/ACCOUNT/MAILBOX.mbox, lines marked as mboxrd; or mboxo, or mboxcl2.
           With a TARGET that ends in .mbox all goes into that one file
  maildir  a Maildir for each account, TARGET/ACCOUNT, its mailboxes as Maildir++ or
           with --nested in each other
  zip      one file with the archive's own layout and its journals (the default for a
           TARGET that ends in .zip): unpacked it is an archive, with its history and
           all that is gone, unless flags select less
  tar.zst  the same, equal messages once (the default for .tar.zst)

eml, maildir, zip and tar.zst hold each message octet for octet, with INTERNALDATE as the
file's time. mbox files hold flags in Status, X-Status and X-Keywords, the date in UTC
in the From_ line, and LF for CRLF; what would not come back from there as it was is
named. Every message is checked against the journal's SHA-256; a damaged one is named and
left out, and the exit status is 4.

Nothing in TARGET is overwritten. What is there and equal counts as done, so that an
export which broke off is simply begun again; anything else is named, and the rest goes
on. Reads the archive alone: it works beside the daemon, on a copy, on another machine.

` + timesHelp + exitHelp,
		Example: `  archiverd export ~/mail
  archiverd export --account work --format maildir --at 2026-11-01 /mnt/usb
  archiverd export --format mbox --mailbox 'Lists/*' --after 2026-01-01 lists.mbox
  archiverd export --query 'from:bob invoice' invoices.zip
  archiverd export everything.tar.zst`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.export(cmd.Context(), f, args[0])
		},
	}
	a.archiveFlag(cmd)
	a.jsonFlag(cmd)
	f.flags(cmd)
	cmd.Flags().StringVar(&f.account, "account", "", "only `ACCOUNT` of the archive")
	cmd.Flags().StringVar(&f.query, "query", "", "only what `QUERY` finds, as search does")
	cmd.Flags().StringVar(&f.format, "format", "", "`FORMAT` (default eml, or as TARGET ends: "+exportFormats()+")")
	cmd.Flags().BoolVar(&f.nested, "nested", false, "with --format maildir, nest mailboxes in each other instead of Maildir++")
	return cmd
}

func exportFormats() string {
	var out []string
	for _, f := range export.Formats() {
		out = append(out, string(f))
	}
	return strings.Join(out, ", ")
}

// chosenFormat is the format of the flags, or as the target's name ends.
func (f exportFlags) chosenFormat(target string) (export.Format, error) {
	format := export.Format(f.format)
	name := strings.ToLower(filepath.Base(target))
	switch {
	case format == "" && strings.HasSuffix(name, ".zip"):
		format = export.Zip
	case format == "" && strings.HasSuffix(name, ".tar.zst"):
		format = export.TarZst
	case format == "" && strings.HasSuffix(name, ".mbox"):
		format = export.Mbox
	case format == "":
		format = export.EML
	}
	if !slices.Contains(export.Formats(), format) {
		return "", usage(fmt.Errorf("--format %q: there are %s", f.format, exportFormats()))
	}
	if f.nested && format != export.Maildir {
		return "", usage(errors.New("--nested is a layout of Maildir: use it with --format maildir"))
	}
	return format, nil
}

func (a *app) export(ctx context.Context, f exportFlags, target string) (err error) {
	if target == "" {
		return usage(errors.New("TARGET is empty: name a directory or file"))
	}
	format, err := f.chosenFormat(target)
	if err != nil {
		return err
	}
	r, _, err := a.reader()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	sel, err := f.selected(r)
	if err != nil {
		return err
	}
	if f.query != "" {
		query, err := parseQuery(f.query)
		if err != nil {
			return err
		}
		sel = query.Restrict(r, sel)
	}
	show := a.newProgress()
	ctx, stop := interruptible(ctx, a.err, "what is half written is being removed")
	defer stop()
	e := &export.Export{Archive: r, Selection: sel, Whole: !f.set() && f.query == "", Format: format, Target: target, Nested: f.nested}
	show.start(exporting{e})
	done, err := e.Run(ctx)
	show.stop()
	if errors.Is(err, export.ErrInside) {
		return usage(err)
	}
	if err != nil {
		return err
	}
	if a.json {
		err = safetext.WriteJSON(a.out, done)
	} else {
		err = printExported(a.out, done)
	}
	switch {
	case err != nil:
	case done.Damage():
		err = &exit{status: exitDamage}
	case !done.OK():
		err = &exit{status: exitFailed}
	}
	return err
}

// selected is what the flags select, --query aside.
func (f exportFlags) selected(r *archive.Archive) (history.Selection, error) {
	have, err := r.Accounts()
	if err != nil {
		return history.Selection{}, err
	}
	dir := ""
	if f.account != "" {
		if dir = archive.Escape(f.account); !slices.Contains(have, dir) {
			return history.Selection{}, usage(fmt.Errorf("no account %q in the archive; it has %q", f.account, have))
		}
	}
	sel, err := f.selection(dir)
	if err != nil || sel.Mailbox == nil {
		return sel, err
	}
	// A pattern that matches nothing is a slip of the pen.
	var names []archive.Name
	seeing := history.Selection{Account: dir, Mailbox: func(n archive.Name) bool { names = append(names, n); return false }}
	for sel, err := range history.Select(r, seeing) {
		if sel == nil && err != nil {
			return history.Selection{}, err
		}
	}
	account := f.account
	if account == "" {
		account = strings.Join(have, ", ")
	}
	return sel, f.missing(account, names)
}

// exporting shows an export's progress as that of a job.
type exporting struct{ *export.Export }

// Progress implements job.
func (e exporting) Progress() progress.Progress {
	p := e.Export.Progress()
	return progress.Progress{Account: "export", Stage: "copying", Mailbox: p.Mailbox, Messages: p.Messages, Received: p.Done, Octets: p.Octets}
}

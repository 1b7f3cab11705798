package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"archiverd/archive"
	"archiverd/archive/history"
	"archiverd/internal/export"
	"archiverd/internal/progress"
)

// exportFlags are the flags of export, as typed.
type exportFlags struct {
	selectFlags
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
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.export(cmd.Context(), f, args[0])
		},
	}
	a.archiveFlag(cmd)
	a.jsonFlag(cmd)
	f.add(cmd)
	cmd.Flags().StringVar(&f.account, "account", "", "only `ACCOUNT` of the archive")
	cmd.Flags().StringVar(&f.query, "query", "", "only what `QUERY` finds, as search does")
	cmd.Flags().StringVar(&f.format, "format", "", "`FORMAT` (default eml, or as TARGET ends: "+exportFormats()+")")
	cmd.Flags().BoolVar(&f.nested, "nested", false, "with --format maildir, nest mailboxes in each other instead of Maildir++")
	return cmd
}

// exportFormats are the values of --format, for people.
func exportFormats() string {
	var out []string
	for _, f := range export.Formats() {
		out = append(out, string(f))
	}
	return strings.Join(out, ", ")
}

// chosenFormat is the format of --format, or the one that the name of the target implies.
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
		return "", usage(fmt.Errorf("--format %q: write one of %s", f.format, exportFormats()))
	}
	if f.nested && format != export.Maildir {
		return "", usage(errors.New("--nested needs --format maildir"))
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
	sel, err := f.selectMailboxes(r)
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
	display := a.newProgress()
	ctx, stop := interruptible(ctx, a.err, "incomplete files are being removed")
	defer stop()
	e := &export.Export{Archive: r, Selection: sel, Whole: !f.isSet() && f.query == "", Format: format, Target: target, Nested: f.nested}
	display.Start(exportProgress{e})
	done, err := e.Run(ctx)
	display.Stop()
	if errors.Is(err, export.ErrInside) {
		return usage(err)
	}
	if err != nil {
		return err
	}
	err = a.print(done, func(w io.Writer) error { return printExported(w, done) })
	if err == nil && done.Damage() {
		err = &exitError{status: exitDamage}
	}
	return reported(err, done.OK())
}

// selectMailboxes is the selection of the flags, without --query. A pattern of --mailbox
// that matches no mailbox is a usage error.
func (f exportFlags) selectMailboxes(r *archive.Archive) (history.Selection, error) {
	var names []string
	if f.account != "" {
		names = []string{f.account}
	}
	accounts, err := archivedAccounts(r, names)
	if err != nil {
		return history.Selection{}, err
	}
	dir := ""
	if f.account != "" {
		dir = accounts[0]
	}
	sel, err := f.selection(dir)
	if err != nil || sel.Mailbox == nil {
		return sel, err
	}
	var mailboxes []archive.Name
	everyName := history.Selection{Account: dir, Mailbox: func(n archive.Name) bool { mailboxes = append(mailboxes, n); return false }}
	for sel, err := range history.Select(r, everyName) {
		if sel == nil && err != nil {
			return history.Selection{}, err
		}
	}
	return sel, f.checkPatterns(cmp.Or(f.account, strings.Join(accounts, ", ")), mailboxes)
}

// exportProgress shows an export's progress as that of a ui.Job.
type exportProgress struct{ *export.Export }

// Progress implements ui.Job.
func (e exportProgress) Progress() progress.Progress {
	p := e.Export.Progress()
	return progress.Progress{Account: "export", Stage: "copying", Mailbox: p.Mailbox, Messages: p.Messages, Received: p.Done, Octets: p.Octets}
}

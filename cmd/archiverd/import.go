package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"archiverd/archive"
	"archiverd/internal/config"
	"archiverd/internal/durable"
	"archiverd/internal/importer"
	"archiverd/internal/mbox"
	"archiverd/internal/setup"
	"archiverd/internal/source"
	"archiverd/state"
)

// importFlags are the flags of import, as typed.
type importFlags struct {
	account       string
	mailbox, into string
	mboxFormat    string
	keepLineEnds  bool
	dryRun        bool
}

func (a *app) importCommand() *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "import --account NAME SOURCE…",
		Short: "Import mail from files: .eml, mbox, Maildir, zip, tar.zst",
		Args:  cobra.MinimumNArgs(1),
		RunE:  func(cmd *cobra.Command, args []string) error { return a.importFiles(cmd.Context(), f, args) },
	}
	a.archiveFlag(cmd)
	a.jsonFlag(cmd)
	cmd.Flags().StringVar(&f.account, "account", "", "account of the archive, `NAME`, to import into; created if it is new")
	cmd.Flags().StringVar(&f.mailbox, "mailbox", "", "mailbox `NAME` for the mail at the top of a source: .eml files, an mbox file, the root of a Maildir (default INBOX; for an mbox file its name)")
	cmd.Flags().StringVar(&f.into, "into", "", "put all mailboxes below `PREFIX`, with / between levels")
	cmd.Flags().StringVar(&f.mboxFormat, "mbox-format", "", "how an mbox quotes From_ lines, `VARIANT`: mboxrd, mboxo or mboxcl2 (default: guessed for each message, in doubt mboxrd)")
	cmd.Flags().BoolVar(&f.keepLineEnds, "keep-line-ends", false, "do not change LF to CRLF in messages of a Maildir or mbox")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "only print what would be imported")
	return cmd
}

// options are the flags about how sources are read.
func (f *importFlags) options() (source.Options, error) {
	o := source.Options{KeepLineEnds: f.keepLineEnds, Variant: mbox.Variant(f.mboxFormat)}
	if f.account == "" {
		return o, usage(errors.New("name the account to import into: --account NAME"))
	}
	if !slices.Contains([]mbox.Variant{"", mbox.RD, mbox.O, mbox.CL2}, o.Variant) {
		return o, usage(fmt.Errorf("--mbox-format %q: write mboxrd, mboxo or mboxcl2", f.mboxFormat))
	}
	for _, n := range []struct {
		flag, name string
		to         *[]string
	}{{"--mailbox", f.mailbox, &o.Mailbox}, {"--into", f.into, &o.Into}} {
		if n.name == "" {
			continue
		}
		if *n.to = strings.Split(n.name, "/"); slices.Contains(*n.to, "") {
			return o, usage(fmt.Errorf("%s %q: a level of the name is empty", n.flag, n.name))
		}
	}
	return o, nil
}

// importFiles imports the mail that it finds in the sources.
func (a *app) importFiles(ctx context.Context, f importFlags, args []string) (err error) {
	o, err := f.options()
	if err != nil {
		return err
	}
	cfg, err := a.importConfig()
	if err != nil {
		return err
	}
	if err := cfg.CheckImportName(f.account); err != nil {
		return usage(fmt.Errorf("--account: %w", err))
	}
	sources, err := checkSources(cfg.Archive.Path, args)
	if err != nil {
		return err
	}
	display := a.newProgress()
	ctx, stop := interruptible(ctx, a.err, "what has been read is being committed")
	defer stop()
	found, err := source.Find(ctx, args, o)
	defer func() { err = errors.Join(err, found.Close()) }()
	if err != nil {
		return err
	}
	if len(found.Mailboxes) == 0 && len(found.Failed) == 0 {
		return fmt.Errorf("nothing to import: no .eml file, no mbox and no Maildir in %q", args)
	}
	job := &importer.Job{Account: f.account}
	closeArchive, err := a.openImport(job, cfg, f.dryRun || len(found.Mailboxes) == 0)
	if err != nil {
		return err
	}
	display.Start(job)
	run, err := job.Run(ctx, sources, found)
	display.Stop()
	if errors.Is(err, importer.ErrNotImported) {
		err = usage(err)
	} else {
		err = nil // the run holds it
	}
	if err := errors.Join(err, closeArchive()); err != nil {
		return err
	}
	return a.printImport(run, f.dryRun)
}

// importConfig is the configuration, or with --archive one of that archive alone.
func (a *app) importConfig() (*config.Config, error) {
	if a.archiveDir == "" {
		return a.load()
	}
	return config.WithoutAccounts(a.archiveDir)
}

// openImport opens the archive for the job: for writing, or with dryRun for reading, and
// then none if there is no archive yet. The caller calls the returned function to close it.
func (a *app) openImport(job *importer.Job, cfg *config.Config, dryRun bool) (closeArchive func() error, err error) {
	if !dryRun {
		parts, err := setup.Open(cfg, a.logger(cfg))
		if err != nil {
			return nil, err
		}
		job.Archive, job.Committer = parts.Committer.Archive.Archive, parts.Committer
		return closeUnless(checkSimilarAccount(job), parts.Close)
	}
	r, err := archive.Open(cfg.Archive.Path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, archive.ErrNotArchive) {
		return func() error { return nil }, nil
	}
	if err != nil {
		return nil, err
	}
	job.Archive = r
	return closeUnless(checkSimilarAccount(job), r.Close)
}

// closeUnless returns closeArchive if err is nil. Else it calls it and returns the errors.
func closeUnless(err error, closeArchive func() error) (func() error, error) {
	if err != nil {
		return nil, errors.Join(err, closeArchive())
	}
	return closeArchive, nil
}

// checkSimilarAccount returns a usage error if the archive has an account whose name
// differs only in case.
func checkSimilarAccount(job *importer.Job) error {
	similar, err := job.Archive.SimilarAccount(job.Account)
	if err == nil && similar != "" {
		err = usage(fmt.Errorf("--account %s: the archive has an account %s, whose name differs in case only; use that name, or another", job.Account, similar))
	}
	return err
}

// checkSources returns the absolute paths of the sources. A source inside the archive, or
// one that contains it, is a usage error.
func checkSources(dir string, args []string) (paths []string, err error) {
	for _, arg := range args {
		if durable.IsInside(arg, dir) || durable.IsInside(dir, arg) {
			return nil, usage(fmt.Errorf("%s: the archive %s can't be imported into itself", arg, dir))
		}
		path, err := filepath.Abs(arg)
		if err != nil {
			return nil, err
		}
		paths = append(paths, durable.FollowLinks(path))
	}
	return paths, nil
}

// printImport prints the ledger of an import.
func (a *app) printImport(run state.Run, dryRun bool) error {
	err := a.print(run, func(w io.Writer) error {
		if dryRun {
			fmt.Fprintln(w, "a dry run: nothing is written; this is what would be imported")
		}
		return printRuns(w, []state.Run{run})
	})
	return reported(err, run.OK())
}

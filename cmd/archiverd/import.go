package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"archiverd/archive"
	"archiverd/internal/config"
	"archiverd/internal/importer"
	"archiverd/internal/mbox"
	"archiverd/internal/safetext"
	"archiverd/internal/setup"
	"archiverd/internal/source"
	"archiverd/state"
)

// importFlags are the flags of import.
type importFlags struct {
	account       string
	mailbox, into string
	variant       string
	keep, dry     bool
}

func (a *app) importCommand() *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "import --account NAME SOURCE…",
		Short: "Bring mail from files into the archive: .eml, mbox, Maildir, zip, tar.zst",
		Long: `Brings the mail of files into an account of the archive that no server has. A
SOURCE is an .eml file, an mbox file, a Maildir with all of its mailboxes (Maildir++
or nested), or a folder with any of these, whose folders become mailboxes; also a zip
or tar.zst that export wrote, or another with .eml files in it. Files in a folder that
hold no mail are passed over.

Flags, keywords and dates come along: of a Maildir from the files' names,
dovecot-keywords and the files' times; of an mbox from Status, X-Status, X-Keywords
(or Mozilla's) and the From_ lines; of a zip or tar.zst from the journals in it. An .eml file has the date that the archive wrote
into its name, or that of its Received or Date field, or its own; it has no flags.

Octets are taken as they are. But a message of a Maildir or mbox in which all lines
end in LF alone is one that a program keeps in the line ends of Unix, and gets
the CRLF that it has on every server; --keep-line-ends leaves it alone.

An import adds, and can be repeated: a message that its mailbox has already, with
the same octets and date, is not added again, and one that a source has twice is
there twice. Flags that have changed since are recorded. What the source has no
longer stays in the archive. The account is then like any other: list, show,
verify, drill and restore --from NAME work on it.
` + exitHelp,
		Example: `  archiverd import --account old ~/Maildir
  archiverd import --account old --into Thunderbird ~/.thunderbird/x.default/Mail/"Local Folders"
  archiverd import --account old --mailbox Rescued letter.eml ~/Desktop/mails
  archiverd import --account takeout --archive ./mail "All mail.mbox"`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.importFiles(cmd.Context(), f, args) },
	}
	a.archiveFlag(cmd)
	a.jsonFlag(cmd)
	cmd.Flags().StringVar(&f.account, "account", "", "account of the archive, `NAME`, to import into; made if it is new")
	cmd.Flags().StringVar(&f.mailbox, "mailbox", "", "mailbox `NAME` for what lies at the top of a source: .eml files, an mbox file, the root of a Maildir (default INBOX; an mbox file's name)")
	cmd.Flags().StringVar(&f.into, "into", "", "put all mailboxes below `PREFIX`, with / between levels")
	cmd.Flags().StringVar(&f.variant, "mbox-format", "", "how an mbox marks From_ lines, `VARIANT`: mboxrd, mboxo or mboxcl2 (default: as each message looks, mboxrd where that can't be told)")
	cmd.Flags().BoolVar(&f.keep, "keep-line-ends", false, "leave lines of a Maildir or mbox that end in LF alone as they are")
	cmd.Flags().BoolVar(&f.dry, "dry-run", false, "only print what would be imported")
	return cmd
}

// options are what the flags say of how to read sources.
func (f *importFlags) options() (source.Options, error) {
	o := source.Options{KeepLineEnds: f.keep, Variant: mbox.Variant(f.variant)}
	if f.account == "" {
		return o, usage(errors.New("name the account to import into: --account NAME"))
	}
	if !slices.Contains([]mbox.Variant{"", mbox.RD, mbox.O, mbox.CL2}, o.Variant) {
		return o, usage(fmt.Errorf("--mbox-format %q: it is mboxrd, mboxo or mboxcl2", f.variant))
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

// importFiles looks through the sources, and imports what it found.
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
	sources, err := outside(cfg.Archive.Path, args)
	if err != nil {
		return err
	}
	show := a.newProgress()
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
	im := &importer.Job{Account: f.account}
	done, err := a.importInto(im, cfg, f.dry || len(found.Mailboxes) == 0)
	if err != nil {
		return err
	}
	show.start(im)
	run, err := im.Run(ctx, sources, found)
	show.stop()
	if err := errors.Join(alone(err), done()); err != nil {
		return err
	}
	return a.printImport(run, f.dry)
}

// alone is an error that is no run's but the user's to mend, else nil: the run has it.
func alone(err error) error {
	if errors.Is(err, importer.ErrNotImported) {
		return usage(err)
	}
	return nil
}

// importConfig is the configuration, or that of the archive which a flag names.
func (a *app) importConfig() (*config.Config, error) {
	if a.archiveDir == "" {
		return a.load()
	}
	return config.WithoutAccounts(a.archiveDir)
}

// importInto opens what the import is to write to, or with dry what it would add
// to. done closes it.
func (a *app) importInto(im *importer.Job, cfg *config.Config, dry bool) (done func() error, err error) {
	if !dry {
		h, err := setup.Open(cfg, a.logger(cfg))
		if err != nil {
			return nil, err
		}
		im.Archive, im.Committer = h.Committer.Archive.Archive, h.Committer
		return opened(im, h.Close)
	}
	r, err := archive.Open(cfg.Archive.Path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, archive.ErrNotArchive) {
		return func() error { return nil }, nil
	}
	if err != nil {
		return nil, err
	}
	im.Archive = r
	return opened(im, r.Close)
}

// opened is done, which is called here if the account's name is one that can't be.
func opened(im *importer.Job, done func() error) (func() error, error) {
	if err := alike(im); err != nil {
		return nil, errors.Join(err, done())
	}
	return done, nil
}

// alike is a usage error if the archive has an account whose name differs in case
// only: some file systems have one directory for both.
func alike(im *importer.Job) error {
	have, err := im.Archive.Accounts()
	if err != nil {
		return err
	}
	for _, name := range have {
		if name != archive.Escape(im.Account) && strings.EqualFold(name, im.Account) {
			return usage(fmt.Errorf("--account %s: the archive has an account %s, whose name differs in case only; name that, or another", im.Account, name))
		}
	}
	return nil
}

// outside are the absolute paths of sources; one within the archive is a usage error.
func outside(dir string, args []string) (paths []string, err error) {
	resolved := func(path string) string {
		if abs, err := filepath.Abs(path); err == nil {
			path = abs
		}
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		}
		return path
	}
	within := func(path, dir string) bool {
		rel, err := filepath.Rel(dir, path)
		return err == nil && filepath.IsLocal(rel)
	}
	dir = resolved(dir)
	for _, arg := range args {
		path := resolved(arg)
		if within(path, dir) || within(dir, path) {
			return nil, usage(fmt.Errorf("%s: the archive %s can't be imported into itself", arg, dir))
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// printImport prints what became of the sources.
func (a *app) printImport(run state.Run, dry bool) (err error) {
	switch {
	case a.json:
		err = safetext.WriteJSON(a.out, run)
	case dry:
		fmt.Fprintln(a.out, "a dry run: nothing is written, this is what would be")
		fallthrough
	default:
		err = printRuns(a.out, []state.Run{run})
	}
	if err == nil && !run.OK() {
		err = &exit{status: exitFailed}
	}
	return err
}

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"archiverd/archive"
	"archiverd/internal/safetext"
)

func (a *app) verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify [ACCOUNT…]",
		Short: "Check every journal line against its file, and every file against a journal",
		Long: `Reads the whole archive: the seals of each journal, each message that a journal
names (there, of that size, of that SHA-256), files that no journal names, and
permissions. Prints the last seal of each journal: kept elsewhere, it proves later
that nothing before it was changed or cut off.

Works beside the daemon, on a copy and on another machine.
` + exitHelp,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.verify(cmd.Context(), a.archiveDir, names)
		},
	}
	a.archiveFlag(cmd)
	a.jsonFlag(cmd)
	return cmd
}

// verify checks the archive in dir, or the configuration's with dir "".
func (a *app) verify(ctx context.Context, dir string, names []string) error {
	r, cfg, err := a.open(dir)
	if err != nil {
		return err
	}
	defer r.Close()
	boxes, err := selectBoxes(r, names)
	if err != nil {
		return err
	}
	began := time.Now()
	o := archive.VerifyOptions{GroupRead: cfg == nil || cfg.Archive.Group}
	var all []*archive.VerifyResult
	for _, b := range boxes {
		v, err := r.Verify(ctx, b, o)
		if err != nil {
			return err
		}
		all = append(all, v)
	}
	damaged, messages, octets := 0, 0, int64(0)
	for _, v := range all {
		messages += v.Messages
		octets += v.Octets
		for _, f := range v.Findings {
			if f.Damage {
				damaged++
			}
		}
	}
	if a.json {
		err = safetext.WriteJSON(a.out, all)
	} else {
		for _, v := range all {
			fmt.Fprintf(a.out, "%s  %s, seal %s\n", safetext.Line(v.Dir), english.Plural(v.Messages, "message", ""), v.Seal)
			for _, f := range v.Findings {
				mark := "note  "
				if f.Damage {
					mark = "DAMAGE"
				}
				fmt.Fprintf(a.out, "  %s %s: %s\n", mark, safetext.Line(f.Path), safetext.Line(f.What))
			}
		}
		took := time.Since(began)
		_, err = fmt.Fprintf(a.out, "%s, %s, %s read in %v; %d damaged\n", english.Plural(len(all), "mailbox", ""), english.Plural(messages, "message", ""), humanize.IBytes(uint64(octets)), took.Round(time.Millisecond), damaged)
	}
	if err == nil && damaged > 0 {
		err = &exit{status: exitDamage}
	}
	return err
}

// selectBoxes returns the mailboxes of the accounts with these names or
// directories, of all if there are none.
func selectBoxes(r *archive.Archive, names []string) ([]archive.MailboxDir, error) {
	if len(names) == 0 {
		return r.Mailboxes("")
	}
	var out []archive.MailboxDir
	for _, n := range names {
		dir, err := archivedAccount(r, n)
		if err != nil {
			return nil, err
		}
		boxes, err := r.Mailboxes(dir)
		if err != nil {
			return nil, err
		}
		out = append(out, boxes...)
	}
	return out, nil
}

// archivedAccount returns the directory of the account with that name or directory. A
// usage error says which accounts there are instead.
func archivedAccount(r *archive.Archive, name string) (dir string, err error) {
	have, err := r.Accounts()
	if err != nil {
		return "", err
	}
	dir = archive.Escape(name)
	if !slices.Contains(have, dir) {
		return "", usage(fmt.Errorf("no account %q in the archive; it has %q", name, have))
	}
	return dir, nil
}

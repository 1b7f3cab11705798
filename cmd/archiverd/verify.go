package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"archiverd/archive"
	"archiverd/internal/safetext"
	"archiverd/internal/ui"
)

func (a *app) verifyCommand() *cobra.Command {
	var since string
	cmd := &cobra.Command{
		Use:   "verify [ACCOUNT…]",
		Short: "Check every journal line against its file, and every file against a journal",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, names []string) error {
			if since != "" && !isSeal(since) {
				return usage(fmt.Errorf("--since %q: a seal has 64 digits, 0 to 9 and a to f; verify prints the archive's in its last line", since))
			}
			return a.verify(cmd.Context(), a.archiveDir, names, since)
		},
	}
	a.archiveFlag(cmd)
	a.jsonFlag(cmd)
	cmd.Flags().StringVar(&since, "since", "", "prove that everything that the archive's `SEAL` covered still stands")
	return cmd
}

// isSeal reports whether s has the form of a seal.
func isSeal(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

// verify checks the archive in dir, or that of the configuration if dir is empty.
func (a *app) verify(ctx context.Context, dir string, names []string, since string) error {
	r, cfg, err := a.open(dir)
	if err != nil {
		return err
	}
	defer r.Close()
	start := time.Now()
	// The checkpoints are read before any journal: a writer beside only adds to these.
	whole, err := verifyCheckpoints(r, since)
	if err != nil {
		return err
	}
	checkpoints, err := r.ReadCheckpoints()
	if err != nil {
		return err
	}
	mailboxes, err := mailboxesToVerify(r, checkpoints, names)
	if err != nil {
		return err
	}
	o := archive.VerifyOptions{GroupRead: cfg == nil || cfg.Archive.Group, Checkpoints: checkpoints}
	var all []*archive.VerifyResult
	for _, b := range mailboxes {
		v, err := r.Verify(ctx, b, o)
		if err != nil {
			return err
		}
		if !v.NoJournal || len(v.Findings) > 0 {
			all = append(all, v)
		}
	}
	printed := all
	if whole.Seal != "" || len(whole.Findings) > 0 {
		printed = append(slices.Clone(all), whole)
	}
	damaged := countDamage(printed)
	err = a.print(printed, func(w io.Writer) error { return printVerified(w, all, whole, damaged, time.Since(start)) })
	if err == nil && damaged > 0 {
		err = &exitError{status: exitDamage}
	}
	return err
}

// verifyCheckpoints checks the checkpoints and, with since, what that seal covered.
func verifyCheckpoints(r *archive.Archive, since string) (*archive.VerifyResult, error) {
	whole, err := r.VerifyCheckpoints()
	if err != nil || since == "" {
		return whole, err
	}
	findings, err := r.VerifySince(since)
	whole.Findings = append(whole.Findings, findings...)
	return whole, err
}

// mailboxesToVerify returns what is or was a mailbox of the accounts with these names or
// directories, of all accounts if there are no names.
func mailboxesToVerify(r *archive.Archive, c *archive.Checkpoints, names []string) ([]archive.MailboxDir, error) {
	if len(names) == 0 {
		return r.ToVerify(c, "")
	}
	have, err := r.Accounts()
	if err != nil {
		return nil, err
	}
	have = append(have, c.Accounts()...) // also those that are gone
	slices.Sort(have)
	dirs, err := accountDirs(slices.Compact(have), names)
	if err != nil {
		return nil, err
	}
	var out []archive.MailboxDir
	for _, dir := range dirs {
		mailboxes, err := r.ToVerify(c, dir)
		if err != nil {
			return nil, err
		}
		out = append(out, mailboxes...)
	}
	return out, nil
}

// countDamage counts the findings that are damage.
func countDamage(all []*archive.VerifyResult) int {
	n := 0
	for _, v := range all {
		for _, f := range v.Findings {
			if f.Damage {
				n++
			}
		}
	}
	return n
}

// printVerified prints the seal and the findings of each mailbox, the sums, and the
// archive's last seal.
func printVerified(w io.Writer, all []*archive.VerifyResult, whole *archive.VerifyResult, damaged int, took time.Duration) error {
	messages, unnamed, octets := 0, 0, int64(0)
	for _, v := range all {
		messages += v.Messages
		unnamed += v.Unnamed
		octets += v.Octets
		seal := "seal " + v.Seal
		if v.NoJournal {
			seal = "no journal"
		}
		fmt.Fprintf(w, "%s  %s, %s\n", safetext.Line(v.Dir), english.Plural(v.Messages, "message", ""), seal)
		printFindings(w, v)
	}
	printFindings(w, whole)
	also := ""
	if unnamed > 0 {
		also = english.Plural(unnamed, "message file", "") + " that no journal names; "
	}
	_, err := fmt.Fprintf(w, "%s, %s, %s read in %v; %s%d damaged\n", english.Plural(len(all), "mailbox", ""), english.Plural(messages, "message", ""),
		ui.Octets(octets), took.Round(time.Millisecond), also, damaged)
	if whole.Seal != "" {
		_, err = fmt.Fprintf(w, "archive's seal: %s\n", whole.Seal)
	}
	return err
}

// printFindings prints what was found in a mailbox.
func printFindings(w io.Writer, v *archive.VerifyResult) {
	for _, f := range v.Findings {
		mark := "note  "
		if f.Damage {
			mark = "DAMAGE"
		}
		fmt.Fprintf(w, "  %s %s: %s\n", mark, safetext.Line(f.Path), safetext.Line(f.What))
	}
}

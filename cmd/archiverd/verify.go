package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"archiverd/archive"
	"archiverd/internal/safetext"
	"archiverd/internal/ui"
)

func (a *app) verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify [ACCOUNT…]",
		Short: "Check every journal line against its file, and every file against a journal",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.verify(cmd.Context(), a.archiveDir, names)
		},
	}
	a.archiveFlag(cmd)
	a.jsonFlag(cmd)
	return cmd
}

// verify checks the archive in dir, or that of the configuration if dir is empty.
func (a *app) verify(ctx context.Context, dir string, names []string) error {
	r, cfg, err := a.open(dir)
	if err != nil {
		return err
	}
	defer r.Close()
	mailboxes, err := archivedMailboxes(r, names)
	if err != nil {
		return err
	}
	start := time.Now()
	o := archive.VerifyOptions{GroupRead: cfg == nil || cfg.Archive.Group}
	var all []*archive.VerifyResult
	damaged := 0
	for _, b := range mailboxes {
		v, err := r.Verify(ctx, b, o)
		if err != nil {
			return err
		}
		all = append(all, v)
		for _, f := range v.Findings {
			if f.Damage {
				damaged++
			}
		}
	}
	err = a.print(all, func(w io.Writer) error { return printVerified(w, all, damaged, time.Since(start)) })
	if err == nil && damaged > 0 {
		err = &exitError{status: exitDamage}
	}
	return err
}

// printVerified prints the seal and the findings of each mailbox, and the sums.
func printVerified(w io.Writer, all []*archive.VerifyResult, damaged int, took time.Duration) error {
	messages, octets := 0, int64(0)
	for _, v := range all {
		messages += v.Messages
		octets += v.Octets
		fmt.Fprintf(w, "%s  %s, seal %s\n", safetext.Line(v.Dir), english.Plural(v.Messages, "message", ""), v.Seal)
		for _, f := range v.Findings {
			mark := "note  "
			if f.Damage {
				mark = "DAMAGE"
			}
			fmt.Fprintf(w, "  %s %s: %s\n", mark, safetext.Line(f.Path), safetext.Line(f.What))
		}
	}
	_, err := fmt.Fprintf(w, "%s, %s, %s read in %v; %d damaged\n", english.Plural(len(all), "mailbox", ""), english.Plural(messages, "message", ""),
		ui.Octets(octets), took.Round(time.Millisecond), damaged)
	return err
}

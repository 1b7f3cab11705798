package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"archiverd/internal/safetext"
	"archiverd/internal/ui"
	"archiverd/sync/remote"
)

func (a *app) remoteSearchCommand() *cobra.Command {
	limit := 100
	cmd := &cobra.Command{
		Use:   "search ACCOUNT MAILBOX [KEY…]",
		Short: "Search a mailbox on the server",
		Args:  cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 {
				return usage(fmt.Errorf("--limit %d: it must be at least 1", limit))
			}
			return a.withServer(cmd.Context(), args[0], func(r *remote.Client) error {
				return a.remoteSearch(cmd.Context(), r, args[1], args[2:], limit)
			})
		},
	}
	a.jsonFlag(cmd)
	cmd.Flags().IntVar(&limit, "limit", limit, "list the newest `N`")
	return cmd
}

// remoteFound is what remote search prints.
type remoteFound struct {
	Before   int              `json:"before"` // older messages, which the limit left out
	Messages []remote.Message `json:"messages"`
}

func (a *app) remoteSearch(ctx context.Context, r *remote.Client, mailbox string, keys []string, limit int) error {
	messages, before, err := r.Search(ctx, mailbox, keys, limit)
	if err != nil {
		return err
	}
	found := remoteFound{before, append([]remote.Message{}, messages...)}
	return a.print(found, func(w io.Writer) error { return printRemoteFound(w, found) })
}

func printRemoteFound(out io.Writer, found remoteFound) error {
	w := bufio.NewWriter(out)
	if found.Before > 0 {
		fmt.Fprintf(w, "%d more before these; --limit lists them\n", found.Before)
	}
	for _, m := range found.Messages {
		fmt.Fprintf(w, "%8d  %s  %9s  %s  %s  %s\n", m.UID, ui.Minute(m.InternalDate), ui.Octets(m.Size), ui.Pad(strings.Join(m.Flags, " "), flagColumns),
			ui.Pad(m.From, senderColumns), safetext.Line(m.Subject))
	}
	return w.Flush()
}

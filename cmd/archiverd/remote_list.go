package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"archiverd/internal/safetext"
	"archiverd/internal/ui"
	"archiverd/sync/remote"
)

func (a *app) remoteListCommand() *cobra.Command {
	var capabilities bool
	cmd := &cobra.Command{
		Use:   "list ACCOUNT",
		Short: "List the mailboxes on the server",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withServer(cmd.Context(), args[0], func(r *remote.Client) error {
				return a.remoteList(cmd.Context(), r, capabilities)
			})
		},
	}
	a.jsonFlag(cmd)
	cmd.Flags().BoolVar(&capabilities, "capabilities", false, "list the capabilities of the server, too")
	return cmd
}

// remoteMailboxes is what remote list prints.
type remoteMailboxes struct {
	Mailboxes    []remoteMailbox `json:"mailboxes"`
	Capabilities []string        `json:"capabilities,omitempty"`
}

// remoteMailbox is a mailbox as remote list prints it.
type remoteMailbox struct {
	Mailbox     string   `json:"mailbox"`
	Delimiter   string   `json:"delimiter"`
	Attrs       []string `json:"attrs"`
	Messages    uint32   `json:"messages"`
	UIDNext     uint32   `json:"uidnext"`
	UIDValidity uint32   `json:"uidvalidity"`
	Error       string   `json:"error,omitempty"` // of STATUS: then the numbers are 0
}

func (a *app) remoteList(ctx context.Context, r *remote.Client, capabilities bool) error {
	listed, err := r.List(ctx)
	if err != nil {
		return err
	}
	var out remoteMailboxes
	if capabilities {
		if out.Capabilities, err = r.Capabilities(ctx); err != nil {
			return err
		}
	}
	for _, m := range listed {
		b := remoteMailbox{Mailbox: m.Name, Delimiter: m.Delimiter, Attrs: append([]string{}, m.Attrs...)}
		if m.Status != nil {
			b.Messages, b.UIDNext, b.UIDValidity = m.Status.Messages, m.Status.UIDNext, m.Status.UIDValidity
		}
		if err := cmp.Or(m.Err, m.StatusErr); err != nil {
			b.Error = err.Error()
		}
		out.Mailboxes = append(out.Mailboxes, b)
	}
	return a.print(out, func(w io.Writer) error { return printRemoteMailboxes(w, out, capabilities) })
}

func printRemoteMailboxes(w io.Writer, list remoteMailboxes, capabilities bool) error {
	type row = remoteMailbox
	table := &ui.Table[row]{
		Numbers: []ui.Number[row]{
			{Title: "messages", Of: func(b row) int64 { return int64(b.Messages) }},
			{Title: "uidnext", Of: func(b row) int64 { return int64(b.UIDNext) }},
			{Title: "uidvalidity", Of: func(b row) int64 { return int64(b.UIDValidity) }},
		},
		Texts: []ui.Text[row]{{Title: "mailbox", Of: func(b row) string {
			note := strings.Join(b.Attrs, " ")
			if b.Error != "" {
				note += " (" + b.Error + ")"
			}
			return safetext.Line(b.Mailbox) + "  " + safetext.Line(note)
		}}},
	}
	if err := table.Print(w, list.Mailboxes, nil); err != nil || !capabilities {
		return err
	}
	_, err := fmt.Fprintf(w, "capabilities: %s\n", safetext.Line(strings.Join(list.Capabilities, " ")))
	return err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"archiverd/archive"
	"archiverd/internal/safetext"
	"archiverd/internal/setup"
	"archiverd/sync/remote"
)

func (a *app) remoteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remote",
		Short: "Look at and keep house on an account's server",
		Long: `Does at the server of an account of the configuration what a person does there by
hand. Mailbox names are written as list prints them, with the server's delimiter.

list, search and show change nothing, an unread message stays unread. delete and
purge take away only what is proven to be in the archive.
` + exitHelp,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.remoteList(), a.remoteSearch(), a.remoteShow(), a.remoteCreate(), a.remoteRename(), a.remoteDelete(), a.remotePurge())
	return cmd
}

// atServer does something at the server of an account of that name, with the
// archive at hand where proves.
func (a *app) atServer(ctx context.Context, name string, proves bool, do func(*remote.Client) error) (err error) {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	chosen, err := choose(cfg, []string{name})
	if err != nil {
		return err
	}
	acc, err := setup.Account(cfg, chosen[0], setup.SharedLimiter(cfg))
	if err != nil {
		return usage(err)
	}
	r := &remote.Client{Account: acc, Policy: setup.Policy(cfg, chosen[0])}
	if proves {
		if r.Archive, err = archive.Open(cfg.Archive.Path); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.Archive.Close()) }()
	}
	if err := r.Connect(ctx); err != nil {
		return fmt.Errorf("account %s: %w", acc.Name, err)
	}
	err = do(r)
	for _, text := range r.Alerts() {
		fmt.Fprintf(a.err, "the server says: %s\n", text)
	}
	if err == nil {
		return r.Close(ctx)
	}
	_ = r.Close(ctx) // what went wrong before is the news
	if e := (*exit)(nil); errors.As(err, &e) {
		return err
	}
	err = fmt.Errorf("account %s: %w", acc.Name, err)
	if errors.Is(err, remote.ErrNoMailbox) || errors.Is(err, remote.ErrNoMessage) {
		return usage(err)
	}
	return err
}

// remoteBox is a mailbox as remote list prints it.
type remoteBox struct {
	Mailbox     string   `json:"mailbox"`
	Delimiter   string   `json:"delimiter"`
	Attrs       []string `json:"attrs"`
	Messages    uint32   `json:"messages"`
	UIDNext     uint32   `json:"uidnext"`
	UIDValidity uint32   `json:"uidvalidity"`
	Error       string   `json:"error,omitempty"` // why nothing is known of it
}

func (a *app) remoteList() *cobra.Command {
	var capabilities bool
	cmd := &cobra.Command{
		Use:   "list ACCOUNT",
		Short: "List the mailboxes at the server",
		Long: `Lists the mailboxes at the server, with their number of messages, UIDNEXT,
UIDVALIDITY and attributes; with --capabilities also what the server can do.
` + exitHelp,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.atServer(cmd.Context(), args[0], false, func(r *remote.Client) error {
				return a.listRemote(cmd.Context(), r, capabilities)
			})
		},
	}
	a.jsonFlag(cmd)
	cmd.Flags().BoolVar(&capabilities, "capabilities", false, "list the server's capabilities, too")
	return cmd
}

func (a *app) listRemote(ctx context.Context, r *remote.Client, capabilities bool) error {
	boxes, err := r.List(ctx)
	if err != nil {
		return err
	}
	var out struct {
		Mailboxes    []remoteBox `json:"mailboxes"`
		Capabilities []string    `json:"capabilities,omitempty"`
	}
	if capabilities {
		if out.Capabilities, err = r.Capabilities(ctx); err != nil {
			return err
		}
	}
	for _, m := range boxes {
		b := remoteBox{Mailbox: m.Name, Delimiter: m.Delimiter, Attrs: append([]string{}, m.Attrs...)}
		if m.Status != nil {
			b.Messages, b.UIDNext, b.UIDValidity = m.Status.Messages, m.Status.UIDNext, m.Status.UIDValidity
		}
		if m.StatusErr != nil {
			b.Error = m.StatusErr.Error()
		}
		out.Mailboxes = append(out.Mailboxes, b)
	}
	if a.json {
		return safetext.WriteJSON(a.out, out)
	}
	t := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "messages\tuidnext\tuidvalidity\t\tmailbox")
	for _, b := range out.Mailboxes {
		note := strings.Join(b.Attrs, " ")
		if b.Error != "" {
			note += " (" + b.Error + ")"
		}
		fmt.Fprintf(t, "%d\t%d\t%d\t\t%s  %s\n", b.Messages, b.UIDNext, b.UIDValidity, safetext.Line(b.Mailbox), safetext.Line(note))
	}
	if err := t.Flush(); err != nil || !capabilities {
		return err
	}
	_, err = fmt.Fprintf(a.out, "capabilities: %s\n", safetext.Line(strings.Join(out.Capabilities, " ")))
	return err
}

func (a *app) remoteCreate() *cobra.Command {
	return &cobra.Command{
		Use:   "create ACCOUNT MAILBOX",
		Short: "Make a mailbox at the server, and subscribe to it",
		Long: `Makes a mailbox at the server and subscribes to it. Its levels are separated by the
server's delimiter, which "remote list --json" shows; a "/" means nothing else.
` + exitHelp,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.atServer(cmd.Context(), args[0], false, func(r *remote.Client) error {
				if err := r.Create(cmd.Context(), args[1]); err != nil {
					return err
				}
				_, err := fmt.Fprintf(a.out, "mailbox %q was created on %s\n", args[1], r.Account.Wire.Address)
				return err
			})
		},
	}
}

func (a *app) remoteRename() *cobra.Command {
	return &cobra.Command{
		Use:   "rename ACCOUNT OLD NEW",
		Short: "Give a mailbox at the server another name",
		Long: `Gives a mailbox at the server, and those below it, another name. The new names are
subscribed, the old ones are not any more. INBOX keeps its name.

The next sync takes it for a new mailbox and for one that has vanished; what was
archived stays where it is.
` + exitHelp,
		Args: cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.atServer(cmd.Context(), args[0], false, func(r *remote.Client) error {
				if err := r.Rename(cmd.Context(), args[1], args[2]); err != nil {
					return err
				}
				_, err := fmt.Fprintf(a.out, "mailbox %q was renamed to %q on %s\n", args[1], args[2], r.Account.Wire.Address)
				return err
			})
		},
	}
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"archiverd/internal/message"
	"archiverd/internal/safetext"
	"archiverd/sync/remote"
)

func (a *app) remoteSearch() *cobra.Command {
	limit := 100
	cmd := &cobra.Command{
		Use:   "search ACCOUNT MAILBOX [KEY…]",
		Short: "Search a mailbox at the server",
		Long: `Lists the messages of a mailbox at the server that fit all of the keys, the newest
last: UID, date, size, flags, sender and subject. The keys are those of IMAP (RFC 9051
6.4.4), each an argument of its own; without any, all messages fit. Nothing at the
server changes.
` + exitHelp,
		Example: `  archiverd remote search work INBOX UNSEEN SINCE 1-Nov-2026
  archiverd remote search work Lists FROM "bob smith" OR LARGER 1000000 FLAGGED`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 {
				return usage(fmt.Errorf("--limit %d: it must be at least 1", limit))
			}
			return a.atServer(cmd.Context(), args[0], false, func(r *remote.Client) error {
				return a.searchRemote(cmd.Context(), r, args[1], args[2:], limit)
			})
		},
	}
	a.jsonFlag(cmd)
	cmd.Flags().IntVar(&limit, "limit", limit, "list the newest `N`")
	return cmd
}

func (a *app) searchRemote(ctx context.Context, r *remote.Client, mailbox string, keys []string, limit int) error {
	found, more, err := r.Search(ctx, mailbox, keys, limit)
	if err != nil {
		return err
	}
	if a.json {
		return safetext.WriteJSON(a.out, struct {
			Before   int              `json:"before"` // that the limit left out
			Messages []remote.Message `json:"messages"`
		}{more, append([]remote.Message{}, found...)})
	}
	w := bufio.NewWriter(a.out)
	if more > 0 {
		fmt.Fprintf(w, "%d more before these; --limit lists them\n", more)
	}
	for _, m := range found {
		date := "----------------"
		if !m.InternalDate.IsZero() {
			date = m.InternalDate.Format("2006-01-02 15:04")
		}
		fmt.Fprintf(w, "%8d  %s  %9s  %s  %s  %s\n", m.UID, date, humanize.IBytes(uint64(max(0, m.Size))), pad(strings.Join(m.Flags, " "), 18), pad(m.From, 28), safetext.Line(m.Subject))
	}
	return w.Flush()
}

func (a *app) remoteShow() *cobra.Command {
	var v viewing
	cmd := &cobra.Command{
		Use:   "show ACCOUNT MAILBOX UID",
		Short: "Print one message of the server, readable",
		Long:  showLong("Prints a message at the server as \"show\" prints one of the archive. It is not\narchived by that, and if it is unread it stays unread."),
		Args:  cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := v.check(); err != nil {
				return err
			}
			u, err := strconv.ParseUint(args[2], 10, 32)
			if err != nil || u == 0 {
				return usage(fmt.Errorf("%q is no UID; `archiverd remote search %s MAILBOX` prints them", args[2], args[0]))
			}
			return a.atServer(cmd.Context(), args[0], false, func(r *remote.Client) error {
				return a.showRemote(cmd.Context(), r, args[1], uint32(u), v)
			})
		},
	}
	a.jsonFlag(cmd)
	v.flags(cmd)
	return cmd
}

// showRemote fetches a message into a temporary file, for only in the end is it
// known whether what came was the message, and prints it. The file has no name
// any more when it gets its first octet: whatever ends us, nothing is left.
func (a *app) showRemote(ctx context.Context, r *remote.Client, mailbox string, u uint32, v viewing) (err error) {
	f, err := os.CreateTemp("", "archiverd-*.eml") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := os.Remove(f.Name()); err != nil {
		return err
	}
	m, err := r.Fetch(ctx, mailbox, u, f)
	if err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if done, err := v.octets(a, f); done {
		return err
	}
	msg, err := v.read(a, f)
	if err != nil {
		return err
	}
	if a.json {
		return safetext.WriteJSON(a.out, struct {
			Account string           `json:"account"`
			Mailbox string           `json:"mailbox"`
			Server  remote.Message   `json:"server"`
			Message *message.Message `json:"message"`
		}{r.Account.Name, mailbox, m, msg})
	}
	return a.printMessage(msg, v, m.InternalDate, m.Flags,
		message.Field{Name: "UID", Value: fmt.Sprintf("%d in mailbox %q on %s", u, mailbox, r.Account.Wire.Address)})
}

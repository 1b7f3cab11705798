package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"archiverd/internal/message"
	"archiverd/sync/remote"
)

func (a *app) remoteShowCommand() *cobra.Command {
	var f showFlags
	cmd := &cobra.Command{
		Use:   "show ACCOUNT MAILBOX UID",
		Short: "Print one message of the server",
		Args:  cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			uid, err := strconv.ParseUint(args[2], 10, 32)
			if err != nil || uid == 0 {
				return usage(fmt.Errorf("%q is not a UID; `archiverd remote search %s MAILBOX` prints them", args[2], args[0]))
			}
			return a.withServer(cmd.Context(), args[0], func(r *remote.Client) error {
				return a.remoteShow(cmd.Context(), r, args[1], uint32(uid), f)
			})
		},
	}
	a.jsonFlag(cmd)
	f.add(cmd)
	return cmd
}

// remoteShow fetches a message into a temporary file and prints it: whether all of it
// arrived is only known at its end. The file is removed before its first octet is
// written, so nothing stays on disk however the program ends.
func (a *app) remoteShow(ctx context.Context, r *remote.Client, mailbox string, uid uint32, flags showFlags) (err error) {
	f, err := os.CreateTemp("", "archiverd-*.eml") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := os.Remove(f.Name()); err != nil {
		return err
	}
	m, err := r.Fetch(ctx, mailbox, uid, f)
	if err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if done, err := a.writeOctets(f, flags); done {
		return err
	}
	msg, err := a.readMessage(f, flags)
	if err != nil {
		return err
	}
	result := struct {
		Account string           `json:"account"`
		Mailbox string           `json:"mailbox"`
		Server  remote.Message   `json:"server"`
		Message *message.Message `json:"message"`
	}{r.Account.Name, mailbox, m, msg}
	return a.print(result, func(w io.Writer) error {
		place := message.Field{Name: "UID", Value: fmt.Sprintf("%d in mailbox %q on %s", uid, mailbox, r.Account.Wire.Address)}
		return printMessage(w, shownMessage{Message: msg, received: m.InternalDate, flags: m.Flags, details: []message.Field{place}, allFields: flags.allFields})
	})
}

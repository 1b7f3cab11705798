package main

import (
	"errors"
	"fmt"
	"io"
	"path"
	"time"

	"github.com/spf13/cobra"

	"archiverd/archive"
	"archiverd/internal/message"
	"archiverd/internal/ui"
)

func (a *app) showCommand() *cobra.Command {
	var f showFlags
	var at string
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Print one message",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			t, err := parseEnd("--at", at)
			if err != nil {
				return err
			}
			return a.show(f, args[0], t)
		},
	}
	a.archiveFlag(cmd)
	a.jsonFlag(cmd)
	f.add(cmd)
	cmd.Flags().StringVar(&at, "at", "", "with the flags of `TIME`")
	return cmd
}

// show prints the message with this ID as it was at a time; the zero time is now. A
// damaged message is printed all the same, and is an error.
func (a *app) show(flags showFlags, id string, at time.Time) error {
	r, _, err := a.reader()
	if err != nil {
		return err
	}
	defer r.Close()
	id, m, err := findMessage(r, id, at)
	if err != nil {
		return err
	}
	f, err := r.OpenFile(id)
	if err != nil {
		return damageError(id, err)
	}
	defer f.Close()
	damage := checkOctets(f, id, m)
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return errors.Join(fmt.Errorf("read %s: %w", id, err), damage)
	}
	if done, err := a.writeOctets(f, flags); done {
		return errors.Join(err, damage)
	}
	return errors.Join(a.showMessage(f, flags, id, m), damage)
}

// findMessages finds the messages whose paths are the IDs, or contain them and no other
// message's path does. An ID without such a message is a usage error.
func findMessages(r *archive.Archive, ids []string) ([]*archive.FoundMessages, error) {
	found, err := r.FindMessages(ids)
	if missing := (*archive.NoMessageError)(nil); errors.As(err, &missing) {
		err = fmt.Errorf("%w; `archiverd list ACCOUNT MAILBOX` prints IDs", missing)
		return nil, usage(errors.Join(err, missing.Corrupt))
	}
	if ambiguous := (*archive.AmbiguousError)(nil); errors.As(err, &ambiguous) {
		return nil, usage(err)
	}
	return found, err
}

// findMessage returns the path of the message with this ID, and the message as its
// mailbox had it last, or at a time.
func findMessage(r *archive.Archive, id string, at time.Time) (string, *archive.Message, error) {
	list, err := findMessages(r, []string{id})
	if err != nil {
		return "", nil, err
	}
	found := list[0]
	v, err := r.FoldAt(found.Mailbox, at)
	if err != nil && !errors.Is(err, archive.ErrCorrupt) {
		return "", nil, err
	}
	var last *archive.Message
	for _, m := range v.All() {
		if m.Path == found.Paths[0] {
			last = m
		}
	}
	full := path.Join(found.Mailbox.Dir, found.Paths[0])
	if last == nil {
		return "", nil, usage(fmt.Errorf("%s was not archived yet at %s", full, ui.ZonedTime(at)))
	}
	return full, last, nil
}

// damageError is the error of a file that is not as it was archived.
func damageError(id string, err error) error {
	return &exitError{exitDamage, fmt.Errorf("%s is not what was archived (%w): `archiverd verify` finds all damaged files, and a backup may have them", id, err)}
}

// checkOctets reads the file of a message to its end. It returns a damageError if the
// octets are not those that were archived.
func checkOctets(f io.Reader, id string, m *archive.Message) error {
	sum, size, err := archive.Hash(f)
	if err == nil {
		err = m.CheckOctets(sum, size)
	}
	if err != nil {
		return damageError(id, err)
	}
	return nil
}

// showMessage prints message f of the archive.
func (a *app) showMessage(f io.Reader, flags showFlags, id string, m *archive.Message) error {
	msg, err := a.readMessage(f, flags)
	if err != nil {
		return err
	}
	result := struct {
		ID       string           `json:"id"`
		Archived *archive.Message `json:"archived"`
		Message  *message.Message `json:"message"`
	}{id, m, msg}
	return a.print(result, func(w io.Writer) error {
		var details []message.Field
		if !m.Gone.IsZero() {
			details = append(details, message.Field{Name: "Gone from the server", Value: "seen at " + m.Gone.Format(ui.ZonedLayout)})
		}
		details = append(details, message.Field{Name: "ID", Value: id})
		return printMessage(w, shownMessage{Message: msg, received: m.InternalDate, flags: m.Flags, details: details, allFields: flags.allFields})
	})
}

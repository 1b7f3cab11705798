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
	"archiverd/internal/safetext"
)

func (a *app) showCommand() *cobra.Command {
	var v viewing
	var atText string
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Print one message, readable",
		Long:  showLong("Prints a message: its main header fields, decoded; its text; and its parts by\nnumber. ID is a path as list prints it and the archive has it, or any part of one\nthat only one message has.\n\n--at shows it with the flags that it had at a time, written as list has it."),
		Example: `  archiverd show 20261122T183000Z.1700000000.123
  archiverd show --part 3 1700000000.123 > report.pdf
  archiverd show --save attachments 1700000000.123
  archiverd show --at yesterday 1700000000.123`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := v.check(); err != nil {
				return err
			}
			at, err := parseEnd("--at", atText)
			if err != nil {
				return err
			}
			r, _, err := a.reader()
			if err != nil {
				return err
			}
			defer r.Close()
			id, m, err := findMessage(r, args[0], at)
			if err != nil {
				return err
			}
			f, err := r.OpenFile(id)
			if err != nil {
				return damage(id, err)
			}
			defer f.Close()
			bad := damaged(f, id, m)
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				return errors.Join(fmt.Errorf("read %s: %w", id, err), bad)
			}
			if done, err := v.octets(a, f); done {
				return errors.Join(err, bad)
			}
			return errors.Join(a.show(f, v, id, m), bad)
		},
	}
	a.archiveFlag(cmd)
	a.jsonFlag(cmd)
	v.flags(cmd)
	cmd.Flags().StringVar(&atText, "at", "", "with the flags of `TIME`")
	return cmd
}

// showLong is the help of show, which is about a message of the archive, and of
// remote show.
func showLong(what string) string {
	return what + `

Nothing is ever fetched from a network, and nothing in the message reaches the
terminal as it is: control and invisible characters are written as escapes. HTML is
shown as text, links with their true targets; text that mail programs hide is left
out and counted. --html shows the HTML where the message has plain text too.

Parts have numbers, through all messages within the message. --part N writes the
octets of one, decoded; redirect them to a file. --save DIR saves what is attached
under its own name, into a folder that is made if need be: a message within the
message as one file, no file overwritten. With --part N it saves that part alone.
--raw writes the message's octets as they are.
` + exitHelp
}

// findMessage returns the path of the one message whose path is, or contains, id,
// and the message as its mailbox knew it last, or at a time.
func findMessage(r *archive.Archive, id string, at time.Time) (string, *archive.Message, error) {
	list, err := findMessages(r, []string{id})
	if err != nil {
		return "", nil, err
	}
	n := list[0]
	v, err := r.FoldAt(n.Mailbox, at)
	if err != nil && !errors.Is(err, archive.ErrCorrupt) {
		return "", nil, err
	}
	var found *archive.Message
	for _, m := range v.All() {
		if m.Path == n.Paths[0] {
			found = m
		}
	}
	if found == nil {
		return "", nil, usage(fmt.Errorf("%s was not archived yet at %s", path.Join(n.Mailbox.Dir, n.Paths[0]), localTime(at)))
	}
	return path.Join(n.Mailbox.Dir, n.Paths[0]), found, nil
}

// damage is the error for a file that is not what was archived.
func damage(id string, err error) error {
	return &exit{exitDamage, fmt.Errorf("%s is not what was archived (%w): `archiverd verify` finds all such, and a backup may have them", id, err)}
}

// damaged reads the file of a message to its end; nil: it is what was archived.
func damaged(f io.Reader, id string, m *archive.Message) error {
	sum, size, err := archive.Hash(f)
	if err == nil {
		err = m.CheckOctets(sum, size)
	}
	if err != nil {
		return damage(id, err)
	}
	return nil
}

// viewing says what is wanted of a message.
type viewing struct {
	raw       bool
	part      int
	save      string
	allFields bool
	html      bool
	given     func(flag string) bool
}

func (v *viewing) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&v.raw, "raw", false, "write the message's octets")
	f.IntVar(&v.part, "part", 0, "write the octets of part `N`, decoded")
	f.StringVar(&v.save, "save", "", "save the attachments, or part N, into `DIR`")
	f.BoolVar(&v.allFields, "all-headers", false, "print every header field, decoded")
	f.BoolVar(&v.html, "html", false, "show the HTML rather than the plain text")
	v.given = f.Changed
	cmd.MarkFlagsMutuallyExclusive("raw", "part", "json")
	for _, octets := range []string{"raw", "part", "save"} {
		cmd.MarkFlagsMutuallyExclusive(octets, "all-headers")
		cmd.MarkFlagsMutuallyExclusive(octets, "html")
	}
	cmd.MarkFlagsMutuallyExclusive("save", "raw")
	cmd.MarkFlagsMutuallyExclusive("save", "json")
}

// check finds what no message can have.
func (v viewing) check() error {
	switch {
	case v.given("part") && v.part < 1:
		return usage(fmt.Errorf("--part %d: parts are numbered from 1", v.part))
	case v.given("save") && v.save == "":
		return usage(errors.New("--save: name a folder, . for this one"))
	}
	return nil
}

// octets writes the octets that are wanted of message f, if any are.
func (v viewing) octets(a *app, f io.Reader) (done bool, err error) {
	switch {
	case v.raw:
		_, err := io.Copy(a.out, f)
		return true, err
	case v.save != "":
		return true, noPart(a.saveParts(f, v.save, v.part), v.part)
	case v.part != 0:
		if isTerminal(a.out) {
			return true, usage(fmt.Errorf("part %d may be anything, and standard output is a terminal: redirect it to a file, or --save DIR", v.part))
		}
		return true, noPart(message.WritePart(a.out, f, v.part, message.Options{}), v.part)
	}
	return false, nil
}

// noPart says how to find a part that there is.
func noPart(err error, part int) error {
	if errors.Is(err, message.ErrNoPart) {
		return usage(fmt.Errorf("part %d: %w; the same command without --part lists them", part, message.ErrNoPart))
	}
	return err
}

// read reads a message to be printed. Only a person wants to see where parts stand.
func (v viewing) read(a *app, f io.Reader) (*message.Message, error) {
	return message.Read(f, message.Options{PreferHTML: v.html, MarkParts: !a.json})
}

func (a *app) show(f io.Reader, v viewing, id string, m *archive.Message) error {
	msg, err := v.read(a, f)
	if err != nil {
		return err
	}
	if a.json {
		return safetext.WriteJSON(a.out, struct {
			ID       string           `json:"id"`
			Archived *archive.Message `json:"archived"`
			Message  *message.Message `json:"message"`
		}{id, m, msg})
	}
	about := []message.Field{{Name: "ID", Value: id}}
	if !m.Gone.IsZero() {
		about = append([]message.Field{{Name: "Gone from the server", Value: "seen at " + m.Gone.Format(showTime)}}, about...)
	}
	return a.printMessage(msg, v, m.InternalDate, m.Flags, about...)
}

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"archiverd/archive"
	"archiverd/internal/message"
	"archiverd/internal/safetext"
)

func (a *app) showCommand() *cobra.Command {
	var octets octetsOf
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Print one message, readable",
		Long: `Prints a message: its main header fields, decoded; its text; and its parts by
number. ID is a path as list prints it and the archive has it, or any part of one
that only one message has.

--raw writes the message's octets as they are, --part N those of an attachment,
decoded; redirect them to a file.
` + exitHelp,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			r, _, err := a.reader()
			if err != nil {
				return err
			}
			defer r.Close()
			id, m, err := findMessage(r, args[0])
			if err != nil {
				return err
			}
			f, err := r.OpenFile(id)
			if err != nil {
				return err
			}
			defer f.Close()
			if wanted, err := octets.write(a, f); wanted {
				return err
			}
			return a.show(f, id, m)
		},
	}
	a.archiveFlag(cmd)
	a.jsonFlag(cmd)
	octets.flags(cmd)
	return cmd
}

// findMessage returns the path of the one message whose path is, or contains, id,
// and the message as its mailbox knew it last.
func findMessage(r *archive.Archive, id string) (string, *archive.Message, error) {
	list, err := findMessages(r, []string{id})
	if err != nil {
		return "", nil, err
	}
	n := list[0]
	v, _, err := r.Fold(n.box)
	if err != nil && !errors.Is(err, archive.ErrCorrupt) {
		return "", nil, err
	}
	var found *archive.Message
	for _, m := range v.All() {
		if m.Path == n.paths[0] {
			found = m
		}
	}
	return path.Join(n.box.Dir, n.paths[0]), found, nil
}

// octetsOf says which octets of a message are wanted instead of a page to read.
type octetsOf struct {
	raw  bool
	part int
}

func (o *octetsOf) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.raw, "raw", false, "write the message's octets")
	cmd.Flags().IntVar(&o.part, "part", 0, "write the octets of part `N`, decoded")
	cmd.MarkFlagsMutuallyExclusive("raw", "part", "json")
}

// write writes the octets that are wanted of message f, if any are.
func (o octetsOf) write(a *app, f io.Reader) (wanted bool, err error) {
	switch {
	case o.raw:
		_, err := io.Copy(a.out, f)
		return true, err
	case o.part != 0:
		return true, a.showPart(f, o.part)
	}
	return false, nil
}

func (a *app) showPart(f io.Reader, part int) error {
	if t, ok := a.out.(*os.File); ok && term.IsTerminal(int(t.Fd())) {
		return usage(fmt.Errorf("part %d may be anything, and standard output is a terminal: redirect it to a file", part))
	}
	err := message.WritePart(a.out, f, part, message.Options{})
	if errors.Is(err, message.ErrNoPart) {
		return usage(fmt.Errorf("part %d: %w; the same command without --part lists them", part, err))
	}
	return err
}

func (a *app) show(f io.Reader, id string, m *archive.Message) error {
	msg, err := message.Read(f, message.Options{})
	if err != nil {
		return err
	}
	if a.json {
		return writeJSON(a.out, struct {
			ID       string           `json:"id"`
			Archived *archive.Message `json:"archived"`
			Message  *message.Message `json:"message"`
		}{id, m, msg})
	}
	about := []string{"ID: " + id}
	if !m.Gone.IsZero() {
		about = append([]string{"Gone from the server: seen at " + m.Gone.Format("2006-01-02 15:04:05 -0700")}, about...)
	}
	return a.printMessage(msg, m.InternalDate, m.Flags, about...)
}

// printMessage prints a message for reading. about are further lines for its head.
func (a *app) printMessage(msg *message.Message, received time.Time, flags []string, about ...string) error {
	w := &strings.Builder{}
	for _, name := range []string{"From", "To", "Cc", "Bcc", "Reply-To", "Date", "Subject", "Message-ID"} {
		for _, h := range msg.Header {
			if strings.EqualFold(h.Name, name) {
				fmt.Fprintf(w, "%s: %s\n", name, safetext.Line(h.Value))
			}
		}
	}
	if !received.IsZero() {
		fmt.Fprintf(w, "Received: %s\n", received.Format("2006-01-02 15:04:05 -0700"))
	}
	fmt.Fprintf(w, "Flags: %s\n", safetext.Line(strings.Join(flags, " ")))
	for _, line := range about {
		fmt.Fprintln(w, safetext.Line(line))
	}
	fmt.Fprintf(w, "\n%s\n", strings.TrimRight(safetext.Text(msg.Text), "\n"))
	if len(msg.Parts) > 1 || len(msg.Parts) == 1 && msg.Parts[0].Name != "" {
		fmt.Fprintln(w, "\nParts:")
		for _, p := range msg.Parts {
			fmt.Fprintf(w, "  %d  %s  %s  %s %s\n", p.Number, safetext.Line(p.Type), humanize.IBytes(uint64(p.Size)), safetext.Line(p.Disposition), safetext.Line(p.Name))
		}
	}
	for _, p := range msg.Problems {
		fmt.Fprintf(w, "note: %s\n", safetext.Line(p))
	}
	_, err := io.WriteString(a.out, w.String())
	return err
}

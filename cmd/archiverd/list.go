package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/rivo/uniseg"
	"github.com/spf13/cobra"

	"archiverd/archive"
	"archiverd/internal/message"
	"archiverd/internal/safetext"
)

func (a *app) listCommand() *cobra.Command {
	var gone bool
	cmd := &cobra.Command{
		Use:   "list [ACCOUNT [MAILBOX]]",
		Short: "List mailboxes, or the messages of one",
		Long: `Lists the mailboxes of the archive, or of an account; with a mailbox, its messages
with their date, size, flags, sender, subject and ID. The ID is what show takes.

Reads the archive alone: it works beside the daemon, on a copy, on another machine.
` + exitHelp,
		Args: cobra.MaximumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			r, _, err := a.reader()
			if err != nil {
				return err
			}
			defer r.Close()
			if len(args) == 2 {
				return a.listMessages(r, args[0], args[1], gone)
			}
			return a.listBoxes(r, args)
		},
	}
	a.archiveFlag(cmd)
	a.jsonFlag(cmd)
	cmd.Flags().BoolVar(&gone, "gone", false, "list the messages that the server no longer has")
	return cmd
}

// listedBox is a mailbox as list prints it.
type listedBox struct {
	Account     string    `json:"account"`
	Mailbox     string    `json:"mailbox"`
	Dir         string    `json:"dir"`
	UIDValidity uint32    `json:"uidvalidity"`
	Messages    int       `json:"messages"`
	Gone        int       `json:"gone"`
	Failed      int       `json:"failed"`
	Octets      int64     `json:"octets"`
	Vanished    time.Time `json:"vanished,omitzero"`
}

func (a *app) listBoxes(r *archive.Archive, names []string) error {
	boxes, err := selectBoxes(r, names)
	if err != nil {
		return err
	}
	var list []listedBox
	var corrupt error
	for _, b := range boxes {
		v, _, err := r.Fold(b)
		if errors.Is(err, archive.ErrCorrupt) {
			corrupt = errors.Join(corrupt, err)
		} else if err != nil {
			return err
		}
		if unnamed(v, err) {
			continue
		}
		l := listedBox{Account: b.Account, Mailbox: v.Name.Mailbox, Dir: b.Dir, Vanished: v.Vanished}
		for ep, m := range v.All() {
			if v.Here(ep, m) {
				l.Messages++
				l.Octets += m.Size
			} else {
				l.Gone++
			}
		}
		if ep := v.Epoch(); ep != nil {
			l.UIDValidity, l.Failed = ep.UIDValidity, len(ep.Failed)
		}
		list = append(list, l)
	}
	if a.json {
		return errors.Join(writeJSON(a.out, list), corrupt)
	}
	t := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "messages\tgone\tfailed\toctets\t\taccount\t\tmailbox")
	for _, l := range list {
		fmt.Fprintf(t, "%d\t%d\t%d\t%s\t\t%s\t\t%s\n", l.Messages, l.Gone, l.Failed, humanize.IBytes(uint64(l.Octets)), safetext.Line(l.Account), safetext.Line(l.Mailbox))
	}
	return errors.Join(t.Flush(), corrupt)
}

// unnamed says that a journal tells of nothing yet: the run that began it was
// interrupted before its first commit.
func unnamed(v *archive.View, err error) bool { return err == nil && v.Epoch() == nil }

// listedMessage is a message as list prints it.
type listedMessage struct {
	ID           string    `json:"id"`
	UIDValidity  uint32    `json:"uidvalidity"`
	UID          uint32    `json:"uid"`
	InternalDate time.Time `json:"internaldate,omitzero"`
	Size         int64     `json:"size"`
	SHA256       string    `json:"sha256"`
	Flags        []string  `json:"flags"`
	Gone         time.Time `json:"gone,omitzero"`
	From         string    `json:"from"`
	Subject      string    `json:"subject"`
}

func (a *app) listMessages(r *archive.Archive, account, mailbox string, gone bool) error {
	b, v, err := findBox(r, account, mailbox)
	if err != nil {
		return err
	}
	list := []listedMessage{}
	for ep, m := range v.All() {
		if v.Here(ep, m) == gone {
			continue
		}
		l := listedMessage{ID: b.ID(m), UIDValidity: ep.UIDValidity, UID: m.UID, InternalDate: m.InternalDate,
			Size: m.Size, SHA256: m.Sum.String(), Flags: m.Flags, Gone: m.Gone}
		l.From, l.Subject = heading(r, l.ID)
		list = append(list, l)
	}
	slices.SortStableFunc(list, func(a, b listedMessage) int { return cmp.Compare(a.InternalDate.Unix(), b.InternalDate.Unix()) })
	if a.json {
		return writeJSON(a.out, list)
	}
	w := bufio.NewWriter(a.out)
	for _, l := range list {
		date := "----------------"
		if !l.InternalDate.IsZero() {
			date = l.InternalDate.Format("2006-01-02 15:04")
		}
		fmt.Fprintf(w, "%s  %9s  %s  %s  %s  %s\n", date, humanize.IBytes(uint64(l.Size)), pad(strings.Join(l.Flags, " "), 18),
			pad(l.From, 28), pad(l.Subject, 44), safetext.Line(l.ID))
	}
	return w.Flush()
}

// pad cuts or fills s to a display width.
func pad(s string, width int) string {
	s = safetext.Cut(s, width)
	return s + strings.Repeat(" ", max(0, width-uniseg.StringWidth(s)))
}

// headOctets is how much of a message is read for its sender and subject.
const headOctets = 64 << 10

// heading returns sender and subject of the message at path; empty if it can't
// be read, which verify reports.
func heading(r *archive.Archive, path string) (from, subject string) {
	f, err := r.OpenFile(path)
	if err != nil {
		return "", ""
	}
	defer f.Close()
	m, err := message.ReadHeader(io.LimitReader(f, headOctets), message.Options{})
	if err != nil {
		return "", ""
	}
	return m.Get("From"), m.Get("Subject")
}

// findBox returns the mailbox of that name, or directory, in an account.
func findBox(r *archive.Archive, account, mailbox string) (archive.Box, *archive.View, error) {
	boxes, err := selectBoxes(r, []string{account})
	if err != nil {
		return archive.Box{}, nil, err
	}
	var names []string
	for _, b := range boxes {
		v, _, err := r.Fold(b)
		if err != nil && !errors.Is(err, archive.ErrCorrupt) {
			return b, nil, err
		}
		if v.Name.Mailbox == mailbox || b.Dir == mailbox || b.Dir == path.Join(b.Account, mailbox) || strings.EqualFold(mailbox, "INBOX") && v.Name.Mailbox == "INBOX" {
			return b, v, err
		}
		names = append(names, v.Name.Mailbox)
	}
	return archive.Box{}, nil, usage(fmt.Errorf("no mailbox %q in account %q; it has %q", mailbox, account, names))
}

package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/rivo/uniseg"
	"github.com/spf13/cobra"

	"archiverd/archive"
	"archiverd/archive/history"
	"archiverd/internal/message"
	"archiverd/internal/safetext"
)

// listing are the flags of list.
type listing struct {
	selecting
	moved bool
}

func (a *app) listCommand() *cobra.Command {
	var f listing
	cmd := &cobra.Command{
		Use:   "list [ACCOUNT [MAILBOX]]",
		Short: "List mailboxes, or the messages of one",
		Long: `Lists the mailboxes of the archive, or of an account; with a mailbox, its messages
with their date, size, flags, sender, subject and ID. The ID is what show takes.

With --at it lists what there was at a time: the mailboxes that the server had then, the
messages that a mailbox had, with their flags of then. A mailbox that has been renamed or
deleted since is called by its name of then.

With --gone it lists the messages that disappeared, the last first: when that was seen,
from which mailbox, and what they were. What came back, what a server merely renumbered
and what was moved to another mailbox is not gone; --moved lists that instead, and where
it is.

` + timesHelp + `
Reads the archive alone: it works beside the daemon, on a copy, on another machine.
` + exitHelp,
		Example: `  archiverd list home INBOX --at 2026-11-01
  archiverd list home --gone --since yesterday
  archiverd list home INBOX --moved --since 3d`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			f.gone = f.gone || f.moved
			s, err := f.selection("")
			if err != nil {
				return err
			}
			if len(args) == 2 && len(f.mailboxes) > 0 {
				return usage(fmt.Errorf("%q is the mailbox: leave out --mailbox", args[1]))
			}
			r, _, err := a.reader()
			if err != nil {
				return err
			}
			defer r.Close()
			accounts, err := selectAccounts(r, args)
			switch {
			case err != nil:
				return err
			case f.gone:
				return a.listGone(r, f, s, accounts, args)
			case len(args) == 2:
				return a.listMessages(r, s, args[0], args[1])
			}
			return a.listBoxes(r, f, s, accounts)
		},
	}
	a.archiveFlag(cmd)
	a.jsonFlag(cmd)
	f.flags(cmd)
	cmd.Flags().BoolVar(&f.moved, "moved", false, "like --gone, what came back or was moved, and where to")
	return cmd
}

// selectAccounts are the directories of the account that args begin with, or of all.
func selectAccounts(r *archive.Archive, args []string) ([]string, error) {
	have, err := r.Accounts()
	if err != nil || len(args) == 0 {
		return have, err
	}
	dir := archive.Escape(args[0])
	if !slices.Contains(have, dir) {
		return nil, usage(fmt.Errorf("no account %q in the archive; it has %q", args[0], have))
	}
	return []string{dir}, nil
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

func (a *app) listBoxes(r *archive.Archive, f listing, s history.Selection, accounts []string) error {
	list := []listedBox{}
	var faults error
	var names []archive.Name
	for _, account := range accounts {
		at := map[archive.MailboxDir]int{} // their places in the list
		losses, err := history.Losses(r, account, s.At, func(b archive.MailboxDir, v *archive.View, err error) {
			names = append(names, v.Name)
			if faults = errors.Join(faults, err); unnamed(v, err) || s.Mailbox != nil && !s.Mailbox(v.Name) || !s.At.IsZero() && !v.Vanished.IsZero() {
				return
			}
			at[b] = len(list)
			list = append(list, boxOf(b, v, s))
		})
		if err != nil {
			return err
		}
		for _, l := range losses {
			if i, ok := at[l.Mailbox]; ok && l.To == nil && s.IncludesDate(l.Message.InternalDate) {
				list[i].Gone++
			}
		}
	}
	if err := f.missing(strings.Join(accounts, ", "), names); err != nil {
		return err
	}
	if a.json {
		return errors.Join(safetext.WriteJSON(a.out, list), faults)
	}
	t := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "messages\tgone\tfailed\toctets\t\taccount\t\tmailbox")
	for _, l := range list {
		fmt.Fprintf(t, "%d\t%d\t%d\t%s\t\t%s\t\t%s\n", l.Messages, l.Gone, l.Failed, humanize.IBytes(uint64(l.Octets)), safetext.Line(l.Account), safetext.Line(l.Mailbox))
	}
	return errors.Join(t.Flush(), faults)
}

// boxOf is a mailbox as the view tells, with the messages that s means; gone is
// the caller's to count.
func boxOf(b archive.MailboxDir, v *archive.View, s history.Selection) listedBox {
	l := listedBox{Account: b.Account, Mailbox: v.Name.Mailbox, Dir: b.Dir, Vanished: v.Vanished}
	for ep, m := range v.All() {
		if v.Listed(ep, m) && s.IncludesDate(m.InternalDate) {
			l.Messages++
			l.Octets += m.Size
		}
	}
	if ep := v.Epoch(); ep != nil {
		l.UIDValidity, l.Failed = ep.UIDValidity, len(ep.Failed)
	}
	return l
}

// unnamed says that a journal tells of nothing yet: the run that began it was
// interrupted before its first commit.
func unnamed(v *archive.View, err error) bool { return err == nil && v.Epoch() == nil }

// listedMessage is a message as list prints it.
type listedMessage struct {
	ID           string    `json:"id"`
	Account      string    `json:"account"`
	Mailbox      string    `json:"mailbox"`
	UIDValidity  uint32    `json:"uidvalidity"`
	UID          uint32    `json:"uid"`
	InternalDate time.Time `json:"internaldate,omitzero"`
	Size         int64     `json:"size"`
	SHA256       string    `json:"sha256"`
	Flags        []string  `json:"flags"`
	Gone         time.Time `json:"gone,omitzero"`
	From         string    `json:"from"`
	Subject      string    `json:"subject"`
	To           *movedTo  `json:"moved_to,omitempty"`
}

// listed is m of the mailbox as list prints it.
func listed(r *archive.Archive, b archive.MailboxDir, n archive.Name, m *archive.Message) listedMessage {
	l := listedMessage{ID: b.ID(m), Account: b.Account, Mailbox: n.Mailbox, UIDValidity: m.UIDValidity, UID: m.UID,
		InternalDate: m.InternalDate, Size: m.Size, SHA256: m.Sum.String(), Flags: m.Flags}
	l.From, l.Subject = heading(r, l.ID)
	return l
}

func (a *app) listMessages(r *archive.Archive, s history.Selection, account, mailbox string) error {
	b, v, err := findBox(r, account, mailbox, s.At)
	if err != nil {
		return err
	}
	list := []listedMessage{}
	for ep, m := range v.All() {
		if v.Listed(ep, m) && s.IncludesDate(m.InternalDate) {
			list = append(list, listed(r, b, v.Name, m))
		}
	}
	slices.SortStableFunc(list, func(a, b listedMessage) int { return cmp.Compare(a.InternalDate.Unix(), b.InternalDate.Unix()) })
	if a.json {
		return safetext.WriteJSON(a.out, list)
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

// findBox returns the mailbox of that name, or directory, in an account, as it was at
// a time; zero: now. An account or a mailbox that there is not is a usage error.
func findBox(r *archive.Archive, account, mailbox string, at time.Time) (archive.MailboxDir, *archive.View, error) {
	dir, err := archivedAccount(r, account)
	if err != nil {
		return archive.MailboxDir{}, nil, err
	}
	b, v, err := r.FindMailbox(dir, mailbox, at)
	missing := (*archive.NoMailboxError)(nil)
	if !errors.As(err, &missing) {
		return b, v, err
	}
	switch {
	case at.IsZero():
		err = fmt.Errorf("no mailbox %q in account %q; it has %q", mailbox, account, missing.Names)
	case len(missing.Names) == 0:
		err = fmt.Errorf("nothing of account %q was archived yet at %s", account, localTime(at))
	default:
		err = fmt.Errorf("account %q had no mailbox %q at %s; it had %q", account, mailbox, localTime(at), missing.Names)
	}
	return b, nil, usage(errors.Join(err, missing.Corrupt))
}

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"archiverd/archive"
	"archiverd/archive/history"
	"archiverd/internal/message"
	"archiverd/internal/ui"
)

// listFlags are the flags of list.
type listFlags struct {
	selectFlags
	moved bool
}

func (a *app) listCommand() *cobra.Command {
	var f listFlags
	cmd := &cobra.Command{
		Use:   "list [ACCOUNT [MAILBOX]]",
		Short: "List mailboxes, or the messages of one",
		Args:  cobra.MaximumNArgs(2),
		RunE:  func(_ *cobra.Command, args []string) error { return a.list(f, args) },
	}
	a.archiveFlag(cmd)
	a.jsonFlag(cmd)
	f.add(cmd)
	cmd.Flags().BoolVar(&f.moved, "moved", false, "like --gone, but what came back or was moved, and where it is")
	return cmd
}

func (a *app) list(f listFlags, args []string) error {
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
	accounts, err := archivedAccounts(r, args[:min(1, len(args))])
	switch {
	case err != nil:
		return err
	case f.gone:
		return a.listGone(r, f, s, accounts, args)
	case len(args) == 2:
		return a.listMessages(r, s, args[0], args[1])
	}
	return a.listMailboxes(r, f, s, accounts)
}

// listedMailbox is a mailbox as list prints it.
type listedMailbox struct {
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

// listMailboxes lists the mailboxes of the accounts. An unreadable journal does not stop
// it; it returns the errors of all of them.
func (a *app) listMailboxes(r *archive.Archive, f listFlags, s history.Selection, accounts []string) error {
	list := []listedMailbox{}
	var faults error
	var names []archive.Name
	for _, account := range accounts {
		indexes := map[archive.MailboxDir]int{} // in list
		losses, err := history.Losses(r, account, s.At, func(b archive.MailboxDir, v *archive.View, err error) {
			names = append(names, v.Name)
			faults = errors.Join(faults, err)
			if isListed(v, err, s) {
				indexes[b] = len(list)
				list = append(list, newListedMailbox(b, v, s))
			}
		})
		if err != nil {
			return err
		}
		for _, l := range losses {
			if i, ok := indexes[l.Mailbox]; ok && l.To == nil && s.IncludesDate(l.Message.InternalDate) {
				list[i].Gone++
			}
		}
	}
	if err := f.checkPatterns(strings.Join(accounts, ", "), names); err != nil {
		return err
	}
	return errors.Join(a.print(list, func(w io.Writer) error { return printMailboxes(w, list) }), faults)
}

// isListed reports whether s selects a mailbox with this view. err is that of reading its
// journal. A journal without an epoch is that of a run which was interrupted before its
// first commit.
func isListed(v *archive.View, err error, s history.Selection) bool {
	switch {
	case err == nil && v.Epoch() == nil, s.Mailbox != nil && !s.Mailbox(v.Name):
		return false
	}
	return s.At.IsZero() || v.Vanished.IsZero()
}

// newListedMailbox counts the messages of a mailbox that s selects. The caller counts those
// that are gone.
func newListedMailbox(b archive.MailboxDir, v *archive.View, s history.Selection) listedMailbox {
	l := listedMailbox{Account: b.Account, Mailbox: v.Name.Mailbox, Dir: b.Dir, Vanished: v.Vanished}
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

// newListedMessage returns message m of a mailbox, with sender and subject from its file.
func newListedMessage(r *archive.Archive, b archive.MailboxDir, n archive.Name, m *archive.Message) listedMessage {
	l := listedMessage{ID: b.ID(m), Account: b.Account, Mailbox: n.Mailbox, UIDValidity: m.UIDValidity, UID: m.UID,
		InternalDate: m.InternalDate, Size: m.Size, SHA256: m.Sum.String(), Flags: m.Flags}
	l.From, l.Subject = senderAndSubject(r, l.ID)
	return l
}

// listMessages lists the messages of a mailbox that s selects, the oldest first.
func (a *app) listMessages(r *archive.Archive, s history.Selection, account, mailbox string) error {
	b, v, err := findMailbox(r, account, mailbox, s.At)
	if err != nil {
		return err
	}
	list := []listedMessage{}
	for ep, m := range v.All() {
		if v.Listed(ep, m) && s.IncludesDate(m.InternalDate) {
			list = append(list, newListedMessage(r, b, v.Name, m))
		}
	}
	slices.SortStableFunc(list, func(a, b listedMessage) int { return cmp.Compare(a.InternalDate.Unix(), b.InternalDate.Unix()) })
	return a.print(list, func(w io.Writer) error { return printMessages(w, list) })
}

// maxHeaderOctets is how much of a message is read for its sender and subject.
const maxHeaderOctets = 64 << 10

// senderAndSubject returns the From and Subject fields of the message at path. They are
// empty if it can't be read, which verify reports.
func senderAndSubject(r *archive.Archive, path string) (from, subject string) {
	f, err := r.OpenFile(path)
	if err != nil {
		return "", ""
	}
	defer f.Close()
	m, err := message.ReadHeader(io.LimitReader(f, maxHeaderOctets), message.Options{})
	if err != nil {
		return "", ""
	}
	return m.Get("From"), m.Get("Subject")
}

// findMailbox returns the mailbox with that name or directory in an account, and its view
// at a time; the zero time is now. If there is none it is a usage error, which names the
// account's mailboxes.
func findMailbox(r *archive.Archive, account, mailbox string, at time.Time) (archive.MailboxDir, *archive.View, error) {
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
		err = fmt.Errorf("nothing of account %q was archived yet at %s", account, ui.ZonedTime(at))
	default:
		err = fmt.Errorf("account %q had no mailbox %q at %s; it had %q", account, mailbox, ui.ZonedTime(at), missing.Names)
	}
	return b, nil, usage(errors.Join(err, missing.Corrupt))
}

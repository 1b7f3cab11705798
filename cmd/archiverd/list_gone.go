package main

import (
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"archiverd/archive"
	"archiverd/archive/history"
)

// movedTo is where a message is that disappeared from a mailbox.
type movedTo struct {
	At          time.Time `json:"at"`
	Mailbox     string    `json:"mailbox"`
	Dir         string    `json:"dir"`
	UIDValidity uint32    `json:"uidvalidity"`
	UID         uint32    `json:"uid"`
}

// listGone lists what disappeared from the accounts, or from the mailbox that args name,
// the latest first.
func (a *app) listGone(r *archive.Archive, f listFlags, s history.Selection, accounts, args []string) error {
	g := goneList{flags: f, selection: s}
	if len(args) == 2 {
		var err error
		if g.only, _, err = findMailbox(r, args[0], args[1], s.At); err != nil {
			return err
		}
	}
	for _, account := range accounts {
		if err := g.add(r, account); err != nil {
			return err
		}
	}
	if err := f.checkPatterns(strings.Join(accounts, ", "), g.names); err != nil {
		return err
	}
	slices.SortStableFunc(g.losses, func(x, y *history.Loss) int { return y.At.Compare(x.At) })
	list := make([]listedMessage, len(g.losses))
	for i, l := range g.losses {
		list[i] = newLostMessage(r, l)
	}
	return errors.Join(a.print(list, func(w io.Writer) error { return printGone(w, list, g.others, f.moved, len(accounts) > 1) }), g.faults)
}

// goneList selects losses.
type goneList struct {
	flags     listFlags
	selection history.Selection
	only      archive.MailboxDir // zero: every mailbox

	losses []*history.Loss
	others int            // that the other one of --gone and --moved would list
	names  []archive.Name // of all mailboxes
	faults error          // of journals that could not be read to their end
}

// add adds the losses of an account.
func (g *goneList) add(r *archive.Archive, account string) error {
	losses, err := history.Losses(r, account, g.selection.At, func(b archive.MailboxDir, v *archive.View, err error) {
		g.names = append(g.names, v.Name)
		if g.includes(b) {
			g.faults = errors.Join(g.faults, err)
		}
	})
	if err != nil {
		return err
	}
	s := g.selection
	for _, l := range losses {
		switch {
		case !g.includes(l.Mailbox), s.Mailbox != nil && !s.Mailbox(l.Name), !archive.HappenedBetween(l.At, s.Since, s.At), !s.IncludesDate(l.Message.InternalDate):
		case (l.To != nil) == g.flags.moved:
			g.losses = append(g.losses, l)
		default:
			g.others++
		}
	}
	return nil
}

func (g *goneList) includes(b archive.MailboxDir) bool {
	return g.only == archive.MailboxDir{} || g.only == b
}

// newLostMessage is a loss as list prints it.
func newLostMessage(r *archive.Archive, l *history.Loss) listedMessage {
	m := newListedMessage(r, l.Mailbox, l.Name, l.Message)
	m.Gone = l.At
	if to := l.To; to != nil {
		m.To = &movedTo{to.At, to.Name.Mailbox, to.Mailbox.Dir, to.UIDValidity, to.UID}
	}
	return m
}

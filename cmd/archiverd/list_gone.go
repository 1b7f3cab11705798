package main

import (
	"bufio"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"archiverd/archive"
	"archiverd/archive/history"
	"archiverd/internal/safetext"
)

// movedTo is where a message is that disappeared from a mailbox.
type movedTo struct {
	At          time.Time `json:"at"`
	Mailbox     string    `json:"mailbox"`
	Dir         string    `json:"dir"`
	UIDValidity uint32    `json:"uidvalidity"`
	UID         uint32    `json:"uid"`
}

// listGone lists what disappeared from the accounts, or of a mailbox that args
// name, the last first.
func (a *app) listGone(r *archive.Archive, f listing, s history.Selection, accounts, args []string) error {
	var only archive.MailboxDir
	if len(args) == 2 {
		var err error
		if only, _, err = findBox(r, args[0], args[1], s.At); err != nil {
			return err
		}
	}
	var faults error
	var names []archive.Name
	var chosen []*history.Loss
	others := 0 // gone where moved is asked for, or the other way
	for _, account := range accounts {
		losses, err := history.Losses(r, account, s.At, func(b archive.MailboxDir, v *archive.View, err error) {
			names = append(names, v.Name)
			if err != nil && (only == archive.MailboxDir{} || only == b) {
				faults = errors.Join(faults, err)
			}
		})
		if err != nil {
			return err
		}
		for _, l := range losses {
			switch {
			case only != archive.MailboxDir{} && l.Mailbox != only, s.Mailbox != nil && !s.Mailbox(l.Name), l.At.Before(s.Since), !s.IncludesDate(l.Message.InternalDate):
			case (l.To != nil) == f.moved:
				chosen = append(chosen, l)
			default:
				others++
			}
		}
	}
	if err := f.missing(strings.Join(accounts, ", "), names); err != nil {
		return err
	}
	slices.SortStableFunc(chosen, func(x, y *history.Loss) int { return y.At.Compare(x.At) })
	if a.json {
		list := []listedMessage{}
		for _, l := range chosen {
			list = append(list, lost(r, l))
		}
		return errors.Join(safetext.WriteJSON(a.out, list), faults)
	}
	w := bufio.NewWriter(a.out)
	for _, l := range chosen {
		m := lost(r, l)
		where := m.Mailbox
		if len(accounts) > 1 {
			where = m.Account + "/" + where
		}
		if m.To != nil {
			where += " → " + m.To.Mailbox
		}
		fmt.Fprintf(w, "%s  %s  %s  %s  %s\n", l.At.Local().Format("2006-01-02 15:04"), pad(where, 28), pad(m.From, 28), pad(m.Subject, 44), safetext.Line(m.ID))
	}
	switch {
	case f.moved && others > 0:
		fmt.Fprintf(w, "(%s gone: --gone lists what is)\n", english.PluralWord(others, "one more is", humanize.Comma(int64(others))+" more are"))
	case others > 0:
		fmt.Fprintf(w, "(%s moved: --moved says where to)\n", english.PluralWord(others, "one more came back or was", humanize.Comma(int64(others))+" more came back or were"))
	case len(chosen) == 0:
		fmt.Fprintln(w, "(nothing)")
	}
	return errors.Join(w.Flush(), faults)
}

// lost is a loss as list prints it.
func lost(r *archive.Archive, l *history.Loss) listedMessage {
	m := listed(r, l.Mailbox, l.Name, l.Message)
	m.Gone = l.At
	if to := l.To; to != nil {
		m.To = &movedTo{to.At, to.Name.Mailbox, to.Mailbox.Dir, to.UIDValidity, to.UID}
	}
	return m
}

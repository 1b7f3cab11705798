package main

import (
	"fmt"
	"slices"
	"strings"

	"archiverd/archive"
	"archiverd/internal/setup"
)

// openAsOwner opens the archive that is there for its owner's decision about its
// mailboxes, even if the state database belongs to another one. It creates none.
func (a *app) openAsOwner() (*setup.Parts, error) {
	cfg, err := a.load()
	if err != nil {
		return nil, err
	}
	r, err := archive.Open(cfg.Archive.Path)
	if err != nil {
		return nil, err
	}
	id := r.ID()
	if err := r.Close(); err != nil {
		return nil, err
	}
	return setup.OpenKnown(cfg, id, a.logger(cfg))
}

// selectMailboxes returns the mailboxes that an argument names: ACCOUNT for all of an
// account, ACCOUNT/MAILBOX for one, by its directory or by the name that this tells.
func selectMailboxes(all []archive.MailboxDir, arg string) ([]archive.MailboxDir, error) {
	account, mailbox, isOne := strings.Cut(arg, "/")
	var named, ofAccount []archive.MailboxDir
	for _, b := range all {
		if b.Account != archive.Escape(account) && b.Account != account {
			continue
		}
		ofAccount = append(ofAccount, b)
		if b.Dir == arg || archive.MailboxOf(b.Dir) == mailbox {
			named = append(named, b)
		}
	}
	switch {
	case len(ofAccount) == 0:
		var have []string
		for _, b := range all {
			have = append(have, archive.Unescape(b.Account))
		}
		return nil, noAccount(account, slices.Compact(have), "the archive")
	case !isOne:
		return ofAccount, nil
	case len(named) == 0:
		return nil, usage(fmt.Errorf("no mailbox %q of account %s in the archive; `archiverd verify %s` shows the directories of all", mailbox, account, account))
	}
	return named, nil
}

// allMailboxes returns everything that is or was a mailbox in the archive.
func allMailboxes(p *setup.Parts) ([]archive.MailboxDir, error) {
	r := p.Committer.Archive
	c, err := r.ReadCheckpoints()
	if err != nil {
		return nil, err
	}
	return r.ToVerify(c, "")
}

// Package check compares what an account's server lists with what the archive
// has, by UID, mailbox by mailbox. It changes neither: mailboxes are opened with
// EXAMINE, and journals are read beside a daemon that may be writing to them. It
// compares no octets, which is what verifying an archive does.
package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"archiverd/archive"
	"archiverd/internal/safetext"
	"archiverd/internal/session"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
	"archiverd/state"
	"archiverd/sync"
)

// Job checks one account. Its fields are set before Run.
type Job struct {
	Account session.Account
	Policy  sync.Policy
	Archive *archive.Archive
	// Last is the account's last run, which says what has arrived since; nil if it
	// is not known.
	Last *state.Run
	Log  *slog.Logger
	Now  func() time.Time // nil: time.Now
}

// run is one Run of a Job.
type run struct {
	*Job
	session *session.Session
}

// Run asks the server for every mailbox that the configuration selects. Errors
// are in the report: those of one mailbox in its Balance, all others in Error.
func (j *Job) Run(ctx context.Context) Report {
	if j.Now == nil {
		j.Now = time.Now
	}
	report := Report{Account: j.Account.Name, Started: j.Now().UTC()}
	r := &run{j, session.New(&j.Account, nil, j.Log)}
	defer r.session.Close(ctx)
	err := r.check(ctx, &report)
	if c := r.session.Conn(); c != nil {
		for _, text := range c.Alerts() {
			report.Notes = append(report.Notes, "the server says: "+text)
		}
	}
	if err != nil {
		report.Error = safetext.Line(err.Error())
	}
	slices.SortStableFunc(report.Mailboxes, func(a, b Balance) int { return cmp.Compare(a.Mailbox, b.Mailbox) })
	for i := range report.Mailboxes {
		report.Sum.Add(report.Mailboxes[i].Counts)
	}
	report.Elapsed = j.Now().Sub(report.Started)
	return report
}

// check adds a balance for each mailbox that the server lists or the archive has.
// The error is why not all were checked.
func (r *run) check(ctx context.Context, report *Report) error {
	var list []wire.Mailbox
	mailboxErr, err := r.try(ctx, func(c *wire.Conn) (err error) { list, err = c.List(ctx); return err })
	if err = cmp.Or(err, mailboxErr); err != nil {
		return err
	}
	archived, err := r.Archive.Mailboxes(archive.Escape(r.Account.Name))
	if err != nil {
		return err
	}
	unlisted := map[string]archive.MailboxDir{}
	for _, dir := range archived {
		unlisted[dir.Dir] = dir
	}
	owners, directories := map[string]string{}, r.Archive.Directories()
	for _, m := range list {
		if m.Err != nil {
			report.Mailboxes = append(report.Mailboxes, Balance{Mailbox: m.Name, Error: m.Err.Error()})
			if m.IsRest() { // the list does not say which mailboxes are gone
				clear(unlisted)
			}
			continue
		}
		if !m.Selectable() {
			report.Mailboxes = append(report.Mailboxes, Balance{Mailbox: m.Name, Skipped: "the server has no messages under this name"})
			continue
		}
		dir, err := directories.For(r.Account.Name, archive.Name{Mailbox: m.Name, Delimiter: m.Delimiter, Raw: m.Raw})
		if errors.Is(err, archive.ErrTooDeep) {
			report.Mailboxes = append(report.Mailboxes, Balance{Mailbox: m.Name, Error: err.Error()})
			continue
		}
		if err != nil {
			return err
		}
		delete(unlisted, dir.Dir)
		if selected, rule := r.Policy.Selects(m.Name, m.Delimiter, m.Attrs); !selected {
			report.Mailboxes = append(report.Mailboxes, excluded(m, rule))
			continue
		}
		b := Balance{Mailbox: m.Name}
		if other, twice := owners[dir.Dir]; twice {
			b.Error = fmt.Sprintf("has the same place in the archive as mailbox %q", other)
		} else if err := r.mailbox(ctx, m, dir, &b); err != nil {
			return err
		}
		owners[dir.Dir] = m.Name
		report.Mailboxes = append(report.Mailboxes, b)
	}
	if len(list) == 0 && len(archived) > 0 {
		return errors.New("the server lists no mailbox at all; taking that for a fault of the server, not for the end of the account")
	}
	for _, dir := range unlisted {
		if b, ok := r.unlisted(dir); ok {
			report.Mailboxes = append(report.Mailboxes, b)
		}
	}
	return nil
}

// excluded returns the balance of a mailbox that a rule of the configuration excludes.
func excluded(m wire.Mailbox, rule string) Balance {
	b := Balance{Mailbox: m.Name, Rule: rule}
	if m.Status != nil {
		b.Server, b.Excluded = int(m.Status.Messages), int(m.Status.Messages)
	}
	return b
}

// unlisted returns the balance of a mailbox that the archive has and the server
// does not list. ok is false if the archive knows that it is no longer listed.
func (r *run) unlisted(dir archive.MailboxDir) (b Balance, ok bool) {
	v := &archive.ViewSets{}
	_, err := v.Read(r.Archive, dir)
	b = Balance{Mailbox: cmp.Or(v.Name.Mailbox, dir.Dir), Gone: true}
	switch {
	case err != nil:
		b.Error = safetext.Line(err.Error())
	case v.Newer:
		b.Error = newerJournal(dir)
	case v.Vanished || v.UIDValidity == 0:
		return b, false
	}
	b.setUIDs(classify(v, uid.Set{}, uid.Set{}, uid.Set{}, 0))
	return b, true
}

// newerJournal is the text for a journal with events that this version does not know.
func newerJournal(dir archive.MailboxDir) string {
	return fmt.Sprintf("%s/journal.jsonl: a newer archiverd has written to it: use that one", dir.Dir)
}

// maxLost is how many connections may be lost over one mailbox.
const maxLost = 3

// try calls fn with a connection, and again with another one where that is lost.
// mailboxErr concerns the mailbox alone, or its journal; err ends the check.
func (r *run) try(ctx context.Context, fn func(*wire.Conn) error) (mailboxErr, err error) {
	lost := 0
	err = r.session.Do(ctx, func(c *wire.Conn) error {
		err := fn(c)
		switch wire.Classify(err) {
		case wire.ClassUnknown, wire.ClassMailbox, wire.ClassMessage, wire.ClassLogin:
			mailboxErr = err
			return nil
		}
		if lost++; lost == maxLost {
			r.session.Drop()
			mailboxErr = err
			return nil
		}
		return err
	})
	if err == nil && mailboxErr == nil {
		r.session.ResetBackoff()
	}
	return mailboxErr, err
}

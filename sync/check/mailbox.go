package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"archiverd/archive"
	"archiverd/internal/pattern"
	"archiverd/internal/safetext"
	"archiverd/internal/session"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
	"archiverd/sync"
)

// maxFailures is how many failed messages of a mailbox a report names.
const maxFailures = 100

// mailbox fills the balance of one mailbox. The error is one that ends the check.
func (r *run) mailbox(ctx context.Context, m wire.Mailbox, dir archive.MailboxDir, b *Balance) error {
	mailboxErr, err := r.try(ctx, func(c *wire.Conn) error { return r.compare(ctx, c, m, dir, b) })
	if err != nil || ctx.Err() != nil {
		return cmp.Or(err, mailboxErr)
	}
	if mailboxErr != nil {
		*b = Balance{Mailbox: m.Name, UIDValidity: b.UIDValidity, Error: safetext.Line(mailboxErr.Error())}
	}
	return nil
}

// compare reads the journal before and after the server lists the mailbox's
// UIDs: what a daemon archives meanwhile is not missing, and it has not vanished
// because it was added too late to be listed.
func (r *run) compare(ctx context.Context, c *wire.Conn, m wire.Mailbox, dir archive.MailboxDir, b *Balance) error {
	v := &archive.ViewSets{}
	if _, err := v.Read(r.Archive, dir); err != nil {
		return err
	}
	opened, err := listUIDs(ctx, c, m)
	if err != nil {
		return err
	}
	b.UIDValidity = opened.UIDValidity
	late, err := v.Read(r.Archive, dir)
	if err != nil {
		return err
	}
	next, wasComplete := r.lastUIDNext(m.Name)
	b.Error = r.incomparable(v, m, dir, opened.Examined)
	b.New = v.UIDValidity == 0 || v.Vanished
	if b.Error != "" || b.New {
		v = &archive.ViewSets{}
		if next = 0; b.New && wasComplete { // the mailbox was not there at the last run
			next = 1
		}
	}
	larger, unanswered, err := r.sizes(ctx, c, opened.UIDs.Subtract(v.Listed))
	if err != nil {
		return err
	}
	s := classify(v, late, opened.UIDs, larger, next)
	if unanswered = unanswered.Subtract(s.Failed).Subtract(s.Returned); !unanswered.Empty() {
		b.Error = cmp.Or(b.Error, fmt.Sprintf("UID SEARCH lists messages of which UID FETCH tells nothing, UIDs %.100s: ask again", unanswered))
	}
	if err := session.CheckComplete(opened.Examined, opened.UIDs); err != nil { // such a list does not say what is gone
		s.Vanished = uid.Set{}
		b.Error = cmp.Or(b.Error, err.Error())
	}
	b.setUIDs(s)
	b.Rule = sync.LimitRule(b.Excluded, r.Policy.MaxMessage)
	if next == 0 && b.Error == "" {
		b.MaybeNew = s.Missing.Intersect(uid.Above(v.HighestUID())).Len()
	}
	b.Failures = map[uint32]string{}
	for u := range s.Failed.All() {
		if len(b.Failures) < maxFailures {
			b.Failures[u] = v.Failed[u]
		}
	}
	return nil
}

// listUIDs opens the mailbox read-only and lists its UIDs. A list that is not
// plausible is an error of the mailbox.
func listUIDs(ctx context.Context, c *wire.Conn, m wire.Mailbox) (wire.Opened, error) {
	opened, err := session.OpenComplete(func() (wire.Opened, error) {
		opened, err := c.Open(ctx, wire.OpenQuery{Wire: m.Wire, Search: true}, func(wire.Metadata) error { return nil })
		if err == nil && (opened.UIDValidity == 0 || opened.UIDNotSticky) {
			err = &wire.Error{Class: wire.ClassMailbox, Err: errors.New("the server gives the mailbox no lasting UIDs, so nothing says which message in the archive is which there")}
		}
		return opened, err
	})
	if err != nil {
		return opened, err
	}
	if err := session.CheckPlausible(opened.Examined, opened.UIDs); err != nil {
		return opened, &wire.Error{Class: wire.ClassMailbox, Err: err}
	}
	return opened, nil
}

// lastUIDNext returns the UIDNEXT that the last run found in the mailbox, 0 if it
// is not known. wasComplete reports that the last run worked on every mailbox and
// that this one was not listed.
func (r *run) lastUIDNext(mailbox string) (next uint32, wasComplete bool) {
	if r.Last == nil {
		return 0, false
	}
	for _, l := range r.Last.Mailboxes {
		if l.Mailbox == mailbox && !l.Vanished {
			return l.UIDNext, false
		}
	}
	return 0, r.Last.Error == ""
}

// incomparable returns why the journal can't be compared with the server, "" if it can.
func (r *run) incomparable(v *archive.ViewSets, m wire.Mailbox, dir archive.MailboxDir, examined wire.Examined) string {
	switch {
	case v.Newer:
		return newerJournal(dir)
	case v.UIDValidity == 0 || v.Vanished:
		return ""
	case v.Name.Mailbox != m.Name && !pattern.IsInbox(m.Name):
		return fmt.Sprintf("its place in the archive, %s, is another mailbox's, %q", dir.Dir, v.Name.Mailbox)
	case v.UIDValidity != examined.UIDValidity:
		return fmt.Sprintf("UIDVALIDITY is %d at the server and %d in the archive, so no UID can be compared: run `archiverd sync %s`", examined.UIDValidity, v.UIDValidity, r.Account.Name)
	}
	return ""
}

// sizes asks for the sizes of messages that the archive does not have. larger are
// those that the configuration excludes for their size, unanswered those that the
// server lists and says nothing about. Either is believed only if it is said twice.
func (r *run) sizes(ctx context.Context, c *wire.Conn, set uid.Set) (larger, unanswered uid.Set, err error) {
	larger, answered, err := r.sizesOnce(ctx, c, set)
	if err != nil {
		return larger, set.Subtract(answered), err
	}
	largerAgain, answeredLater, err := r.sizesOnce(ctx, c, larger.Union(set.Subtract(answered)))
	return larger.Intersect(largerAgain), set.Subtract(answered).Subtract(answeredLater), err
}

// sizesOnce asks for the sizes of messages. answered are those that the server
// said something about.
func (r *run) sizesOnce(ctx context.Context, c *wire.Conn, set uid.Set) (larger, answered uid.Set, err error) {
	maxReplies := 2*set.Len() + 1000
	err = c.FetchMetadata(ctx, wire.MetadataQuery{Set: set}, func(m wire.Metadata) error {
		if maxReplies--; maxReplies < 0 {
			return &wire.Error{Class: wire.ClassProtocol, Err: fmt.Errorf("more replies than messages: %w", wire.ErrLimit)}
		}
		if !set.Contains(m.UID) {
			return nil
		}
		answered.Add(m.UID)
		if limit := r.Policy.MaxMessage; limit > 0 && m.HasSize && m.Size > limit {
			larger.Add(m.UID)
		}
		return nil
	})
	return larger, answered, err
}

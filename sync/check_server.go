package sync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"archiverd/archive"
	"archiverd/internal/pattern"
	"archiverd/internal/safetext"
	"archiverd/internal/session"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
	"archiverd/state"
)

// Checker compares what an account's server lists with what the archive holds.
// It changes neither: mailboxes are opened with EXAMINE, and journals are read
// beside a daemon that may be writing to them. Its fields are set before Run.
type Checker struct {
	Account session.Account
	Policy  Policy
	Archive *archive.Archive
	// Last is the account's last run, which tells what has come since; nil if
	// it is not known.
	Last *state.Run
	Log  *slog.Logger
	Now  func() time.Time // nil: time.Now

	session *session.Session
}

// Run asks the server for every mailbox that the configuration selects. What
// goes wrong is in the Check: with one mailbox in its Balance, else in Error.
func (k *Checker) Run(ctx context.Context) Check {
	if k.Now == nil {
		k.Now = time.Now
	}
	out := Check{Account: k.Account.Name, Started: k.Now().UTC()}
	k.session = session.New(&k.Account, nil, k.Log)
	defer k.session.Close(ctx)
	err := k.check(ctx, &out)
	if c := k.session.Conn(); c != nil {
		for _, text := range c.Alerts() {
			out.Notes = append(out.Notes, "the server says: "+text)
		}
	}
	if err != nil {
		out.Error = safetext.Line(err.Error())
	}
	slices.SortStableFunc(out.Mailboxes, func(a, b Balance) int { return cmp.Compare(a.Mailbox, b.Mailbox) })
	for i := range out.Mailboxes {
		out.Sum.Add(out.Mailboxes[i].Counts)
	}
	out.Elapsed = k.Now().Sub(out.Started)
	return out
}

func (k *Checker) check(ctx context.Context, out *Check) error {
	var list []wire.Mailbox
	own, err := k.try(ctx, func(c *wire.Conn) (err error) { list, err = c.List(ctx); return err })
	if err = cmp.Or(err, own); err != nil {
		return err
	}
	boxes, err := k.Archive.Mailboxes(archive.Escape(k.Account.Name))
	if err != nil {
		return err
	}
	unlisted := map[string]archive.MailboxDir{}
	for _, b := range boxes {
		unlisted[b.Dir] = b
	}
	taken, places := map[string]string{}, k.Archive.Directories()
	for _, m := range list {
		if !m.Selectable() {
			out.Mailboxes = append(out.Mailboxes, Balance{Mailbox: m.Name, Skipped: "the server has no messages under this name"})
			continue
		}
		place, err := places.For(k.Account.Name, archive.Name{Mailbox: m.Name, Delimiter: m.Delimiter, Raw: m.Raw})
		if err != nil {
			return err
		}
		delete(unlisted, place.Dir)
		b := Balance{Mailbox: m.Name}
		if yes, rule := k.Policy.selects(m.Name, m.Delimiter, m.Attrs); !yes {
			l := excluded(m, rule)
			b.Rule, b.Server, b.Excluded = l.Rule, l.Server, l.Excluded
			out.Mailboxes = append(out.Mailboxes, b)
			continue
		}
		if other, twice := taken[place.Dir]; twice {
			b.Error = fmt.Sprintf("has the same place in the archive as mailbox %q", other)
		} else if err := k.mailbox(ctx, m, place, &b); err != nil {
			return err
		}
		taken[place.Dir] = m.Name
		out.Mailboxes = append(out.Mailboxes, b)
	}
	if len(list) == 0 && len(boxes) > 0 {
		return errors.New("the server lists no mailbox at all; taking that for a fault of the server, not for the end of the account")
	}
	for _, place := range unlisted {
		if b, ok := k.unlisted(place); ok {
			out.Mailboxes = append(out.Mailboxes, b)
		}
	}
	return nil
}

// unlisted is the balance of a mailbox that the archive has and the server does
// not list; ok is false where the archive knows that.
func (k *Checker) unlisted(place archive.MailboxDir) (b Balance, ok bool) {
	h := &archive.ViewSets{}
	_, err := h.Read(k.Archive, place)
	b = Balance{Mailbox: cmp.Or(h.Name.Mailbox, place.Dir), Gone: true}
	switch {
	case err != nil:
		b.Error = safetext.Line(err.Error())
	case h.Newer:
		b.Error = newerWrote(place)
	case h.Vanished || h.UIDValidity == 0:
		return b, false
	}
	b.fill(sortUIDs(h, uid.Set{}, uid.Set{}, uid.Set{}, 0))
	return b, true
}

func newerWrote(place archive.MailboxDir) string {
	return fmt.Sprintf("%s/journal.jsonl: a newer archiverd has written to it: use that one", place.Dir)
}

// mailbox fills the balance of one mailbox. An error is one that ends the check.
func (k *Checker) mailbox(ctx context.Context, m wire.Mailbox, place archive.MailboxDir, b *Balance) error {
	own, err := k.try(ctx, func(c *wire.Conn) error { return k.compare(ctx, c, m, place, b) })
	if err != nil || ctx.Err() != nil {
		return cmp.Or(err, own)
	}
	if own != nil {
		*b = Balance{Mailbox: m.Name, UIDValidity: b.UIDValidity, Error: safetext.Line(own.Error())}
	}
	return nil
}

// compare asks the server for the mailbox's UIDs, and the journal before and
// after: what a daemon archives meanwhile is not missing, nor has it vanished
// because it came too late to be listed.
func (k *Checker) compare(ctx context.Context, c *wire.Conn, m wire.Mailbox, place archive.MailboxDir, b *Balance) error {
	h := &archive.ViewSets{}
	if _, err := h.Read(k.Archive, place); err != nil {
		return err
	}
	seen, err := session.OpenComplete(func() (wire.Opened, error) {
		seen, err := c.Open(ctx, wire.OpenQuery{Wire: m.Wire, Search: true}, func(wire.Metadata) error { return nil })
		if err == nil && (seen.UIDValidity == 0 || seen.UIDNotSticky) {
			err = &wire.Error{Class: wire.ClassMailbox, Err: errors.New("the server gives the mailbox no lasting UIDs, so nothing says which message in the archive is which there")}
		}
		return seen, err
	})
	if err != nil {
		return err
	}
	sel, server := seen.Examined, seen.UIDs
	b.UIDValidity = sel.UIDValidity
	if err := session.CheckPlausible(sel, server); err != nil {
		return &wire.Error{Class: wire.ClassMailbox, Err: err}
	}
	late, err := h.Read(k.Archive, place)
	if err != nil {
		return err
	}
	next, whole := k.next(m.Name)
	b.Error = k.unfit(h, m, place, sel)
	b.New = h.UIDValidity == 0 || h.Vanished
	if b.Error != "" || b.New {
		h = &archive.ViewSets{}
		if next = 0; b.New && whole { // the last run saw all mailboxes, and not this one
			next = 1
		}
	}
	larger, unknown, err := k.sizes(ctx, c, server.Subtract(h.Listed))
	if err != nil {
		return err
	}
	s := sortUIDs(h, late, server, larger, next)
	if unknown = unknown.Subtract(s.Failed).Subtract(s.Returned); !unknown.Empty() {
		b.Error = cmp.Or(b.Error, fmt.Sprintf("UID SEARCH lists messages of which UID FETCH tells nothing, UIDs %.100s: ask again", unknown))
	}
	if odd := session.CheckComplete(sel, server); odd != nil { // an answer that leaves some out says nothing of what is gone
		s.Vanished = uid.Set{}
		b.Error = cmp.Or(b.Error, odd.Error())
	}
	b.fill(s)
	b.Rule = limitRule(b.Excluded, k.Policy.MaxMessage)
	if next == 0 && b.Error == "" {
		b.Above = s.Missing.Len() - s.Missing.Subtract(uid.Above(h.HighestUID())).Len()
	}
	b.Failures = map[uint32]string{}
	for u := range s.Failed.All() {
		if len(b.Failures) < failuresShown {
			b.Failures[u] = h.Failed[u]
		}
	}
	return nil
}

// next is the UIDNEXT that the last run met in the mailbox, 0 if it is not
// known. whole says that the run saw every mailbox, and not this one.
func (k *Checker) next(mailbox string) (next uint32, whole bool) {
	if k.Last == nil {
		return 0, false
	}
	for _, l := range k.Last.Mailboxes {
		if l.Mailbox == mailbox && !l.Vanished {
			return l.UIDNext, false
		}
	}
	return 0, k.Last.Error == ""
}

// unfit says why the journal can't be compared with the server; "" if it can.
func (k *Checker) unfit(h *archive.ViewSets, m wire.Mailbox, place archive.MailboxDir, sel wire.Examined) string {
	switch {
	case h.Newer:
		return newerWrote(place)
	case h.UIDValidity == 0 || h.Vanished:
		return ""
	case h.Name.Mailbox != m.Name && !pattern.IsInbox(m.Name):
		return fmt.Sprintf("its place in the archive, %s, is another mailbox's, %q", place.Dir, h.Name.Mailbox)
	case h.UIDValidity != sel.UIDValidity:
		return fmt.Sprintf("UIDVALIDITY is %d at the server and %d in the archive, so no UID can be compared: run `archiverd sync %s`", sel.UIDValidity, h.UIDValidity, k.Account.Name)
	}
	return ""
}

// sizes asks for the messages of set, which the archive does not hold: larger
// are those that the configuration leaves out for their size, and unknown those
// of which the server lists the UID and tells nothing.
func (k *Checker) sizes(ctx context.Context, c *wire.Conn, set uid.Set) (larger, unknown uid.Set, err error) {
	larger, told, err := k.ask(ctx, c, set)
	doubtful := larger.Union(set.Subtract(told)) // both are said of a message only if they are so twice
	if err == nil {
		var again, more uid.Set
		again, more, err = k.ask(ctx, c, doubtful)
		larger, told = larger.Intersect(again), told.Union(more)
	}
	return larger, set.Subtract(told), err
}

// ask asks once.
func (k *Checker) ask(ctx context.Context, c *wire.Conn, set uid.Set) (larger, told uid.Set, err error) {
	room := 2*set.Len() + 1000 // for replies
	err = c.FetchMetadata(ctx, wire.MetadataQuery{Set: set}, func(m wire.Metadata) error {
		if room--; room < 0 {
			return &wire.Error{Class: wire.ClassProtocol, Err: fmt.Errorf("more replies than messages: %w", wire.ErrLimit)}
		}
		if set.Contains(m.UID) {
			told.Add(m.UID)
			if largest := k.Policy.MaxMessage; largest > 0 && m.HasSize && m.Size > largest {
				larger.Add(m.UID)
			}
		}
		return nil
	})
	return larger, told, err
}

// maxLost is how many connections may be lost over one mailbox.
const maxLost = 3

// try calls fn with a connection, and again with another one where that is lost.
// err ends the check; own concerns the mailbox alone, or its journal.
func (k *Checker) try(ctx context.Context, fn func(*wire.Conn) error) (own, err error) {
	lost := 0
	err = k.session.Do(ctx, func(c *wire.Conn) error {
		err := fn(c)
		switch wire.Classify(err) {
		case wire.ClassUnknown, wire.ClassMailbox, wire.ClassMessage, wire.ClassLogin:
			own = err
			return nil
		}
		if lost++; lost == maxLost {
			k.session.Drop()
			own = err
			return nil
		}
		return err
	})
	if err == nil && own == nil {
		k.session.ResetBackoff()
	}
	return own, err
}

package drill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"archiverd/internal/session"
	"archiverd/internal/wire"
	"archiverd/sync/restore"
)

// removeTimeout is how long a drill may take to remove what it has created. It
// also removes after it was told to stop.
const removeTimeout = time.Minute

// maxRemovals is how often a drill removes its mailboxes: some servers confirm a
// DELETE and list the name further.
const maxRemovals = 3

// errHoldsMore is returned for a mailbox with more messages than were restored.
var errHoldsMore = errors.New("it holds more messages than were restored to it")

// checkUnused checks that the real account has no mailbox Into, or below it, and
// remembers the mailboxes that it has.
func (r *run) checkUnused(ctx context.Context) error {
	return r.connected(ctx, r.To, func(c *wire.Conn) error {
		d, err := restore.ReadDestinations(ctx, c)
		if err != nil {
			return err
		}
		if r.Into == "" || slices.Contains(d.Split(r.Into), "") {
			return fmt.Errorf("%q is no name for the mailbox to restore into", r.Into)
		}
		r.before = map[string]bool{}
		var used []string
		for _, m := range d.Mailboxes {
			if _, ok := r.below(d, m); ok {
				used = append(used, m.Name)
			}
			r.before[m.Wire] = true
		}
		if len(used) > 0 {
			return fmt.Errorf("mailbox %q is at %s already, and a drill touches nothing that it has not made: name another with --into, or remove that one by hand", slices.Min(used), r.To.Name)
		}
		return nil
	})
}

// remove removes the mailboxes that restoring a chunk has created, children before
// their parents. A mailbox that was there before the drill stays, and so does one
// with more messages than were restored to it.
func (r *run) remove(ctx context.Context, ch chunk) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
	defer cancel()
	var remaining []string
	err := r.connected(ctx, r.To, func(c *wire.Conn) (err error) {
		remaining, err = r.removeCreated(ctx, c, ch)
		return err
	})
	if err != nil {
		return fmt.Errorf("what the drill has made below %q at %s could not be removed, do it by hand: %w", r.Into, r.To.Name, err)
	}
	if len(remaining) > 0 {
		return fmt.Errorf("left at %s, to be removed by hand: %s", r.To.Name, strings.Join(remaining, "; "))
	}
	return nil
}

// removeCreated removes the mailboxes that restoring a chunk has created and returns
// those that remain, each with the reason. It lists and removes once more what appears
// meanwhile: a server may execute the CREATE of an interrupted connection late, and a
// name without a mailbox may go with its children.
func (r *run) removeCreated(ctx context.Context, c *wire.Conn, ch chunk) (remaining []string, err error) {
	refusals := map[string]error{} // by the name on the wire
	for pass := 0; ; pass++ {
		d, err := restore.ReadDestinations(ctx, c)
		if err != nil {
			return nil, err
		}
		created := r.created(d, ch)
		removable := slices.DeleteFunc(slices.Clone(created), func(m createdMailbox) bool { return refusals[m.Wire] != nil })
		if len(removable) == 0 || pass == maxRemovals {
			for _, m := range created {
				reason := cmp.Or(refusals[m.Wire], errStillListed)
				remaining = append(remaining, fmt.Sprintf("mailbox %q: %v", m.Name, reason))
			}
			return remaining, nil
		}
		for _, m := range removable {
			if err := removeMailbox(ctx, c, m); err != nil && !session.IsMailboxError(err) {
				return nil, err
			} else if err != nil {
				refusals[m.Wire] = err
			}
		}
	}
}

// errStillListed is returned for a mailbox that the server lists after its DELETE.
var errStillListed = errors.New("the server confirms its removal and lists it further")

// createdMailbox is a mailbox that restoring a chunk has created.
type createdMailbox struct {
	*wire.Mailbox
	maxMessages int // were restored to it
}

// created returns the mailboxes that restoring a chunk has created: those that
// messages went to and their parents, as far as they were not there before.
// Children come before their parents.
func (r *run) created(d *restore.Destinations, ch chunk) (list []createdMailbox) {
	restored := map[string]int{}
	for _, part := range ch.parts {
		if dest, err := d.For(part.name(), r.Into, nil); err == nil {
			restored[dest.Wire] += len(part.items)
		}
	}
	for _, m := range d.Mailboxes {
		n, ours := restored[m.Wire]
		for name := range restored {
			ours = ours || m.Delimiter != "" && strings.HasPrefix(name, m.Wire+m.Delimiter)
		}
		if ours && !r.before[m.Wire] {
			list = append(list, createdMailbox{m, n})
		}
	}
	slices.SortFunc(list, func(a, b createdMailbox) int { return cmp.Compare(len(b.Wire), len(a.Wire)) })
	return list
}

// removeMailbox removes a mailbox and the subscription that some servers make with it.
func removeMailbox(ctx context.Context, c *wire.Conn, m createdMailbox) error {
	if m.Selectable() {
		s, err := c.Status(ctx, m.Wire)
		if err != nil {
			return err
		}
		if int(s.Messages) > m.maxMessages {
			return errHoldsMore
		}
	}
	if err := c.Unsubscribe(ctx, m.Wire); err != nil && !session.IsMailboxError(err) {
		return err
	}
	return c.Delete(ctx, m.Wire)
}

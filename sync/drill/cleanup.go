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

// removing is how long a drill takes at most to remove what it has made, also
// when it was told to stop.
const removing = time.Minute

// vacant checks that the scratch account has no mailbox called Into, or below it.
func (r *rehearsal) vacant(ctx context.Context) error {
	return r.connected(ctx, r.To, func(c *wire.Conn) error {
		t, err := restore.ReadDestinations(ctx, c)
		if err != nil {
			return err
		}
		if r.Into == "" || slices.Contains(t.Split(r.Into), "") {
			return fmt.Errorf("%q is no name for the mailbox to restore into", r.Into)
		}
		r.before = map[string]bool{}
		var there []string
		for _, m := range t.Mailboxes {
			if _, ok := r.within(t, m); ok {
				there = append(there, m.Name)
			}
			r.before[m.Wire] = true
		}
		if len(there) > 0 {
			return fmt.Errorf("mailbox %q is at %s already, and a drill touches nothing that it has not made: name another with --into, or remove that one by hand", slices.Min(there), r.To.Name)
		}
		return nil
	})
}

// remove removes the mailboxes that restoring the portion has made, those below
// others first. None of them was there when the drill began; any other is left,
// and so is one that holds more than was restored to it.
func (r *rehearsal) remove(ctx context.Context, p portion) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removing)
	defer cancel()
	var left []string
	err := r.connected(ctx, r.To, func(c *wire.Conn) error {
		t, err := restore.ReadDestinations(ctx, c)
		if err != nil {
			return err
		}
		refused := map[string]error{}
		for _, m := range r.made(t, p) {
			if err := removeOne(ctx, c, m); err != nil && !session.IsMailboxError(err) {
				return err
			} else if err != nil {
				refused[m.Wire] = err
			}
		}
		if t, err = restore.ReadDestinations(ctx, c); err != nil { // a name without a mailbox may have gone by itself
			return err
		}
		left = nil
		for _, m := range r.made(t, p) {
			left = append(left, fmt.Sprintf("mailbox %q: %v", m.Name, refused[m.Wire]))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("what the drill has made below %q at %s could not be removed, do it by hand: %w", r.Into, r.To.Name, err)
	}
	if len(left) > 0 {
		return fmt.Errorf("left at %s, to be removed by hand: %s", r.To.Name, strings.Join(left, "; "))
	}
	return nil
}

// made is a mailbox that is there because a portion was restored, with as many
// messages, at most.
type made struct {
	*wire.Mailbox
	messages int
}

// made are the mailboxes that restoring the portion has made: those it went to,
// and those above them, as far as they were not there before. Those below others
// come first.
func (r *rehearsal) made(t *restore.Destinations, p portion) (out []made) {
	restored := map[string]int{}
	for _, part := range p.parts {
		if s, err := t.For(part.rehearsed(), r.Into, nil); err == nil {
			restored[s.Wire] += len(part.items)
		}
	}
	for _, m := range t.Mailboxes {
		n, ours := restored[m.Wire]
		for name := range restored {
			ours = ours || m.Delimiter != "" && strings.HasPrefix(name, m.Wire+m.Delimiter)
		}
		if ours && !r.before[m.Wire] {
			out = append(out, made{m, n})
		}
	}
	slices.SortFunc(out, func(a, b made) int { return cmp.Compare(len(b.Wire), len(a.Wire)) })
	return out
}

// errHoldsMore is returned of a mailbox with more messages than were restored.
var errHoldsMore = errors.New("it holds more messages than were restored to it")

// removeOne removes a mailbox, and the subscription that the restore has made.
func removeOne(ctx context.Context, c *wire.Conn, m made) error {
	if m.Mailbox.Selectable() {
		s, err := c.Status(ctx, m.Wire)
		if err != nil {
			return err
		}
		if int(s.Messages) > m.messages {
			return errHoldsMore
		}
	}
	if err := c.Unsubscribe(ctx, m.Wire); err != nil && !session.IsMailboxError(err) {
		return err
	}
	return c.Delete(ctx, m.Wire)
}

package remote

import (
	"context"
	"fmt"
	"strings"

	"archiverd/internal/pattern"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
)

// RefusedError is returned when a mailbox is not deleted because not every
// message in it is proven to be in the archive. It wraps ErrRefused.
type RefusedError struct {
	Mailbox  string
	Messages int // in it
	Unproven []Unproven
}

// reasonsShown is how many reasons, or mailboxes, an error names.
const reasonsShown = 20

func (e *RefusedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v: mailbox %q is not deleted, %d of its %d messages are not proven to be in the archive:", ErrRefused, e.Mailbox, len(e.Unproven), e.Messages)
	for _, line := range Reasons(e.Unproven) {
		b.WriteString("\n  " + line)
	}
	return b.String()
}

// Unwrap returns ErrRefused.
func (e *RefusedError) Unwrap() error { return ErrRefused }

// Delete deletes a mailbox and its subscription (RFC 9051 6.3.5, 6.3.8), if it
// is empty or every message in it is proven to be in the archive. INBOX, a
// mailbox with children and one that can't be opened for writing are refused.
// confirm is asked when all is proven, with the number of messages; its error
// is returned and nothing is deleted. After it the server is asked again: what
// has arrived or changed meanwhile refuses, too. A message that is delivered
// between that answer and the DELETE right behind it is lost with the mailbox:
// IMAP has no way to rule that out.
func (r *Client) Delete(ctx context.Context, name string, confirm func(messages int) error) error {
	m, list, err := r.find(ctx, name)
	if err != nil {
		return err
	}
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: mailbox %q is not deleted: %s", ErrRefused, m.Name, fmt.Sprintf(format, args...))
	}
	if pattern.IsInbox(m.Name) {
		return refuse("a server needs its INBOX; `archiverd remote purge %s INBOX` takes old messages out of it", r.Account.Name)
	}
	if children := below(m, list); len(children) > 0 {
		return refuse("%d mailboxes are below it, %s; delete those first", len(children), names(children))
	}
	sel, err := r.c.Select(ctx, m.Wire)
	if err != nil {
		return fmt.Errorf("open mailbox %q: %w", m.Name, err)
	}
	switch {
	case sel.ReadOnly:
		return refuse("the server gives it for reading only")
	case sel.UIDNext == 0:
		return refuse("the server tells no UIDNEXT, so nobody can say whether a message has just arrived")
	}
	set, err := r.c.Search(ctx)
	if err != nil {
		return fmt.Errorf("search mailbox %q: %w", m.Name, err)
	}
	if set.Len() != int(sel.Messages) {
		return refuse("the server says that it has %d messages, and lists %d: try again", sel.Messages, set.Len())
	}
	p, err := r.proof(m, sel.Examined)
	if err != nil {
		return err
	}
	unproven, err := r.proveAll(ctx, p, set)
	if err != nil {
		return err
	}
	if len(unproven) > 0 {
		return &RefusedError{m.Name, set.Len(), unproven}
	}
	if err := confirm(set.Len()); err != nil {
		return err
	}
	if err := r.unchanged(ctx, m, sel, set, p, refuse); err != nil {
		return err
	}
	if err := r.c.Delete(ctx, m.Wire); err != nil {
		return fmt.Errorf("delete mailbox %q: %w", m.Name, err)
	}
	if err := r.unsubscribe(ctx, m.Wire); err != nil {
		return fmt.Errorf("mailbox %q was deleted, but is still subscribed: %w", m.Name, err)
	}
	return nil
}

// proveAll returns those messages of set, in the mailbox that is open, that are
// not proven.
func (r *Client) proveAll(ctx context.Context, p *proof, set uid.Set) ([]Unproven, error) {
	var out []Unproven
	for chunk, rest := set.Split(proofUIDs); !chunk.Empty(); chunk, rest = rest.Split(proofUIDs) {
		metas, err := r.metas(ctx, chunk)
		if err != nil {
			return nil, fmt.Errorf("mailbox %q: %w", p.mailbox, err)
		}
		unproven, err := p.prove(ctx, chunk, metas)
		if err != nil {
			return nil, err
		}
		out = append(out, unproven...)
	}
	return out, nil
}

// unchanged is the second look at a mailbox whose messages have been proven. It
// leaves the mailbox, for a server may refuse to delete one that is open, and
// STATUS is for one that is not (RFC 9051 6.3.11).
func (r *Client) unchanged(ctx context.Context, m wire.Mailbox, sel wire.Selected, set uid.Set, p *proof, refuse func(string, ...any) error) error {
	if err := r.c.Noop(ctx); err != nil {
		return fmt.Errorf("mailbox %q: %w", m.Name, err)
	}
	now, err := r.c.Search(ctx)
	if err != nil {
		return fmt.Errorf("search mailbox %q: %w", m.Name, err)
	}
	if arrived := now.Subtract(set); !arrived.Empty() {
		return refuse("UIDs %s arrived a moment ago: %s", arrived, p.adviseSync())
	}
	if gone := set.Subtract(now); !gone.Empty() {
		return refuse("UIDs %s vanished a moment ago, somebody else is working in it: %s", gone, p.adviseSync())
	}
	for chunk, rest := set.Split(proofUIDs); !chunk.Empty(); chunk, rest = rest.Split(proofUIDs) {
		metas, err := r.metas(ctx, chunk)
		if err != nil {
			return fmt.Errorf("mailbox %q: %w", m.Name, err)
		}
		for u := range chunk.All() {
			meta, told := metas[u]
			if reason := p.recorded(u, meta, told); reason != "" {
				return refuse("%s", Unproven{Mailbox: m.Name, UID: u, Reason: reason})
			}
		}
	}
	if _, err := r.c.Examine(ctx, "INBOX", false); err != nil {
		return fmt.Errorf("leave mailbox %q: %w", m.Name, err)
	}
	st, err := r.c.Status(ctx, m.Wire)
	if err != nil {
		return fmt.Errorf("mailbox %q: %w", m.Name, err)
	}
	if int(st.Messages) != set.Len() || st.UIDValidity != sel.UIDValidity || st.UIDNext != sel.UIDNext {
		return refuse("it has changed a moment ago (%d messages, UIDVALIDITY %d, UIDNEXT %d, and before %d, %d, %d): %s",
			st.Messages, st.UIDValidity, st.UIDNext, set.Len(), sel.UIDValidity, sel.UIDNext, p.adviseSync())
	}
	return nil
}

// names are the first of the mailboxes.
func names(boxes []wire.Mailbox) string {
	var out []string
	for _, m := range boxes[:min(len(boxes), reasonsShown)] {
		out = append(out, fmt.Sprintf("%q", m.Name))
	}
	if len(boxes) > reasonsShown {
		out = append(out, "…")
	}
	return strings.Join(out, ", ")
}

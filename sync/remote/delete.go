package remote

import (
	"context"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize/english"

	"archiverd/internal/pattern"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
)

// Delete deletes a mailbox and its subscription (RFC 9051 6.3.5, 6.3.8), if it
// is empty or every message in it is proven to be in the archive. INBOX, a
// mailbox with children and one that can't be opened for writing are refused.
// confirm is called with the number of messages when all are proven. Its error is
// returned, and nothing is deleted. After it the server is asked again, and
// messages that have arrived or changed since are a refusal. A message that is
// delivered between that answer and the DELETE right behind it is lost with the
// mailbox: IMAP has no way to rule that out.
func (r *Client) Delete(ctx context.Context, name string, confirm func(messages int) error) error {
	m, list, err := r.mailboxByName(ctx, name)
	if err != nil {
		return err
	}
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: mailbox %q is not deleted: %s", ErrRefused, m.Name, fmt.Sprintf(format, args...))
	}
	if pattern.IsInbox(m.Name) {
		return refuse("a server needs its INBOX; `archiverd remote purge %s INBOX` takes old messages out of it", r.Account.Name)
	}
	if below := children(m, list); len(below) > 0 {
		return refuse("%s below it: %s; delete those first", english.Plural(len(below), "mailbox", ""), names(below))
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
		return refuse("the server says that it has %s, and lists %d: try again", english.Plural(int(sel.Messages), "message", ""), set.Len())
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

// proveAll returns the messages of set, in the open mailbox, that are not proven.
func (r *Client) proveAll(ctx context.Context, p *proof, set uid.Set) ([]Unproven, error) {
	var out []Unproven
	for chunk, rest := set.Split(maxProofBatch); !chunk.Empty(); chunk, rest = rest.Split(maxProofBatch) {
		metas, err := r.metadata(ctx, chunk)
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

// unchanged checks that a mailbox is still as it was when its messages were proven.
// It closes the mailbox by opening INBOX: a server may refuse to delete the open
// mailbox, and STATUS is for one that is not open (RFC 9051 6.3.11).
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
	for chunk, rest := set.Split(maxProofBatch); !chunk.Empty(); chunk, rest = rest.Split(maxProofBatch) {
		metas, err := r.metadata(ctx, chunk)
		if err != nil {
			return fmt.Errorf("mailbox %q: %w", m.Name, err)
		}
		for u := range chunk.All() {
			meta, hasReply := metas[u]
			if reason := p.recordedReason(u, meta, hasReply); reason != "" {
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
		return refuse("it has changed a moment ago (%s, UIDVALIDITY %d, UIDNEXT %d, and before %d, %d, %d): %s",
			english.Plural(int(st.Messages), "message", ""), st.UIDValidity, st.UIDNext, set.Len(), sel.UIDValidity, sel.UIDNext, p.adviseSync())
	}
	return nil
}

// names returns the names of the first maxReasons mailboxes.
func names(boxes []wire.Mailbox) string {
	var out []string
	for _, m := range boxes[:min(len(boxes), maxReasons)] {
		out = append(out, fmt.Sprintf("%q", m.Name))
	}
	if len(boxes) > maxReasons {
		out = append(out, "…")
	}
	return strings.Join(out, ", ")
}

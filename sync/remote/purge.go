package remote

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"archiverd/internal/session"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
)

// Purge says which messages may be deleted from a server: those whose INTERNALDATE
// is more than OlderThan ago, that have been in the archive for as long, and that
// are proven to be there.
type Purge struct {
	OlderThan time.Duration
	Flagged   bool // those with \Flagged, too
}

// PurgedMailbox is what a purge would do, or has done, with one mailbox. Messages is
// Chosen + TooYoung + NewInArchive + Flagged + HeldForDamage + the unproven.
type PurgedMailbox struct {
	Mailbox       string     `json:"mailbox"`
	Messages      int        `json:"messages"`           // at the server
	Chosen        int        `json:"chosen"`             // may go
	Octets        int64      `json:"octets"`             // of those, as archived
	TooYoung      int        `json:"young"`              // stay: INTERNALDATE is not that long ago, or there is none
	NewInArchive  int        `json:"fresh"`              // stay: not that long in the archive
	Flagged       int        `json:"flagged"`            // stay: \Flagged
	HeldForDamage int        `json:"held"`               // might go, but for the damage that the archive of this mailbox has
	Unproven      []Unproven `json:"unproven,omitempty"` // stay
	Gone          int        `json:"gone"`               // of the chosen, deleted from the server
	Changed       int        `json:"changed"`            // of the chosen, stayed: flags changed, or gone, since they were chosen
	Error         string     `json:"error,omitempty"`

	wire   wire.Mailbox
	sel    wire.Examined
	chosen uid.Set
	proof  *proof
}

// OK reports whether every message that is old enough was proven.
func (p *PurgedMailbox) OK() bool {
	return p.Error == "" && len(p.Unproven) == 0 && p.HeldForDamage == 0
}

// maxPurgeBatch is how many messages are deleted at a time.
const maxPurgeBatch = 500

// PlanPurge chooses and proves the messages that Purge would delete, of the
// mailboxes with those names, or without names of all that the account archives. It
// changes nothing. In a mailbox with one damaged message in the archive, no message
// is chosen.
func (r *Client) PlanPurge(ctx context.Context, names []string, o Purge) ([]*PurgedMailbox, error) {
	if !r.c.HasCapability("UIDPLUS") {
		return nil, fmt.Errorf("%w: %s can't delete single messages (no UIDPLUS, RFC 4315); a plain EXPUNGE might take others with them", ErrRefused, r.Account.Wire.Address)
	}
	list, err := r.purgeable(ctx, names)
	if err != nil {
		return nil, err
	}
	var out []*PurgedMailbox
	for _, m := range list {
		p := &PurgedMailbox{Mailbox: m.Name, wire: m}
		if err := p.keepError(r.choose(ctx, p, o)); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// keepError stores an error that concerns this mailbox alone, and returns any other.
func (p *PurgedMailbox) keepError(err error) error {
	switch c := wire.Classify(err); {
	case err == nil:
		return nil
	case c == wire.ClassMailbox || c == wire.ClassMessage || errors.Is(err, ErrRefused):
		p.Error = err.Error()
		return nil
	}
	return fmt.Errorf("mailbox %q: %w", p.Mailbox, err)
}

// purgeable returns the mailboxes with those names, without names all that are archived.
func (r *Client) purgeable(ctx context.Context, names []string) ([]wire.Mailbox, error) {
	var out []wire.Mailbox
	for _, name := range names {
		m, _, err := r.mailboxByName(ctx, name)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(out, func(o wire.Mailbox) bool { return o.Wire == m.Wire }) {
			out = append(out, m)
		}
	}
	if len(names) > 0 {
		return out, nil
	}
	list, err := r.List(ctx)
	for _, m := range list {
		if archived, _ := r.Policy.Selects(m.Name, m.Delimiter, m.Attrs); archived && m.Selectable() {
			out = append(out, m)
		}
	}
	return out, err
}

// choose chooses and proves the messages of one mailbox.
func (r *Client) choose(ctx context.Context, p *PurgedMailbox, o Purge) (err error) {
	if p.sel, err = r.c.Examine(ctx, p.wire.Wire, false); err != nil {
		return err
	}
	all, err := r.c.Search(ctx)
	if err != nil {
		return err
	}
	p.Messages = all.Len()
	if p.proof, err = r.proof(p.wire, p.sel); err != nil {
		return err
	}
	before := r.Now().Add(-o.OlderThan)
	damage := p.proof.damage
	for chunk, rest := all.Split(maxProofBatch); !chunk.Empty(); chunk, rest = rest.Split(maxProofBatch) {
		metas, err := r.metadata(ctx, chunk)
		if err != nil {
			return err
		}
		var old uid.Set
		for u := range chunk.All() {
			if p.stays(u, metas[u], before, o) {
				continue
			}
			old.Add(u)
		}
		unproven, err := p.proof.prove(ctx, old, metas)
		if err != nil {
			return err
		}
		for _, u := range unproven {
			old = old.Subtract(uid.Of(u.UID))
			damage = damage || u.Damage
		}
		p.Unproven = append(p.Unproven, unproven...)
		p.chosen = p.chosen.Union(old)
	}
	if damage {
		p.HeldForDamage, p.chosen = p.chosen.Len(), uid.Set{}
	}
	for u := range p.chosen.All() {
		p.Chosen++
		p.Octets += p.proof.epoch.Messages[u].Size
	}
	return nil
}

// stays reports whether a message is too young to be deleted, or flagged, and counts it.
func (p *PurgedMailbox) stays(u uint32, meta wire.Metadata, before time.Time, o Purge) bool {
	archived := p.proof.epoch != nil && p.proof.unprovable == "" && p.proof.epoch.Messages[u] != nil
	switch {
	case meta.InternalDate.IsZero() || !meta.InternalDate.Before(before):
		p.TooYoung++
	case !o.Flagged && session.HasFlag(meta.Flags, `\Flagged`):
		p.Flagged++
	case archived && !p.proof.epoch.Messages[u].Added.Before(before):
		p.NewInArchive++
	default:
		return false
	}
	return true
}

// Purge deletes what PlanPurge chose. It fetches the flags of each message again,
// sets \Deleted on those that are as they were, and removes only these with UID
// EXPUNGE (RFC 4315 2.1). A flag that is set during the one round trip before that
// is lost with the message. Once ctx is done no further messages are deleted. The
// outcome for each mailbox is stored in the plan; the error ends the purge.
func (r *Client) Purge(ctx context.Context, plan []*PurgedMailbox) error {
	for _, p := range plan {
		if p.Chosen == 0 {
			continue
		}
		if err := p.keepError(r.purge(ctx, p)); err != nil {
			return err
		}
	}
	return nil
}

// purge deletes the chosen messages of one mailbox.
func (r *Client) purge(ctx context.Context, p *PurgedMailbox) error {
	sel, err := r.c.Select(ctx, p.wire.Wire)
	if err != nil {
		return err
	}
	switch {
	case sel.ReadOnly:
		return fmt.Errorf("%w: the server gives mailbox %q for reading only", ErrRefused, p.Mailbox)
	case sel.UIDValidity != p.sel.UIDValidity:
		return fmt.Errorf("%w: UIDVALIDITY of mailbox %q has changed a moment ago: %s", ErrRefused, p.Mailbox, p.proof.adviseSync())
	case sel.HasPermanentFlags && !session.HasFlag(sel.PermanentFlags, `\Deleted`):
		return fmt.Errorf("%w: the server lets nobody delete messages of mailbox %q", ErrRefused, p.Mailbox)
	}
	var sent uid.Set
	for batch, rest := p.chosen.Split(maxPurgeBatch); !batch.Empty() && err == nil; batch, rest = rest.Split(maxPurgeBatch) {
		if err = ctx.Err(); err == nil {
			// To stop between STORE and EXPUNGE would leave messages flagged.
			batch, err = r.expunge(context.WithoutCancel(ctx), p, batch)
			sent = sent.Union(batch)
		}
	}
	p.Gone = sent.Len()
	if err != nil {
		return err
	}
	now, err := r.c.Search(ctx)
	if err != nil {
		return err
	}
	if left := sent.Intersect(now); !left.Empty() {
		p.Gone -= left.Len()
		return fmt.Errorf("%w: the server said OK, and still has UIDs %s of mailbox %q", ErrRefused, left, p.Mailbox)
	}
	return nil
}

// expunge deletes the messages of batch that are still as they were proven, and
// returns them. After an error it removes \Deleted from those that it has set it on.
func (r *Client) expunge(ctx context.Context, p *PurgedMailbox, batch uid.Set) (gone uid.Set, err error) {
	if err := r.c.Noop(ctx); err != nil {
		return gone, err
	}
	metas, err := r.metadata(ctx, batch)
	if err != nil {
		return gone, err
	}
	var same, fresh uid.Set
	for u := range batch.All() {
		meta, hasReply := metas[u]
		if p.proof.recordedReason(u, meta, hasReply) != "" {
			p.Changed++
			continue
		}
		same.Add(u)
		if !session.HasFlag(meta.Flags, `\Deleted`) {
			fresh.Add(u)
		}
	}
	if same.Empty() {
		return gone, nil
	}
	if err = r.c.Store(ctx, same, "+FLAGS", []string{`\Deleted`}); err == nil {
		err = r.c.Expunge(ctx, same)
	}
	if err == nil {
		return same, nil
	}
	if undo := r.c.Store(ctx, fresh, "-FLAGS", []string{`\Deleted`}); undo != nil {
		err = fmt.Errorf("%w; some of the UIDs %s may be left flagged \\Deleted", err, fresh)
	}
	return gone, err
}

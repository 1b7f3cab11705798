// Package remote does at an account's server what a person does there by hand:
// list, create, rename and search mailboxes, read messages, and delete what is
// proven to be in the archive.
//
// Nothing is deleted without proof (proof.go), message by message, and the server
// is asked once more right before. A mailbox is deleted whole (delete.go) or loses
// its old messages (purge.go).
package remote

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"archiverd/archive"
	"archiverd/internal/pattern"
	"archiverd/internal/session"
	"archiverd/internal/uid"
	"archiverd/internal/utf7"
	"archiverd/internal/wire"
	"archiverd/sync"
)

// Client is a connection to an account's server, from Connect to Close. It belongs
// to one goroutine. Mailbox names are in UTF-8 and with the server's delimiter.
type Client struct {
	Account session.Account
	Policy  sync.Policy // selects the mailboxes of a purge that names none
	// Archive is what Delete, PlanPurge and Purge prove messages by; the other
	// methods do not use it. It is only read, and a daemon may be writing to it.
	Archive *archive.Archive
	Now     func() time.Time // nil: time.Now

	c *wire.Conn
}

// Connect connects and logs in. The caller calls Close.
func (r *Client) Connect(ctx context.Context) (err error) {
	if r.Now == nil {
		r.Now = time.Now
	}
	r.c, err = r.Account.Connect(ctx)
	return err
}

// Close logs out and closes the connection.
func (r *Client) Close(ctx context.Context) error { return r.c.Logout(ctx) }

// Alerts returns the server's ALERT texts, safe to print, which a person must see
// (RFC 9051 7.1).
func (r *Client) Alerts() []string { return r.c.Alerts() }

// Capabilities asks the server for its capabilities (RFC 9051 6.1.1).
func (r *Client) Capabilities(ctx context.Context) ([]string, error) { return r.c.Capabilities(ctx) }

// List returns all mailboxes, sorted by name.
func (r *Client) List(ctx context.Context) ([]wire.Mailbox, error) {
	list, err := r.c.List(ctx)
	slices.SortFunc(list, func(a, b wire.Mailbox) int { return strings.Compare(a.Name, b.Name) })
	return list, err
}

// mailboxByName returns the mailbox with a name, and all that there are. The error
// wraps ErrNoMailbox if there is none.
func (r *Client) mailboxByName(ctx context.Context, name string) (wire.Mailbox, []wire.Mailbox, error) {
	list, err := r.List(ctx)
	if err != nil {
		return wire.Mailbox{}, nil, err
	}
	i := slices.IndexFunc(list, func(m wire.Mailbox) bool { return m.Err == nil && pattern.SameName(m.Name, name) })
	if i < 0 {
		return wire.Mailbox{}, nil, fmt.Errorf("mailbox %q: %w; `archiverd remote list %s` prints them", name, ErrNoMailbox, r.Account.Name)
	}
	return list[i], list, nil
}

// children returns the mailboxes of a list that are below m, at any depth.
func children(m wire.Mailbox, list []wire.Mailbox) []wire.Mailbox {
	var out []wire.Mailbox
	for _, other := range list {
		if m.Delimiter != "" && other.Err == nil && strings.HasPrefix(other.Wire, m.Wire+m.Delimiter) {
			out = append(out, other)
		}
	}
	return out
}

// Create creates a mailbox and subscribes to it (RFC 9051 6.3.4, 6.3.7).
func (r *Client) Create(ctx context.Context, name string) error {
	to := utf7.Encode(name)
	if err := r.c.Create(ctx, to); err != nil {
		return fmt.Errorf("create mailbox %q: %w", name, err)
	}
	if err := r.c.Subscribe(ctx, to); err != nil {
		return fmt.Errorf("mailbox %q was created, but not subscribed: %w", name, err)
	}
	return nil
}

// Rename renames a mailbox and those below it (RFC 9051 6.3.6), and their
// subscriptions with them. INBOX is refused.
func (r *Client) Rename(ctx context.Context, old, name string) error {
	m, list, err := r.mailboxByName(ctx, old)
	if err != nil {
		return err
	}
	if pattern.IsInbox(m.Name) {
		return fmt.Errorf("%w: INBOX can't be renamed: the server would move its messages to %q and keep an empty INBOX", ErrRefused, name)
	}
	to := utf7.Encode(name)
	if err := r.c.Rename(ctx, m.Wire, to); err != nil {
		return fmt.Errorf("rename mailbox %q to %q: %w", old, name, err)
	}
	for _, one := range append([]wire.Mailbox{m}, children(m, list)...) {
		err := r.c.Subscribe(ctx, to+strings.TrimPrefix(one.Wire, m.Wire))
		if err == nil {
			err = r.unsubscribe(ctx, one.Wire)
		}
		if err != nil {
			return fmt.Errorf("mailbox %q was renamed to %q, but the subscription of %q was not moved: %w", old, name, one.Name, err)
		}
	}
	return nil
}

// unsubscribe removes the subscription of a mailbox that is gone. A server that has
// removed it by itself answers NO, which is no error here.
func (r *Client) unsubscribe(ctx context.Context, wireName string) error {
	err := r.c.Unsubscribe(ctx, wireName)
	if wire.Classify(err) == wire.ClassMailbox {
		return nil
	}
	return err
}

// metadata fetches flags, INTERNALDATE and size of the messages in set. A server
// may send them for one message in several replies: they are merged.
func (r *Client) metadata(ctx context.Context, set uid.Set) (map[uint32]wire.Metadata, error) {
	out := map[uint32]wire.Metadata{}
	err := r.c.FetchMetadata(ctx, wire.MetadataQuery{Set: set}, func(m wire.Metadata) error {
		if !set.Contains(m.UID) {
			return nil
		}
		if before, twice := out[m.UID]; twice {
			if !m.HasFlags {
				m.HasFlags, m.Flags = before.HasFlags, before.Flags
			}
			if !m.HasSize {
				m.HasSize, m.Size = before.HasSize, before.Size
			}
			if m.InternalDate.IsZero() {
				m.InternalDate = before.InternalDate
			}
		}
		out[m.UID] = m
		return nil
	})
	return out, err
}

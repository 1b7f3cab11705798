package remote

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"archiverd/archive"
	rfc5322 "archiverd/internal/message"
	"archiverd/internal/session"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
)

// Message is what a server says about a message. From and Subject are decoded, and
// not safe to print as they are.
type Message struct {
	UID          uint32    `json:"uid"`
	InternalDate time.Time `json:"internaldate,omitzero"`
	Size         int64     `json:"size"` // RFC822.SIZE, octets
	Flags        []string  `json:"flags"`
	From         string    `json:"from,omitempty"`
	Subject      string    `json:"subject,omitempty"`
}

// Search returns the messages of a mailbox that match all keys (RFC 9051 6.4.4),
// sorted by UID; without keys all messages. If there are more than limit, it returns
// the newest and the number of the others. It changes nothing at the server.
func (r *Client) Search(ctx context.Context, name string, keys []string, limit int) (found []Message, more int, err error) {
	if _, err := r.examine(ctx, name); err != nil {
		return nil, 0, err
	}
	if len(keys) == 0 {
		keys = []string{"ALL"}
	}
	set, err := r.c.SearchKeys(ctx, keys)
	if err != nil {
		return nil, 0, fmt.Errorf("search mailbox %q: %w", name, err)
	}
	more = max(0, set.Len()-limit)
	_, set = set.Split(more)
	metas, err := r.metadata(ctx, set)
	if err != nil {
		return nil, 0, fmt.Errorf("search mailbox %q: %w", name, err)
	}
	headings := map[uint32]Message{}
	err = r.c.FetchHeaders(ctx, set, func(u uint32, header []byte) error {
		m, err := rfc5322.ReadHeader(bytes.NewReader(header), rfc5322.Options{})
		if err == nil {
			headings[u] = Message{From: m.Get("From"), Subject: m.Get("Subject")}
		}
		return err
	})
	if err != nil && !session.IsMessageError(err) { // a server that gives no headers still has found them
		return nil, 0, fmt.Errorf("search mailbox %q: %w", name, err)
	}
	for u := range set.All() {
		found = append(found, newMessage(u, metas[u], headings[u]))
	}
	return found, more, nil
}

func newMessage(u uint32, m wire.Metadata, heading Message) Message {
	return Message{UID: u, InternalDate: m.InternalDate, Size: m.Size, Flags: archive.StoredFlags(m.Flags), From: heading.From, Subject: heading.Subject}
}

// Fetch writes the octets of a message to w and returns what the server says about
// it, without From and Subject. After an error w may have a part of the message. It
// changes nothing at the server: an unread message stays unread.
func (r *Client) Fetch(ctx context.Context, name string, u uint32, w io.Writer) (Message, error) {
	if _, err := r.examine(ctx, name); err != nil {
		return Message{}, err
	}
	metas, err := r.metadata(ctx, uid.Of(u))
	if err != nil {
		return Message{}, fmt.Errorf("mailbox %q, UID %d: %w", name, u, err)
	}
	m, ok := metas[u]
	if !ok {
		return Message{}, fmt.Errorf("mailbox %q, UID %d: %w; `archiverd remote search %s MAILBOX` prints UIDs", name, u, ErrNoMessage, r.Account.Name)
	}
	err = r.c.FetchBody(ctx, u, func(_ int64, body io.Reader) error {
		_, err := io.Copy(w, body)
		return err
	})
	if err != nil {
		return Message{}, fmt.Errorf("mailbox %q, UID %d: %w", name, u, err)
	}
	return newMessage(u, m, Message{}), nil
}

// examine opens the mailbox with a name read-only.
func (r *Client) examine(ctx context.Context, name string) (wire.Examined, error) {
	m, _, err := r.mailboxByName(ctx, name)
	if err != nil {
		return wire.Examined{}, err
	}
	sel, err := r.c.Examine(ctx, m.Wire, false)
	if err != nil {
		return sel, fmt.Errorf("open mailbox %q: %w", name, err)
	}
	return sel, nil
}

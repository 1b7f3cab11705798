package wire

import (
	"context"
	"io"

	"archiverd/internal/uid"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// FetchBodies fetches whole messages, BODY.PEEK[] and nothing else. fn is called at
// most once for each UID of set, as they come, with the octets that the server
// announces for it and a reader of exactly so many: it ends in io.EOF only if all
// came, else in io.ErrUnexpectedEOF, and then Bodies fails. It fails, too, with
// another error in the place of the io.EOF, if the end of the reply does not follow
// the octets: then their number was not the announced one. What fn leaves unread
// is dropped.
//
// A message is handed over only if its reply names a UID of set before a
// literal. All else is skipped, so nil does not mean that every message came:
// the caller compares, and asks Body for the rest.
//
// An error of fn ends the connection and is returned as it is.
func (c *Conn) FetchBodies(ctx context.Context, set uid.Set, fn func(uid uint32, size int64, body io.Reader) error) error {
	cmd := command{name: cmdFetch, answerWait: c.options.Timeouts.Answer, onNO: ClassMessage, onBAD: ClassProtocol}
	for _, part := range splitSet(set) {
		var numbers imap.UIDSet
		for r := range part.Ranges() {
			numbers = append(numbers, imap.UIDRange{Start: imap.UID(r.First), Stop: imap.UID(r.Last)})
		}
		err := c.runGoIMAP(ctx, cmd, part, func(client *imapclient.Client) error {
			return c.bodies(client, numbers, fn)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// bodies runs one FETCH.
func (c *Conn) bodies(client *imapclient.Client, set imap.UIDSet, fn func(uint32, int64, io.Reader) error) error {
	items := &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}}}
	fetch := client.Fetch(set, items)
	var body bodyReader
	whole := false
	defer func() {
		if !whole { // an error, or fn panics
			c.abandonFetch(client, fetch, &body)
		}
	}()
	for m := fetch.Next(); m != nil; m = fetch.Next() {
		var u imap.UID
		for item := m.Next(); item != nil; item = m.Next() {
			switch item := item.(type) {
			case imapclient.FetchItemDataUID:
				u = item.UID
			case imapclient.FetchItemDataBodySection:
				size := item.Literal.Size()
				body = bodyReader{r: item.Literal, left: size, confirmEnd: func() error { return c.awaitBodyEnd(m, uint32(u)) }}
				err := fn(uint32(u), size, &body)
				if err == nil {
					err = body.drain()
				}
				if err != nil {
					c.fail(err)
					return err
				}
			}
		}
	}
	whole = true
	return fetch.Close()
}

// awaitBodyEnd reads the reply of a body to its end. Without that the octets may be too
// few and those behind them have been taken for theirs.
func (c *Conn) awaitBodyEnd(m *imapclient.FetchMessageData, u uint32) error {
	for m.Next() != nil { // none but the end: the guard lets no other item through
	}
	if c.guard.hasEnded(u) {
		return nil
	}
	if err := c.failure(); err != nil {
		return err
	}
	return protocolError("UID %d: its body has no end", u)
}

// abandonFetch ends a FETCH in the middle of a body. The connection is closed first:
// draining the command would download the rest, or wait for it forever. Once
// reading the body has failed, go-imap's reader is off with the same buffer, and
// the command may be drained only when that is gone.
func (c *Conn) abandonFetch(client *imapclient.Client, fetch *imapclient.FetchCommand, body *bodyReader) {
	_ = c.Close() // never fails
	if body.drain() != nil {
		<-client.Closed()
	}
	_ = fetch.Close() // its error follows from ours
}

// bodyReader gives fn exactly the announced octets of a body, or an error, and
// that forever.
type bodyReader struct {
	r          io.Reader
	left       int64
	confirmEnd func() error // says, once all came, whether they were the body; nil: nobody knows yet
	err        error
}

func (b *bodyReader) Read(p []byte) (int, error) {
	switch {
	case b.err != nil:
		return 0, b.err
	case b.left == 0 && b.confirmEnd != nil:
		b.err, b.confirmEnd = b.confirmEnd(), nil
		if b.err == nil {
			b.err = io.EOF
		}
		return 0, b.err
	case b.left == 0:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if err != nil && b.left > 0 {
		b.err = io.ErrUnexpectedEOF
	}
	return n, b.err
}

// drain drains what fn has left of the body.
func (b *bodyReader) drain() error {
	_, err := io.Copy(io.Discard, b)
	return err
}

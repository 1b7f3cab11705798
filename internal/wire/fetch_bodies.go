package wire

import (
	"context"
	"io"

	"archiverd/internal/uid"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// FetchBodies fetches whole messages, BODY.PEEK[] and nothing else. fn is called at most
// once for each UID of set, in the order of the replies, with the announced size in
// octets and a reader of exactly that many.
//
// The reader ends in io.EOF only if all octets came and the end of the reply follows
// them. It ends in io.ErrUnexpectedEOF if octets are missing, and in another error if
// the announced size was wrong; FetchBodies then fails. Octets that fn does not read are
// dropped.
//
// fn is given a message only if its reply has a UID of set before the literal. Other
// replies are skipped, so nil does not mean that every message came: the caller compares,
// and calls FetchBody for the rest.
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

// bodies runs one FETCH command.
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

// awaitBodyEnd reads the rest of a body's reply. Without the end of the reply, the
// announced size may have been wrong.
func (c *Conn) awaitBodyEnd(m *imapclient.FetchMessageData, u uint32) error {
	for m.Next() != nil { // the guard lets no other item through
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
// draining the command would download the rest, or wait for it for ever. If reading the
// body failed, go-imap's reader still uses the same buffer, and the command may be
// drained only once that reader has ended.
func (c *Conn) abandonFetch(client *imapclient.Client, fetch *imapclient.FetchCommand, body *bodyReader) {
	_ = c.Close() // never fails
	if body.drain() != nil {
		<-client.Closed()
	}
	_ = fetch.Close() // its error follows from ours
}

// bodyReader reads exactly the announced octets of a body. After its end or an error it
// returns the same error for ever.
type bodyReader struct {
	r          io.Reader
	left       int64
	confirmEnd func() error // called after the last octet: says whether the reply ends there; nil: not known here
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

// drain reads the octets that fn did not read.
func (b *bodyReader) drain() error {
	_, err := io.Copy(io.Discard, b)
	return err
}

package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
)

// FetchBody fetches one message and accepts replies that FetchBodies does not: the UID
// behind the body or in another reply, a quoted string for a body, unreadable items
// around it. fn is called at most once, with a reader of size octets as in FetchBodies.
// Whether fn read the message is known only at the end: its work counts only if
// FetchBody returns nil.
//
// The error is ErrNoBody, ErrNotSent, or an *Error with the server's words. An error of fn ends the connection and is returned as it is.
func (c *Conn) FetchBody(ctx context.Context, u uint32, fn func(size int64, body io.Reader) error) error {
	cmd := command{name: cmdFetch, answerWait: c.options.Timeouts.Answer, onNO: ClassMessage, onBAD: ClassMessage}
	return c.exclusive(ctx, cmd, func() error {
		one := bodyFetch{c: c, uid: u, fn: fn}
		answers, err := c.exchange([]string{fmt.Sprintf("UID FETCH %d (UID BODY.PEEK[])", u)}, 0, one.handleUntagged, one.handleLiteral)
		if err == nil {
			err = c.refusal(answers[0], cmd)
		}
		switch {
		case err != nil:
			return err
		case one.unterminated:
			return &Error{Class: ClassMessage, Err: fmt.Errorf("the body is not followed by the end of its reply: %w", ErrNotSent)}
		case one.delivered && (one.confirmed || one.bodySeq != 0 && one.bodySeq == one.uidSeq):
			return nil
		case one.delivered:
			return &Error{Class: ClassMessage, Err: fmt.Errorf("server sent a body without its UID: %w", ErrNotSent)}
		case one.isNil:
			return &Error{Class: ClassMessage, Err: ErrNoBody}
		}
		return &Error{Class: ClassMessage, Err: ErrNotSent}
	})
}

// bodyFetch is one FetchBody. It belongs to the command that runs.
type bodyFetch struct {
	c   *Conn
	uid uint32
	fn  func(size int64, body io.Reader) error

	delivered    bool   // fn was given a body
	confirmed    bool   // the reply of that body has our UID
	bodySeq      uint32 // the sequence number of that reply
	uidSeq       uint32 // the sequence number that any reply has for our UID
	inReply      bool   // the reply that is being read has the body
	isNil        bool
	unterminated bool // something other than the end of its reply followed the body
}

// handleLiteral is given the literal of a body, with what stands before it.
func (s *bodyFetch) handleLiteral(head []byte, size int64) (bodyOutcome, error) {
	u := parseUntagged(head)
	f := parseFetch(u)
	if s.delivered || f.uid != s.uid && f.uid != 0 || !u.is("FETCH") {
		return bodySkipped, nil
	}
	s.delivered, s.inReply, s.bodySeq = true, true, u.number
	s.c.in.beginUnit()
	defer s.c.in.endUnit()
	return bodyRead, s.deliver(literalReader{s.c}, size)
}

func (s *bodyFetch) deliver(r io.Reader, size int64) error {
	body := bodyReader{r: r, left: size}
	err := s.fn(size, &body)
	if err == nil {
		err = body.drain()
	}
	return err
}

// handleUntagged is given each complete reply.
func (s *bodyFetch) handleUntagged(u untagged) (bool, error) {
	if u.is("EXPUNGE") { // sequence numbers mean other messages from here on
		s.bodySeq, s.uidSeq = 0, 0
		return false, nil
	}
	f := parseFetch(u)
	mine := s.inReply
	s.inReply = false
	if mine && (f.broken || f.badItemName) {
		s.unterminated = true
	}
	if f.uid == s.uid {
		s.uidSeq = u.number
		s.confirmed = s.confirmed || mine
		s.isNil = s.isNil || f.body.isNil()
		if f.body.kind == text && !s.delivered { // a quoted string
			s.delivered, s.confirmed = true, true
			return true, s.deliver(bytes.NewReader(f.body.octets), int64(len(f.body.octets)))
		}
	} else if mine && f.uid != 0 {
		s.bodySeq = 0
	}
	return mine || f.uid == s.uid, nil
}

// literalReader reads a literal from the stream.
type literalReader struct{ c *Conn }

func (r literalReader) Read(p []byte) (int, error) {
	n, err := r.c.in.readLiteral(p)
	r.c.in.wanted(n)
	if err != nil {
		r.c.fail(err)
	}
	return n, err
}

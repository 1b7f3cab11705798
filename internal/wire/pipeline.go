package wire

import (
	"bytes"
	"context"
	"fmt"
	"strings"
)

// bodyOutcome is what became of a body that a reply announces.
type bodyOutcome int

const (
	bodySkipped  bodyOutcome = iota // nobody wants it
	bodyRead                        // its octets are read
	bodyDeferred                    // its octets are for someone else; the reply ends here for now
)

// bodyHandler is told of a literal behind "BODY[] " and what stands before it.
type bodyHandler func(head []byte, size int64) (bodyOutcome, error)

// readReply reads one reply with its literals in place. It is valid until the next.
func (c *Conn) readReply(body bodyHandler) ([]byte, error) {
	line, err := c.in.readLine()
	if err != nil {
		return nil, err
	}
	u := parseUntagged(line)
	if len(u.name) == 0 {
		return line, nil // tagged, "+" or rubbish: text, no literals
	}
	if u.isStatus() {
		return line, nil
	}
	return c.readLiterals(line, body)
}

// readLiterals reads on while the line ends in a literal. Bodies are left out of the
// reply ("{0}"), the others are bounded together.
func (c *Conn) readLiterals(line []byte, body bodyHandler) ([]byte, error) {
	c.replyBuffer = c.replyBuffer[:0]
	room := c.options.Limits.Literal
	for {
		head, size, ok, err := literalAt(line)
		if err != nil {
			return nil, err
		}
		if !ok && len(c.replyBuffer) == 0 {
			return line, nil
		}
		c.replyBuffer = append(c.replyBuffer, head...)
		if !ok {
			return c.replyBuffer, nil
		}
		isBody := endsInBody(c.replyBuffer)
		switch room -= int64(len(head)); {
		case isBody:
			if limit := c.options.Limits.Message; limit > 0 && size > limit {
				return nil, &Error{Class: ClassMessage, Err: fmt.Errorf("body of %d octets, over %d: %w", size, limit, ErrLimit)}
			}
			result := bodySkipped
			if body != nil {
				if result, err = body(c.replyBuffer, size); err != nil || result == bodyDeferred {
					return nil, err
				}
			}
			if result == bodySkipped {
				err = c.in.skipLiteral(size)
			}
			c.replyBuffer = append(c.replyBuffer, "{0}\r\n"...)
		case size > room || room < 0:
			return nil, protocolError("literal of %d octets outside a body: %w", size, ErrLimit)
		default:
			room -= size
			c.replyBuffer = fmt.Appendf(c.replyBuffer, "{%d}\r\n", size)
			err = c.readLiteral(size)
		}
		if err == nil {
			line, err = c.in.readLine()
		}
		if err != nil {
			return nil, err
		}
	}
}

// readLiteral appends the octets of a literal to the reply, as they come: nothing
// is allocated for what is only promised.
func (c *Conn) readLiteral(size int64) error {
	c.in.beginUnit()
	defer c.in.endUnit()
	var chunk [4096]byte
	for size > 0 {
		n, err := c.in.readLiteral(chunk[:min(size, int64(len(chunk)))])
		if err != nil {
			return err
		}
		c.replyBuffer = append(c.replyBuffer, chunk[:n]...)
		size -= int64(n)
	}
	return nil
}

// literalAt looks for a literal's size at the end of a line: "… {123}". A quoted
// string can't hold a line end, so what looks like one here is one.
func literalAt(line []byte) (head []byte, size int64, ok bool, err error) {
	if !bytes.HasSuffix(line, []byte{'}'}) {
		return line, 0, false, nil
	}
	i := bytes.LastIndexByte(line, '{')
	if i < 0 || i+2 > len(line)-1 {
		return line, 0, false, nil
	}
	inner := line[i+1 : len(line)-1]
	if inner[0] != '-' && (inner[0] < '0' || inner[0] > '9') {
		return line, 0, false, nil // a name that looks odd
	}
	n, isNumber := number(inner)
	if !isNumber {
		return nil, 0, false, protocolError("literal of unreadable size")
	}
	return bytes.TrimSuffix(line[:i], []byte{'~'}), int64(n), true, nil
}

// endsInBody says whether the literal behind head is the whole message.
func endsInBody(head []byte) bool {
	head = bytes.TrimRight(head, " ")
	const item = "BODY[]"
	if len(head) <= len(item) || !bytes.EqualFold(head[len(head)-len(item):], []byte(item)) {
		return false
	}
	before := head[len(head)-len(item)-1]
	return before == ' ' || before == '('
}

// untaggedHandler is given each untagged reply that is no status; it says whether
// the reply belongs to the command.
type untaggedHandler func(u untagged) (used bool, err error)

// run sends one raw command and reads until it is answered. The status is that
// of its OK; NO and BAD are errors.
func (c *Conn) run(ctx context.Context, cmd command, line string, fn untaggedHandler) (status, error) {
	var s status
	err := c.exclusive(ctx, cmd, func() error {
		answers, err := c.exchange([]string{line}, cmd.maxReplies, fn, nil)
		if err != nil {
			return err
		}
		s = answers[0]
		return c.refusal(s, cmd)
	})
	return s, err
}

// exchange sends commands in one write and reads until each is answered. A server
// may send most replies besides its chatter. Any error is final for the connection.
func (c *Conn) exchange(lines []string, most int, fn untaggedHandler, body bodyHandler) ([]status, error) {
	t := c.newPipeline(len(lines), most, fn, body)
	if err := t.exchange(lines); err != nil {
		return nil, err
	}
	return t.answers, nil
}

// exchange sends the commands in one write and reads until each is answered.
func (t *pipeline) exchange(lines []string) error {
	var send strings.Builder
	for _, line := range lines {
		send.WriteString(t.c.nextTag() + " " + line + "\r\n")
	}
	if err := t.c.write([]byte(send.String())); err != nil {
		return err
	}
	for range lines {
		if _, err := t.nextAnswer(); err != nil {
			return t.c.abort(err)
		}
	}
	return nil
}

// exchangeParts is exchange of one command in parts: each but the last ends in
// the size of a literal, and the next is sent when the server asks for it (RFC
// 9051 4.3). The answer may come at any of them.
func (c *Conn) exchangeParts(parts []string, fn untaggedHandler) (status, error) {
	t := c.newPipeline(1, len(parts), fn, nil)
	tag := c.nextTag() + " "
	for i, part := range parts {
		if err := c.write([]byte(tag + part + "\r\n")); err != nil {
			return status{}, err
		}
		tag = ""
		t.awaitingContinuation = i < len(parts)-1
		got, err := t.nextAnswer()
		if err == nil && t.awaitingContinuation && got != continuation && t.answers[0].kind == "OK" {
			err = protocolError("server said OK before it had the command")
		}
		if err != nil {
			return status{}, c.abort(err)
		}
		if got != continuation {
			break
		}
	}
	return t.answers[0], nil
}

// pipeline is some raw commands in flight and the answers to them.
type pipeline struct {
	c                    *Conn
	firstTag             int      // tag of the first command
	answers              []status // one for each command; kind "" while there is none
	repliesLeft          int      // replies that may still come
	onUntagged           untaggedHandler
	onBody               bodyHandler
	awaitingContinuation bool // for the server to ask for a literal
}

// continuation stands for "+", the server's request for a literal (RFC 9051 7.6).
const continuation = -1

// newPipeline begins with the next tag. A server may send most replies besides its
// chatter and the answers.
func (c *Conn) newPipeline(commands, most int, fn untaggedHandler, body bodyHandler) *pipeline {
	return &pipeline{
		c: c, firstTag: c.tag + 1, answers: make([]status, commands),
		repliesLeft: most + commands + c.options.Limits.Untagged, onUntagged: fn, onBody: body,
	}
}

// nextAnswer reads until a command is answered and returns its index, or continuation where
// that is waited for.
func (t *pipeline) nextAnswer() (int, error) {
	c := t.c
	for ; t.repliesLeft >= 0; t.repliesLeft-- {
		reply, err := c.readReply(t.onBody)
		if err != nil {
			return 0, err
		}
		if bytes.HasPrefix(reply, []byte("* ")) {
			used := false
			if u := c.handleUntagged(reply); t.onUntagged != nil {
				if used, err = t.onUntagged(u); err != nil {
					return 0, err
				}
			}
			if used {
				c.in.progressed()
			}
			continue
		}
		if t.awaitingContinuation && bytes.HasPrefix(reply, []byte{'+'}) {
			c.in.progressed()
			return continuation, nil
		}
		tag, rest, _ := bytes.Cut(reply, []byte{' '})
		s, ok := parseStatus(rest)
		n, isTag := uint64(0), len(tag) > 1 && tag[0] == 'X'
		if isTag {
			n, isTag = number(tag[1:])
		}
		i := int(n) - t.firstTag
		if !ok || !isTag || i < 0 || i >= len(t.answers) || t.answers[i].kind != "" {
			return 0, protocolError("reply out of place: %s", c.sanitize(string(reply[:min(len(reply), maxTextOctets)])))
		}
		c.handleStatus(s)
		t.answers[i] = s
		c.in.startAnswer()
		return i, nil
	}
	return 0, protocolError("over %d replies that nobody asked for: %w", c.options.Limits.Untagged, ErrLimit)
}

// handleUntagged takes what concerns the connection out of an untagged reply.
func (c *Conn) handleUntagged(reply []byte) untagged {
	u := parseUntagged(reply)
	if u.isStatus() {
		if s, ok := parseStatus(reply[len("* "):]); ok {
			c.handleStatus(s)
		}
	} else if u.is("CAPABILITY") {
		c.setCapabilities(string(u.rest))
	}
	return u
}

package wire

import (
	"bytes"
	"context"
	"strings"
)

// untaggedHandler is given each untagged reply that is no status response. It says
// whether the reply belongs to the command.
type untaggedHandler func(u untagged) (used bool, err error)

// run sends one raw command and reads until it is answered. The status is that of
// its OK. NO and BAD are errors.
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

// exchange sends commands in one write and reads until each is answered. maxReplies
// is how many untagged replies of the commands' own are allowed, besides
// Limits.Untagged. Any error is final for the connection.
func (c *Conn) exchange(lines []string, maxReplies int, fn untaggedHandler, body bodyHandler) ([]status, error) {
	p := c.newPipeline(len(lines), maxReplies, fn, body)
	if err := p.exchange(lines); err != nil {
		return nil, err
	}
	return p.answers, nil
}

// exchangeParts sends one command in parts and reads its answer. Each part but the
// last ends in the size of a literal; the next is sent when the server asks for it
// (RFC 9051 4.3). The answer may come after any part.
func (c *Conn) exchangeParts(parts []string, fn untaggedHandler) (status, error) {
	p := c.newPipeline(1, len(parts), fn, nil)
	tag := c.nextTag() + " "
	for i, part := range parts {
		if err := c.write([]byte(tag + part + "\r\n")); err != nil {
			return status{}, err
		}
		tag = ""
		p.awaitingContinuation = i < len(parts)-1
		got, err := p.nextAnswer()
		if err == nil && p.awaitingContinuation && got != continuation && p.answers[0].kind == "OK" {
			err = protocolError("server said OK before it had the command")
		}
		if err != nil {
			return status{}, c.abort(err)
		}
		if got != continuation {
			break
		}
	}
	return p.answers[0], nil
}

// pipeline is raw commands that have been sent, or are being sent, and the answers to
// them. It belongs to the command that runs.
type pipeline struct {
	c                    *Conn
	firstTag             int      // of the first command
	answers              []status // one for each command; kind "" while there is none
	repliesLeft          int      // replies that the server may still send
	octetsLeft           int64    // of those that belong to the commands, without bodies
	otherOctetsLeft      int64    // of the others
	onUntagged           untaggedHandler
	onBody               bodyHandler
	awaitingContinuation bool // "+" is expected
}

// continuation is what nextAnswer returns for "+", the server's request for a literal
// (RFC 9051 7.6).
const continuation = -1

// What the replies that belong to a command may have together: maxReplyOctets,
// octetsPerReply for each that is expected, and of a search Limits.Search. Bodies do not
// count. All other replies may have maxReplyOctets.
const (
	maxReplyOctets = 16 << 20
	octetsPerReply = 16 << 10
)

// newPipeline begins with the next tag.
func (c *Conn) newPipeline(commands, maxReplies int, fn untaggedHandler, body bodyHandler) *pipeline {
	p := &pipeline{
		c: c, firstTag: c.tag + 1, answers: make([]status, commands),
		repliesLeft: maxReplies + commands + c.options.Limits.Untagged, onUntagged: fn, onBody: body,
		octetsLeft: maxReplyOctets + int64(maxReplies)*octetsPerReply, otherOctetsLeft: maxReplyOctets,
	}
	if c.in.allowLongSearch {
		p.octetsLeft += int64(c.options.Limits.Search)
	}
	return p
}

// exchange sends the commands in one write and reads until each is answered.
func (p *pipeline) exchange(lines []string) error {
	var commands strings.Builder
	for _, line := range lines {
		commands.WriteString(p.c.nextTag() + " " + line + "\r\n")
	}
	if err := p.c.write([]byte(commands.String())); err != nil {
		return err
	}
	for range lines {
		if _, err := p.nextAnswer(); err != nil {
			return p.c.abort(err)
		}
	}
	return nil
}

// nextAnswer reads until a command is answered and returns the command's index, or
// continuation where that is expected.
func (p *pipeline) nextAnswer() (int, error) {
	c := p.c
	for ; p.repliesLeft >= 0; p.repliesLeft-- {
		reply, err := c.readReply(p.onBody)
		if err != nil {
			return 0, err
		}
		if bytes.HasPrefix(reply, []byte("* ")) {
			if err := p.handleUntagged(reply); err != nil {
				return 0, err
			}
			continue
		}
		if p.awaitingContinuation && bytes.HasPrefix(reply, []byte{'+'}) {
			c.in.progressed()
			return continuation, nil
		}
		return p.handleTagged(reply)
	}
	return 0, protocolError("over %d replies that nobody asked for: %w", c.options.Limits.Untagged, ErrLimit)
}

// handleUntagged hands an untagged reply to the command, and counts its octets.
func (p *pipeline) handleUntagged(reply []byte) (err error) {
	used, left := false, &p.otherOctetsLeft
	if u := p.c.handleUntagged(reply); p.onUntagged != nil {
		used, err = p.onUntagged(u)
	}
	if err != nil {
		return err
	}
	if used {
		p.c.in.progressed()
		left = &p.octetsLeft
	}
	if *left -= int64(len(reply)); *left < 0 {
		return protocolError("more octets than the answer can have: %w", ErrLimit)
	}
	return nil
}

// handleTagged stores a tagged answer and returns the index of its command.
func (p *pipeline) handleTagged(reply []byte) (int, error) {
	tag, rest, _ := bytes.Cut(reply, []byte{' '})
	s, ok := parseStatus(rest)
	n, isTag := uint64(0), len(tag) > 1 && tag[0] == 'X'
	if isTag {
		n, isTag = number(tag[1:])
	}
	i := int(n) - p.firstTag
	if !ok || !isTag || i < 0 || i >= len(p.answers) || p.answers[i].kind != "" {
		return 0, protocolError("reply out of place: %s", p.c.server.sanitize(string(reply)))
	}
	p.c.handleStatus(s)
	p.answers[i] = s
	p.c.in.startAnswer()
	return i, nil
}

// handleUntagged stores what an untagged reply says of the connection, and returns
// the reply taken apart.
func (c *Conn) handleUntagged(reply []byte) untagged {
	u := parseUntagged(reply)
	if u.isStatus() {
		if s, ok := parseStatus(reply[len("* "):]); ok {
			c.handleStatus(s)
		}
	} else if u.is("CAPABILITY") {
		c.server.setCapabilities(string(u.rest))
	}
	return u
}

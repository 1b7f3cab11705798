package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

const (
	appendBufferSize    = 64 << 10 // octets of one write
	maxUnanswered       = 64       // commands whose answers may be awaited at once
	maxUnansweredOctets = 4 << 20  // octets of them
	maxLiteralMinus     = 4096     // octets that LITERAL- lets go unasked (RFC 7888 5)
	maxNonSyncHead      = 4096     // octets before a literal that goes unasked: a server may refuse a longer line
)

// AppendMessage is a message for Append.
type AppendMessage struct {
	Flags []string  // each a ValidFlag
	Date  time.Time // INTERNALDATE with its zone; zero: none is sent
	Size  int64     // octets of Body
	Body  io.Reader // read at most once, to its end: it has exactly Size octets
}

// AppendState is the outcome of one message.
type AppendState int

// The outcomes of a message.
const (
	AppendNotSent AppendState = iota // its last octet was not sent: the server can't have it
	AppendDone                       // OK
	AppendRefused                    // NO or BAD
	AppendUnknown                    // its command was sent whole and no answer came: the server may have it
)

// Appended is the outcome of one message.
type Appended struct {
	State       AppendState
	UIDValidity uint32 // of APPENDUID (RFC 4315 3); 0: the server did not send it
	UID         uint32 // of APPENDUID; 0: the server did not send it
	Err         error  // of AppendRefused: an *Error with the server's text
}

// Append appends messages to a mailbox, in order (RFC 9051 6.3.12). With MULTIAPPEND
// (RFC 3502) they are one command, all or nothing; an empty message goes by itself, since
// it would cancel the whole command. Without it each message is a command. With LITERAL+
// or LITERAL- no message waits for a continuation request (RFC 7888), except those with
// an unknown system flag or with very many flags.
//
// The result has one element for each message, whatever the error. A refusal is in the
// element. The error is that of the connection, or of a message that can't be sent; in
// that case nothing was sent. An error of a Body, or a Body that is not Size octets long,
// ends the connection and is returned as it is.
func (c *Conn) Append(ctx context.Context, wireName string, msgs []AppendMessage) ([]Appended, error) {
	cmd := command{name: cmdAppend, answerWait: c.options.Timeouts.Answer, stall: c.options.Timeouts.Stall / 3, onNO: ClassMessage, onBAD: ClassMessage}
	out := make([]Appended, len(msgs))
	name, ok := quote(wireName)
	if !ok {
		return out, c.annotate(cmd, errUnsendable)
	}
	for i, m := range msgs {
		if err := m.check(); err != nil {
			return out, c.annotate(cmd, &Error{Class: ClassMessage, Err: fmt.Errorf("message %d of %d: %w", i+1, len(msgs), err)})
		}
	}
	if len(msgs) == 0 {
		return out, nil
	}
	err := c.exclusive(ctx, cmd, func() error {
		return newAppender(c, cmd, name, msgs, out).run()
	})
	return out, err
}

// dateTime is the layout of INTERNALDATE (RFC 9051 9, date-time).
const dateTime = `"_2-Jan-2006 15:04:05 -0700"`

// check returns an error if the message can't be sent.
func (m *AppendMessage) check() error {
	if m.Size < 0 || m.Body == nil {
		return errors.New("there is no body to append")
	}
	if text := m.Date.Format(dateTime); len(text) != len(dateTime) { // a year or zone of more digits
		return fmt.Errorf("date %s can't be sent", text)
	}
	return checkFlags(m.Flags)
}

// head returns what stands before the size of the message's literal.
func (m *AppendMessage) head() string {
	head := " "
	if len(m.Flags) > 0 {
		head += "(" + strings.Join(m.Flags, " ") + ") "
	}
	if !m.Date.IsZero() {
		head += m.Date.Format(dateTime) + " "
	}
	return head
}

// hasKnownFlags says whether every server can read the flags. Some (Dovecot 2.3) refuse
// an unknown system flag and then read a non-synchronising literal as commands. A
// message must never be read as commands.
func (m *AppendMessage) hasKnownFlags() bool {
	return !slices.ContainsFunc(m.Flags, func(flag string) bool {
		known := func(system string) bool { return strings.EqualFold(system, flag) }
		return strings.HasPrefix(flag, `\`) && !slices.ContainsFunc(systemFlags[:], known)
	})
}

// appendUIDs reads the arguments of APPENDUID for n messages: "7 42:43,50" (RFC 4315 3).
// The UIDs must ascend, in the order of the messages, and be n; otherwise the result is
// empty.
func appendUIDs(args string, n int) (uidValidity uint32, uids []uint32) {
	validity, set, _ := strings.Cut(args, " ")
	v, ok := number([]byte(validity))
	if !ok || v == 0 || v > 1<<32-1 {
		return 0, nil
	}
	last := uint64(0)
	for part := range strings.SplitSeq(set, ",") {
		a, b, ranged := strings.Cut(part, ":")
		first, ok := number([]byte(a))
		end := first
		if ok && ranged {
			end, ok = number([]byte(b))
		}
		if !ok || first <= last || end < first || end > 1<<32-1 || end-first >= uint64(n-len(uids)) {
			return 0, nil
		}
		for u := first; u <= end; u++ {
			uids = append(uids, uint32(u))
		}
		last = end
	}
	if len(uids) != n {
		return 0, nil
	}
	return uint32(v), uids
}

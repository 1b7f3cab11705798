package wire

import (
	"bufio"
	"fmt"
	"io"
)

// appender streams APPEND commands and reads the answers. A command with
// non-synchronising literals is sent before the earlier ones are answered, but only so
// far that client and server can't both block on writing.
type appender struct {
	*pipeline
	cmd    command
	name   string
	msgs   []AppendMessage
	out    []Appended
	buffer *bufio.Writer

	commands         []appendCommand
	written          int   // commands whose last octet is in buffer
	sent             int   // commands whose last octet was written to the network
	unanswered       int   // commands without an answer
	unansweredOctets int64 // octets of the unanswered commands
	writeErr         error // the error of a write
	readFailed       bool  // reading an answer failed: no further answer can be read
}

// appendCommand is one command, with the messages [first, end).
type appendCommand struct {
	first, end int
	octets     int64
}

func newAppender(c *Conn, cmd command, name string, msgs []AppendMessage, out []Appended) *appender {
	a := &appender{pipeline: c.newPipeline(0, 2*len(msgs), nil, nil), cmd: cmd, name: name, msgs: msgs, out: out}
	a.buffer = bufio.NewWriterSize(a, appendBufferSize)
	return a
}

// run sends all messages. After an error the connection is closed: the server must not
// read the next command as the rest of a message.
func (a *appender) run() error {
	whole := false
	defer func() {
		if !whole { // a Body panics
			_ = a.c.Close() // never fails
		}
	}()
	err := a.appendAll()
	whole = true
	if err == nil {
		return nil
	}
	a.readLateAnswers()
	a.c.fail(err)
	if _, ours := err.(*Error); ours {
		return a.c.failure()
	}
	return err
}

func (a *appender) appendAll() error {
	for first := 0; first < len(a.msgs); {
		p := a.nextCommand(first)
		for a.unanswered > 0 && (a.unanswered >= maxUnanswered || a.unansweredOctets+p.octets > maxUnansweredOctets) {
			if err := a.awaitAnswer(); err != nil {
				return err
			}
		}
		if err := a.send(p); err != nil {
			return err
		}
		first = p.end
	}
	for a.unanswered > 0 {
		if err := a.awaitAnswer(); err != nil {
			return err
		}
	}
	return nil
}

// nextCommand returns the command that begins with message first.
func (a *appender) nextCommand(first int) appendCommand {
	p := appendCommand{first, first + 1, a.msgs[first].Size}
	if p.octets > 0 && a.c.HasCapability("MULTIAPPEND") {
		for ; p.end < len(a.msgs) && a.msgs[p.end].Size > 0; p.end++ {
			p.octets += a.msgs[p.end].Size
		}
	}
	return p
}

// send sends a command, or its beginning if the server refuses it before the rest.
// Errors of writing are kept by buffer and returned later.
func (a *appender) send(p appendCommand) error {
	a.commands, a.answers = append(a.commands, p), append(a.answers, status{})
	a.unanswered++
	a.unansweredOctets += p.octets
	a.buffer.WriteString(a.c.nextTag() + " APPEND " + a.name)
	for i := p.first; i < p.end; i++ {
		m := &a.msgs[i]
		if a.isNonSynchronising(m) {
			fmt.Fprintf(a.buffer, "%s{%d+}\r\n", m.head(), m.Size)
		} else {
			fmt.Fprintf(a.buffer, "%s{%d}\r\n", m.head(), m.Size)
			if wanted, err := a.awaitContinuation(); err != nil || !wanted {
				a.written++ // the line was its last
				return err
			}
		}
		if err := a.sendBody(m); err != nil {
			return err
		}
	}
	if a.buffer.Available() < len("\r\n") { // so that the last octet is not in a write that comes before it
		a.buffer.Flush()
	}
	a.written++
	a.buffer.WriteString("\r\n")
	return nil
}

// isNonSynchronising says whether a message goes without a continuation request (RFC
// 7888).
func (a *appender) isNonSynchronising(m *AppendMessage) bool {
	able := a.c.HasCapability("LITERAL+") || a.c.HasCapability("LITERAL-") && m.Size <= maxLiteralMinus
	return able && m.hasKnownFlags() && isASCII(a.name) && len(a.name)+len(m.head()) <= maxNonSyncHead
}

// awaitContinuation waits until the server asks for a literal (RFC 9051 7.6). wanted is
// false if it refused the command instead. The answers to earlier commands come first: a
// "+" among them does not belong to this command.
func (a *appender) awaitContinuation() (wanted bool, err error) {
	if err := a.buffer.Flush(); err != nil {
		return false, err
	}
	a.awaitingContinuation = true
	defer func() { a.awaitingContinuation = false }()
	for {
		i, err := a.readAnswer()
		if err == nil && i == continuation && a.unanswered > 1 {
			err = protocolError("server asks for a literal before it is offered one")
		}
		if err != nil || i == continuation || i == len(a.commands)-1 {
			return i == continuation, err
		}
	}
}

// sendBody sends the octets of a message.
func (a *appender) sendBody(m *AppendMessage) error {
	n, err := a.buffer.ReadFrom(io.LimitReader(m.Body, m.Size))
	switch {
	case a.writeErr != nil:
		return a.writeErr
	case err != nil:
		return err
	case n < m.Size:
		return fmt.Errorf("append message of %d octets: it ends after %d: %w", m.Size, n, io.ErrUnexpectedEOF)
	}
	var more [1]byte
	switch n, err := io.ReadFull(m.Body, more[:]); {
	case n > 0:
		return fmt.Errorf("append message of %d octets: it is longer", m.Size)
	case err != io.EOF:
		return err
	}
	return nil
}

// Write writes octets to the network for buffer. From the moment that the last octet of
// a command is passed to a write, the server may have the command.
func (a *appender) Write(p []byte) (int, error) {
	a.c.in.throttle(len(p))
	if a.writeErr = a.c.failure(); a.writeErr != nil {
		return 0, a.writeErr
	}
	for ; a.sent < a.written; a.sent++ {
		for i := a.commands[a.sent].first; i < a.commands[a.sent].end; i++ {
			if a.out[i].State == AppendNotSent {
				a.out[i].State = AppendUnknown
			}
		}
	}
	if a.writeErr = a.c.send(p); a.writeErr != nil {
		return 0, a.writeErr
	}
	return len(p), nil
}

// awaitAnswer flushes buffer and reads the answer to one command.
func (a *appender) awaitAnswer() error {
	if err := a.buffer.Flush(); err != nil {
		return err
	}
	_, err := a.readAnswer()
	return err
}

// readAnswer reads the answer to one command and returns its index, or continuation if
// that is expected.
func (a *appender) readAnswer() (int, error) {
	a.c.in.deadline.readWait = a.cmd.answerWait
	i, err := a.nextAnswer()
	if err == nil && i != continuation {
		err = a.recordAnswer(i)
	}
	a.readFailed = err != nil
	return i, err
}

// recordAnswer stores the outcome of a command's messages.
func (a *appender) recordAnswer(i int) error {
	p, s := a.commands[i], a.answers[i]
	a.answers[i] = status{kind: s.kind} // the text may be long
	a.unanswered--
	a.unansweredOctets -= p.octets
	result := Appended{State: AppendRefused, Err: a.c.annotate(a.cmd, a.c.refusal(s, a.cmd))}
	var uids []uint32
	switch s.kind {
	case "NO", "BAD":
	case "OK":
		if i >= a.sent {
			return protocolError("server said OK before it had the message")
		}
		result.State = AppendDone
		if s.code == "APPENDUID" {
			result.UIDValidity, uids = appendUIDs(s.args, p.end-p.first)
		}
	default:
		return result.Err
	}
	for k := range p.end - p.first {
		if uids != nil {
			result.UID = uids[k]
		}
		a.out[p.first+k] = result
	}
	return nil
}

// readLateAnswers reads what the server still sends after sending has ended: an answer
// turns AppendUnknown into an outcome, a BYE gives the reason.
func (a *appender) readLateAnswers() {
	if a.writeErr != nil {
		a.c.in.capDeadline(byeTimeout)
	}
	for !a.readFailed && a.c.failure() == nil && (a.writeErr != nil || a.hasUnanswered()) {
		_, _ = a.readAnswer() // what matters is in out, or with the connection
	}
}

// hasUnanswered says whether a command that was sent whole has no answer.
func (a *appender) hasUnanswered() bool {
	for i := range a.sent {
		if a.answers[i].kind == "" {
			return true
		}
	}
	return false
}

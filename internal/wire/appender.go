package wire

import (
	"bufio"
	"fmt"
	"io"
)

// appender streams APPEND commands and reads the answers. A command that needs no
// leave of the server's is sent ahead of the answers to those before it, but not
// so far that both sides could be stuck in writing.
type appender struct {
	*talk
	cmd  command
	name string
	msgs []AppendMessage
	out  []Appended
	w    *bufio.Writer

	commands []appendCommand
	complete int   // commands whose last octet is in w
	sent     int   // commands whose last octet was given to the network
	open     int   // commands without an answer
	ahead    int64 // octets of them
	broken   error // of a write
	deaf     bool  // no answer can be read any more
}

// appendCommand is one command, with the messages from first to before end.
type appendCommand struct {
	first, end int
	octets     int64
}

func newAppender(c *Conn, cmd command, name string, msgs []AppendMessage, out []Appended) *appender {
	a := &appender{talk: c.talk(0, 2*len(msgs), nil, nil), cmd: cmd, name: name, msgs: msgs, out: out}
	a.w = bufio.NewWriterSize(a, appendBuffer)
	return a
}

// run sends all messages. Any error is final: the connection is closed, for the
// server must not take what comes next for the rest of a message.
func (a *appender) run() error {
	whole := false
	defer func() {
		if !whole { // a Body panics
			_ = a.c.Close() // never fails
		}
	}()
	err := a.all()
	whole = true
	if err == nil {
		return nil
	}
	a.rescue()
	a.c.fail(err)
	if _, ours := err.(*Error); ours {
		return a.c.failure()
	}
	return err
}

func (a *appender) all() error {
	for first := 0; first < len(a.msgs); {
		p := a.group(first)
		for a.open > 0 && (a.open >= appendAhead || a.ahead+p.octets > octetsAhead) {
			if err := a.await(); err != nil {
				return err
			}
		}
		if err := a.send(p); err != nil {
			return err
		}
		first = p.end
	}
	for a.open > 0 {
		if err := a.await(); err != nil {
			return err
		}
	}
	return nil
}

// group is the command that begins with a message.
func (a *appender) group(first int) appendCommand {
	p := appendCommand{first, first + 1, a.msgs[first].Size}
	if p.octets > 0 && a.c.HasCapability("MULTIAPPEND") {
		for ; p.end < len(a.msgs) && a.msgs[p.end].Size > 0; p.end++ {
			p.octets += a.msgs[p.end].Size
		}
	}
	return p
}

// send sends a command, or as much of it as the server wants. Errors of writing
// stick to w.
func (a *appender) send(p appendCommand) error {
	a.commands, a.answers = append(a.commands, p), append(a.answers, status{})
	a.open++
	a.ahead += p.octets
	a.w.WriteString(a.c.nextTag() + " APPEND " + a.name)
	for i := p.first; i < p.end; i++ {
		m := &a.msgs[i]
		if a.unasked(m) {
			fmt.Fprintf(a.w, "%s{%d+}\r\n", m.head(), m.Size)
		} else {
			fmt.Fprintf(a.w, "%s{%d}\r\n", m.head(), m.Size)
			if wanted, err := a.ask(); err != nil || !wanted {
				a.complete++ // the line was its last
				return err
			}
		}
		if err := a.body(m); err != nil {
			return err
		}
	}
	if a.w.Available() < len("\r\n") { // so that the last octet is not in a write that comes before it
		a.w.Flush()
	}
	a.complete++
	a.w.WriteString("\r\n")
	return nil
}

// unasked says whether a message goes without the server's leave (RFC 7888).
func (a *appender) unasked(m *AppendMessage) bool {
	able := a.c.HasCapability("LITERAL+") || a.c.HasCapability("LITERAL-") && m.Size <= literalMinus
	return able && m.plain() && isASCII(a.name) && len(a.name)+len(m.head()) <= longestHead
}

// ask waits until the server asks for a literal; not wanted: it has refused the
// command instead (RFC 9051 7.6). The answers to the commands before come first: a
// "+" among them is not meant for this one.
func (a *appender) ask() (wanted bool, err error) {
	if err := a.w.Flush(); err != nil {
		return false, err
	}
	a.waits = true
	defer func() { a.waits = false }()
	for {
		i, err := a.answer()
		if err == nil && i == goOn && a.open > 1 {
			err = protocolError("server asks for a literal before it is offered one")
		}
		if err != nil || i == goOn || i == len(a.commands)-1 {
			return i == goOn, err
		}
	}
}

// body sends the octets of a message.
func (a *appender) body(m *AppendMessage) error {
	n, err := a.w.ReadFrom(io.LimitReader(m.Body, m.Size))
	switch {
	case a.broken != nil:
		return a.broken
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

// Write gives octets to the network: w's way there. The server may have a command
// from the moment that its last octet is in a write.
func (a *appender) Write(p []byte) (int, error) {
	a.c.in.throttle(len(p))
	if a.broken = a.c.failure(); a.broken != nil {
		return 0, a.broken
	}
	for ; a.sent < a.complete; a.sent++ {
		for i := a.commands[a.sent].first; i < a.commands[a.sent].end; i++ {
			if a.out[i].State == AppendNotSent {
				a.out[i].State = AppendUnknown
			}
		}
	}
	if a.broken = a.c.put(p); a.broken != nil {
		return 0, a.broken
	}
	return len(p), nil
}

// await sends what is ready and reads the answer to one command.
func (a *appender) await() error {
	if err := a.w.Flush(); err != nil {
		return err
	}
	_, err := a.answer()
	return err
}

// answer reads the answer to one command, which the server may have to work for,
// or goOn if that is waited for.
func (a *appender) answer() (int, error) {
	a.c.in.wait = a.cmd.wait
	i, err := a.next()
	if err == nil && i != goOn {
		err = a.settle(i)
	}
	a.deaf = err != nil
	return i, err
}

// settle takes down what became of a command's messages.
func (a *appender) settle(i int) error {
	p, s := a.commands[i], a.answers[i]
	a.answers[i] = status{kind: s.kind} // the text may be long
	a.open--
	a.ahead -= p.octets
	result := Appended{State: AppendRefused, Err: a.c.explain(a.cmd, a.c.refusal(s, a.cmd))}
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

// rescue reads, once sending has come to an end, what the server still says: an
// answer spares the caller a doubt, a BYE tells why.
func (a *appender) rescue() {
	if a.broken != nil {
		a.c.in.hurry(afterBye)
	}
	for !a.deaf && a.c.failure() == nil && (a.broken != nil || a.owed()) {
		_, _ = a.answer() // what matters is in out, or with the connection
	}
}

// owed says whether a command that was sent has no answer.
func (a *appender) owed() bool {
	for i := range a.sent {
		if a.answers[i].kind == "" {
			return true
		}
	}
	return false
}

package wire

import (
	"bytes"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"archiverd/internal/uid"
)

// errUnreadableReply ends the connection when go-imap closed it because of a reply.
var errUnreadableReply = errors.New("unreadable reply")

// guard is the net.Conn under go-imap. go-imap's reader waits in Read until a command
// of go-imap's runs and the gate is open. Then it gets, rewritten, the continuation
// requests, the FETCH replies with a wanted BODY[] literal, and the tagged answer, which
// closes the gate again. All other replies are handled here.
//
// The fields above the mutex are owned by go-imap's reader, those below it are guarded
// by it.
type guard struct {
	c           *Conn
	bodyOctets  int64  // octets left of the body that go-imap is reading
	inBody      bool   // the rest of the body's FETCH reply follows
	uid         uint32 // of the message whose body it is
	repliesLeft int    // replies that the server may still send
	octetsLeft  int64  // of those without a body

	mu          sync.Mutex
	cond        sync.Cond
	isOpen      bool
	wanted      uid.Set // the bodies that go-imap waits for
	answered    bool    // the tagged answer came
	endedBodies uid.Set // the bodies that were followed by the end of their reply
	lastStatus  status  // it
	pending     []byte  // for go-imap, before anything from the stream
}

// openGate lets go-imap's reader use the stream for one command.
func (g *guard) openGate(wanted uid.Set) {
	g.mu.Lock()
	g.isOpen, g.wanted, g.endedBodies, g.answered, g.lastStatus = true, wanted, uid.Set{}, false, status{}
	g.repliesLeft = wanted.Len() + g.c.options.Limits.Untagged + 1
	g.octetsLeft = maxReplyOctets
	g.mu.Unlock()
	g.cond.Broadcast()
}

// answer returns the tagged answer of the last command, if it came.
func (g *guard) answer() (status, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lastStatus, g.answered
}

// toClient queues text for go-imap, whether the gate is open or not.
func (g *guard) toClient(text string) {
	g.mu.Lock()
	g.pending = append(g.pending, text...)
	g.mu.Unlock()
	g.cond.Broadcast()
}

func (g *guard) wake() {
	g.mu.Lock() // no reader is between checking for the error and waiting
	defer g.mu.Unlock()
	g.cond.Broadcast()
}

// Read returns go-imap its next octets. After an error it returns that error for ever.
func (g *guard) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n, err := g.readPending(p)
		if n > 0 || err != nil {
			return n, err
		}
		if g.bodyOctets > 0 {
			return g.readBody(p)
		}
		if err := g.readNext(); err != nil {
			g.c.fail(err)
		}
	}
}

// readPending returns queued octets; if there are none it waits until the gate is open.
func (g *guard) readPending(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.pending) == 0 && !g.isOpen && g.c.failure() == nil {
		g.cond.Wait()
	}
	if len(g.pending) > 0 {
		n := copy(p, g.pending)
		g.pending = g.pending[:copy(g.pending, g.pending[n:])]
		return n, nil
	}
	return 0, g.c.failure()
}

// readBody returns octets of the body.
func (g *guard) readBody(p []byte) (int, error) {
	n, err := g.c.in.readLiteral(p[:min(int64(len(p)), g.bodyOctets)])
	g.c.in.wanted(n)
	g.bodyOctets -= int64(n)
	if err != nil {
		g.bodyOctets = 0
		return n, g.c.abort(err)
	}
	if g.bodyOctets == 0 {
		g.c.in.endUnit()
		g.c.in.progressed()
	}
	return n, nil
}

// readNext reads one reply, or the rest of a reply behind its body.
func (g *guard) readNext() error {
	c := g.c
	if g.inBody {
		g.inBody = false
		return g.readBodyTail()
	}
	reply, err := c.readReply(g.offerBody)
	if err != nil {
		return err
	}
	if g.repliesLeft--; g.repliesLeft < 0 {
		return protocolError("over %d replies that nobody asked for: %w", c.options.Limits.Untagged, ErrLimit)
	}
	if g.inBody {
		return nil
	}
	if g.octetsLeft -= int64(len(reply)); g.octetsLeft < 0 {
		return protocolError("more octets than the answer can have: %w", ErrLimit)
	}
	return g.handleReply(reply)
}

// readBodyTail reads what follows a body. Anything but the end of the reply is an error.
func (g *guard) readBodyTail() error {
	c := g.c
	line, err := c.in.readLine()
	if err == nil {
		line, err = c.readLiterals(line, nil)
	}
	if err != nil {
		return err
	}
	if !endsReply(line, g.uid) {
		return protocolError("UID %d: its body is not followed by the end of the reply but by %s", g.uid, c.server.sanitize(string(line)))
	}
	g.mu.Lock()
	g.endedBodies.Add(g.uid)
	g.mu.Unlock()
	g.toClient(")\r\n")
	return nil
}

// hasEnded says whether the body of u was followed by the end of its reply.
func (g *guard) hasEnded(u uint32) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.endedBodies.Contains(u)
}

// offerBody announces the body behind head to go-imap, if it is wanted.
func (g *guard) offerBody(head []byte, size int64) (bodyOutcome, error) {
	u := parseUntagged(head)
	f := parseFetch(u)
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.wanted.Contains(f.uid) {
		return bodySkipped, nil
	}
	g.pending = append(g.pending, "* "...)
	g.pending = strconv.AppendUint(g.pending, uint64(max(u.number, 1)), 10)
	g.pending = append(g.pending, " FETCH (UID "...)
	g.pending = strconv.AppendUint(g.pending, uint64(f.uid), 10)
	g.pending = append(g.pending, " BODY[] {"...)
	g.pending = strconv.AppendInt(g.pending, size, 10)
	g.pending = append(g.pending, "}\r\n"...)
	g.bodyOctets, g.inBody, g.uid = size, true, f.uid
	g.c.in.beginUnit()
	return bodyDeferred, nil
}

// handleReply handles a reply without a body for go-imap.
func (g *guard) handleReply(reply []byte) error {
	c := g.c
	if len(reply) > 0 && reply[0] == '+' { // RFC 9051 7.6
		text := strings.ReplaceAll(string(reply[1:]), "\r", "")
		g.toClient("+ " + strings.Trim(text, " ") + "\r\n")
		return nil
	}
	if bytes.HasPrefix(reply, []byte("* ")) {
		c.handleUntagged(reply)
		return nil
	}
	tag, rest, _ := bytes.Cut(reply, []byte{' '})
	s, ok := parseStatus(rest)
	digits, isTag := bytes.CutPrefix(tag, []byte{'T'})
	if _, isNumber := number(digits); !ok || !isTag || !isNumber {
		return protocolError("reply out of place: %s", c.server.sanitize(string(reply)))
	}
	c.handleStatus(s)
	line := string(tag) + " " + s.kind
	switch {
	case s.kind == "OK": // spares go-imap asking by itself after a login
		line += " [CAPABILITY " + c.capabilityList() + "]"
	case isPlainAtom(s.code) && s.code != "CAPABILITY":
		line += " [" + s.code + "]"
	}
	g.mu.Lock()
	g.isOpen, g.answered, g.lastStatus = false, true, s
	g.mu.Unlock()
	g.toClient(line + " done\r\n")
	return nil
}

// Write sends octets of a command of go-imap's.
func (g *guard) Write(p []byte) (int, error) {
	if err := g.c.write(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close is called by go-imap when it gives the connection up.
func (g *guard) Close() error {
	g.c.fail(&Error{Class: ClassProtocol, Err: errUnreadableReply})
	return nil
}

func (g *guard) LocalAddr() net.Addr  { return g.c.tcp.LocalAddr() }
func (g *guard) RemoteAddr() net.Addr { return g.c.tcp.RemoteAddr() }

// go-imap's deadlines are ignored: they are absolute and would count the time of a slow
// disk. The stream has its own.
func (g *guard) SetDeadline(time.Time) error      { return nil }
func (g *guard) SetReadDeadline(time.Time) error  { return nil }
func (g *guard) SetWriteDeadline(time.Time) error { return nil }

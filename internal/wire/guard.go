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

// errParser is the connection's error when go-imap closed it.
var errParser = errors.New("unreadable reply")

// guard is the net.Conn under go-imap. go-imap's reader waits in Read until a
// command of go-imap's is in flight; then it gets, rewritten, the continuation
// requests, the FETCH replies with a BODY[] literal if wanted, and the tagged
// answer, which closes the gate again. All else stays here.
//
// The fields below the mutex belong to it; the others to whoever reads.
type guard struct {
	c       *Conn
	left    int64  // octets of the body that go-imap is reading
	inBody  bool   // the rest of a FETCH reply follows
	uid     uint32 // whose body it is
	replies int    // that may still come

	mu     sync.Mutex
	cond   sync.Cond
	isOpen bool
	wanted uid.Set // the bodies that go-imap waits for
	ended  bool    // the tagged answer came
	whole  uid.Set // the bodies that were followed by the end of their reply
	last   status  // it
	out    []byte  // for go-imap, before anything from the stream
}

// open lets go-imap's reader at the stream for one command.
func (g *guard) open(wanted uid.Set) {
	g.mu.Lock()
	g.isOpen, g.wanted, g.whole, g.ended, g.last = true, wanted, uid.Set{}, false, status{}
	g.replies = wanted.Len() + g.c.opt.Limits.Untagged + 1
	g.mu.Unlock()
	g.cond.Broadcast()
}

// answer is the tagged answer of the last command, if it came.
func (g *guard) answer() (status, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.last, g.ended
}

// give hands text to go-imap, whether a command is in flight or not.
func (g *guard) give(text string) {
	g.mu.Lock()
	g.out = append(g.out, text...)
	g.mu.Unlock()
	g.cond.Broadcast()
}

func (g *guard) wake() {
	g.mu.Lock() // so that no reader is between its look at the error and its wait
	defer g.mu.Unlock()
	g.cond.Broadcast()
}

// Read gives go-imap its next octets. After an error it gives the same error forever.
func (g *guard) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n, err := g.take(p)
		if n > 0 || err != nil {
			return n, err
		}
		if g.left > 0 {
			return g.body(p)
		}
		if err := g.next(); err != nil {
			g.c.fail(err)
		}
	}
}

// take gives what lies ready; without any it waits for the gate.
func (g *guard) take(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.out) == 0 && !g.isOpen && g.c.failure() == nil {
		g.cond.Wait()
	}
	if len(g.out) > 0 {
		n := copy(p, g.out)
		g.out = g.out[:copy(g.out, g.out[n:])]
		return n, nil
	}
	return 0, g.c.failure()
}

// body gives octets of the body.
func (g *guard) body(p []byte) (int, error) {
	n, err := g.c.in.octets(p[:min(int64(len(p)), g.left)])
	g.left -= int64(n)
	if err != nil {
		g.left = 0
		return n, g.c.abort(err)
	}
	if g.left == 0 {
		g.c.in.leave()
		g.c.in.progress()
	}
	return n, nil
}

// next reads one reply, or the rest of one behind its body.
func (g *guard) next() error {
	c := g.c
	if g.inBody {
		g.inBody = false
		return g.tail()
	}
	reply, err := c.reply(g.offer)
	if err != nil {
		return err
	}
	if g.replies--; g.replies < 0 {
		return protocolError("over %d replies that nobody asked for: %w", c.opt.Limits.Untagged, ErrLimit)
	}
	if g.inBody {
		return nil
	}
	return g.complete(reply)
}

// tail reads what follows a body, which must be the end of the reply.
func (g *guard) tail() error {
	c := g.c
	line, err := c.in.line()
	if err == nil {
		line, err = c.assemble(line, nil)
	}
	if err != nil {
		return err
	}
	if !endsReply(line, g.uid) {
		return protocolError("UID %d: its body is not followed by the end of the reply but by %s", g.uid, c.clean(string(line[:min(len(line), maxText)])))
	}
	g.mu.Lock()
	g.whole.Add(g.uid)
	g.mu.Unlock()
	g.give(")\r\n")
	return nil
}

// isWhole says whether the end of the reply followed the body of u.
func (g *guard) isWhole(u uint32) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.whole.Contains(u)
}

// offer tells go-imap of the body behind head, if it waits for one.
func (g *guard) offer(head []byte, size int64) (outcome, error) {
	u := parseUntagged(head)
	f := parseFetch(u)
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.wanted.Contains(f.uid) {
		return bodySkip, nil
	}
	g.out = append(g.out, "* "...)
	g.out = strconv.AppendUint(g.out, uint64(max(u.number, 1)), 10)
	g.out = append(g.out, " FETCH (UID "...)
	g.out = strconv.AppendUint(g.out, uint64(f.uid), 10)
	g.out = append(g.out, " BODY[] {"...)
	g.out = strconv.AppendInt(g.out, size, 10)
	g.out = append(g.out, "}\r\n"...)
	g.left, g.inBody, g.uid = size, true, f.uid
	g.c.in.enter()
	return bodyLeft, nil
}

// complete handles a reply without a body for go-imap.
func (g *guard) complete(reply []byte) error {
	c := g.c
	if len(reply) > 0 && reply[0] == '+' { // RFC 9051 7.6
		text := strings.ReplaceAll(string(reply[1:]), "\r", "")
		g.give("+ " + strings.Trim(text, " ") + "\r\n")
		return nil
	}
	if bytes.HasPrefix(reply, []byte("* ")) {
		c.untagged(reply)
		return nil
	}
	tag, rest, _ := bytes.Cut(reply, []byte{' '})
	s, ok := parseStatus(rest)
	digits, isTag := bytes.CutPrefix(tag, []byte{'T'})
	if _, isNumber := number(digits); !ok || !isTag || !isNumber {
		return protocolError("reply out of place: %s", c.clean(string(reply[:min(len(reply), maxText)])))
	}
	c.note(s)
	line := string(tag) + " " + s.kind
	switch {
	case s.kind == "OK": // spares go-imap asking by itself after a login
		line += " [CAPABILITY " + c.capabilities() + "]"
	case plainAtom(s.code) && s.code != "CAPABILITY":
		line += " [" + s.code + "]"
	}
	g.mu.Lock()
	g.isOpen, g.ended, g.last = false, true, s
	g.mu.Unlock()
	g.give(line + " done\r\n")
	return nil
}

// Write sends a command of go-imap's.
func (g *guard) Write(p []byte) (int, error) {
	if err := g.c.write(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close is called by go-imap: it has had enough.
func (g *guard) Close() error {
	g.c.fail(&Error{Class: ClassProtocol, Err: errParser})
	return nil
}

func (g *guard) LocalAddr() net.Addr  { return g.c.raw.LocalAddr() }
func (g *guard) RemoteAddr() net.Addr { return g.c.raw.RemoteAddr() }

// go-imap's deadlines are absolute and would run while a disk is slow: the
// stream has its own.
func (g *guard) SetDeadline(time.Time) error      { return nil }
func (g *guard) SetReadDeadline(time.Time) error  { return nil }
func (g *guard) SetWriteDeadline(time.Time) error { return nil }

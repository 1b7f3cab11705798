package wire

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// Dial connects, protects the connection, reads the greeting and learns the
// capabilities. The caller closes the connection.
func Dial(ctx context.Context, o Options) (*Conn, error) {
	o = o.withDefaults()
	if o.Security != Plaintext && o.TLS == nil {
		return nil, &Error{Class: ClassTLS, Err: errors.New("no TLS configuration")}
	}
	dialing, cancel := context.WithTimeout(ctx, o.Timeouts.Dial)
	raw, err := o.Dial(dialing, "tcp", o.Address)
	cancel()
	if err != nil {
		if ctx.Err() != nil {
			return nil, canceled(ctx)
		}
		return nil, &Error{Class: ClassTransient, Err: fmt.Errorf("connect: %w", err)}
	}
	if o.Received != nil {
		raw = &countingConn{raw, o.Received}
	}
	c := newConn(raw, o)
	err = c.exclusive(ctx, command{answerWait: o.Timeouts.Greeting}, func() error { return c.negotiate(ctx) })
	if err == nil && !c.hasCapabilities() {
		_, err = c.Capabilities(ctx)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	c.startGoIMAP()
	return c, nil
}

// negotiate brings a fresh connection up to its greeting, under TLS if so wanted.
func (c *Conn) negotiate(ctx context.Context) error {
	if c.options.Security == TLS {
		if err := c.handshake(ctx); err != nil {
			return c.abort(err)
		}
	}
	if err := c.readGreeting(); err != nil {
		return c.abort(err)
	}
	if c.options.Security == StartTLS {
		if err := c.startTLS(ctx); err != nil {
			return c.abort(err)
		}
	}
	return nil
}

// readGreeting reads the server's first line (RFC 9051 7.1).
func (c *Conn) readGreeting() error {
	c.in.startCommand(c.options.Timeouts.Greeting)
	c.in.capDeadline(c.options.Timeouts.Greeting)
	line, err := c.in.readLine()
	if err != nil {
		return err
	}
	rest, untagged := bytes.CutPrefix(line, []byte("* "))
	s, ok := parseStatus(rest)
	if !untagged || !ok {
		return protocolError("not an IMAP greeting: %s", c.sanitize(string(line[:min(len(line), maxTextOctets)])))
	}
	if s.kind != "OK" && s.kind != "PREAUTH" {
		e := c.refusal(status{kind: "NO", code: s.code, args: s.args, text: s.text}, command{onNO: ClassBusy}).(*Error)
		e.Err = &imap.Error{Type: imap.StatusResponseType(s.kind), Code: imap.ResponseCode(e.Code), Text: e.Text}
		return e
	}
	c.handleStatus(s)
	c.authenticated = s.kind == "PREAUTH"
	return nil
}

// startTLS turns the connection to TLS before anything else is said. What was
// said in the clear is forgotten (RFC 9051 6.2.1), and nothing may stand behind
// the OK: someone in between could have put it there.
func (c *Conn) startTLS(ctx context.Context) error {
	if c.authenticated { // RFC 9051 7.1.4: STARTTLS is not possible any more
		return &Error{Class: ClassTLS, Err: errors.New("server greets with PREAUTH, which rules out STARTTLS")}
	}
	cmd := command{name: cmdStartTLS, onNO: ClassTLS, onBAD: ClassTLS}
	c.in.startCommand(c.options.Timeouts.Greeting)
	c.in.capDeadline(c.options.Timeouts.Greeting)
	answers, err := c.exchange([]string{"STARTTLS"}, 0, nil, nil)
	if err == nil {
		err = c.refusal(answers[0], cmd)
	}
	if err != nil {
		return err
	}
	if c.in.buffered() > 0 {
		return &Error{Class: ClassTLS, Err: errors.New("server sent octets in the clear behind STARTTLS")}
	}
	c.mu.Lock()
	c.caps, c.alerts, c.bye = nil, nil, nil
	c.mu.Unlock()
	return c.handshake(ctx)
}

// handshake puts TLS over the TCP connection and a fresh stream over that.
func (c *Conn) handshake(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeouts.Handshake)
	defer cancel()
	config := c.options.TLS.Clone()
	if config.NextProtos == nil {
		config.NextProtos = []string{"imap"} // RFC 7595
	}
	secure := tls.Client(&bufferedConn{c.tcp, bufio.NewReaderSize(c.tcp, readBufferSize)}, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return &Error{Class: handshakeClass(err), Err: fmt.Errorf("TLS handshake: %w", err)}
	}
	c.out = secure
	c.in = newStream(secure, c.options, c.done)
	c.in.startCommand(c.options.Timeouts.Greeting)
	return nil
}

// bufferedConn reads ahead beneath TLS: some records in one system call.
type bufferedConn struct {
	net.Conn
	r *bufio.Reader
}

func (c *bufferedConn) Read(p []byte) (int, error) { return c.r.Read(p) }

// countingConn counts what comes from the network.
type countingConn struct {
	net.Conn
	received *atomic.Int64
}

func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.received.Add(int64(n))
	return n, err
}

// handshakeClass tells a network that failed in the handshake from a peer that
// is not to be trusted.
func handshakeClass(err error) Class {
	var (
		certificate *tls.CertificateVerificationError
		authority   x509.UnknownAuthorityError
		record      tls.RecordHeaderError
		op          *net.OpError
		network     net.Error
	)
	switch {
	case errors.As(err, &certificate), errors.As(err, &authority), errors.As(err, &record):
		return ClassTLS
	case errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error"): // a TLS alert
		return ClassTLS
	case errors.As(err, &network), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ClassTransient
	}
	return ClassTLS
}

// startGoIMAP starts go-imap, which is greeted by us: it needs to know no more.
func (c *Conn) startGoIMAP() {
	kind := "OK"
	if c.authenticated {
		kind = "PREAUTH"
	}
	c.guard.toClient("* " + kind + " [CAPABILITY " + c.capabilityList() + "] ready\r\n")
	c.client = imapclient.New(&c.guard, nil)
}

// capabilityList is the server's list as go-imap may see it.
func (c *Conn) capabilityList() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := []string{"IMAP4REV1"}
	for name := range c.caps {
		if name != list[0] {
			list = append(list, name)
		}
	}
	slices.Sort(list[1:])
	return strings.Join(list, " ")
}

// hasCapabilities says whether the server has told its capabilities.
func (c *Conn) hasCapabilities() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.caps != nil
}

// Capabilities asks the server anew what it can (RFC 9051 6.1.1): in upper case,
// sorted. A server that says OK without telling ends the connection.
func (c *Conn) Capabilities(ctx context.Context) ([]string, error) {
	cmd := command{name: cmdCapability, answerWait: c.options.Timeouts.Idle, onNO: ClassProtocol, onBAD: ClassProtocol}
	var caps map[string]bool
	_, err := c.run(ctx, cmd, "CAPABILITY", func(u untagged) (bool, error) {
		if !u.is("CAPABILITY") {
			return false, nil
		}
		caps = parseCapabilities(string(u.rest))
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	if caps == nil { // perhaps in a response code
		c.mu.Lock()
		caps = c.caps
		c.mu.Unlock()
	}
	if caps == nil {
		return nil, c.annotate(cmd, c.abort(protocolError("server said OK without its capabilities")))
	}
	return slices.Sorted(maps.Keys(caps)), nil
}

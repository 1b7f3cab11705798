package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/emersion/go-imap/v2/imapclient"
)

// Dial connects, starts TLS as Options.Security says, reads the greeting and learns
// the capabilities. The caller closes the connection.
func Dial(ctx context.Context, o Options) (*Conn, error) {
	o = o.withDefaults()
	if o.Security != Plaintext && o.TLS == nil {
		return nil, &Error{Class: ClassTLS, Err: errors.New("no TLS configuration")}
	}
	if o.Security != Plaintext {
		return dialTLS(ctx, o)
	}
	c, _, err := dial(ctx, o, false)
	return c, err
}

// dial makes one connection. sayIMAP is whether TLS says that IMAP is spoken; doubtful is
// whether an error may be due to that.
func dial(ctx context.Context, o Options, sayIMAP bool) (c *Conn, doubtful bool, err error) {
	dialing, cancel := context.WithTimeout(ctx, o.Timeouts.Dial)
	tcp, err := o.Dial(dialing, "tcp", o.Address)
	cancel()
	if err != nil {
		class := ClassTransient
		if errors.Is(err, ErrNotLoopback) {
			class = ClassTLS
		}
		if ctx.Err() != nil {
			return nil, false, canceled(ctx)
		}
		return nil, false, &Error{Class: class, Err: fmt.Errorf("connect: %w", err)}
	}
	if o.Received != nil {
		tcp = &countingConn{tcp, o.Received}
	}
	c = newConn(tcp, o)
	c.sayIMAP = sayIMAP
	err = c.exclusive(ctx, command{answerWait: o.Timeouts.Greeting}, func() error { return c.negotiate(ctx) })
	doubtful = c.alpnDoubtful
	if err == nil && c.server.all() == nil {
		_, err = c.Capabilities(ctx)
	}
	if err != nil {
		_ = c.Close()
		return nil, doubtful && mayDependOnALPN(err), err
	}
	c.startGoIMAP()
	return c, false, nil
}

// negotiate brings a new connection up to its greeting, under TLS if so wanted.
func (c *Conn) negotiate(ctx context.Context) error {
	if c.options.Security == TLS {
		if err := c.handshake(ctx); err != nil {
			return c.abort(err)
		}
	}
	if err := c.readGreeting(); err != nil {
		return c.abort(err)
	}
	c.alpnDoubtful = false
	if c.options.Security == StartTLS {
		if err := c.startTLS(ctx); err != nil {
			return c.abort(err)
		}
		c.alpnDoubtful = false
	}
	return nil
}

// startGoIMAP starts go-imap above the guard. Its greeting is ours: it needs to know
// only the capabilities and whether a login is needed.
func (c *Conn) startGoIMAP() {
	kind := "OK"
	if c.authenticated {
		kind = "PREAUTH"
	}
	c.guard.toClient("* " + kind + " [CAPABILITY " + c.capabilityList() + "] ready\r\n")
	c.client = imapclient.New(&c.guard, nil)
}

// countingConn counts the octets that come from the network.
type countingConn struct {
	net.Conn
	received *atomic.Int64
}

func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.received.Add(int64(n))
	return n, err
}

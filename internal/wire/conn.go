package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"archiverd/internal/uid"

	"github.com/emersion/go-imap/v2/imapclient"
)

// Conn is a connection to an IMAP server. Its commands are for one goroutine;
// Close may be called from any goroutine, at any time. A function given to a
// command must not call the connection, except for Close.
type Conn struct {
	options     Options       // defaults filled in; constant
	commandSlot chan struct{} // holds one element while a command runs
	failed      failure       // own mutex
	server      serverState   // own mutex
	guard       guard         // own mutex, and the reader of go-imap
	client      *imapclient.Client

	// The rest belongs to the command that runs.
	transport
	tag              int    // of the last raw command
	replyBuffer      []byte // a reply with its literals in place
	authenticated    bool   // by PREAUTH or Login
	readOnly         bool   // the open mailbox is open for reading only
	objectIDsRefused bool   // the server refused FETCH items that it announces
	sayIMAP          bool   // TLS says by ALPN that IMAP is spoken
	alpnDoubtful     bool   // TLS has begun, and there is no greeting yet: the server may want it the other way
}

// transport is the layers of a connection: TCP, TLS over it, compression over that.
type transport struct {
	tcp          net.Conn // closing it ends everything
	out          net.Conn // the topmost layer
	in           *stream  // reads from the topmost layer
	compressSent bool     // COMPRESS was sent, whatever the answer
}

func newConn(tcp net.Conn, o Options) *Conn {
	c := &Conn{options: o, commandSlot: make(chan struct{}, 1)}
	c.server.setRedactor(o.Hide.redactor())
	c.options.Hide = Auth{}
	c.failed.done = make(chan struct{})
	c.transport = transport{tcp: tcp, out: tcp, in: newStream(tcp, o, c.failed.done)}
	c.guard = guard{c: c}
	c.guard.cond.L = &c.guard.mu
	return c
}

// exclusive runs fn as the one command of the connection. If ctx ends first, the
// connection is closed.
func (c *Conn) exclusive(ctx context.Context, cmd command, fn func() error) error {
	select {
	case c.commandSlot <- struct{}{}:
	case <-ctx.Done():
		return c.annotate(cmd, canceled(ctx))
	case <-c.failed.done:
		return c.annotate(cmd, c.failure())
	}
	defer func() { <-c.commandSlot }()
	if err := c.failure(); err != nil {
		return c.annotate(cmd, err)
	}
	if ctx.Err() != nil {
		return c.annotate(cmd, canceled(ctx))
	}
	defer func() {
		if c.client != nil && c.failure() != nil {
			<-c.client.Closed() // the command does not outlive go-imap's reader
		}
	}()
	stop := context.AfterFunc(ctx, func() { c.fail(canceled(ctx)) })
	defer stop()
	c.in.startCommand(cmd.answerWait, cmd.stall)
	err := fn()
	if _, ours := err.(*Error); ours && ctx.Err() != nil {
		err = canceled(ctx) // the cause of whatever broke first
	}
	return c.annotate(cmd, err)
}

// write sends octets of a command. An error ends the connection.
func (c *Conn) write(p []byte) error {
	if err := c.send(p); err != nil {
		return c.abort(err)
	}
	return nil
}

// send is one write to the network.
func (c *Conn) send(p []byte) error {
	err := c.out.SetWriteDeadline(time.Now().Add(c.options.Timeouts.Write))
	if err == nil {
		_, err = c.out.Write(p)
	}
	if err != nil {
		return connectionBroken(err)
	}
	return nil
}

// nextTag is the tag of the next raw command. go-imap's tags begin with "T".
func (c *Conn) nextTag() string {
	c.tag++
	return "X" + strconv.Itoa(c.tag)
}

// runGoIMAP runs one command through go-imap. The guard lets the bodies of the
// messages in wanted through.
func (c *Conn) runGoIMAP(ctx context.Context, cmd command, wanted uid.Set, fn func(*imapclient.Client) error) error {
	return c.exclusive(ctx, cmd, func() error {
		c.guard.openGate(wanted)
		err := fn(c.client)
		switch own := c.failure(); {
		case errors.Is(own, errUnreadableReply):
			return protocolError("%w: %s", errUnreadableReply, c.server.sanitize(fmt.Sprint(err)))
		case own != nil:
			return own
		}
		answer, ended := c.guard.answer()
		if !ended { // fn gave up in the middle of the command
			return c.abort(protocolError("command broken off: %s", c.server.sanitize(fmt.Sprint(err))))
		}
		return c.refusal(answer, cmd)
	})
}

// Close closes the connection at once, without LOGOUT. A command that runs ends
// with an error. Close returns nil.
func (c *Conn) Close() error {
	c.fail(&Error{Class: ClassCanceled, Err: net.ErrClosed})
	select {
	case c.commandSlot <- struct{}{}:
		if c.client != nil {
			<-c.client.Closed()
		}
		<-c.commandSlot
	default: // the command that runs waits for go-imap itself
	}
	return nil
}

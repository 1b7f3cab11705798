package wire

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"archiverd/internal/uid"

	"github.com/emersion/go-imap/v2/imapclient"
)

// Conn is a connection to an IMAP server. Its commands are for one goroutine;
// Close may be called from any, at any time. A function given to a command must
// not call the connection, Close apart.
type Conn struct {
	options     Options
	tcp         net.Conn // the TCP connection: closing it ends everything
	in          *stream
	out         net.Conn // raw or the TLS over it
	guard       guard
	client      *imapclient.Client // nil until Dial is nearly done
	commandSlot chan struct{}      // holds one element while a command runs
	done        chan struct{}      // closed with the first error
	tag         int                // of the last raw command
	replyBuffer []byte             // a reply with its literals in place

	objectIDsRefused bool // the server refused FETCH items that it announces
	compressSent     bool // COMPRESS was sent

	readOnly bool // the mailbox that is open is so for reading only

	mu            sync.Mutex
	err           error   // the first, final error
	bye           *status // the server's farewell
	alerts        []string
	caps          map[string]bool // nil: not known
	secrets       []string        // never to be printed, longest first
	authenticated bool
}

// command is what the connection must know of a command.
type command struct {
	name        string
	answerWait  time.Duration // until the first octet of the answer
	onNO, onBAD Class         // what NO and BAD mean if they give no code
	maxReplies  int           // how many an honest server may send, chatter apart
}

// The names that errors carry.
const (
	cmdCapability  = "CAPABILITY"
	cmdStartTLS    = "STARTTLS"
	cmdLogin       = "LOGIN"
	cmdLogout      = "LOGOUT"
	cmdNoop        = "NOOP"
	cmdNamespace   = "NAMESPACE"
	cmdList        = "LIST"
	cmdStatus      = "STATUS"
	cmdQuota       = "GETQUOTAROOT"
	cmdCreate      = "CREATE"
	cmdDelete      = "DELETE"
	cmdRename      = "RENAME"
	cmdSubscribe   = "SUBSCRIBE"
	cmdUnsubscribe = "UNSUBSCRIBE"
	cmdAppend      = "APPEND"
	cmdSelect      = "SELECT"
	cmdExamine     = "EXAMINE"
	cmdSearch      = "UID SEARCH"
	cmdFetch       = "UID FETCH"
	cmdStore       = "UID STORE"
	cmdExpunge     = "UID EXPUNGE"
	cmdCompress    = "COMPRESS"
)

func newConn(raw net.Conn, o Options) *Conn {
	c := &Conn{options: o, tcp: raw, out: raw, commandSlot: make(chan struct{}, 1), done: make(chan struct{})}
	c.in = newStream(raw, o, c.done)
	c.guard = guard{c: c}
	c.guard.cond.L = &c.guard.mu
	return c
}

// fail makes err the connection's error, if it is the first, and ends everything.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	first := c.err == nil
	if first {
		c.err = err
		close(c.done)
	}
	c.mu.Unlock()
	if first {
		_ = c.tcp.Close() // aborts all reads and writes; the error that matters is err
		c.guard.wake()
	}
}

// failure is the connection's error, nil while it is well.
func (c *Conn) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func canceled(ctx context.Context) error {
	return &Error{Class: ClassCanceled, Err: context.Cause(ctx)}
}

func protocolError(format string, args ...any) error {
	return &Error{Class: ClassProtocol, Err: fmt.Errorf(format, args...)}
}

// exclusive runs fn as the one command of the connection. When ctx ends before
// it, the connection is closed.
func (c *Conn) exclusive(ctx context.Context, cmd command, fn func() error) error {
	select {
	case c.commandSlot <- struct{}{}:
	case <-ctx.Done():
		return c.annotate(cmd, canceled(ctx))
	case <-c.done:
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
			<-c.client.Closed() // go-imap's reader is gone before the command is
		}
	}()
	stop := context.AfterFunc(ctx, func() { c.fail(canceled(ctx)) })
	defer stop()
	c.in.startCommand(cmd.answerWait)
	err := fn()
	if _, ours := err.(*Error); ours && ctx.Err() != nil {
		err = canceled(ctx) // whatever broke first because of it
	}
	return c.annotate(cmd, err)
}

// abort makes err the connection's error and returns what that is now.
func (c *Conn) abort(err error) error {
	c.fail(err)
	return c.failure()
}

// annotate adds to an error of this package what the connection knows: the
// command, the server's farewell and its last alert.
func (c *Conn) annotate(cmd command, err error) error {
	e, ok := err.(*Error)
	if !ok {
		return err // nil, or the caller's own
	}
	full := *e
	full.Command = cmp.Or(full.Command, cmd.name)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bye != nil && full.Class == ClassTransient {
		full.Class = classifyStatus(*c.bye, cmd.name, ClassBusy)
		full.Code, full.Text = c.cleanLocked(c.bye.code), c.cleanLocked(c.bye.text)
		full.Retry = statedBackoff(c.bye.text)
	}
	if n := len(c.alerts); n > 0 {
		full.Alert = c.alerts[n-1]
	}
	return &full
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

// nextTag is the tag of the next raw command.
func (c *Conn) nextTag() string {
	c.tag++
	return "X" + strconv.Itoa(c.tag)
}

// runGoIMAP runs one command of go-imap's; the guard lets the bodies of wanted through.
func (c *Conn) runGoIMAP(ctx context.Context, cmd command, wanted uid.Set, fn func(*imapclient.Client) error) error {
	return c.exclusive(ctx, cmd, func() error {
		c.guard.openGate(wanted)
		err := fn(c.client)
		switch own := c.failure(); {
		case errors.Is(own, errUnreadableReply):
			return protocolError("%w: %s", errUnreadableReply, c.sanitize(fmt.Sprint(err)))
		case own != nil:
			return own
		}
		answer, ended := c.guard.answer()
		if !ended { // fn gave up in the middle of the command
			return c.abort(protocolError("command broken off: %s", c.sanitize(fmt.Sprint(err))))
		}
		return c.refusal(answer, cmd)
	})
}

// Noop asks the server for a sign of life (RFC 9051 6.1.2).
func (c *Conn) Noop(ctx context.Context) error {
	cmd := command{name: cmdNoop, answerWait: c.options.Timeouts.Idle, onNO: ClassTransient, onBAD: ClassProtocol}
	_, err := c.run(ctx, cmd, "NOOP", nil)
	return err
}

// Logout says good-bye and closes the connection (RFC 9051 6.1.3). It takes no
// longer than the timeout for it; the connection is closed whatever it returns.
func (c *Conn) Logout(ctx context.Context) error {
	cmd := command{name: cmdLogout, answerWait: c.options.Timeouts.Logout, onNO: ClassTransient, onBAD: ClassProtocol}
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeouts.Logout)
	defer cancel()
	err := c.runGoIMAP(ctx, cmd, uid.Set{}, func(client *imapclient.Client) error { return client.Logout().Wait() })
	c.mu.Lock()
	if c.bye != nil { // some hang up without the tagged OK
		err = nil
	}
	c.mu.Unlock()
	_ = c.Close() // never fails
	return err
}

// LogoutNoWait says good-bye and hangs up without waiting for the answer, which is worth a
// round trip to nobody whose commands are all answered. The server reads LOGOUT
// before it sees the end.
func (c *Conn) LogoutNoWait(ctx context.Context) error {
	cmd := command{name: cmdLogout, answerWait: c.options.Timeouts.Logout}
	err := c.exclusive(ctx, cmd, func() error {
		if err := c.send([]byte(c.nextTag() + " LOGOUT\r\n")); err != nil {
			return err
		}
		for _, conn := range []net.Conn{c.out, c.tcp} {
			if half, ok := conn.(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite() // all that matters has been said
			}
		}
		return nil
	})
	_ = c.Close() // never fails
	return err
}

// Close closes the connection at once, without a word to the server. What is in
// flight ends with an error.
func (c *Conn) Close() error {
	c.fail(&Error{Class: ClassCanceled, Err: net.ErrClosed})
	select {
	case c.commandSlot <- struct{}{}:
		if c.client != nil {
			<-c.client.Closed()
		}
		<-c.commandSlot
	default: // the command in flight waits for go-imap itself
	}
	return nil
}

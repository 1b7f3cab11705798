package wire

import (
	"cmp"
	"context"
	"fmt"
	"sync"
)

// failure is the error that ended a connection: the first one wins, since those
// after it follow from it.
type failure struct {
	mu   sync.Mutex
	err  error
	done chan struct{} // closed with the first error
}

// set makes err the failure and returns true, unless there is one already.
func (f *failure) set(err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return false
	}
	f.err = err
	close(f.done)
	return true
}

func (f *failure) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// fail ends the connection with err, unless it has failed already.
func (c *Conn) fail(err error) {
	if c.failed.set(err) {
		_ = c.tcp.Close() // aborts all reads and writes; the error that matters is err
		c.guard.wake()
	}
}

// failure returns the error that ended the connection, nil while it stands.
func (c *Conn) failure() error { return c.failed.get() }

// abort ends the connection with err and returns the error that ended it, which
// may be an earlier one.
func (c *Conn) abort(err error) error {
	c.fail(err)
	return c.failure()
}

// annotate adds what the connection knows to an *Error: the command, the text of
// BYE and the last ALERT. Any other error is returned as it is.
func (c *Conn) annotate(cmd command, err error) error {
	e, ok := err.(*Error)
	if !ok {
		return err // nil, or the caller's own
	}
	full := *e
	full.Command = cmp.Or(full.Command, cmd.name)
	bye, alert := c.server.lastWords()
	if bye != nil && full.Class == ClassTransient {
		full.Class = classifyStatus(*bye, cmd.name, ClassBusy)
		full.Code, full.Text = c.server.words(*bye)
		full.Retry = statedBackoff(bye.text)
	}
	if alert != "" {
		full.Alert = alert
	}
	return &full
}

func canceled(ctx context.Context) error {
	return &Error{Class: ClassCanceled, Err: context.Cause(ctx)}
}

func protocolError(format string, args ...any) error {
	return &Error{Class: ClassProtocol, Err: fmt.Errorf(format, args...)}
}

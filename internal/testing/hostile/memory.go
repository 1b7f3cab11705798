package hostile

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// maxBuffered is how many octets a connection in memory buffers in each direction
// before a write blocks, as a socket does.
const maxBuffered = 128 << 10

// memoryListener accepts connections in memory.
type memoryListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemoryListener() *memoryListener {
	return &memoryListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept implements [net.Listener].
func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (l *memoryListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements [net.Listener].
func (l *memoryListener) Addr() net.Addr { return memoryAddr{} }

// dial connects a client.
func (l *memoryListener) dial(done <-chan struct{}) (net.Conn, error) {
	a, b := newHalf(), newHalf()
	select {
	case l.conns <- &memoryConn{in: a, out: b}:
		return &memoryConn{in: b, out: a}, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-done:
		return nil, os.ErrDeadlineExceeded
	}
}

// memoryAddr is the address of all connections in memory.
type memoryAddr struct{}

func (memoryAddr) Network() string { return "tcp" }
func (memoryAddr) String() string  { return "127.0.0.1:143" }

// memoryConn is one end of a connection in memory. Unlike [net.Pipe] it buffers, so
// that both ends may write at the same time.
type memoryConn struct {
	in, out *half
}

func (c *memoryConn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *memoryConn) Write(p []byte) (int, error) { return c.out.write(p) }

// Close lets the other end read what was written, then io.EOF.
func (c *memoryConn) Close() error {
	c.in.update(func(h *half) { h.noReader = true })
	c.out.update(func(h *half) { h.noWriter = true })
	return nil
}

func (c *memoryConn) LocalAddr() net.Addr  { return memoryAddr{} }
func (c *memoryConn) RemoteAddr() net.Addr { return memoryAddr{} }

func (c *memoryConn) SetDeadline(t time.Time) error {
	c.in.readBy.set(c.in, t)
	c.out.writeBy.set(c.out, t)
	return nil
}

func (c *memoryConn) SetReadDeadline(t time.Time) error {
	c.in.readBy.set(c.in, t)
	return nil
}

func (c *memoryConn) SetWriteDeadline(t time.Time) error {
	c.out.writeBy.set(c.out, t)
	return nil
}

// half is one direction of a connection.
type half struct {
	mu       sync.Mutex
	changed  sync.Cond // any field below
	buf      []byte
	noReader bool // the reading end is closed
	noWriter bool // the writing end is closed
	readBy   deadline
	writeBy  deadline
}

func newHalf() *half {
	h := &half{buf: make([]byte, 0, maxBuffered)}
	h.changed.L = &h.mu
	return h
}

// update changes fields and wakes whoever waits.
func (h *half) update(change func(*half)) {
	h.mu.Lock()
	change(h)
	h.mu.Unlock()
	h.changed.Broadcast()
}

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.noReader:
			return 0, net.ErrClosed
		case h.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		case len(h.buf) > 0:
			n := copy(p, h.buf)
			h.buf = h.buf[:copy(h.buf, h.buf[n:])]
			h.changed.Broadcast()
			return n, nil
		case h.noWriter:
			return 0, io.EOF
		}
		h.changed.Wait()
	}
}

func (h *half) write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	written := 0
	for {
		switch {
		case h.noWriter:
			return written, net.ErrClosed
		case h.noReader:
			return written, &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
		case h.writeBy.passed():
			return written, os.ErrDeadlineExceeded
		}
		n := min(len(p)-written, maxBuffered-len(h.buf))
		h.buf = append(h.buf, p[written:written+n]...)
		if written += n; n > 0 {
			h.changed.Broadcast()
		}
		if written == len(p) {
			return written, nil
		}
		h.changed.Wait()
	}
}

// deadline is the time when a blocked call ends. The zero value is none. It belongs
// to the mutex of its half.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *deadline) set(h *half, at time.Time) {
	h.update(func(h *half) {
		if d.timer != nil {
			d.timer.Stop()
			d.timer = nil
		}
		if d.at = at; !at.IsZero() {
			d.timer = time.AfterFunc(time.Until(at), func() { h.update(func(*half) {}) })
		}
	})
}

package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/time/rate"
)

const (
	readBufferSize = 128 << 10 // octets of the read buffer
	directReadSize = 16 << 10  // reads of a literal from this size on bypass the buffer
)

// stream reads the server's octets as lines and literals. One goroutine uses it at
// a time. Its errors are final.
type stream struct {
	conn   net.Conn
	buf    []byte // buf[r:w] is read but not consumed
	r, w   int
	limits Limits
	rates  []*rate.Limiter
	done   <-chan struct{} // closed with the connection: ends a wait for a rate limit

	allowLongSearch bool // SEARCH and ESEARCH lines may be as long as Limits.Search
	deadline        deadline
	minimum         minimumRate
	throughput      throughput
}

func newStream(conn net.Conn, o Options, done <-chan struct{}) *stream {
	return &stream{
		conn: conn, buf: make([]byte, readBufferSize), limits: o.Limits, rates: o.Rates, done: done,
		deadline: deadline{timeouts: o.Timeouts, readWait: o.Timeouts.Idle}, minimum: minimumRate{MinRate: o.MinRate},
	}
}

// startCommand starts the clocks of a command whose first octet may take wait.
func (s *stream) startCommand(wait time.Duration) { s.deadline.startCommand(wait) }

// startAnswer starts the clocks of the next answer: the one before has come, or none
// was expected.
func (s *stream) startAnswer() { s.deadline.startAnswer() }

// progressed says that the server did what it was asked for.
func (s *stream) progressed() { s.deadline.sinceProgress = 0 }

// capDeadline ends all reading within d, if it does not end earlier.
func (s *stream) capDeadline(d time.Duration) { s.deadline.capAt(time.Now().Add(d)) }

// beginUnit begins a line or literal: the minimum rate counts from here on.
func (s *stream) beginUnit() { s.minimum.begin() }

// endUnit ends the line or literal.
func (s *stream) endUnit() { s.minimum.inUnit = false }

// buffered is the number of octets read but not consumed.
func (s *stream) buffered() int { return s.w - s.r }

// takeBuffered returns a copy of the octets read but not consumed, and drops them.
func (s *stream) takeBuffered() []byte {
	taken := bytes.Clone(s.buf[s.r:s.w])
	s.r, s.w = 0, 0
	return taken
}

// read is one read from the network.
func (s *stream) read(p []byte) (int, error) {
	for _, limit := range s.rates {
		p = p[:min(len(p), max(limit.Burst(), 1))]
	}
	for range 100 {
		start := time.Now()
		if err := s.conn.SetReadDeadline(s.deadline.nextRead(start)); err != nil {
			return 0, connectionBroken(err)
		}
		n, err := s.conn.Read(p)
		if n > 0 {
			waited := time.Since(start)
			if s.deadline.answerStarted {
				s.throughput.add(n, waited)
			}
			if err := s.deadline.received(waited); err != nil {
				return 0, err
			}
			if err := s.minimum.received(n, waited); err != nil {
				return 0, err
			}
			s.throttle(n)
			return n, nil
		}
		if err != nil {
			return 0, classifyReadError(err)
		}
	}
	return 0, connectionBroken(io.ErrNoProgress)
}

// classifyReadError says what the error of a read means.
func classifyReadError(err error) error {
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "remote error": // a TLS alert, perhaps for our certificate
		return &Error{Class: ClassTLS, Err: err}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &Error{Class: ClassTransient, Err: fmt.Errorf("server is silent: %w", err)}
	case errors.Is(err, io.EOF):
		return &Error{Class: ClassTransient, Err: fmt.Errorf("server closed the connection: %w", io.ErrUnexpectedEOF)}
	}
	return connectionBroken(err)
}

func connectionBroken(err error) error {
	return &Error{Class: ClassTransient, Err: fmt.Errorf("connection broke: %w", err)}
}

// throttle waits until n octets are within every rate limit, or the connection ends.
func (s *stream) throttle(n int) {
	for _, limit := range s.rates {
		for rest := n; rest > 0; {
			k := min(rest, max(limit.Burst(), 1))
			rest -= k
			r := limit.ReserveN(time.Now(), k)
			if !r.OK() {
				break
			}
			if d := r.Delay(); d > 0 {
				t := time.NewTimer(d)
				select {
				case <-t.C:
				case <-s.done:
					t.Stop()
					return
				}
			}
		}
	}
}

// fill reads more octets behind those in the buffer.
func (s *stream) fill() error {
	if s.r == s.w {
		s.r, s.w = 0, 0
		if len(s.buf) > readBufferSize { // grown for one long line
			s.buf = make([]byte, readBufferSize)
		}
	}
	if s.w == len(s.buf) {
		if s.r > 0 {
			s.w = copy(s.buf, s.buf[s.r:s.w])
			s.r = 0
		} else {
			s.buf = append(s.buf, make([]byte, len(s.buf))...)
		}
	}
	n, err := s.read(s.buf[s.w:])
	s.w += n
	return err
}

// maxLine is how long a line may be that begins with these octets.
func (s *stream) maxLine(line []byte) int {
	if !s.allowLongSearch || len(line) <= s.limits.Line {
		return s.limits.Line
	}
	if u := parseUntagged(line); u.is("SEARCH") || u.is("ESEARCH") {
		return s.limits.Search
	}
	return s.limits.Line
}

// readLine returns the next line without its end, CRLF or LF. It is valid until the
// next call.
func (s *stream) readLine() ([]byte, error) {
	if s.r == s.w {
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
	s.beginUnit()
	defer s.endUnit()
	for searched := 0; ; {
		have := s.buf[s.r:s.w]
		if i := bytes.IndexByte(have[searched:], '\n'); i >= 0 {
			line := have[:searched+i]
			s.r += searched + i + 1
			if limit := s.maxLine(line); len(line) > limit {
				return nil, lineTooLong(limit)
			}
			return bytes.TrimSuffix(line, []byte{'\r'}), nil
		}
		searched = len(have)
		if limit := s.maxLine(have); searched > limit {
			return nil, lineTooLong(limit)
		}
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
}

func lineTooLong(limit int) error {
	return &Error{Class: ClassProtocol, Err: fmt.Errorf("line of more than %d octets: %w", limit, ErrLimit)}
}

// readLiteral reads octets of a literal, at most len(p). The caller has begun a unit.
func (s *stream) readLiteral(p []byte) (int, error) {
	if s.r == s.w {
		if len(p) >= directReadSize {
			return s.read(p)
		}
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.buf[s.r:s.w])
	s.r += n
	return n, nil
}

// skipLiteral drops n octets of a literal.
func (s *stream) skipLiteral(n int64) error {
	s.beginUnit()
	defer s.endUnit()
	for n > 0 {
		if s.r == s.w {
			if err := s.fill(); err != nil {
				return err
			}
		}
		k := min(n, int64(s.w-s.r))
		s.r += int(k)
		n -= k
	}
	return nil
}

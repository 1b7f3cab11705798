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
	readAhead = 128 << 10 // octets of the read buffer
	direct    = 16 << 10  // reads of a literal from this size on bypass the buffer
)

// stream reads the server's octets as lines and literals. One goroutine uses it
// at a time. Its errors are final.
type stream struct {
	conn     net.Conn
	buf      []byte // buf[r:w] is read but not consumed
	r, w     int
	timeouts Timeouts
	minRate  MinRate
	limits   Limits
	rates    []*rate.Limiter
	done     <-chan struct{} // closed with the connection: ends a wait for a limiter

	search bool          // SEARCH and ESEARCH lines may be long now
	first  time.Duration // for the first octet of each answer
	wait   time.Duration // for the next read; Idle after it
	until  time.Time     // absolute end, zero for none
	quiet  time.Duration // network time since the last progress
	middle bool          // something of the answer has come
	got    int64         // octets that came in the middle of answers
	took   time.Duration // and the network time that they took
	unit   bool          // inside a line or literal
	waited time.Duration // in this unit's window of the minimum rate
	came   int           // octets in that window
}

func newStream(conn net.Conn, o Options, done <-chan struct{}) *stream {
	return &stream{
		conn: conn, buf: make([]byte, readAhead), timeouts: o.Timeouts, minRate: o.MinRate,
		limits: o.Limits, rates: o.Rates, done: done, wait: o.Timeouts.Idle,
	}
}

// begin starts the clocks of a command whose first octet may take wait.
func (s *stream) begin(wait time.Duration) {
	s.first, s.until = wait, time.Time{}
	s.answered()
}

// answered says that the answer came; that to the next command, if one was sent
// with it, is waited for as that was.
func (s *stream) answered() {
	s.wait, s.middle = s.first, false
	s.progress()
}

// progress says that the server did what it was asked for.
func (s *stream) progress() { s.quiet = 0 }

// hurry ends all reading within d, if it does not end earlier.
func (s *stream) hurry(d time.Duration) {
	if t := time.Now().Add(d); s.until.IsZero() || t.Before(s.until) {
		s.until = t
	}
}

// buffered is the number of octets read but not consumed.
func (s *stream) buffered() int { return s.w - s.r }

// read is one read from the network.
func (s *stream) read(p []byte) (int, error) {
	for _, limit := range s.rates {
		p = p[:min(len(p), max(limit.Burst(), 1))]
	}
	for range 100 {
		start := time.Now()
		end := start.Add(s.wait)
		if !s.until.IsZero() && s.until.Before(end) {
			end = s.until
		}
		if err := s.conn.SetReadDeadline(end); err != nil {
			return 0, broken(err)
		}
		n, err := s.conn.Read(p)
		if n > 0 {
			s.wait = s.timeouts.Idle
			waited := time.Since(start)
			if s.middle {
				s.got, s.took = s.got+int64(n), s.took+waited
			}
			s.middle = true
			if err := s.account(n, waited); err != nil {
				return 0, err
			}
			s.throttle(n)
			return n, nil
		}
		if err != nil {
			return 0, s.failed(err)
		}
	}
	return 0, broken(io.ErrNoProgress)
}

// failed names the error of a read.
func (s *stream) failed(err error) error {
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "remote error": // a TLS alert, perhaps for our certificate
		return &Error{Class: ClassTLS, Err: err}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &Error{Class: ClassTransient, Err: fmt.Errorf("server is silent: %w", err)}
	case errors.Is(err, io.EOF):
		return &Error{Class: ClassTransient, Err: fmt.Errorf("server closed the connection: %w", io.ErrUnexpectedEOF)}
	}
	return broken(err)
}

func broken(err error) error {
	return &Error{Class: ClassTransient, Err: fmt.Errorf("connection broke: %w", err)}
}

// account holds n octets that took the time waited against the minimum rate and the stall.
func (s *stream) account(n int, waited time.Duration) error {
	s.quiet += waited
	if s.quiet > s.timeouts.Stall {
		return &Error{Class: ClassTransient, Err: fmt.Errorf("no progress for %v: %w", s.timeouts.Stall, ErrTooSlow)}
	}
	if !s.unit || s.minRate.Octets < 0 {
		return nil
	}
	s.waited += waited
	s.came += n
	if s.waited < s.minRate.Window {
		return nil
	}
	if float64(s.came) < float64(s.minRate.Octets)*s.waited.Seconds() {
		return &Error{Class: ClassTransient, Err: fmt.Errorf("%d octets in %v: %w", s.came, s.waited.Round(time.Second), ErrTooSlow)}
	}
	s.waited, s.came = 0, 0
	return nil
}

// enter begins a line or literal: from here the minimum rate counts.
func (s *stream) enter() { s.unit, s.waited, s.came = true, 0, 0 }

// leave ends it.
func (s *stream) leave() { s.unit = false }

// throttle waits until n octets are within every rate limit.
func (s *stream) throttle(n int) {
	for _, limit := range s.rates {
		for left := n; left > 0; {
			k := min(left, max(limit.Burst(), 1))
			left -= k
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
		if len(s.buf) > readAhead { // grown for one long line
			s.buf = make([]byte, readAhead)
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

// most is how long a line that begins so may be.
func (s *stream) most(line []byte) int {
	if !s.search || len(line) <= s.limits.Line {
		return s.limits.Line
	}
	if u := parseUntagged(line); u.is("SEARCH") || u.is("ESEARCH") {
		return s.limits.Search
	}
	return s.limits.Line
}

// line returns the next line without its end, CRLF or LF. It is valid until the
// next call.
func (s *stream) line() ([]byte, error) {
	if s.r == s.w {
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
	s.enter()
	defer s.leave()
	for seen := 0; ; {
		have := s.buf[s.r:s.w]
		if i := bytes.IndexByte(have[seen:], '\n'); i >= 0 {
			line := have[:seen+i]
			s.r += seen + i + 1
			if limit := s.most(line); len(line) > limit {
				return nil, tooLong(limit)
			}
			return bytes.TrimSuffix(line, []byte{'\r'}), nil
		}
		seen = len(have)
		if limit := s.most(have); seen > limit {
			return nil, tooLong(limit)
		}
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
}

func tooLong(limit int) error {
	return &Error{Class: ClassProtocol, Err: fmt.Errorf("line of more than %d octets: %w", limit, ErrLimit)}
}

// octets reads octets of a literal, at most len(p). The caller has entered the literal.
func (s *stream) octets(p []byte) (int, error) {
	if s.r == s.w {
		if len(p) >= direct {
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

// skip drops n octets of a literal.
func (s *stream) skip(n int64) error {
	s.enter()
	defer s.leave()
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

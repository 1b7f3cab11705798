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

	allowLongSearch bool          // SEARCH and ESEARCH lines may be long now
	answerWait      time.Duration // for the first octet of each answer
	readWait        time.Duration // for the next read; Idle after it
	deadline        time.Time     // absolute end, zero for none
	sinceProgress   time.Duration // network time since the last progress
	answerStarted   bool          // something of the answer has come
	measuredOctets  int64         // octets that came in the middle of answers
	measuredTime    time.Duration // and the network time that they took
	inUnit          bool          // inside a line or literal
	unitWait        time.Duration // in this unit's window of the minimum rate
	unitOctets      int           // octets in that window
}

func newStream(conn net.Conn, o Options, done <-chan struct{}) *stream {
	return &stream{
		conn: conn, buf: make([]byte, readBufferSize), timeouts: o.Timeouts, minRate: o.MinRate,
		limits: o.Limits, rates: o.Rates, done: done, readWait: o.Timeouts.Idle,
	}
}

// startCommand starts the clocks of a command whose first octet may take wait.
func (s *stream) startCommand(wait time.Duration) {
	s.answerWait, s.deadline = wait, time.Time{}
	s.startAnswer()
}

// startAnswer says that the answer came; that to the next command, if one was sent
// with it, is waited for as that was.
func (s *stream) startAnswer() {
	s.readWait, s.answerStarted = s.answerWait, false
	s.progressed()
}

// progressed says that the server did what it was asked for.
func (s *stream) progressed() { s.sinceProgress = 0 }

// capDeadline ends all reading within d, if it does not end earlier.
func (s *stream) capDeadline(d time.Duration) {
	if t := time.Now().Add(d); s.deadline.IsZero() || t.Before(s.deadline) {
		s.deadline = t
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
		end := start.Add(s.readWait)
		if !s.deadline.IsZero() && s.deadline.Before(end) {
			end = s.deadline
		}
		if err := s.conn.SetReadDeadline(end); err != nil {
			return 0, connectionBroken(err)
		}
		n, err := s.conn.Read(p)
		if n > 0 {
			s.readWait = s.timeouts.Idle
			waited := time.Since(start)
			if s.answerStarted {
				s.measuredOctets, s.measuredTime = s.measuredOctets+int64(n), s.measuredTime+waited
			}
			s.answerStarted = true
			if err := s.checkRates(n, waited); err != nil {
				return 0, err
			}
			s.throttle(n)
			return n, nil
		}
		if err != nil {
			return 0, s.classifyReadError(err)
		}
	}
	return 0, connectionBroken(io.ErrNoProgress)
}

// classifyReadError names the error of a read.
func (s *stream) classifyReadError(err error) error {
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

// checkRates holds n octets that took the time waited against the minimum rate and the stall.
func (s *stream) checkRates(n int, waited time.Duration) error {
	s.sinceProgress += waited
	if s.sinceProgress > s.timeouts.Stall {
		return &Error{Class: ClassTransient, Err: fmt.Errorf("no progress for %v: %w", s.timeouts.Stall, ErrTooSlow)}
	}
	if !s.inUnit || s.minRate.Octets < 0 {
		return nil
	}
	s.unitWait += waited
	s.unitOctets += n
	if s.unitWait < s.minRate.Window {
		return nil
	}
	if float64(s.unitOctets) < float64(s.minRate.Octets)*s.unitWait.Seconds() {
		return &Error{Class: ClassTransient, Err: fmt.Errorf("%d octets in %v: %w", s.unitOctets, s.unitWait.Round(time.Second), ErrTooSlow)}
	}
	s.unitWait, s.unitOctets = 0, 0
	return nil
}

// beginUnit begins a line or literal: from here the minimum rate counts.
func (s *stream) beginUnit() { s.inUnit, s.unitWait, s.unitOctets = true, 0, 0 }

// endUnit ends it.
func (s *stream) endUnit() { s.inUnit = false }

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

// maxLine is how long a line that begins so may be.
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
	for seen := 0; ; {
		have := s.buf[s.r:s.w]
		if i := bytes.IndexByte(have[seen:], '\n'); i >= 0 {
			line := have[:seen+i]
			s.r += seen + i + 1
			if limit := s.maxLine(line); len(line) > limit {
				return nil, tooLong(limit)
			}
			return bytes.TrimSuffix(line, []byte{'\r'}), nil
		}
		seen = len(have)
		if limit := s.maxLine(have); seen > limit {
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

// readLiteral reads octets of a literal, at most len(p). The caller has entered the literal.
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

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

	allowLongSearch bool   // SEARCH and ESEARCH lines may be longer than Limits.Line: they come in parts
	resume          []byte // what the rest of a line that came in part begins with
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

// startCommand starts the clocks of a command whose first octet may take wait, and its
// answer stall beyond what it earns; 0 stands for Timeouts.Stall.
func (s *stream) startCommand(wait, stall time.Duration) { s.deadline.startCommand(wait, stall) }

// startAnswer starts the clocks of the next answer: the one before has come, or none
// was expected.
func (s *stream) startAnswer() { s.deadline.startAnswer() }

// progressed says that the server sent a reply that the command asked for.
func (s *stream) progressed() { s.deadline.earned(replyEarns) }

// wanted says that n octets came of a body that the command asked for. They may take as
// long as the minimum rate allows, however large the body is.
func (s *stream) wanted(n int) { s.deadline.earned(s.minimum.timeFor(n)) }

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

// readLine returns the next line without its end, CRLF or LF. It is valid until the
// next call. Where allowLongSearch is set, a long SEARCH or ESEARCH is returned as
// several, of Limits.Line at most: its results add up (RFC 9051 7.3.4).
func (s *stream) readLine() ([]byte, error) {
	if n := len(s.resume); n > 0 { // in place of octets that are consumed
		if n > s.r {
			return nil, protocolError("a search result goes on behind a literal")
		}
		s.r -= copy(s.buf[s.r-n:], s.resume)
		s.resume = s.resume[:0]
	}
	if s.r == s.w {
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
	s.beginUnit()
	defer s.endUnit()
	for searched := 0; ; {
		have := s.buf[s.r:s.w]
		end := bytes.IndexByte(have[searched:], '\n')
		if end >= 0 && searched+end <= s.limits.Line {
			s.r += searched + end + 1
			return bytes.TrimSuffix(have[:searched+end], []byte{'\r'}), nil
		}
		if searched = len(have); searched > s.limits.Line {
			return s.partOfLine(have[:s.limits.Line])
		}
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
}

// partOfLine returns the first results of a SEARCH or ESEARCH that is longer than
// have. The next line then begins as this one did, and goes on with the others.
func (s *stream) partOfLine(have []byte) ([]byte, error) {
	head, end := []byte(nil), 0
	if s.allowLongSearch {
		head, end = splitSearch(have)
	}
	if len(head) == 0 || end <= len(head) {
		return nil, &Error{Class: ClassProtocol, Err: fmt.Errorf("line of more than %d octets: %w", s.limits.Line, ErrLimit)}
	}
	s.resume = append(s.resume[:0], head...)
	s.r += end + 1
	return have[:end], nil
}

// splitSearch returns what stands before the results of a SEARCH or ESEARCH, and where
// the last result ends that is whole; nothing for another line.
func splitSearch(line []byte) (head []byte, end int) {
	const all = " ALL "
	switch u := parseUntagged(line); {
	case u.is("SEARCH"):
		end = bytes.LastIndexByte(line, ' ')
		if i := bytes.IndexByte(line, '('); i > 0 { // MODSEQ stays whole (RFC 7162 3.1.5)
			end = i - 1
		}
		return line[:len(line)-len(u.rest)+len(" ")], end
	case u.is("ESEARCH"):
		if i := bytes.Index(bytes.ToUpper(line), []byte(all)); i >= 0 {
			return line[:i+len(all)], bytes.LastIndexByte(line, ',')
		}
	}
	return nil, 0
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

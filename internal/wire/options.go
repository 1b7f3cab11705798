package wire

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Security says how a connection is protected.
type Security int

// The ways of protecting a connection.
const (
	TLS       Security = iota // TLS from the first octet (RFC 8314)
	StartTLS                  // STARTTLS before any other command, or no connection (RFC 9051 6.2.1)
	Plaintext                 // no protection; the caller decides whether that is allowed
)

// Compress says when a connection is compressed, if the server can (RFC 4978).
type Compress int

// When a connection is compressed.
const (
	CompressAuto   Compress = iota // when the caller calls Conn.Compress, after Conn.IsSlow
	CompressAlways                 // after the login
	CompressNever
)

// Options say how to connect and how much a server may send. Every zero value is the
// default.
type Options struct {
	Address  string   // host:port
	Security Security // how the connection is protected

	// TLS has server name, authorities, pin and minimum version. Its NextProtos is
	// ignored. It may be nil for Plaintext.
	TLS *tls.Config

	// ALPN remembers which servers need ALPN. Several accounts may share one; nil: each
	// connection finds out for itself.
	ALPN *ALPN

	// LoopbackOnly refuses every address that is not this machine's loopback, whatever
	// name leads to it. It needs the default Dial.
	LoopbackOnly bool

	// Dial opens the TCP connection; nil: a net.Dialer with keep-alive.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Hide are the credentials that no error shows, from the greeting on: a server may
	// send back what it got on an earlier connection. Login hides its own as well.
	Hide Auth

	Timeouts Timeouts
	MinRate  MinRate
	Limits   Limits

	// Compress is when to ask the server for compression (RFC 4978).
	Compress Compress

	// Rates limit the octets per second that are read and that Append writes. Each
	// limiter applies. Several connections may share one.
	Rates []*rate.Limiter

	// Received, if not nil, counts every octet that comes from the network, including
	// TLS's own. Several connections may share one.
	Received *atomic.Int64
}

// Timeouts count time spent waiting for the network.
type Timeouts struct {
	Dial      time.Duration // TCP connect; default 20 s
	Handshake time.Duration // TLS handshake; default 20 s
	Greeting  time.Duration // the whole greeting; default 30 s
	Answer    time.Duration // the first octet of an answer that takes work (LOGIN, LIST, EXAMINE, SEARCH, APPEND); default 2 min
	Idle      time.Duration // between two reads, and the first octet of any other answer; default 60 s
	Stall     time.Duration // an answer, beyond 100 ms for each reply to the command and MinRate for each body; default 15 min, a third of it for APPEND
	Write     time.Duration // one write; default 30 s
	Logout    time.Duration // the whole LOGOUT; default 5 s
}

// MinRate is the lowest speed inside a line or literal: in each Window spent waiting
// for it, at least Octets per second must come.
type MinRate struct {
	Octets int           // default 1024; negative: no minimum
	Window time.Duration // default 60 s
}

// Limits bound what one reply may hold.
type Limits struct {
	Line      int   // octets of a line; default 64 KiB
	Search    int   // octets of the results of one search, over all its replies; default 64 MiB
	Literal   int64 // octets of one reply with literals, without bodies; default 1 MiB
	Message   int64 // octets of a body, also of one that is skipped; default 4 GiB, the most of RFC 3501
	Mailboxes int   // mailboxes of a LIST that are kept; default 50,000
	Untagged  int   // replies within one command that do not belong to it; default 200,000
}

// maxNesting is the greatest nesting of a list. A deeper list is unreadable.
const maxNesting = 32

func (o Options) withDefaults() Options {
	if o.Dial == nil {
		d := &net.Dialer{KeepAlive: 15 * time.Second}
		if o.LoopbackOnly {
			d.ControlContext = checkLoopback
		}
		o.Dial = d.DialContext
	}
	t := &o.Timeouts
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.Dial, 20 * time.Second}, {&t.Handshake, 20 * time.Second}, {&t.Greeting, 30 * time.Second},
		{&t.Answer, 2 * time.Minute}, {&t.Idle, time.Minute}, {&t.Stall, 15 * time.Minute},
		{&t.Write, 30 * time.Second}, {&t.Logout, 5 * time.Second}, {&o.MinRate.Window, time.Minute},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	l := &o.Limits
	for _, d := range []struct {
		field *int
		value int
	}{
		{&l.Line, 64 << 10}, {&l.Search, 64 << 20}, {&l.Mailboxes, 50_000}, {&l.Untagged, 200_000},
		{&o.MinRate.Octets, 1024},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if l.Literal == 0 {
		l.Literal = 1 << 20
	}
	if l.Message == 0 {
		l.Message = 1 << 32
	}
	return o
}

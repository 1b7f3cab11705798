package wire

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Security is how a connection is protected.
type Security int

const (
	TLS       Security = iota // TLS from the first octet (RFC 8314)
	StartTLS                  // STARTTLS before anything else, or no connection (RFC 9051 6.2.1)
	Plaintext                 // none; whether that is allowed is decided by the caller
)

// Compress says when a connection is compressed, where the server can.
type Compress int

const (
	CompressAuto   Compress = iota // by whoever uses the connection, where it is Slow
	CompressAlways                 // after the login
	CompressNever
)

// Options say how to connect and what to put up with. Every zero value is the default.
type Options struct {
	Address  string   // host:port
	Security Security // how the connection is protected

	// TLS is used as it is, NextProtos apart: server name, authorities, pin and
	// minimum version are in it. It may be nil for Plaintext.
	TLS *tls.Config

	// Dial opens the TCP connection; nil: a net.Dialer with keep-alive.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	Timeouts Timeouts
	MinRate  MinRate
	Limits   Limits

	// Compress is when to ask the server for compression (RFC 4978).
	Compress Compress

	// Rates limit the octets per second that are read and that Append writes: each
	// of them holds. Several connections may share one.
	Rates []*rate.Limiter

	// Received, if not nil, grows by every octet that comes from the network, TLS's
	// own included. Several connections may share one.
	Received *atomic.Int64
}

// Timeouts are counted in time spent waiting for the network.
type Timeouts struct {
	Dial      time.Duration // TCP connect; default 20 s
	Handshake time.Duration // TLS handshake; default 20 s
	Greeting  time.Duration // the whole greeting; default 30 s
	Answer    time.Duration // until the first octet of an answer that a server must work for (LOGIN, LIST, EXAMINE, SEARCH, APPEND); default 2 min
	Idle      time.Duration // from then on, and in all other commands, between two reads; default 60 s
	Stall     time.Duration // a command whose server sends nothing but chatter; default 15 min
	Write     time.Duration // one write; default 30 s
	Logout    time.Duration // the whole LOGOUT; default 5 s
}

// MinRate is the least speed inside a line or literal: once Window is spent
// waiting in it, at least Octets per second must have come.
type MinRate struct {
	Octets int           // default 1024; negative: no minimum
	Window time.Duration // default 60 s
}

// Limits bound what one reply may hold.
type Limits struct {
	Line      int   // octets of a line; default 64 KiB
	Search    int   // octets of a SEARCH or ESEARCH line; default 16 MiB
	Literal   int64 // octets of the literals of one reply, bodies apart; default 1 MiB
	Message   int64 // octets of a body; 0: no limit
	Mailboxes int   // replies to LIST; default 50,000
	Untagged  int   // replies within one command that do not belong to it; default 200,000
}

// greatest nesting of a list that is read; deeper ones make their reply unreadable.
const maxNesting = 32

func (o Options) withDefaults() Options {
	if o.Dial == nil {
		o.Dial = (&net.Dialer{KeepAlive: 15 * time.Second}).DialContext
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
		{&l.Line, 64 << 10}, {&l.Search, 16 << 20}, {&l.Mailboxes, 50_000}, {&l.Untagged, 200_000},
		{&o.MinRate.Octets, 1024},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if l.Literal == 0 {
		l.Literal = 1 << 20
	}
	return o
}

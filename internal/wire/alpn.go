package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"sync"

	"github.com/emersion/go-imap/v2"
)

// protocolIMAP is the protocol ID of IMAP for ALPN (RFC 7301, IANA registry).
const protocolIMAP = "imap"

// ALPN remembers which servers have to be told that IMAP is spoken, by ALPN. Most don't
// care. Some drop a connection on which it is said, others drop one on which it is not.
// So the first connection says nothing; if it fails before its greeting, one that says it
// is tried, and what succeeds is remembered. Port 443 is the other way round: there a
// server without ALPN takes the client for a browser, and stays silent.
//
// Several connections may share one. The zero value knows nothing, a nil one remembers
// nothing.
type ALPN struct {
	mu   sync.Mutex
	said map[string]bool // by address: whether it was said when a connection succeeded
}

// choose returns whether to say it to the server at an address, and whether that is
// known to succeed.
func (a *ALPN) choose(address string) (say, known bool) {
	if a != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		if say, known = a.said[address]; known {
			return say, true
		}
	}
	_, port, err := net.SplitHostPort(address)
	return err == nil && port == "443", false
}

// remember stores what succeeded.
func (a *ALPN) remember(address string, said bool) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.said == nil {
		a.said = map[string]bool{}
	}
	a.said[address] = said
}

// forget removes what is known of an address: the server may have changed.
func (a *ALPN) forget(address string) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.said, address)
}

// dialTLS is dial with ALPN's protocol ID or without, whichever the server takes.
func dialTLS(ctx context.Context, o Options) (*Conn, error) {
	say, known := o.ALPN.choose(o.Address)
	c, doubtful, err := dial(ctx, o, say)
	switch {
	case err == nil:
		o.ALPN.remember(o.Address, say)
		return c, nil
	case !doubtful || ctx.Err() != nil:
		return nil, err
	case known:
		o.ALPN.forget(o.Address)
		return nil, err
	}
	c, _, other := dial(ctx, o, !say)
	if other != nil {
		return nil, err
	}
	o.ALPN.remember(o.Address, !say)
	return c, nil
}

// mayDependOnALPN reports whether a connection that fails with err before its greeting
// might succeed with the other choice: not if the server is too slow, not trusted, speaks
// no TLS, or has refused in IMAP.
func mayDependOnALPN(err error) bool {
	var (
		certificate *tls.CertificateVerificationError
		authority   x509.UnknownAuthorityError
		record      tls.RecordHeaderError
		refusal     *imap.Error
		network     net.Error
	)
	switch {
	case errors.As(err, &certificate), errors.As(err, &authority), errors.As(err, &record), errors.As(err, &refusal):
		return false
	case errors.As(err, &network) && network.Timeout(), errors.Is(err, context.DeadlineExceeded), Classify(err) == ClassCanceled:
		return false
	}
	return true
}

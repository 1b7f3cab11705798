package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
)

// startTLS sends STARTTLS before any other command (RFC 9051 6.2.1). What the server
// said in the clear is forgotten, and octets in the clear behind the OK are an error:
// an attacker on the line could have put them there.
func (c *Conn) startTLS(ctx context.Context) error {
	if c.authenticated { // RFC 9051 7.1.4: STARTTLS is not possible any more
		return &Error{Class: ClassTLS, Err: errors.New("server greets with PREAUTH, which rules out STARTTLS")}
	}
	cmd := command{name: cmdStartTLS, onNO: ClassTLS, onBAD: ClassTLS}
	c.in.startCommand(c.options.Timeouts.Greeting, 0)
	c.in.capDeadline(c.options.Timeouts.Greeting)
	answers, err := c.exchange([]string{"STARTTLS"}, 0, nil, nil)
	if err == nil {
		err = c.refusal(answers[0], cmd)
	}
	if err != nil {
		return err
	}
	if c.in.buffered() > 0 {
		return &Error{Class: ClassTLS, Err: errors.New("server sent octets in the clear behind STARTTLS")}
	}
	c.server.reset()
	return c.handshake(ctx)
}

// handshake puts TLS over the TCP connection and a new stream over that.
func (c *Conn) handshake(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeouts.Handshake)
	defer cancel()
	config := c.options.TLS.Clone()
	config.NextProtos = nil
	if c.sayIMAP {
		config.NextProtos = []string{protocolIMAP}
	}
	c.alpnDoubtful = true
	secure := tls.Client(&bufferedConn{c.tcp, bufio.NewReaderSize(c.tcp, readBufferSize)}, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return &Error{Class: handshakeClass(err), Err: fmt.Errorf("TLS handshake: %w", err)}
	}
	c.out = secure
	c.in = newStream(secure, c.options, c.failed.done)
	c.in.startCommand(c.options.Timeouts.Greeting, 0)
	return nil
}

// bufferedConn reads several TLS records in one system call.
type bufferedConn struct {
	net.Conn
	r *bufio.Reader
}

func (c *bufferedConn) Read(p []byte) (int, error) { return c.r.Read(p) }

// handshakeClass tells a network that failed during the handshake from a peer that
// can't be trusted.
func handshakeClass(err error) Class {
	var (
		certificate *tls.CertificateVerificationError
		authority   x509.UnknownAuthorityError
		record      tls.RecordHeaderError
		op          *net.OpError
		network     net.Error
	)
	switch {
	case errors.As(err, &certificate), errors.As(err, &authority), errors.As(err, &record):
		return ClassTLS
	case errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error"): // a TLS alert
		return ClassTLS
	case errors.As(err, &network), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ClassTransient
	}
	return ClassTLS
}

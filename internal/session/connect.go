package session

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"

	"archiverd/internal/wire"
)

// Connect opens a connection to the account's server and logs in. The caller
// closes it. The error names the server and, where one is known, the remedy.
func (a *Account) Connect(ctx context.Context) (*wire.Conn, error) {
	auth, err := a.Auth(ctx)
	if err != nil {
		return nil, err
	}
	o := a.Wire
	o.Hide = auth
	c, err := wire.Dial(ctx, o)
	if err != nil {
		return nil, a.explain(err)
	}
	if err := c.Login(ctx, auth); err != nil {
		_ = c.Close() // no command is under way
		return nil, a.explain(err)
	}
	return c, nil
}

// explain adds the server and the remedy to an error of connecting.
func (a *Account) explain(err error) error {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var record tls.RecordHeaderError
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "dial":
		return err // names the server already
	case wire.Classify(err) == wire.ClassLogin:
		hint := "check username and password"
		if a.LoginHint != "" {
			hint += "; " + a.LoginHint
		}
		return fmt.Errorf("%s: %w (%s)", a.Wire.Address, err, hint)
	case errors.As(err, &authority):
		return fmt.Errorf("%s: %w (if the server is yours, name its authority in tls_ca_file, or its certificate in tls_fingerprint)", a.Wire.Address, err)
	case errors.As(err, &name):
		return fmt.Errorf("%s: %w (write the server's name as its certificate has it)", a.Wire.Address, err)
	case errors.As(err, &record):
		return fmt.Errorf("%s: %w (no TLS on this port: take another, or tls: starttls)", a.Wire.Address, err)
	}
	return fmt.Errorf("%s: %w", a.Wire.Address, err)
}

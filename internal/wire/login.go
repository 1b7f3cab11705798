package wire

import (
	"context"
	"errors"
	"fmt"

	"archiverd/internal/uid"

	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
)

// Auth is the credentials of a login.
type Auth struct {
	// Mechanism is "" or "auto": the best that the server offers; "plain":
	// AUTHENTICATE PLAIN; or "login": LOGIN, or AUTHENTICATE LOGIN where LOGIN is
	// disabled.
	Mechanism string
	Username  string
	Password  []byte

	// SASL, if not nil, makes the client of another mechanism, and Mechanism is
	// ignored. The caller puts the mechanism's secret into Password all the same, so
	// that no error shows it.
	SASL func() sasl.Client
}

var errLoginDisabled = errors.New("server does not accept a password on this connection (LOGINDISABLED)")

// Login authenticates and learns the capabilities after the login. If the server
// greeted with PREAUTH it sends nothing. After an error the connection is closed.
func (c *Conn) Login(ctx context.Context, a Auth) error {
	if c.authenticated {
		return nil
	}
	cmd := command{name: cmdLogin, answerWait: c.options.Timeouts.Answer, onNO: ClassLogin, onBAD: ClassLogin}
	c.server.setRedactor(a.redactor())
	login, err := c.loginMethod(a)
	if err != nil {
		return c.annotate(cmd, c.abort(&Error{Class: ClassLogin, Err: err}))
	}
	c.server.forgetCapabilities()
	if err := c.runGoIMAP(ctx, cmd, uid.Set{}, login); err != nil {
		_ = c.Close() // never fails
		return err
	}
	c.authenticated = true
	if c.server.all() == nil {
		if _, err := c.Capabilities(ctx); err != nil {
			return err
		}
	}
	if c.options.Compress == CompressAlways {
		return c.Compress(ctx)
	}
	return nil
}

// loginMethod chooses how to log in. It never sends a password if the server announces
// LOGINDISABLED for it.
func (c *Conn) loginMethod(a Auth) (func(*imapclient.Client) error, error) {
	authenticate := func(client func() sasl.Client) func(*imapclient.Client) error {
		return func(c *imapclient.Client) error { return c.Authenticate(client()) }
	}
	plain := authenticate(func() sasl.Client { return sasl.NewPlainClient("", a.Username, string(a.Password)) })
	loginSASL := authenticate(func() sasl.Client { return &loginClient{a.Username, string(a.Password), 0} })
	login := func(c *imapclient.Client) error { return c.Login(a.Username, string(a.Password)).Wait() }

	disabled := c.HasCapability("LOGINDISABLED")
	switch {
	case a.SASL != nil:
		return authenticate(a.SASL), nil
	case disabled && (c.options.Security == Plaintext || !c.HasCapability("AUTH=PLAIN") && !c.HasCapability("AUTH=LOGIN")):
		return nil, errLoginDisabled
	}
	switch a.Mechanism {
	case "", "auto":
		switch {
		case c.HasCapability("AUTH=PLAIN"):
			return plain, nil
		case !disabled:
			return login, nil
		}
		return loginSASL, nil
	case "plain":
		if disabled && !c.HasCapability("AUTH=PLAIN") {
			return nil, errLoginDisabled
		}
		return plain, nil
	case "login":
		if !disabled {
			return login, nil
		}
		if c.HasCapability("AUTH=LOGIN") {
			return loginSASL, nil
		}
		return nil, errLoginDisabled
	}
	return nil, fmt.Errorf("unknown login mechanism %q", a.Mechanism)
}

// loginClient is AUTHENTICATE LOGIN: it sends the user name, then the password, whatever
// the prompts say (draft-murchison-sasl-login).
type loginClient struct {
	username, password string
	step               int
}

func (l *loginClient) Start() (string, []byte, error) { return "LOGIN", nil, nil }

func (l *loginClient) Next([]byte) ([]byte, error) {
	switch l.step++; l.step {
	case 1:
		return []byte(l.username), nil
	case 2:
		return []byte(l.password), nil
	}
	return nil, sasl.ErrUnexpectedServerChallenge
}

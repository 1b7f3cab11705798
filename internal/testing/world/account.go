package world

import (
	"context"
	"crypto/tls"
	"time"

	"archiverd/internal/session"
	"archiverd/internal/wire"
)

// Patient returns timeouts that pass only when something is wrong with the client,
// however busy the machine is.
func Patient() wire.Timeouts {
	return wire.Timeouts{
		Dial: time.Minute, Handshake: time.Minute, Greeting: time.Minute, Answer: time.Minute,
		Idle: time.Minute, Stall: time.Minute, Write: time.Minute, Logout: time.Minute,
	}
}

// Alice returns the account of alice, whose password is "secret", at the plaintext
// port of a server. It connects again at once.
func Alice(address string) session.Account {
	return session.Account{
		Name:        "alice",
		Wire:        wire.Options{Address: address, Security: wire.Plaintext, Timeouts: Patient()},
		Auth:        Password("alice", "secret"),
		User:        "alice",
		Connections: 2,
		Retry:       session.Retry{FirstWait: time.Millisecond, MaxWait: 3 * time.Millisecond, MaxStated: 200 * time.Millisecond},
	}
}

// Login returns the account of a user at the TLS port of a real server, with the
// usual timeouts. It is named for the user.
func Login(address, user, password string, t *tls.Config) session.Account {
	return session.Account{
		Name:        user,
		Wire:        wire.Options{Address: address, TLS: t},
		Auth:        Password(user, password),
		User:        user,
		Connections: 3,
		Retry:       session.Retry{FirstWait: 20 * time.Millisecond, MaxWait: 100 * time.Millisecond},
	}
}

// Password returns an account's Auth for a user and a password.
func Password(user, password string) func(context.Context) (wire.Auth, error) {
	return func(context.Context) (wire.Auth, error) {
		return wire.Auth{Username: user, Password: []byte(password)}, nil
	}
}

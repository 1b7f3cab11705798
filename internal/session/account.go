// Package session keeps a connection to an account's IMAP server: it connects
// and logs in, connects again when the connection is lost, waits as long as the
// server asks, and gives up when nothing more is to be expected. It also holds
// the rules that everything above it shares about what a server says: when a
// list of UIDs is complete, how flags are compared, and which errors concern one
// mailbox or message alone.
//
// It knows the wire protocol and no archive.
package session

import (
	"context"
	"strings"

	"archiverd/internal/wire"
)

// Account is a login at one server. It is not changed once it is in use.
type Account struct {
	Name string
	Wire wire.Options
	// Auth returns the credentials. It is called before each login.
	Auth func(ctx context.Context) (wire.Auth, error)
	// User is the name that Auth logs in with; "" if it is not known. It is recorded.
	User string
	// Connections is how many connections a job may have at a time; 0 means 1.
	Connections int
	// Rate is the lowest of the limits in Wire.Rates, in octets per second. It is
	// used for estimates only; 0 means no limit.
	Rate int64
	// DailyLimit is how many octets the account may receive in any 24 hours,
	// those of earlier runs included; 0 means no limit.
	DailyLimit int64
	// LoginHint is what the provider requires for a login. It is added to the
	// error of a refused login; "" if it is not known.
	LoginHint string
	Retry     Retry
}

// Origin returns where and as whom the account logs in: host:port in lower case, and
// the user. If one of them changes, UIDs may mean other messages.
func (a *Account) Origin() (server, user string) {
	return strings.ToLower(strings.ToValidUTF8(a.Wire.Address, "?")), strings.ToValidUTF8(a.User, "?")
}

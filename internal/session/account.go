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
	"time"

	"archiverd/internal/wire"
)

// Account is a login at one server. It is not changed once it is in use.
type Account struct {
	Name string
	Wire wire.Options
	// Auth returns the credentials. It is called before each login.
	Auth func(ctx context.Context) (wire.Auth, error)
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

// Retry bounds what is done about a server that does not answer. A zero value
// stands for the default.
type Retry struct {
	MaxTries  int           // connections that fail in a row, or receive nothing, before giving up; default 6
	FirstWait time.Duration // wait after the first of them, doubled with each; default 1 s
	MaxWait   time.Duration // longest wait between two connections; default 1 min
	MaxStated time.Duration // longest wait that a server may ask for without ending the run; default 10 min

	// Throttled is how long no run of the account starts after its server has
	// throttled connections and stated no time; default 30 min.
	Throttled time.Duration
}

// WithDefaults returns r with each zero value replaced by its default.
func (r Retry) WithDefaults() Retry {
	if r.MaxTries == 0 {
		r.MaxTries = 6
	}
	if r.FirstWait == 0 {
		r.FirstWait = time.Second
	}
	if r.MaxWait == 0 {
		r.MaxWait = time.Minute
	}
	if r.MaxStated == 0 {
		r.MaxStated = 10 * time.Minute
	}
	if r.Throttled == 0 {
		r.Throttled = 30 * time.Minute
	}
	return r
}

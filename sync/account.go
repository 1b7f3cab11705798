package sync

import (
	"context"
	"time"

	"archiverd/internal/wire"
)

// Account says what a job needs to know of an account.
type Account struct {
	Name string
	Wire wire.Options
	// Auth is asked for the credentials at each login.
	Auth func(ctx context.Context) (wire.Auth, error)
	// Select says whether a mailbox is to be archived, and if not which rule
	// of the configuration leaves it out. nil: all are.
	Select func(name, delimiter string, attrs []string) (ok bool, rule string)
	// Connections is how many connections a job may have; 0: 1.
	Connections int
	// Largest is the size in octets from above which a message is left out; 0: none is.
	Largest  int64
	Matching Matching
	// Rate is the lowest of the limits in Wire.Rates, octets per second, for
	// estimates; 0: none.
	Rate int64
	// DailyLimit is how many octets a job may receive in any 24 hours, with those
	// of earlier runs; 0: any number.
	DailyLimit int64
	// LoginHint says what the provider wants at the login, for whom it refused; "": not known.
	LoginHint string
	Retry     Retry
}

// Retry bounds what a run does about a server that does not answer. Zero
// values are the defaults.
type Retry struct {
	Tries  int           // connections in a row that fail, or fetch nothing, before the run ends; default 6
	First  time.Duration // wait after the first; doubles with each; default 1 s
	Most   time.Duration // longest wait between two; default 1 min
	Stated time.Duration // longest wait that a server may ask for within a run; default 10 min

	// Throttled is how long a server is left alone that throttles and does not
	// say for how long; default 30 min.
	Throttled time.Duration
}

func (r Retry) withDefaults() Retry {
	if r.Tries == 0 {
		r.Tries = 6
	}
	if r.First == 0 {
		r.First = time.Second
	}
	if r.Most == 0 {
		r.Most = time.Minute
	}
	if r.Stated == 0 {
		r.Stated = 10 * time.Minute
	}
	if r.Throttled == 0 {
		r.Throttled = 30 * time.Minute
	}
	return r
}

package session

import "time"

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

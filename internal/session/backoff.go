package session

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"archiverd/internal/wire"
)

// maxThrottled is how many connections in a row a server may throttle without
// stating a time.
const maxThrottled = 3

// BackoffError is returned when no connection should be made for longer than a
// run waits.
type BackoffError struct {
	Wait time.Duration // for how long
	Err  error
}

// Error returns the text of e.Err.
func (e *BackoffError) Error() string { return e.Err.Error() }

// Unwrap returns e.Err.
func (e *BackoffError) Unwrap() error { return e.Err }

// Backoff counts the connections in a row that failed, or received nothing, and
// says how long to wait before the next. Its zero value has counted none. It
// belongs to one goroutine.
type Backoff struct{ failures int }

// Reset forgets the failures: a connection has achieved something.
func (b *Backoff) Reset() { b.failures = 0 }

// Next counts a failure and returns how long to wait before the next connection:
// as long as the server has asked for, else an exponential back-off. It returns
// an error if there should be no further connection: cause itself where another
// one would not help, a *BackoffError where time might.
func (b *Backoff) Next(a *Account, cause error) (time.Duration, error) {
	retry := a.Retry.WithDefaults()
	class, stated := wire.Classify(cause), wire.RetryAfter(cause)
	switch class {
	case wire.ClassTransient, wire.ClassBusy, wire.ClassThrottled, wire.ClassProtocol:
	default:
		return 0, cause
	}
	if dns := (*net.DNSError)(nil); errors.As(cause, &dns) && dns.IsNotFound {
		return 0, cause // a name that does not exist now will not exist in a minute
	}
	b.failures++
	switch {
	case stated > retry.MaxStated:
		return 0, statedTooLong(stated, cause)
	case class == wire.ClassThrottled && stated == 0 && b.failures >= min(maxThrottled, retry.MaxTries):
		return 0, &BackoffError{retry.Throttled, fmt.Errorf("the server throttles, so it is left alone for %v: %w", retry.Throttled, cause)}
	case b.failures >= retry.MaxTries:
		err := fmt.Errorf("giving up after %d connections without success: %w", b.failures, cause)
		if stated > 0 {
			return 0, &BackoffError{stated, err}
		}
		return 0, err
	case stated > 0:
		return stated, nil
	}
	return randomized(retry.wait(b.failures)), nil
}

// CheckStated returns a *BackoffError if a server asks for a longer wait than a
// run makes. cause is what the server said.
func (r Retry) CheckStated(wait time.Duration, cause error) error {
	if wait <= r.WithDefaults().MaxStated {
		return nil
	}
	return statedTooLong(wait, cause)
}

func statedTooLong(wait time.Duration, cause error) error {
	return &BackoffError{wait, fmt.Errorf("the server asks to stay away for %v: %w", wait, cause)}
}

// wait returns how long to wait after so many failures in a row, before chance.
func (r Retry) wait(failures int) time.Duration {
	wait := r.FirstWait
	for range failures - 1 {
		wait = min(2*wait, r.MaxWait)
	}
	return wait
}

// randomized returns a duration evenly distributed between half of d and one and
// a half: clients that one server has turned away do not return all at once.
func randomized(d time.Duration) time.Duration {
	return d/2 + rand.N(d+1)
}

// Sleep waits for d. It returns the cause of ctx if that ends before.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

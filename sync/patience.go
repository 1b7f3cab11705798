package sync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/cenkalti/backoff/v5"

	"archiverd/internal/logkey"
	"archiverd/internal/wire"
)

// patience is what is left of it with a server.
type patience struct {
	quiet int // connections in a row that failed, or brought nothing
}

// throttledTries is how many connections in a row a server may throttle that
// does not say for how long.
const throttledTries = 3

// stayAway is returned when a server is to be left alone for longer than a run waits.
type stayAway struct {
	wait time.Duration
	err  error
}

func (e *stayAway) Error() string { return e.err.Error() }
func (e *stayAway) Unwrap() error { return e.err }

// plan says how long to wait before the next connection: as long as the server
// asked, or as the back-off says. It returns an error if there is to be none.
func (p *patience) plan(a *Account, cause error) (wait time.Duration, err error) {
	retry := a.Retry.withDefaults()
	class, stated := wire.Classify(cause), wire.RetryAfter(cause)
	switch class {
	case wire.ClassTransient, wire.ClassBusy, wire.ClassThrottled, wire.ClassProtocol:
	default:
		return 0, cause
	}
	if dns := (*net.DNSError)(nil); errors.As(cause, &dns) && dns.IsNotFound {
		return 0, cause // a name that does not exist will not do so in a minute
	}
	p.quiet++
	switch {
	case stated > retry.Stated:
		return 0, &stayAway{stated, fmt.Errorf("the server asks to stay away for %v: %w", stated, cause)}
	case class == wire.ClassThrottled && stated == 0 && p.quiet >= min(throttledTries, retry.Tries):
		return 0, &stayAway{retry.Throttled, fmt.Errorf("the server throttles, so it is left alone for %v: %w", retry.Throttled, cause)}
	case p.quiet >= retry.Tries:
		err = fmt.Errorf("giving up after %d connections without success: %w", p.quiet, cause)
		if stated > 0 {
			err = &stayAway{stated, err}
		}
		return 0, err
	case stated > 0:
		return stated, nil
	}
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = retry.First, retry.Most, 2
	for range p.quiet {
		wait = b.NextBackOff()
	}
	return wait, nil
}

// pause waits before the next connection. It returns the error if there is to
// be none.
func (p *patience) pause(ctx context.Context, a *Account, log *slog.Logger, cause error) error {
	wait, err := p.plan(a, cause)
	if err != nil {
		return err
	}
	log.Info("connecting again", logkey.Account, a.Name, "wait", wait.Round(time.Millisecond), logkey.Error, cause)
	return sleep(ctx, wait)
}

// sleep waits. It returns the cause if ctx ends before.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

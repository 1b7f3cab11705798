package sync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/cenkalti/backoff/v5"

	"archiverd/internal/wire"
)

// patience is what is left of it with a server.
type patience struct {
	quiet int // connections in a row that failed, or brought nothing
}

// pause waits before the next connection, as long as the server asked or the
// back-off says. It returns the error if there is to be none.
func (p *patience) pause(ctx context.Context, a *Account, log *slog.Logger, cause error) error {
	retry := a.Retry.withDefaults()
	switch wire.Classify(cause) {
	case wire.ClassTransient, wire.ClassBusy, wire.ClassThrottled, wire.ClassProtocol:
	default:
		return cause
	}
	if dns := (*net.DNSError)(nil); errors.As(cause, &dns) && dns.IsNotFound {
		return cause // a name that does not exist will not do so in a minute
	}
	p.quiet++
	if p.quiet >= retry.Tries {
		return fmt.Errorf("giving up after %d connections without success: %w", p.quiet, cause)
	}
	wait := wire.RetryAfter(cause)
	if wait > retry.Stated {
		return fmt.Errorf("the server asks to stay away for %v: %w", wait, cause)
	}
	if wait == 0 {
		b := backoff.NewExponentialBackOff()
		b.InitialInterval, b.MaxInterval, b.Multiplier = retry.First, retry.Most, 2
		for range p.quiet {
			wait = b.NextBackOff()
		}
	}
	log.Info("connecting again", KeyAccount, a.Name, "wait", wait.Round(time.Millisecond), KeyError, cause)
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

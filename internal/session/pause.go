package session

import (
	"context"
	"sync"
	"time"
)

// Pause is the time until when no connection of a run sends a command, because
// the server has asked for that. Its zero value is no pause. It is safe for
// concurrent use.
type Pause struct {
	mu    sync.Mutex
	until time.Time // under mu
}

// Extend makes the pause last for at least d from now.
func (p *Pause) Extend(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(d); until.After(p.until) {
		p.until = until
	}
}

// Wait waits until the pause is over. It returns the cause of ctx if that ends before.
func (p *Pause) Wait(ctx context.Context) error {
	p.mu.Lock()
	d := time.Until(p.until)
	p.mu.Unlock()
	if d <= 0 {
		return nil
	}
	return Sleep(ctx, d)
}

package commit

import (
	"fmt"
	"sync"
	"time"

	"archiverd/archive"
)

// Clock notes whether the computer's clock was behind what a run has committed to. The
// zero value is ready; its methods may be called from several goroutines.
type Clock struct {
	mu     sync.Mutex
	behind time.Time // the latest event that the clock was behind; zero: none
}

// Note takes note of a committed batch.
func (c *Clock) Note(b *archive.Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b.ClockBehind.After(c.behind) {
		c.behind = b.ClockBehind
	}
}

// Warnings returns one warning for the whole run, or none.
func (c *Clock) Warnings() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.behind.IsZero() {
		return nil
	}
	return []string{fmt.Sprintf("the clock of this computer is behind the archive, whose last event is of %s: it was set back, or was ahead then; new events carry that time until it has passed: check the clock",
		c.behind.Format(time.RFC3339))}
}

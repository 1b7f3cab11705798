package commit

import (
	"fmt"
	"time"

	"archiverd/internal/logkey"
)

// maxUncheckpointed is how long a run may go on before its journals get checkpoints.
const maxUncheckpointed = 10 * time.Minute

// Checkpoint records in the archive's checkpoints what each journal is now, if that is
// not its last checkpoint. It says once that an archive had none.
func (c *Committer) Checkpoint() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	takenOver, err := c.Archive.Checkpoint()
	if takenOver > 0 {
		c.log.Info(fmt.Sprintf("the archive had no checkpoints yet: checkpoints.jsonl now records what each of its %d journals is", takenOver))
	}
	if err != nil {
		return fmt.Errorf("write checkpoints: %w", err)
	}
	return nil
}

// checkpointIfDue is Checkpoint in a long run. The end of the run tries again after an
// error.
func (c *Committer) checkpointIfDue() {
	if time.Since(c.lastCheckpoint) < maxUncheckpointed {
		return
	}
	c.lastCheckpoint = time.Now()
	if err := c.Checkpoint(); err != nil {
		c.log.Warn("checkpoints are written at the end of the run", logkey.Error, err)
	}
}

// CatchUp has the state database look at the journals again: one that was lost may have
// been put back. No commit runs beside it.
func (c *Committer) CatchUp() (notes []string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.State.CatchUp()
}

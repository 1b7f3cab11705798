package sync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	gosync "sync"
	"time"

	"golang.org/x/sync/semaphore"

	"archiverd/internal/commit"
	"archiverd/internal/logkey"
	"archiverd/internal/progress"
	"archiverd/internal/quota"
	"archiverd/internal/session"
	"archiverd/internal/wire"
	"archiverd/state"
)

// Job archives one account. Its exported fields are set before Run; one Run at a
// time.
type Job struct {
	Account   session.Account
	Policy    Policy
	Committer *commit.Committer
	// Slots are the connections that all jobs of the process may have
	// together; nil: any number.
	Slots *semaphore.Weighted
	// Prepare, if set, catches Committer.State up with the archive. Each run calls it
	// while it waits for the server's greeting. Its error is the run's.
	Prepare func() error
	Log     *slog.Logger
	Now     func() time.Time // nil: time.Now

	meter   progress.Meter   // own mutex
	sizes   sizeTrust        // own mutex
	quota   *quota.Quota     // set by Run
	closing gosync.WaitGroup // connections that are logging out
}

// Progress returns how far the run under way is. It may be called at any time.
func (j *Job) Progress() progress.Progress {
	p := j.meter.Read()
	p.DailyLimit = j.Account.DailyLimit
	if p.Received == 0 || p.Stage == "done" {
		return p
	}
	now := j.Now()
	if t, err := j.Committer.State.Traffic(j.Account.Name, now); err == nil {
		p.Estimate = quota.EstimateRun(p, t, quota.Limits{Rate: j.Account.Rate, Daily: j.Account.DailyLimit}, now)
	}
	return p
}

// setStage sets the stage that progress shows.
func (j *Job) setStage(stage string) {
	j.meter.Change(func(p *progress.Progress) { p.Stage = stage })
}

// Run archives the account once. It returns the run's ledger, which it stores as
// well, and an error if the run as a whole failed: a mailbox or message that failed
// is in the ledger only. If the daily limit leaves it nothing to do, it starts
// nothing and stores nothing.
//
// Once ctx is done nothing more is fetched; messages received completely are
// committed before Run returns [commit.ErrInterrupted]. A panic is an error of this
// job.
func (j *Job) Run(ctx context.Context) (result state.Run, err error) {
	if j.Now == nil {
		j.Now = time.Now
	}
	result = state.Run{Account: j.Account.Name, Started: j.Now().UTC()}
	j.quota = quota.New(j.Account.Name, j.Account.DailyLimit, j.Committer.State, j.Now)
	j.Account.Wire.Received = &j.quota.Received
	j.meter.Change(func(p *progress.Progress) { *p = progress.Progress{Account: j.Account.Name, Stage: "waiting"} })
	if until := j.quotaHoldOff(); !until.IsZero() {
		result.Ended, result.Resumes, result.DailyLimit = result.Started, until.UTC(), j.Account.DailyLimit
		err := &quota.ExceededError{Limit: j.Account.DailyLimit}
		result.Error = err.Error()
		return result, err
	}
	cursors := map[string]state.Completed{}
	func() {
		defer func() {
			if p := recover(); p != nil {
				err = j.panicked(p)
			}
		}()
		err = j.archive(ctx, &result, cursors)
	}()
	if err != nil && ctx.Err() != nil {
		err = commit.ErrInterrupted
	}
	j.setResumes(&result, err)
	result.Ended = j.Now().UTC()
	result.Sum.Elapsed = result.Ended.Sub(result.Started)
	if err != nil {
		result.Error = err.Error()
		result.LoginRefused = wire.Classify(err) == wire.ClassLogin
	}
	defer j.closing.Wait()
	j.meter.Change(func(p *progress.Progress) { p.Stage, p.Mailbox = "done", "" })
	return result, errors.Join(err, j.Committer.FinishRun(&result, cursors))
}

// panicked logs a panic and returns the error for it.
func (j *Job) panicked(p any) error {
	j.Log.Error("panic in the job", logkey.Account, j.Account.Name, logkey.Error, p, "stack", string(debug.Stack()))
	return fmt.Errorf("panic in the job: %v", p)
}

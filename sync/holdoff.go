package sync

import (
	"errors"
	"time"

	"archiverd/internal/quota"
	"archiverd/internal/session"
	"archiverd/state"
)

// quotaHoldOff returns until when the daily limit leaves a run nothing to do; zero: it
// does not. An error of the state database is ignored: the run rebuilds it.
func (j *Job) quotaHoldOff() time.Time {
	var runs []state.Run
	if j.Account.DailyLimit > 0 {
		var err error
		if runs, err = j.Committer.State.Runs(j.Account.Name); err != nil {
			return time.Time{}
		}
	}
	until, err := j.quota.ExceededUntil()
	if err != nil {
		return time.Time{}
	}
	if len(runs) > 0 && runs[0].DailyLimit > 0 {
		if t := Resumes(runs, j.Account.DailyLimit, j.Now()); t.After(until) {
			until = t
		}
	}
	return until
}

// setResumes sets Resumes, the time of the next run, if err ended the run and waiting helps.
func (j *Job) setResumes(run *state.Run, err error) {
	var exceeded *quota.ExceededError
	var backoff *session.BackoffError
	_, ferr := j.quota.Flush() // so that the run's record stores it
	switch {
	case errors.As(err, &backoff):
		run.Resumes = j.Now().Add(backoff.Wait).UTC()
	case errors.As(err, &exceeded) && ferr == nil:
		if at, err := j.quota.FreeAt(exceeded.Need); err == nil {
			run.Resumes, run.DailyLimit = at.UTC(), exceeded.Limit
		}
	}
}

// Resumes returns until when the last runs of an account, newest first, keep the
// next one from starting; zero: they do not. It ignores a hold-off for another
// daily limit than the present one, and one so far ahead that the clock must have
// been wrong.
func Resumes(runs []state.Run, dailyLimit int64, now time.Time) time.Time {
	if len(runs) == 0 || runs[0].DailyLimit > 0 && runs[0].DailyLimit != dailyLimit {
		return time.Time{}
	}
	if wait := runs[0].Resumes.Sub(now); wait <= 0 || wait > state.Day+time.Hour {
		return time.Time{}
	}
	return runs[0].Resumes
}

// After a refused login no run starts for firstLoginHoldOff, doubled with each further
// refusal up to maxLoginHoldOff: servers lock accounts.
const (
	firstLoginHoldOff = 30 * time.Minute
	maxLoginHoldOff   = 12 * time.Hour
)

// LoginRefused is HoldOff's reason after a refused login.
const LoginRefused = "the server refused the login; mend the account and reload the daemon, or restart it for a credential"

// HoldOff returns until when no scheduled run of an account starts, and why: the last run
// reached the daily limit, the server asked for it, or the server refused the login.
// Refusals before since, when the configuration was loaded, do not count. until is zero,
// or may be past, if a run may start. runs are the account's last runs, newest first.
func HoldOff(runs []state.Run, dailyLimit int64, since, now time.Time) (until time.Time, reason string) {
	if until := Resumes(runs, dailyLimit, now); !until.IsZero() {
		return until, runs[0].Error
	}
	holdOff := firstLoginHoldOff
	for i, r := range runs {
		if !r.LoginRefused || r.Started.Before(since) {
			break
		}
		if i == 0 {
			until = r.Ended
		} else {
			holdOff = min(2*holdOff, maxLoginHoldOff)
		}
	}
	if until.IsZero() {
		return until, ""
	}
	return until.Add(holdOff), LoginRefused
}

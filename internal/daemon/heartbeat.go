package daemon

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"archiverd/internal/logkey"
)

const (
	beatInterval = 10 * time.Second
	// maxCommit is how long a commit may take before the daemon stops the watchdog: a
	// disk that has not answered for that long does not recover by itself.
	maxCommit = 2 * time.Minute
)

// newHeartbeat ticks as often as systemd wants to hear from the daemon, and at least
// every beatInterval.
func newHeartbeat() (*time.Ticker, error) {
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return nil, fmt.Errorf("watchdog: %w", err)
	}
	interval := beatInterval
	if watchdog > 0 {
		interval = min(watchdog/3, beatInterval)
	}
	return time.NewTicker(interval), nil
}

// beat reports to systemd what the daemon does. It reports that the daemon is alive only
// if the scheduler answers and no commit is stuck.
func (d *Daemon) beat() {
	d.sched.CheckAlive()
	if t := d.parts.Committer.CommittingFor(); t > maxCommit {
		d.Log.Error("a commit is stuck; the disk does not answer", logkey.Elapsed, t.Round(time.Second))
		return
	}
	d.notify(daemon.SdNotifyWatchdog + "\nSTATUS=" + d.statusLine())
}

// statusLine is what the daemon does now, in one line.
func (d *Daemon) statusLine() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.jobs) == 0 && d.drill == nil {
		var next time.Time
		for _, acc := range d.cfg.Accounts {
			if t := d.sched.Next(acc.Name); next.IsZero() || !t.IsZero() && t.Before(next) {
				next = t
			}
		}
		return "idle, next run " + next.Format(time.DateTime)
	}
	var parts []string
	for name, j := range d.jobs {
		p := j.Progress()
		text := fmt.Sprintf("%s: %s, %d of %d messages", name, p.Stage, p.Received, p.Messages)
		if p.Estimate != nil {
			text += "; " + p.Estimate.Remaining()
		}
		parts = append(parts, text)
	}
	if d.drill != nil {
		p := d.drill.Progress()
		parts = append(parts, fmt.Sprintf("drill of %s: %s, %d of %d messages", p.Account, p.Stage, p.Received, p.Messages))
	}
	slices.Sort(parts)
	return strings.Join(parts, "; ")
}

// notify sends a state to systemd, if it wants to hear any.
func (d *Daemon) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		d.Log.Warn("systemd can't be told", logkey.Error, err)
	}
}

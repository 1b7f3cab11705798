package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"archiverd/internal/config"
	"archiverd/internal/logkey"
	"archiverd/internal/schedule"
	"archiverd/sync"
)

// reload reads the configuration again. If it has faults, or changes what needs a
// restart, the old one stays. Runs under way go on with the old one.
func (d *Daemon) reload() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		d.Log.Warn("read the clock", logkey.Error, err)
	}
	d.notify(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/1000))
	defer d.notify(daemon.SdNotifyReady)
	cfg, err := d.Load()
	if err == nil && (cfg.Archive != d.cfg.Archive || cfg.State != d.cfg.State || cfg.Control != d.cfg.Control || cfg.Index != d.cfg.Index) {
		err = errors.New("archive, state, control or index can't be changed while running: restart archiverd")
	}
	if err == nil {
		err = d.setConfig(cfg)
	}
	if err != nil {
		d.Log.Error("the configuration is not taken over, the old one stays", logkey.Error, err)
		return
	}
	d.Log.Info("configuration read again", "accounts", len(cfg.Accounts))
}

// setConfig makes cfg the configuration of all runs that start from now on.
func (d *Daemon) setConfig(cfg *config.Config) error {
	plans := make([]schedule.Plan, len(cfg.Accounts))
	for i := range cfg.Accounts {
		acc := &cfg.Accounts[i]
		runs, err := d.parts.Committer.State.Runs(acc.Name)
		if err != nil {
			return err
		}
		plans[i] = schedule.Plan{Account: acc.Name, Spec: acc.Schedule, Run: func(ctx context.Context) { d.runAccount(ctx, acc) }}
		if len(runs) > 0 {
			plans[i].Last, plans[i].Resumes = runs[0].Started, sync.Resumes(runs, acc.DailyLimit, time.Now())
		}
	}
	if cfg.Drill.Schedule != "" {
		plans = append(plans, d.drillsPlan(cfg))
	}
	d.mu.Lock()
	d.cfg, d.loaded = cfg, time.Now()
	d.parts.SetConfig(cfg)
	d.mu.Unlock()
	return d.sched.Set(plans)
}

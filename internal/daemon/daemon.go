// Package daemon is the long-running service: it archives every account on its
// schedule, rehearses restores, keeps the search index current, answers on the
// control socket and reports to systemd.
//
// It also makes the status report, from the running daemon or, without one, from the
// state database and the archive.
package daemon

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	gosync "sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"archiverd/internal/config"
	"archiverd/internal/schedule"
	"archiverd/internal/setup"
	"archiverd/sync"
	"archiverd/sync/drill"
)

// Daemon is the service. Its exported fields are set before Run.
type Daemon struct {
	Version string
	Log     *slog.Logger
	// Load reads the configuration again, when SIGHUP comes.
	Load func() (*config.Config, error)

	parts   *setup.Parts        // SetConfig and Job under mu; constant otherwise
	sched   *schedule.Scheduler // has its own mutex
	index   *indexing           // nil: no index is kept
	started time.Time

	mu     gosync.Mutex
	cfg    *config.Config
	loaded time.Time            // when cfg was loaded: refused logins before that do not count
	jobs   map[string]*sync.Job // runs under way, by account
	drill  *drill.Job           // the drill under way; nil: none

	unconfiguredMu gosync.Mutex
	unconfigured   map[string][]MailboxStatus // see unconfiguredAccounts
}

// Run runs the daemon with a configuration until SIGTERM, SIGINT or the end of ctx: then
// it starts nothing more, commits what has been received, and returns. A second signal
// ends the process at once, and so does stopGrace after the first, or the first while the
// archive is being opened.
func (d *Daemon) Run(ctx context.Context, cfg *config.Config) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	parts, err := d.open(cfg, signals)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.parts, d.started = parts, time.Now()
	d.jobs, d.unconfigured = map[string]*sync.Job{}, map[string][]MailboxStatus{}
	d.sched = schedule.New(ctx, d.Log, time.Now)
	d.index = startIndexing(ctx, cfg, d.Log)
	err = d.listenAndServe(ctx, cfg, signals)
	if err == nil && ctx.Err() == nil { // a signal
		late := time.AfterFunc(stopGrace, func() {
			d.Log.Error("still busy: stopping at once; nothing that is recorded is lost", "after", stopGrace)
			os.Exit(1)
		})
		defer late.Stop()
	}
	cancel()
	d.notify(daemon.SdNotifyStopping)
	go exitOnSignal(signals)
	d.sched.Stop()
	d.index.wait()
	return errors.Join(err, parts.Close())
}

// stopGrace is how long the daemon may take to stop: a service manager waits no longer.
const stopGrace = 9 * time.Second

// open opens the archive and the state database, which may take minutes where that has to
// be made from the journals. A signal ends the process meanwhile: nothing else has begun.
func (d *Daemon) open(cfg *config.Config, signals <-chan os.Signal) (*setup.Parts, error) {
	opened := make(chan struct{})
	var watching gosync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case sig := <-signals:
				if sig != syscall.SIGHUP { // the configuration was just read
					d.Log.Info("stopping before the archive was open")
					os.Exit(0)
				}
			case <-opened:
				return
			}
		}
	})
	parts, err := setup.Open(cfg, d.Log)
	close(opened)
	watching.Wait()
	return parts, err
}

// listenAndServe opens the control socket, sets the schedule and serves signals until
// the daemon is to stop.
func (d *Daemon) listenAndServe(ctx context.Context, cfg *config.Config, signals <-chan os.Signal) error {
	c, err := listenControl(cfg.Control.Socket, d.report)
	if err != nil {
		return err
	}
	if err = d.setConfig(cfg); err == nil {
		d.Log.Info("archiverd is running", "version", d.Version, "archive", cfg.Archive.Path, "accounts", len(cfg.Accounts))
		d.notify(daemon.SdNotifyReady)
		err = d.serve(ctx, signals)
	}
	return errors.Join(err, c.Close())
}

// serve handles signals and reports to systemd, until the daemon is to stop.
func (d *Daemon) serve(ctx context.Context, signals <-chan os.Signal) error {
	heartbeat, err := newHeartbeat()
	if err != nil {
		return err
	}
	defer heartbeat.Stop()
	d.beat()
	for {
		select {
		case <-ctx.Done():
			return nil
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				d.Log.Info("stopping; what has been received is being committed")
				return nil
			}
			d.reload()
		case <-heartbeat.C:
			d.beat()
		}
	}
}

// exitOnSignal ends the process at the next SIGTERM or SIGINT: the second one.
func exitOnSignal(signals <-chan os.Signal) {
	for sig := range signals {
		if sig != syscall.SIGHUP {
			os.Exit(1)
		}
	}
}

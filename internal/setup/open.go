package setup

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"archiverd/archive"
	"archiverd/internal/commit"
	"archiverd/internal/config"
	"archiverd/internal/logkey"
	"archiverd/internal/wire"
	"archiverd/state"
	"archiverd/sync"
)

// Parts is an archive opened for writing, with all that the runs of a process share.
// Close closes it.
type Parts struct {
	Committer *commit.Committer

	log    *slog.Logger
	cfg    *config.Config
	slots  *semaphore.Weighted
	shared *rate.Limiter
	alpn   wire.ALPN // of all accounts' servers
}

// Open opens the archive and brings the state database up to its journals. The error
// is archive.ErrLocked or state.ErrLocked if another process writes to them.
func Open(cfg *config.Config, log *slog.Logger) (*Parts, error) {
	p, err := OpenWithoutCatchUp(cfg, log)
	if err != nil {
		return nil, err
	}
	if err := p.CatchUp(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// OpenWithoutCatchUp is Open for a caller that calls CatchUp itself, before it compares
// anything. Three say which archive is expected at the path: archive.id in the
// configuration, a state database outside the archive, and what an earlier process
// remembered.
func OpenWithoutCatchUp(cfg *config.Config, log *slog.Logger) (*Parts, error) {
	o := archive.Options{}
	if inside, err := filepath.Rel(cfg.Archive.Path, cfg.State.Path); err != nil || !filepath.IsLocal(inside) {
		o.KnownID, o.KnownBy = state.ArchiveID(cfg.State.Path), "the state database "+cfg.State.Path
	}
	if o.KnownID == "" {
		o.BeforeID, o.KnownBy = recall(cfg), memoryFile(cfg)
	}
	return open(cfg, o, log)
}

// OpenKnown is OpenWithoutCatchUp for the archive with that id.
func OpenKnown(cfg *config.Config, knownID string, log *slog.Logger) (*Parts, error) {
	return open(cfg, archive.Options{KnownID: knownID}, log)
}

// open opens the archive that the configuration and o expect.
func open(cfg *config.Config, o archive.Options, log *slog.Logger) (*Parts, error) {
	Umask(cfg.Archive.Group)
	if cfg.Archive.ID != "" {
		o.KnownID, o.KnownBy = cfg.Archive.ID, "archive.id in the configuration"
	}
	// ARCHIVERD_SYNC=file is for file systems whose syncfs is not to be trusted.
	o.GroupRead, o.PerFile = cfg.Archive.Group, os.Getenv("ARCHIVERD_SYNC") == "file"
	w, err := archive.OpenWriter(cfg.Archive.Path, o)
	if err != nil {
		return nil, err
	}
	if w.IsNew() {
		log.Info("began a new archive in " + cfg.Archive.Path)
	}
	if err := remember(cfg, w.ID()); err != nil {
		log.Debug("can't remember which archive is here", logkey.Error, err)
	}
	db, notes, err := state.Open(cfg.State.Path, w)
	for _, n := range notes {
		log.Warn(n)
	}
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	p := &Parts{log: log, Committer: commit.New(w, db, log)}
	p.SetConfig(cfg)
	return p, nil
}

// CatchUp brings the state database up to the archive's journals.
func (p *Parts) CatchUp() error {
	notes, err := p.Committer.State.CatchUp()
	for _, n := range notes {
		p.log.Warn(n)
	}
	return err
}

// Rebuild makes the state database anew from the journals, unless opening it has done so
// already, and writes the checkpoints. What the old database knew does not count any
// more: the archive goes on as it is, if its journals are what its checkpoints say.
func (p *Parts) Rebuild() error {
	c := p.Committer
	wasStopped := c.Archive.Stopped() != nil
	if err := c.Archive.CheckCheckpoints(archive.CheckpointsMark{}); err != nil {
		return err
	}
	if wasStopped || !c.State.IsRebuilt() {
		notes, err := c.State.Rebuild()
		for _, n := range notes {
			p.log.Warn(n)
		}
		if err != nil {
			return err
		}
	}
	if err := c.Checkpoint(); err != nil {
		return err
	}
	return c.State.LearnCheckpoints()
}

// SetConfig replaces the configuration and its limits for the jobs made from now on. It
// must not run at the same time as Job.
func (p *Parts) SetConfig(cfg *config.Config) {
	p.cfg = cfg
	p.slots = semaphore.NewWeighted(int64(cfg.Limits.Connections))
	p.shared = SharedLimiter(cfg)
}

// Job returns the job of an account.
func (p *Parts) Job(a *config.Account) (*sync.Job, error) {
	account, err := Account(p.cfg, a, p.shared)
	if err != nil {
		return nil, err
	}
	account.Wire.ALPN = &p.alpn
	return &sync.Job{Account: account, Policy: Policy(p.cfg, a), Committer: p.Committer, Slots: p.slots, Log: p.log}, nil
}

// Close waits for the commit under way and closes everything. No job may run any more.
func (p *Parts) Close() error {
	p.Committer.Close()
	return errors.Join(p.Committer.State.Close(), p.Committer.Archive.Close())
}

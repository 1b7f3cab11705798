package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"archiverd/archive"
	"archiverd/internal/commit"
	"archiverd/internal/config"
	"archiverd/internal/safetext"
	"archiverd/internal/session"
	"archiverd/internal/wire"
	"archiverd/state"
	"archiverd/sync"
)

// load reads the configuration that the flags and the environment name.
func (a *app) load() (*config.Config, error) {
	path, err := a.findConfig()
	if err != nil {
		return nil, err
	}
	cfg, err := config.Load(path)
	return cfg, usage(err)
}

func (a *app) findConfig() (string, error) {
	if a.configPath != "" {
		return a.configPath, nil
	}
	if path := os.Getenv("ARCHIVERD_CONFIG"); path != "" {
		return path, nil
	}
	for _, path := range []string{"config.yaml", "/etc/archiverd/config.yaml"} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return path, nil
		}
	}
	return "", usage(errors.New("no configuration: name one with --config FILE, or use --server, --username and --archive; config.example.yaml has every key"))
}

// archiveFlag adds --archive to a command that only reads.
func (a *app) archiveFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.archiveDir, "archive", "", "archive `DIR`, instead of the configuration's")
}

func (a *app) jsonFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.json, "json", false, "print JSON for programs")
}

// reader opens the archive for reading. cfg is nil with --archive.
func (a *app) reader() (*archive.Archive, *config.Config, error) { return a.open(a.archiveDir) }

// open opens the archive in dir, or the configuration's with dir "".
func (a *app) open(dir string) (*archive.Archive, *config.Config, error) {
	if dir != "" {
		r, err := archive.Open(dir)
		return r, nil, usage(err)
	}
	cfg, err := a.load()
	if err != nil {
		return nil, nil, err
	}
	r, err := archive.Open(cfg.Archive.Path)
	return r, cfg, err
}

// logger logs to standard error as the configuration says. Every text in a
// record is made safe to print.
func (a *app) logger(cfg *config.Config) *slog.Logger {
	o := &slog.HandlerOptions{Level: cfg.Log.Level, ReplaceAttr: func(_ []string, at slog.Attr) slog.Attr {
		switch v := at.Value.Any().(type) {
		case string:
			at.Value = slog.StringValue(safetext.Line(v))
		case error:
			at.Value = slog.StringValue(safetext.Line(v.Error()))
		}
		return at
	}}
	if cfg.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(a.err, o))
	}
	return slog.New(slog.NewTextHandler(a.err, o))
}

// house is an archive opened for writing, with all that jobs share.
type house struct {
	cfg   *config.Config
	store *commit.Committer
	log   *slog.Logger
	slots *semaphore.Weighted
	rate  *rate.Limiter
}

// openHouse opens the archive and brings the state database up to it. A
// database outside the archive tells which archive is expected. The caller
// closes the house.
func openHouse(cfg *config.Config, log *slog.Logger) (*house, error) {
	return caughtUp(openBehind(cfg, log))
}

// caughtUp is h with its state database brought up to the archive.
func caughtUp(h *house, err error) (*house, error) {
	if err != nil {
		return nil, err
	}
	if err := h.catchUp(); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// openBehind is openHouse for one who calls catchUp.
func openBehind(cfg *config.Config, log *slog.Logger) (*house, error) {
	known := ""
	if inside, err := filepath.Rel(cfg.Archive.Path, cfg.State.Path); err != nil || !filepath.IsLocal(inside) {
		known = state.ArchiveID(cfg.State.Path)
	}
	return openKnown(cfg, known, log)
}

// openKnown is openBehind for the archive with that id, for any with "".
func openKnown(cfg *config.Config, known string, log *slog.Logger) (*house, error) {
	umask(cfg.Archive.Group)
	// ARCHIVERD_SYNC=file: an fsync a file, where one does not trust the file
	// system's syncfs.
	o := archive.Options{GroupRead: cfg.Archive.Group, KnownID: known, PerFile: os.Getenv("ARCHIVERD_SYNC") == "file"}
	w, err := archive.OpenWriter(cfg.Archive.Path, o)
	if err != nil {
		return nil, err
	}
	db, notes, err := state.OpenStale(cfg.State.Path, w)
	for _, n := range notes {
		log.Warn(n)
	}
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	h := &house{cfg: cfg, log: log, store: commit.New(w, db, log)}
	h.limits(cfg)
	return h, nil
}

// catchUp brings the state database up to the archive.
func (h *house) catchUp() error {
	notes, err := h.store.State.CatchUp()
	for _, n := range notes {
		h.log.Warn(n)
	}
	return err
}

// limits takes over the limits of a configuration.
func (h *house) limits(cfg *config.Config) {
	h.cfg = cfg
	h.slots = semaphore.NewWeighted(int64(cfg.Limits.Connections))
	h.rate = limiter(cfg)
}

// Close closes everything. No job may run any more.
func (h *house) Close() error {
	h.store.Close()
	return errors.Join(h.store.State.Close(), h.store.Archive.Close())
}

// job makes the job of an account.
func (h *house) job(a *config.Account) (*sync.Job, error) {
	acc, err := account(h.cfg, a, h.rate)
	if err != nil {
		return nil, err
	}
	return &sync.Job{Account: acc, Policy: policy(h.cfg, a), Committer: h.store, Slots: h.slots, Log: h.log}, nil
}

// limiter is the configuration's limit of octets per second, nil for none.
func limiter(cfg *config.Config) *rate.Limiter { return limiterOf(cfg.Limits.Rate) }

// limiterOf limits to r octets per second; nil for 0, which is no limit.
func limiterOf(r int64) *rate.Limiter {
	if r == 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(r), int(min(max(r, 64<<10), 1<<30)))
}

// account returns how to log in to an account of the configuration. Its
// connections obey the limit that all accounts share.
func account(cfg *config.Config, a *config.Account, shared *rate.Limiter) (session.Account, error) {
	tlsConfig, err := a.TLSConfig()
	if err != nil {
		return session.Account{}, fmt.Errorf("account %s: %w", a.Name, err)
	}
	o := wire.Options{Address: a.Address(), TLS: tlsConfig}
	for _, limit := range []*rate.Limiter{shared, limiterOf(a.Rate)} {
		if limit != nil {
			o.Rates = append(o.Rates, limit)
		}
	}
	o.Timeouts.Idle = a.Timeout
	switch a.Compress {
	case "on":
		o.Compress = wire.CompressAlways
	case "off":
		o.Compress = wire.CompressNever
	}
	switch a.TLS {
	case config.TLSStart:
		o.Security = wire.StartTLS
	case config.TLSNone:
		o.Security = wire.Plaintext
	}
	return session.Account{
		Name: a.Name,
		Wire: o,
		Auth: func(ctx context.Context) (wire.Auth, error) {
			secret, err := a.Password(ctx)
			if err != nil {
				return wire.Auth{}, err
			}
			return wire.Auth{Mechanism: a.Auth, Username: a.Username, Password: secret.Bytes()}, nil
		},
		Connections: a.Connections,
		Rate:        slowest(cfg.Limits.Rate, a.Rate),
		DailyLimit:  a.DailyLimit,
		LoginHint:   a.LoginHint(),
	}, nil
}

// slowest is the lower of two limits, of which 0 is none.
func slowest(a, b int64) int64 {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// policy returns what an account archives.
func policy(cfg *config.Config, a *config.Account) sync.Policy {
	return sync.Policy{Select: a.Selects, MaxMessage: cfg.Limits.Message, Matching: matching(a)}
}

// matching is what the account's configuration says of messages that the archive
// seems to have. No share at all is the configuration's 0.
func matching(a *config.Account) sync.Matching {
	m := sync.Matching{Off: a.Matching == config.MatchingOff, Check: a.MatchingCheck}
	if m.Check == 0 {
		m.Check = -1
	}
	return m
}

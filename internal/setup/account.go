package setup

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/time/rate"

	"archiverd/archive"
	"archiverd/internal/config"
	"archiverd/internal/session"
	"archiverd/internal/wire"
	"archiverd/sync"
)

// Unconfigured returns the directories of the accounts that the archive has and the
// configuration has not: of all if cfg is nil.
func Unconfigured(r *archive.Archive, cfg *config.Config) ([]string, error) {
	dirs, err := r.Accounts()
	if err != nil || cfg == nil {
		return dirs, err
	}
	return slices.DeleteFunc(dirs, func(dir string) bool {
		return slices.ContainsFunc(cfg.Accounts, func(acc config.Account) bool { return archive.Escape(acc.Name) == dir })
	}), nil
}

// Account returns how to log in to an account of the configuration. Its connections obey
// the account's own rate limit and the shared one; shared may be nil.
func Account(cfg *config.Config, a *config.Account, shared *rate.Limiter) (session.Account, error) {
	tlsConfig, err := a.TLSConfig()
	if err != nil {
		return session.Account{}, fmt.Errorf("account %s: %w", a.Name, err)
	}
	o := wire.Options{Address: a.Address(), TLS: tlsConfig, ALPN: &wire.ALPN{}}
	for _, limit := range []*rate.Limiter{shared, limiter(a.Rate)} {
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
		o.Security, o.LoopbackOnly = wire.Plaintext, !a.AllowPlaintext
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
		User:        a.Username,
		Connections: a.Connections,
		Rate:        LowestRate(cfg.Limits.Rate, a.Rate),
		DailyLimit:  a.DailyLimit,
		LoginHint:   a.LoginHint(),
	}, nil
}

// Policy returns which mailboxes and messages of an account are archived, and how its
// messages are matched.
func Policy(cfg *config.Config, a *config.Account) sync.Policy {
	return sync.Policy{Select: a.Selects, MaxMessage: cfg.Limits.Message, Matching: matching(a), Reopen: cfg.Reopen}
}

// matching returns which messages are matched rather than downloaded. A share of 0 in the
// configuration means that none is verified; in sync.Matching 0 is the default share.
func matching(a *config.Account) sync.Matching {
	m := sync.Matching{Off: a.Matching == config.MatchingOff, Check: a.MatchingCheck}
	if m.Check == 0 {
		m.Check = -1
	}
	return m
}

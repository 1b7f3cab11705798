package config

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// config returns the keys of the file and where their values are stored.
func (d *decoder) config(c *Config) section {
	return section{
		"archive": d.section(section{
			"path": d.text(&c.Archive.Path),
			"id":   d.text(&c.Archive.ID),
			"mode": d.choice([]string{"private", "group"}, func(s string) { c.Archive.Group = s == "group" }),
		}),
		"state":   d.section(section{"path": d.text(&c.State.Path)}),
		"control": d.section(section{"socket": d.text(&c.Control.Socket)}),
		"index": d.section(section{
			"enabled": d.boolean(&c.Index.Enabled),
			"path":    d.text(&c.Index.Path),
		}),
		"schedule": d.schedule(&c.Schedule),
		"matching": d.matching(&c.Matching), "matching_check": d.share(&c.MatchingCheck),
		"reopen": d.value("a time with its unit, e.g. 24h, or never", c.setReopen),
		"drill": d.section(section{
			"schedule": d.schedule(&c.Drill.Schedule),
			"sample":   d.value("a number of messages, a share of them or all, e.g. 100", func(s string) (err error) { c.Drill.Sample, err = ParseSample(s); return err }),
		}),
		"log": d.section(section{
			"level":  d.choice([]string{"debug", "info", "warn", "error"}, func(s string) { c.Log.Level = level(s) }),
			"format": d.choice([]string{"text", "json"}, func(s string) { c.Log.Format = s }),
		}),
		"limits": d.section(section{
			"connections":       d.number(&c.Limits.Connections),
			"octets_per_second": d.size(&c.Limits.Rate),
			"largest_message":   d.size(&c.Limits.Message),
		}),
		"accounts": func(key string, n *yaml.Node) {
			d.items(key, n, "a list of accounts, each beginning with a dash", func(item string, n *yaml.Node) {
				a := defaultAccount()
				a.Line = d.lines[item]
				a.applyProfile(profileOf(n))
				d.keys(item, n, d.account(&a))
				c.Accounts = append(c.Accounts, a)
			})
		},
	}
}

func level(s string) slog.Level {
	switch s {
	case "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	}
	return slog.LevelInfo
}

// account returns the keys of an account and where their values are stored.
func (d *decoder) account(a *Account) section {
	return section{
		"name":                d.text(&a.Name),
		"profile":             d.choice(profileNames(), func(string) {}), // applied by the setter of accounts
		"server":              d.value("host or host:port, e.g. imap.example.com", a.setServer),
		"tls":                 d.text(&a.TLS),
		"tls_ca_file":         d.text(&a.TLSCAFile),
		"tls_fingerprint":     d.text(&a.TLSFingerprint),
		"tls_min_version":     d.text(&a.TLSMinVersion),
		"allow_plaintext":     d.boolean(&a.AllowPlaintext),
		"username":            d.text(&a.Username),
		"password_file":       d.text(&a.PasswordFile),
		"password_command":    d.list("a list of words (no shell is used), e.g. [pass, show, mail/work]", &a.PasswordCommand),
		"password_env":        d.text(&a.PasswordEnv),
		"password_credential": d.text(&a.PasswordCredential),
		"password":            d.value("text", func(s string) error { a.password = newSecret([]byte(s)); return nil }),
		"auth":                d.text(&a.Auth),
		"mailboxes": d.section(section{
			"include": d.list(`a list of patterns, e.g. [INBOX, 'Lists/*']`, &a.Include),
			"exclude": d.list(`a list of patterns, e.g. ['\Junk', 'Lists/*']`, &a.Exclude),
		}),
		"compress":    d.choice([]string{"auto", "on", "off"}, func(s string) { a.Compress = s }),
		"connections": d.number(&a.Connections),
		"rate":        d.size(&a.Rate),
		"daily_limit": d.size(&a.DailyLimit),
		"schedule":    d.schedule(&a.Schedule),
		"matching":    d.matching(&a.Matching), "matching_check": d.share(&a.MatchingCheck),
		"timeout": d.value("a time with its unit, e.g. 60s", a.setTimeout),
	}
}

func (d *decoder) section(known section) setter {
	return func(key string, n *yaml.Node) { d.keys(key, n, known) }
}

func (d *decoder) text(dst *string) setter {
	return d.value("text", func(s string) error { *dst = s; return nil })
}

func (d *decoder) schedule(dst *string) setter {
	return d.value("a schedule, e.g. '@hourly'", func(s string) error { *dst = strings.TrimSpace(s); return nil })
}

func (d *decoder) choice(words []string, set func(string)) setter {
	return d.value(choices(words), func(s string) error {
		if err := oneOf(s, words); err != nil {
			return err
		}
		set(s)
		return nil
	})
}

func (d *decoder) boolean(dst *bool) setter {
	return d.value("true or false", func(s string) error {
		if s != "true" && s != "false" {
			return fmt.Errorf("expected true or false, got %q", s)
		}
		*dst = s == "true"
		return nil
	})
}

func (d *decoder) number(dst *int) setter {
	return d.value("a number", func(s string) error {
		n, err := strconv.Atoi(s)
		if err != nil || strconv.Itoa(n) != s { // 010 and +1 mean different things to different readers
			return fmt.Errorf("expected a number, e.g. 4, got %q", s)
		}
		*dst = n
		return nil
	})
}

func (d *decoder) size(dst *int64) setter {
	return d.value("octets, e.g. 150MB", func(s string) (err error) { *dst, err = parseSize(s); return err })
}

func (c *Config) setReopen(s string) error {
	if s == "never" {
		c.Reopen = -1
		return nil
	}
	t, err := time.ParseDuration(s)
	if err != nil || t < time.Minute {
		return fmt.Errorf("expected a time of 1m or more with its unit, e.g. 24h, or never, got %q", s)
	}
	c.Reopen = t
	return nil
}

func (a *Account) setTimeout(s string) error {
	t, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("expected a time with its unit, e.g. 60s or 2m, got %q", s)
	}
	a.Timeout = t
	return nil
}

// parseSize parses a number of octets, with kB, MB, GB, TB (powers of 1000) or KiB,
// MiB, GiB, TiB (powers of 1024).
func parseSize(s string) (int64, error) {
	wrong := fmt.Errorf("expected octets, e.g. 150MB (150,000,000), 64MiB (67,108,864) or 0 for no limit, got %q", s)
	digits := strings.TrimRight(s, "kKmMgGtTiIbB ")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != digits || n < 0 {
		return 0, wrong
	}
	factor := int64(1)
	switch unit := strings.ToLower(strings.TrimSpace(s[len(digits):])); unit {
	case "", "b":
	case "kb", "mb", "gb", "tb":
		for range strings.IndexByte("kmgt", unit[0]) + 1 {
			factor *= 1000
		}
	case "kib", "mib", "gib", "tib":
		factor = 1 << (10 * (strings.IndexByte("kmgt", unit[0]) + 1))
	default:
		return 0, wrong
	}
	if n > (1<<62)/factor {
		return 0, wrong
	}
	return n * factor, nil
}

// oneOf returns an error unless s is one of the words.
func oneOf(s string, words []string) error {
	for _, w := range words {
		if s == w {
			return nil
		}
	}
	if near := Nearest(s, words); near != "" {
		return fmt.Errorf("expected %s, got %q; did you mean %s?", choices(words), s, near)
	}
	return fmt.Errorf("expected %s, got %q", choices(words), s)
}

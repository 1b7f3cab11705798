package config

import (
	"fmt"
	"os"
	"strings"
)

// Flags are the flags of a run without a configuration file. Server, Username and
// Archive are required; the zero value of each other field is the default.
type Flags struct {
	Server         string // host[:port]
	Username       string
	Archive        string // relative to the working directory
	TLS            string
	TLSCAFile      string
	TLSFingerprint string
	AllowPlaintext bool
	PasswordFile   string // without it, the caller asks and calls SetPassword
}

// Single returns a configuration with one account, made of flags, by the same rules as
// that of a file. Its faults are *Faults without file and line. The account is called
// like the user or, if that is no valid name for an account, like the server's host.
func Single(f Flags) (*Config, error) {
	c := Defaults()
	c.Archive.Path = f.Archive
	a := defaultAccount()
	a.Username, a.AllowPlaintext = f.Username, f.AllowPlaintext
	a.TLSCAFile, a.TLSFingerprint = f.TLSCAFile, f.TLSFingerprint
	a.PasswordFile, a.passwordPrompted = f.PasswordFile, f.PasswordFile == ""
	if f.TLS != "" {
		a.TLS = f.TLS
	}
	r := c.report()
	if f.Server != "" {
		if err := a.setServer(f.Server); err != nil {
			r.add(0, accountKey(0, "server"), "%v", err)
		}
	}
	if a.Name = f.Username; checkName(a.Name) != nil {
		a.Name = strings.NewReplacer(":", "_", "%", "_").Replace(a.Host)
	}
	r.bad[accountKey(0, "name")] = true // no flag sets the name
	c.Accounts = []Account{a}
	dir, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("find the working directory: %w", err)
	}
	c.complete(dir)
	c.validate(r)
	// A user of flags knows no account number.
	for i := range r.list {
		r.list[i].Key = strings.TrimPrefix(r.list[i].Key, "accounts[0].")
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// WithoutAccounts returns a configuration for the archive in a directory, without
// accounts.
func WithoutAccounts(archive string) (*Config, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("find the working directory: %w", err)
	}
	c := Defaults()
	c.Archive.Path = archive
	c.complete(dir)
	return c, nil
}

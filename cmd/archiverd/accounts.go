package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"archiverd/archive"
	"archiverd/internal/config"
)

// configuredAccounts returns the accounts of the configuration with these names, all
// accounts if there are no names.
func configuredAccounts(cfg *config.Config, names []string) ([]*config.Account, error) {
	var all, named []*config.Account
	var have []string
	for i := range cfg.Accounts {
		acc := &cfg.Accounts[i]
		all, have = append(all, acc), append(have, acc.Name)
		if slices.Contains(names, acc.Name) {
			named = append(named, acc)
		}
	}
	if len(names) == 0 {
		return all, nil
	}
	return named, checkAccounts(names, have, "the configuration")
}

// configuredAccount returns the account of the configuration with this name.
func configuredAccount(cfg *config.Config, name string) (*config.Account, error) {
	accounts, err := configuredAccounts(cfg, []string{name})
	if err != nil {
		return nil, err
	}
	return accounts[0], nil
}

// archivedAccounts returns the directories of the archived accounts with these names or
// directories, of all accounts if there are no names.
func archivedAccounts(r *archive.Archive, names []string) ([]string, error) {
	have, err := r.Accounts()
	if err != nil {
		return nil, err
	}
	return accountDirs(have, names)
}

// accountDirs returns those of the directories of accounts that have these names or are
// named, all if there are no names.
func accountDirs(have, names []string) ([]string, error) {
	if len(names) == 0 {
		return have, nil
	}
	dirs := make([]string, len(names))
	for i, name := range names {
		if dirs[i] = archive.Escape(name); !slices.Contains(have, dirs[i]) {
			return nil, noAccount(name, have, "the archive")
		}
	}
	return dirs, nil
}

// archivedAccount returns the directory of the archived account with this name or
// directory.
func archivedAccount(r *archive.Archive, name string) (dir string, err error) {
	dirs, err := archivedAccounts(r, []string{name})
	if err != nil {
		return "", err
	}
	return dirs[0], nil
}

// checkAccounts returns a usage error for the first name that is not one of have, the
// accounts of place.
func checkAccounts(names, have []string, place string) error {
	for _, name := range names {
		if !slices.Contains(have, name) {
			return noAccount(name, have, place)
		}
	}
	return nil
}

// noAccount is the usage error for an account that place does not have: it names those
// that there are, and one with a similar name.
func noAccount(name string, have []string, place string) error {
	list := cmp.Or(strings.Join(have, ", "), "none")
	if similar := config.Nearest(name, have); similar != "" {
		return usage(fmt.Errorf("no account %q in %s; it has %s; did you mean %q?", name, place, list, similar))
	}
	return usage(fmt.Errorf("no account %q in %s; it has %s", name, place, list))
}

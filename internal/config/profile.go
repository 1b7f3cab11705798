package config

import (
	"maps"
	"slices"

	"gopkg.in/yaml.v3"
)

// profile holds the defaults of a provider's accounts. A key that the file
// sets overrides the profile. docs/providers.md names the sources of the values.
type profile struct {
	host        string
	connections int
	dailyLimit  int64  // octets in 24 hours, 0: no limit
	login       string // what its accounts log in with, for the error after a refused login
}

// profiles returns the providers by their names in the file. None of them excludes a
// mailbox: the user decides what is archived.
func profiles() map[string]profile {
	return map[string]profile{
		// 2,500 MB in a day and 15 connections, for all programs of the account
		// together: others need some of it.
		"gmail": {"imap.gmail.com", 4, 2_000_000_000, "Gmail wants an app password, made with 2-Step Verification on"},
		// The provider throttles by load and publishes no number.
		"outlook":  {"outlook.office365.com", 2, 0, "Microsoft accepts no passwords by IMAP any more, but OAuth 2.0 alone"},
		"yahoo":    {"imap.mail.yahoo.com", 2, 0, "Yahoo wants an app password"},
		"icloud":   {"imap.mail.me.com", 2, 0, "iCloud wants an app-specific password, and often the part of the address before the @ as user name"},
		"fastmail": {"imap.fastmail.com", 4, 0, "Fastmail wants an app password"},
	}
}

// profileNames returns the names of the providers, sorted.
func profileNames() []string { return slices.Sorted(maps.Keys(profiles())) }

// applyProfile sets the defaults of a provider. It runs before any other key of the
// account is read.
func (a *Account) applyProfile(name string) {
	p, ok := profiles()[name]
	if !ok {
		return // the setter of profile reports it
	}
	a.Profile, a.Host, a.Connections, a.DailyLimit = name, p.host, p.connections, p.dailyLimit
}

// LoginHint returns what the provider requires for a login, "" without a profile.
func (a *Account) LoginHint() string { return profiles()[a.Profile].login }

// profileOf returns the value of the key profile of an account, which is needed
// before any other key is read.
func profileOf(n *yaml.Node) string {
	n = resolveAlias(n)
	for i := 0; i+1 < len(n.Content) && n.Kind == yaml.MappingNode; i += 2 {
		if n.Content[i].Value == "profile" {
			return resolveAlias(n.Content[i+1]).Value
		}
	}
	return ""
}

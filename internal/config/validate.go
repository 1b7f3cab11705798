package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// validate reports every invalid value. c must be complete.
func (c *Config) validate(r *report) {
	if c.Archive.Path == "" {
		r.at("archive.path", "is required: the directory of the archive, e.g. /var/lib/archiverd")
	}
	checkPath(r, "archive.path", c.Archive.Path)
	if strings.Trim(c.Archive.ID, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		r.at("archive.id", "is not an id: copy it from the archive's archive.json")
	}
	// For a path inside the archive, archive.path reports the faults of the common part.
	checkPath(r, "state.path", strings.TrimPrefix(c.State.Path, c.Archive.Path))
	checkPath(r, "control.socket", strings.TrimPrefix(c.Control.Socket, c.Archive.Path))
	if c.State.Path == c.Archive.Path {
		r.at("state.path", "is the archive itself; the state database is a file")
	}
	if name, ok := strings.CutPrefix(c.State.Path, c.Archive.Path+"/"); ok && (name == "archive.json" || name == "lock") {
		r.at("state.path", "%s is a file of the archive's own", name)
	}
	checkPath(r, "index.path", strings.TrimPrefix(c.Index.Path, c.Archive.Path))
	if slices.Contains([]string{c.Archive.Path, c.State.Path, c.Control.Socket, c.Archive.Path + "/archive.json", c.Archive.Path + "/lock"}, c.Index.Path) {
		r.at("index.path", "is another file of archiverd's; write a path of its own")
	}
	if c.State.Path == c.Control.Socket {
		r.at("control.socket", "is the state database; write another path")
	}
	// The shortest limit of a Unix socket's address is that of the BSDs, 103 octets. A
	// default is not in the file, so it is not the file's fault.
	if _, ok := r.lines["control.socket"]; ok && len(c.Control.Socket) > 103 {
		r.at("control.socket", "has %d octets; the path of a Unix socket has at most 103", len(c.Control.Socket))
	}
	if err := checkSchedule(c.Schedule); err != nil {
		r.at("schedule", "%v", err)
	}
	if c.Drill.Schedule != "" {
		if err := checkSchedule(c.Drill.Schedule); err != nil {
			r.at("drill.schedule", "%v", err)
		}
	}
	checkBetween(r, "limits.connections", c.Limits.Connections, 1, 256)
	checkRate(r, "limits.octets_per_second", c.Limits.Rate)
	if len(c.Accounts) == 0 {
		r.at("accounts", "is required: at least one account")
	}
	for i := range c.Accounts {
		a := &c.Accounts[i]
		a.validate(r, func(key string) string { return accountKey(i, key) })
		if err := checkSchedule(a.Schedule); err != nil && a.Schedule != c.Schedule {
			r.at(accountKey(i, "schedule"), "%v", err)
		}
	}
	c.checkNames(r)
}

// validate reports the faults of one account that don't depend on the others. at
// returns the full path of a key.
func (a *Account) validate(r *report, at func(string) string) {
	if a.Host == "" && !r.bad[at("profile")] {
		r.at(at("server"), "is required, e.g. imap.example.com")
	}
	checkBetween(r, at("server"), a.Port, 1, 65535)
	if a.Username == "" {
		r.at(at("username"), "is required: the name to log in with, often the whole mail address")
	}
	if hasInvisible(a.Username) {
		r.at(at("username"), "has a control or invisible character: %q", a.Username)
	}
	if err := oneOf(a.Auth, []string{"auto", "plain", "login"}); err != nil {
		r.at(at("auth"), "%v", err)
	}
	checkBetween(r, at("connections"), a.Connections, 1, 32)
	checkRate(r, at("rate"), a.Rate)
	if a.DailyLimit > 0 && a.DailyLimit < 1_000_000 {
		r.at(at("daily_limit"), "%d octets a day would never finish; write 1MB or more, or 0 for no limit", a.DailyLimit)
	}
	if a.Timeout < time.Second || a.Timeout > time.Hour {
		r.at(at("timeout"), "is %v; it must be between 1s and 1h", a.Timeout)
	}
	a.validateTLS(r, at)
	a.validatePassword(r, at)
	checkPatterns(r, at("mailboxes.include"), a.Include)
	checkPatterns(r, at("mailboxes.exclude"), a.Exclude)
}

func (a *Account) validateTLS(r *report, at func(string) string) {
	if err := oneOf(a.TLS, []string{TLSImplicit, TLSStart, TLSNone}); err != nil {
		r.at(at("tls"), "%v", err)
	}
	if err := oneOf(a.TLSMinVersion, []string{"1.2", "1.3"}); err != nil {
		r.at(at("tls_min_version"), "%v; older versions are broken", err)
	}
	if a.TLS == TLSNone && !a.AllowPlaintext && a.Host != "" && !isLoopback(a.Host) {
		r.at(at("tls"), "none would send the password and all mail readable through the network to %s; write implicit or starttls, or allow_plaintext: true beside it", printable(a.Host))
	}
	// A key without an effect gives a false sense of security.
	if a.TLS == TLSNone && a.TLSCAFile != "" {
		r.at(at("tls_ca_file"), "has no effect with tls: none")
	}
	if a.TLS == TLSNone && a.TLSFingerprint != "" {
		r.at(at("tls_fingerprint"), "has no effect with tls: none")
	}
	if a.TLSFingerprint != "" {
		if _, err := parseFingerprint(a.TLSFingerprint); err != nil {
			r.at(at("tls_fingerprint"), "%v", err)
		}
		if a.TLSCAFile != "" {
			r.at(at("tls_ca_file"), "has no effect beside tls_fingerprint, which alone decides; write one of the two")
		}
	}
	checkPath(r, at("tls_ca_file"), a.TLSCAFile)
	if filepath.IsAbs(a.TLSCAFile) {
		if _, err := readCAs(a.TLSCAFile); err != nil {
			r.at(at("tls_ca_file"), "%v", err)
		}
	}
}

// checkBetween reports a number out of its range.
func checkBetween(r *report, key string, n, low, high int) {
	if n < low || n > high {
		r.at(key, "is %d; it must be between %d and %d", n, low, high)
	}
}

// checkRate reports a rate so low that nothing would finish.
func checkRate(r *report, key string, rate int64) {
	if rate > 0 && rate < 1000 {
		r.at(key, "%d octets per second would never finish; write 1kB or more, or 0 for no limit", rate)
	}
}

// checkPath reports a path that does not mean what it seems to. An empty path is
// none.
func checkPath(r *report, key, path string) {
	if rest, ok := strings.CutPrefix(path, "~"); ok {
		hint := "the path in full"
		if home, err := os.UserHomeDir(); err == nil && (rest == "" || rest[0] == '/') { // not ~bob
			hint = printable(home + rest)
		}
		r.at(key, "~ is not expanded, because the daemon's home may be another's: write %s", hint)
	}
	if hasInvisible(path) {
		r.at(key, "has a control or invisible character: %q", path)
	}
}

// hasInvisible reports whether a text has invalid UTF-8, control or invisible
// characters.
func hasInvisible(s string) bool {
	return !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) && !unicode.Is(unicode.Zs, r) })
}

// source returns the key of the account's one password source.
func (a *Account) source() string {
	if keys := a.sources(); len(keys) > 0 {
		return keys[0]
	}
	return "password"
}

// sources returns the keys of the password sources an account has.
func (a *Account) sources() []string {
	var keys []string
	for _, s := range []struct {
		key string
		set bool
	}{
		{"password_file", a.PasswordFile != ""},
		{"password_command", len(a.PasswordCommand) > 0},
		{"password_env", a.PasswordEnv != ""},
		{"password_credential", a.PasswordCredential != ""},
		{"password", !a.passwordPrompted && !a.password.empty()},
	} {
		if s.set {
			keys = append(keys, s.key)
		}
	}
	return keys
}

// allSources returns every key that says where a password is.
func allSources() []string {
	return []string{"password_file", "password_command", "password_env", "password_credential", "password"}
}

func (a *Account) validatePassword(r *report, at func(string) string) {
	has := a.sources()
	hasFault := slices.ContainsFunc(allSources(), func(key string) bool { return r.bad[at(key)] })
	switch {
	case len(has) == 0 && !a.passwordPrompted && !hasFault:
		r.at(at("password_file"), "no password is given: write one of %s", choices(allSources()))
	case len(has) > 1:
		r.at(at(has[1]), "%s is given as well; write only one", has[0])
	}
	checkPath(r, at("password_file"), a.PasswordFile)
	if filepath.IsAbs(a.PasswordFile) {
		// Check only the metadata: a user who lists the archive may not be allowed to
		// read the password. CheckSecrets reports a missing file.
		if info, err := os.Stat(a.PasswordFile); err == nil {
			if err := checkSecretFile(a.PasswordFile, info); err != nil {
				r.at(at("password_file"), "%v", err)
			}
		}
	}
	if len(a.PasswordCommand) > 0 {
		checkPath(r, at("password_command[0]"), a.PasswordCommand[0])
		if err := checkCommand(a.PasswordCommand); err != nil {
			r.at(at("password_command[0]"), "%v", err)
		}
		for i, word := range a.PasswordCommand {
			if strings.ContainsRune(word, 0) {
				r.at(fmt.Sprintf("%s[%d]", at("password_command"), i), "has a NUL character")
			}
		}
	}
	if strings.ContainsAny(a.PasswordEnv, "=\x00") {
		r.at(at("password_env"), "%q is no variable's name, e.g. WORK_PASSWORD", a.PasswordEnv)
	}
	if name := a.PasswordCredential; name == "." || name == ".." || strings.ContainsAny(name, "/:\x00") {
		r.at(at("password_credential"), "%q is no credential's name, e.g. work", name)
	}
	if !a.passwordPrompted && !a.password.empty() {
		if _, err := firstLine(a.password.Bytes()); err != nil {
			r.at(at("password"), "%v", err)
		}
	}
}

package config

import (
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The values of Account.TLS.
const (
	TLSImplicit = "implicit" // TLS from the first octet (RFC 8314)
	TLSStart    = "starttls" // STARTTLS, mandatory (RFC 9051 6.2.1)
	TLSNone     = "none"     // no TLS: loopback only, or with AllowPlaintext
)

// maxFile is how many octets a configuration or CA file may have.
const maxFile = 1 << 20

// Config is a whole, valid configuration. All paths are absolute.
type Config struct {
	Archive struct {
		Path   string // the archive's directory
		Group  bool   // the archive is readable by its group (archive.mode: group)
		ID     string // of the archive that must be there; "": any, or a new one
		Memory string // directory that remembers which archives were where; "": none does
	}
	State   struct{ Path string }   // the state database, never empty
	Control struct{ Socket string } // the control socket, never empty
	Index   struct {
		Enabled bool   // the daemon keeps a full-text index
		Path    string // of the index, never empty
	}

	Schedule string // the accounts' default: five cron fields, @every, @daily, CRON_TZ=

	Matching      string  // the accounts' default: MatchingOn or MatchingOff
	MatchingCheck float64 // the accounts' default, 0 to 1
	// Reopen is how often a mailbox that looks unchanged is opened all the same; negative:
	// never.
	Reopen time.Duration

	Drill struct {
		Schedule string // of the daemon's restore drills; "": none
		Sample   Sample // of the messages of each account
	}

	Log struct {
		Level  slog.Level
		Format string // "text" or "json"
	}
	Limits struct {
		Connections int   // to all servers together
		Rate        int64 // octets per second over all connections, 0: no limit
		Message     int64 // octets of the largest message to archive, 0: no limit
	}
	Accounts []Account

	file  string         // as the user named it, "" without a file
	lines map[string]int // line of each key
}

// Account is one login on one IMAP server.
type Account struct {
	Name    string // also the name of its directory in the archive
	Profile string // the provider whose defaults it has, "" for none
	Host    string // a name in ASCII, or an IP address without brackets
	Port    int

	TLS            string // TLSImplicit, TLSStart or TLSNone
	TLSCAFile      string // PEM; when set, these authorities and no others are trusted
	TLSFingerprint string // SHA-256 of the server's own certificate, as written
	TLSMinVersion  string // "1.2" or "1.3"
	AllowPlaintext bool   // the password may go over the network without TLS

	Username           string
	PasswordFile       string
	PasswordCommand    []string // argv, run without a shell
	PasswordEnv        string
	PasswordCredential string // a systemd credential's name
	Auth               string // "auto", "plain" or "login"

	Include, Exclude []string // see Selects

	Compress    string        // "auto", "on" or "off" (RFC 4978)
	Connections int           // the most at a time
	Rate        int64         // octets per second over all of its connections, 0: no limit of its own
	DailyLimit  int64         // octets received in any 24 hours, 0: no limit
	Schedule    string        // its own, else the configuration's
	Matching    string        // the same: MatchingOn or MatchingOff
	Timeout     time.Duration // how long the server may send nothing

	// MatchingCheck is the share of the messages that the archive seems to have which is
	// downloaded all the same, 0 to 1. The effective one: its own, else the configuration's.
	MatchingCheck float64

	Line int // where the account begins in the file, 0 without a file

	// withheld are the names of the environment variables that hold any account's password.
	withheld         []string
	password         Secret // the inline one, or the one SetPassword set
	passwordPrompted bool   // the password comes by SetPassword
}

// Address returns host:port, an IPv6 address in brackets.
func (a *Account) Address() string { return net.JoinHostPort(a.Host, strconv.Itoa(a.Port)) }

// Defaults returns a configuration without accounts in which all other keys have
// their defaults.
func Defaults() *Config {
	c := &Config{Schedule: "@hourly", Matching: MatchingOn, MatchingCheck: 1.0 / 200, Reopen: 24 * time.Hour, lines: map[string]int{}}
	c.Log.Level, c.Log.Format = slog.LevelInfo, "text"
	c.Drill.Sample = Sample{Messages: 100}
	c.Limits.Connections = 16
	c.Limits.Message = 1_000_000_000
	return c
}

// defaultAccount returns an account with the defaults that do not depend on other
// keys.
func defaultAccount() Account {
	return Account{TLS: TLSImplicit, TLSMinVersion: "1.2", Auth: "auto", Compress: "auto", Connections: 4, Timeout: time.Minute, MatchingCheck: unset}
}

// Load reads and validates the file at path. All faults of its text come at once, as
// *Faults; a file that cannot be read is an error that wraps the system's.
//
// A file that another user than root and the one who runs archiverd owns or can write to
// is refused before its text is looked at, and so is one with an inline password that
// group or others can read (not so in systemd's credentials directory, where systemd
// alone sets owners and modes).
func Load(path string) (*Config, error) {
	// Opening a pipe without O_NONBLOCK would wait before its owner is known.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if !inCredentials(path) {
		if err := checkTrusted(path, info); err != nil {
			return nil, &Faults{[]Fault{{path, 1, "", "this file is not safe to read: " + err.Error()}}}
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("read configuration: %s has more than %d octets", printable(path), maxFile)
	}
	mode := info.Mode().Perm()
	if inCredentials(path) || !info.Mode().IsRegular() {
		mode = 0
	}
	return parse(path, data, mode)
}

// Parse is Load for a text that was read already. Relative paths in it are relative
// to the directory of name, which need not exist; the mode of the file is not
// checked.
func Parse(name string, data []byte) (*Config, error) { return parse(name, data, 0) }

// parse is Load and Parse; mode is the permissions of the file, 0 when they do not matter.
func parse(name string, data []byte, mode fs.FileMode) (*Config, error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return nil, fmt.Errorf("find the configuration's folder: %w", err)
	}
	c := Defaults()
	c.file = name
	r := c.report()
	decode(c, data, r)
	c.complete(filepath.Dir(abs))
	c.validate(r)
	for i := range c.Accounts {
		if mode&0o077 != 0 && !c.Accounts[i].password.empty() {
			r.at(accountKey(i, "password"), "others can read this file (mode %04o): chmod 600 %s, or use password_file", mode, printable(name))
		}
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// complete sets what depends on other keys or on the environment. Relative paths
// become absolute below dir; validate reports those that begin with ~.
func (c *Config) complete(dir string) {
	absolute := func(path *string) {
		switch {
		case *path == "" || strings.HasPrefix(*path, "~"):
		case filepath.IsAbs(*path):
			*path = filepath.Clean(*path)
		default:
			*path = filepath.Join(dir, *path)
		}
	}
	absolute(&c.Archive.Path)
	absolute(&c.State.Path)
	absolute(&c.Control.Socket)
	absolute(&c.Index.Path)
	c.Archive.Memory = memoryDir(c.Archive.Path)
	if c.State.Path == "" {
		c.State.Path = filepath.Join(c.Archive.Path, "state.db")
	}
	if c.Index.Path == "" {
		c.Index.Path = c.State.Path + ".index"
	}
	if c.Control.Socket == "" {
		c.Control.Socket = defaultSocket(c.Archive.Path)
	}
	var secretVariables []string
	for i := range c.Accounts {
		if name := c.Accounts[i].PasswordEnv; name != "" {
			secretVariables = append(secretVariables, name)
		}
	}
	for i := range c.Accounts {
		a := &c.Accounts[i]
		a.withheld = secretVariables
		absolute(&a.TLSCAFile)
		absolute(&a.PasswordFile)
		// A command without a slash is looked up in PATH, as a shell would.
		if len(a.PasswordCommand) > 0 && strings.Contains(a.PasswordCommand[0], "/") {
			absolute(&a.PasswordCommand[0])
		}
		if a.Schedule == "" {
			a.Schedule = c.Schedule
		}
		if a.Matching == "" {
			a.Matching = c.Matching
		}
		if a.MatchingCheck == unset {
			a.MatchingCheck = c.MatchingCheck
		}
		if a.Port == 0 {
			a.Port = 143
			if a.TLS == TLSImplicit {
				a.Port = 993
			}
		}
	}
}

// memoryDir returns the directory in which archiverd remembers which archives were where:
// systemd's state directory or the user's, the first that is not in the archive, with
// which it would vanish. The result is empty if there is none.
func memoryDir(archive string) string {
	candidates := filepath.SplitList(os.Getenv("STATE_DIRECTORY"))
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		candidates = append(candidates, filepath.Join(dir, "archiverd"))
	} else if home, err := os.UserHomeDir(); err == nil {
		candidates = append(candidates, filepath.Join(home, ".local", "state", "archiverd"))
	}
	for _, dir := range candidates {
		inside, err := filepath.Rel(archive, dir)
		if filepath.IsAbs(dir) && (err != nil || !filepath.IsLocal(inside)) {
			return filepath.Join(dir, "archives")
		}
	}
	return ""
}

// defaultSocket returns where the control socket is when the file does not say it.
func defaultSocket(archive string) string {
	// RUNTIME_DIRECTORY is a list when the unit has more than one (systemd.exec(5)).
	if dir, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "control.sock")
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "archiverd", "control.sock")
	}
	return filepath.Join(archive, "control.sock")
}

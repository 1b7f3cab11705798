package dovecot

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"archiverd/internal/testing/process"
)

// program is where Dovecot is found.
var program = process.Program{
	Name:     "Dovecot",
	Paths:    []string{"dovecot", "/usr/sbin/dovecot", "/usr/local/sbin/dovecot"},
	Required: "ARCHIVERD_REQUIRE_DOVECOT",
	Install:  "apt-get install dovecot-imapd",
}

// Options are what a test may choose. The zero value is the usual server.
type Options struct {
	Format  string // mail store: mdbox (the default), sdbox, maildir or mbox
	Dotted  bool   // mailboxes of a maildir are laid out as Maildir++
	Quota   int64  // octets that a user may have; 0: no limit
	Deflate bool   // COMPRESS=DEFLATE is offered
	Extra   string // further lines of dovecot.conf, after all others
}

// Server is a running Dovecot.
type Server struct {
	*process.Server
}

// Start runs a server with default options until the test ends.
func Start(t testing.TB) *Server {
	t.Helper()
	return StartWith(t, Options{})
}

// StartWith runs a server until the test ends. Without Dovecot on the machine, or
// with -short, it skips the test, unless ARCHIVERD_REQUIRE_DOVECOT is 1.
func StartWith(t testing.TB, o Options) *Server {
	t.Helper()
	return &Server{process.Start(t, spec(program.Find(t), o))}
}

// spec says how the program at a path is started.
func spec(path string, o Options) process.Spec {
	return process.Spec{
		Name: program.Name,
		Configure: func(s *process.Server) error {
			version, err := exec.Command(path, "--version").Output()
			if err != nil {
				return fmt.Errorf("run %s --version: %w", path, err)
			}
			if err := makeDirs(s); err != nil {
				return err
			}
			text := configuration(s, o, strings.HasPrefix(string(version), "2.3."))
			return os.WriteFile(s.Path("dovecot.conf"), []byte(text), 0o644)
		},
		Command: func(s *process.Server) (*exec.Cmd, error) {
			// A killed master leaves its PID file. Dovecot does not start if another
			// process has that PID by now.
			if err := os.RemoveAll(s.Path("run/master.pid")); err != nil {
				return nil, err
			}
			cmd := exec.Command(path, "-F", "-c", s.Path("dovecot.conf"))
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TZ=UTC"} // without NOTIFY_SOCKET and LISTEN_FDS
			return cmd, nil
		},
	}
}

// makeDirs makes the directories of users and mail.
func makeDirs(s *process.Server) error {
	// Root's mail processes run as another user, who must get through.
	if err := os.Chmod(s.Dir, 0o755); err != nil {
		return err
	}
	if err := os.MkdirAll(s.Path("users"), 0o755); err != nil {
		return err
	}
	if err := os.MkdirAll(s.Path("mail"), 0o700); err != nil {
		return err
	}
	return os.Chown(s.Path("mail"), s.Owner.UID, s.Owner.GID)
}

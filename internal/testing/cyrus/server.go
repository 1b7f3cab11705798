package cyrus

import (
	"crypto/rand"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"archiverd/internal/testing/dovecot"
	"archiverd/internal/testing/process"
)

// Options are what a test may choose. The zero value is Cyrus with its defaults: "/"
// separates the components of a mailbox's name, and there is no prefix.
type Options struct {
	Prefix   bool              // a user's mailboxes are below INBOX (altnamespace: no)
	Dots     bool              // "." separates the components of a name (unixhierarchysep: no)
	Settings map[string]string // of imapd.conf, in place of the defaults
}

// Server is a running Cyrus.
type Server struct {
	*process.Server
	logins *logins
}

// User is an account of a Server. Its first login makes its INBOX.
type User struct {
	Name     string
	Password string

	server *Server
}

// Start runs a server with default options until the test ends.
func Start(t testing.TB) *Server {
	t.Helper()
	return StartWith(t, Options{})
}

// StartWith runs a server until the test ends. Without Cyrus on the machine, or
// with -short, it skips the test, unless ARCHIVERD_REQUIRE_CYRUS is 1.
func StartWith(t testing.TB, o Options) *Server {
	t.Helper()
	l := &logins{}
	return &Server{process.Start(t, spec(t, o, l)), l}
}

// bin is the directory of the programs below the one that Cyrus is unpacked in.
const bin = "usr/lib/cyrus/bin"

// findRoot returns the directory that Cyrus is unpacked in, / for an installed one,
// or skips the test.
func findRoot(t testing.TB) string {
	t.Helper()
	roots := []string{"/"}
	if dir := os.Getenv("ARCHIVERD_TEST_CYRUS"); dir != "" {
		roots = []string{dir}
	} else if os.Geteuid() == 0 { // the user that Cyrus runs as may not enter root's cache
		roots = []string{"/var/cache/archiverd-test/cyrus", "/"}
	} else if cache, err := os.UserCacheDir(); err == nil {
		roots = []string{filepath.Join(cache, "archiverd-test/cyrus"), "/"}
	}
	program := process.Program{Name: "Cyrus", Required: "ARCHIVERD_REQUIRE_CYRUS", Install: "scripts/need-servers"}
	for _, root := range roots {
		program.Paths = append(program.Paths, filepath.Join(root, bin, "imapd"))
	}
	return strings.TrimSuffix(program.Find(t), filepath.Join(bin, "imapd"))
}

// spec says how Cyrus is started. The password service l ends with the test.
func spec(t testing.TB, o Options, l *logins) process.Spec {
	t.Helper()
	root := findRoot(t)
	name := "test-" + rand.Text()
	return process.Spec{
		Name:     "Cyrus",
		Greeting: name,
		InMemory: true,
		Configure: func(s *process.Server) error {
			if err := l.serve(t, s.Path("login")); err != nil {
				return err
			}
			return configure(s, o, root, name)
		},
		Command: func(s *process.Server) (*exec.Cmd, error) {
			cmd := exec.Command(filepath.Join(root, bin, "master"),
				"-C", s.Path("imapd.conf"), "-M", s.Path("cyrus.conf"), "-p", s.Path("conf/master.pid"))
			if os.Geteuid() == 0 {
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(s.Owner.UID), Gid: uint32(s.Owner.GID)}}
			}
			var err error
			cmd.Env, err = environment(root)
			return cmd, err
		},
	}
}

// configure makes the directories, writes the configuration and gives all of it to
// the server's owner.
func configure(s *process.Server, o Options, root, name string) error {
	for _, dir := range []string{"conf", "mail"} {
		if err := os.MkdirAll(s.Path(dir), 0o700); err != nil {
			return err
		}
	}
	if err := os.WriteFile(s.Path("cyrus.conf"), []byte(cyrusConf(s, root)), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(s.Path("imapd.conf"), []byte(imapdConf(s, o, name)), 0o600); err != nil {
		return err
	}
	return filepath.WalkDir(s.Dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, s.Owner.UID, s.Owner.GID)
	})
}

// User adds an account with a password of the server's choice.
func (s *Server) User(t testing.TB, name string) *User {
	t.Helper()
	return s.AddUser(t, name, "pass word of "+name)
}

// AddUser adds an account, or changes the password of an existing one. A name has
// letters and digits, and begins with a letter.
func (s *Server) AddUser(t testing.TB, name, password string) *User {
	t.Helper()
	s.logins.set(name, password)
	return &User{Name: name, Password: password, server: s}
}

// Dial connects over implicit TLS and logs in. The connection closes when the
// test ends.
func (u *User) Dial(t testing.TB) *dovecot.Client {
	t.Helper()
	return dovecot.Dial(t, u.server.Server, u.Name, u.Password)
}

// DialPlain is Dial without TLS.
func (u *User) DialPlain(t testing.TB) *dovecot.Client {
	t.Helper()
	return dovecot.DialPlain(t, u.server.Server, u.Name, u.Password)
}

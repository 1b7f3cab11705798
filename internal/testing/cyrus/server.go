package cyrus

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"archiverd/internal/testing/dovecot"
)

// patience is how long a server may take to start or to stop.
const patience = 30 * time.Second

// errPortTaken is returned when another process has one of the server's ports.
var errPortTaken = errors.New("port taken")

// Options are what a test may choose; the zero value is Cyrus as it comes: "/"
// between the components of a name, and no prefix.
type Options struct {
	Prefix   bool              // a user's mailboxes are below INBOX (altnamespace: no)
	Dots     bool              // "." between the components of a name (unixhierarchysep: no)
	Settings map[string]string // of imapd.conf, over all others
}

// Server is a running Cyrus. Its exported fields are constant.
type Server struct {
	Addr      string      // host:port of implicit TLS
	PlainAddr string      // host:port of plaintext and STARTTLS
	CAFile    string      // PEM file of the CA that signed the certificate
	TLS       *tls.Config // trusts that CA alone, for localhost and 127.0.0.1

	root   string // what Cyrus is unpacked in, or /
	dir    string
	name   string // that the server says in its greeting
	owner  dovecot.Owner
	logins logins
	pid    int             // of the master, and of the process group of all
	done   <-chan struct{} // closed when the master is gone; nil: none was started
	output bytes.Buffer    // of the master; to be read when done is closed
}

// User is an account of a Server. Its INBOX comes with its first login.
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
// with -short, it skips the test; ARCHIVERD_REQUIRE_CYRUS=1 turns that into a
// failure, and runs the test.
func StartWith(t testing.TB, o Options) *Server {
	t.Helper()
	s := &Server{root: find(t)}
	dir, err := dovecot.Scratch("cyrus-") // Cyrus syncs every message
	if err != nil {
		t.Fatal(err)
	}
	s.dir, s.name = dir, filepath.Base(dir)
	t.Cleanup(func() {
		if s.done != nil {
			s.kill(t)
		}
		// A process that is killed may still end a system call that makes a file.
		err := os.RemoveAll(dir)
		for end := time.Now().Add(patience); err != nil && time.Now().Before(end); {
			err = os.RemoveAll(dir)
		}
		if err != nil {
			t.Errorf("remove the server's files: %v", err)
		}
	})
	if s.owner, err = dovecot.FindOwner(); err != nil {
		t.Fatal(err)
	}
	s.CAFile = s.own("ca.pem")
	if s.TLS, err = dovecot.WriteCertificates(dir); err != nil {
		t.Fatal(err)
	}
	if err := s.logins.serve(t, s.own("login")); err != nil {
		t.Fatal(err)
	}
	// The kernel names free ports; until Cyrus has them another may take them.
	for range 5 {
		if err = s.configure(o); err != nil {
			break
		}
		if err = s.run(); !errors.Is(err, errPortTaken) {
			break
		}
		s.kill(t)
	}
	if err != nil {
		t.Fatalf("start Cyrus: %v", err)
	}
	return s
}

// find returns the folder that Cyrus is unpacked in, / for an installed one, or
// ends the test.
func find(t testing.TB) string {
	t.Helper()
	required := os.Getenv("ARCHIVERD_REQUIRE_CYRUS") == "1"
	if testing.Short() && !required {
		t.Skip("-short: no Cyrus")
	}
	roots := []string{"/"}
	if own := os.Getenv("ARCHIVERD_TEST_CYRUS"); own != "" {
		roots = []string{own}
	} else if os.Geteuid() == 0 { // root's own cache may be closed to the user that Cyrus runs as
		roots = []string{"/var/cache/archiverd-test/cyrus", "/"}
	} else if cache, err := os.UserCacheDir(); err == nil {
		roots = []string{filepath.Join(cache, "archiverd-test/cyrus"), "/"}
	}
	for _, root := range roots {
		if _, err := os.Stat(filepath.Join(root, bin, "imapd")); err == nil {
			return root
		}
	}
	text := fmt.Sprintf("no %s/imapd in any of %q; on Debian and Ubuntu: scripts/need-servers", bin, roots)
	if required {
		t.Fatal(text)
	}
	t.Skip(text)
	return ""
}

// own returns the path of one of the server's files.
func (s *Server) own(name string) string { return filepath.Join(s.dir, name) }

// configure chooses ports and writes the configuration.
func (s *Server) configure(o Options) error {
	var addrs [2]string
	for i := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close() // both are held until both are known: they differ
		addrs[i] = l.Addr().String()
	}
	s.Addr, s.PlainAddr = addrs[0], addrs[1]
	for _, folder := range []string{"conf", "mail"} {
		if err := os.MkdirAll(s.own(folder), 0o700); err != nil {
			return err
		}
	}
	if err := os.WriteFile(s.own("cyrus.conf"), []byte(cyrusConf(s)), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(s.own("imapd.conf"), []byte(imapdConf(s, o)), 0o600); err != nil {
		return err
	}
	return filepath.WalkDir(s.dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, s.owner.UID, s.owner.GID)
	})
}

// run starts the master and returns when it answers on both ports.
func (s *Server) run() error {
	env, err := environment(s.root)
	if err != nil {
		return err
	}
	s.output.Reset()
	cmd := exec.Command(filepath.Join(s.root, bin, "master"),
		"-C", s.own("imapd.conf"), "-M", s.own("cyrus.conf"), "-p", s.own("conf/master.pid"))
	cmd.Env = env
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(s.owner.UID), Gid: uint32(s.owner.GID)}}
	}
	cmd.Stdout, cmd.Stderr = &s.output, &s.output
	if s.done, err = dovecot.StartChild(cmd); err != nil {
		return err
	}
	s.pid = cmd.Process.Pid
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond) // it tells syslog alone that it listens
	defer again.Stop()
	for {
		err := s.answers(ctx)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
		select {
		case <-again.C:
		case <-s.done:
			return fmt.Errorf("it ended at once: %s", &s.output)
		case <-ctx.Done():
			return fmt.Errorf("no sign of life within %v", patience)
		}
	}
}

// answers tries both ports, and returns nil when this server answers there.
func (s *Server) answers(ctx context.Context) error {
	// Only this server has a certificate of this CA.
	secure, err := (&tls.Dialer{Config: s.TLS}).DialContext(ctx, "tcp", s.Addr)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errPortTaken, err)
	}
	defer secure.Close()
	plain, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.PlainAddr)
	if err != nil {
		return err
	}
	defer plain.Close()
	if err := plain.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	greeting, err := bufio.NewReader(plain).ReadString('\n')
	if err != nil || !strings.Contains(greeting, s.name) {
		return fmt.Errorf("%w: greeting %q, %v", errPortTaken, greeting, err)
	}
	return nil
}

// kill ends all processes of the server with SIGKILL: a stop in good order waits
// for clients.
func (s *Server) kill(t testing.TB) {
	t.Helper()
	if err := syscall.Kill(-s.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Errorf("kill Cyrus: %v", err)
	}
	<-s.done
	s.done = nil
	if t.Failed() {
		t.Logf("Cyrus said: %s", &s.output)
	}
}

// User adds an account with a password of the server's choice.
func (s *Server) User(t testing.TB, name string) *User {
	t.Helper()
	return s.AddUser(t, name, "pass word of "+name)
}

// AddUser adds an account, or gives one that exists another password. A name is of
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
	return u.dial(t, u.server.Addr, u.server.TLS)
}

// DialPlain is Dial without TLS.
func (u *User) DialPlain(t testing.TB) *dovecot.Client {
	t.Helper()
	return u.dial(t, u.server.PlainAddr, nil)
}

func (u *User) dial(t testing.TB, addr string, config *tls.Config) *dovecot.Client {
	t.Helper()
	c, err := dovecot.DialAt(t, addr, config, u.Name, u.Password)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

package dovecot

import (
	"context"
	"crypto/tls"
	"encoding/base64"
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
)

// patience is how long a server may take to start or to stop.
const patience = 30 * time.Second

// Options are what a test may choose; the zero value is the usual server.
type Options struct {
	Format  string // mail store: mdbox (the default), sdbox, maildir or mbox
	Dotted  bool   // mailboxes of a maildir are laid out as Maildir++
	Quota   int64  // octets that a user may have; 0: any number
	Deflate bool   // COMPRESS=DEFLATE is offered
	Extra   string // further lines of dovecot.conf, after all others
}

// Server is a running Dovecot. Its exported fields are constant.
type Server struct {
	Addr      string      // host:port of implicit TLS
	PlainAddr string      // host:port of plaintext and STARTTLS
	CAFile    string      // PEM file of the CA that signed the certificate
	TLS       *tls.Config // trusts that CA alone, for localhost and 127.0.0.1

	dir, program string
	mailOwner    Owner
	child        *child
	log          log
}

// User is an account of a Server.
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

// StartWith runs a server until the test ends. Without Dovecot on the machine, or
// with -short, it skips the test; ARCHIVERD_REQUIRE_DOVECOT=1 turns that into a
// failure, and runs the test.
func StartWith(t testing.TB, o Options) *Server {
	t.Helper()
	s := &Server{program: find(t)}
	// TMPDIR may be long, and the path of a Unix socket may not (107 octets).
	dir, err := os.MkdirTemp("/tmp", "dovecot-")
	if err != nil {
		t.Fatal(err)
	}
	s.dir = dir
	t.Cleanup(func() {
		if s.child != nil {
			s.Kill(t) // a stop in good order takes a second
		}
		if t.Failed() {
			t.Logf("the log of Dovecot:\n%s", s.Log())
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
	if err := s.prepare(); err != nil {
		t.Fatal(err)
	}
	// The kernel names free ports; until Dovecot has them another may take them.
	for range 5 {
		if err = s.configure(o); err != nil {
			break
		}
		if err = s.run(); !errors.Is(err, errPortTaken) {
			break
		}
	}
	if err != nil {
		t.Fatalf("start Dovecot: %v\n%s", err, s.Log())
	}
	return s
}

// find returns the path of the program, or ends the test.
func find(t testing.TB) string {
	t.Helper()
	required := os.Getenv("ARCHIVERD_REQUIRE_DOVECOT") == "1"
	if testing.Short() && !required {
		t.Skip("-short: no Dovecot")
	}
	for _, name := range []string{"dovecot", "/usr/sbin/dovecot", "/usr/local/sbin/dovecot"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const text = "no dovecot in PATH or /usr/sbin; on Debian and Ubuntu: apt-get install dovecot-imapd"
	if required {
		t.Fatal(text)
	}
	t.Skip(text)
	return ""
}

// prepare makes what all starts share: directories, CA and certificate.
func (s *Server) prepare() error {
	var err error
	if s.mailOwner, err = FindOwner(); err != nil {
		return err
	}
	// The mail processes are another user than root: let them through.
	if err := os.Chmod(s.dir, 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(s.dir, "users"), 0o755); err != nil {
		return err
	}
	mail := filepath.Join(s.dir, "mail")
	if err := os.Mkdir(mail, 0o700); err != nil {
		return err
	}
	if err := os.Chown(mail, s.mailOwner.UID, s.mailOwner.GID); err != nil {
		return err
	}
	s.CAFile = filepath.Join(s.dir, "ca.pem")
	s.TLS, err = WriteCertificates(s.dir)
	return err
}

// configure chooses ports and writes dovecot.conf.
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
	version, err := exec.Command(s.program, "--version").Output()
	if err != nil {
		return fmt.Errorf("ask for the version of %s: %w", s.program, err)
	}
	text := configuration(s, o, strings.HasPrefix(string(version), "2.3."))
	return os.WriteFile(filepath.Join(s.dir, "dovecot.conf"), []byte(text), 0o644)
}

// User adds an account with a password of the server's choice.
func (s *Server) User(t testing.TB, name string) *User {
	t.Helper()
	return s.AddUser(t, name, "pass word of "+name)
}

// AddUser adds an account, or gives one that exists another password, and returns
// when the server knows it. A name is of letters, digits and . - _ @.
func (s *Server) AddUser(t testing.TB, name, password string) *User {
	t.Helper()
	u := &User{Name: name, Password: password, server: s}
	// Base64, since a password may hold colons. One file for each user, since
	// Dovecot looks for changes of a file once a second at most.
	line := fmt.Sprintf("%s:{PLAIN.b64}%s:%d:%d::%s::\n", name, base64.StdEncoding.EncodeToString([]byte(password)),
		s.mailOwner.UID, s.mailOwner.GID, filepath.Join(s.dir, "mail", name))
	path := filepath.Join(s.dir, "users", name)
	old, err := os.Stat(path)
	known := err == nil
	if err := os.WriteFile(path+":new", []byte(line), 0o644); err != nil {
		t.Fatal(err)
	}
	if known { // its time in seconds must differ
		when := old.ModTime().Add(time.Second)
		if err := os.Chtimes(path+":new", when, when); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(path+":new", path); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); known; {
		c, err := u.connect(t, true)
		if err == nil {
			c.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the new password of %s: %v", name, err)
		}
	}
	return u
}

// Fill makes a folder's content the account's mail store, before its first login.
func (u *User) Fill(t testing.TB, folder string) {
	t.Helper()
	s := u.server
	home := filepath.Join(s.dir, "mail", u.Name)
	if err := os.CopyFS(filepath.Join(home, "mail"), os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if info, err := os.Stat(filepath.Join(folder, strings.TrimPrefix(path, filepath.Join(home, "mail")))); err == nil {
			if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
				return err
			}
		}
		return os.Chown(path, s.mailOwner.UID, s.mailOwner.GID)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// ImportFrom copies all mail of one account into another by the server's own tool,
// "doveadm import", from the first one's store.
func (u *User) ImportFrom(t testing.TB, from *User, format string) {
	t.Helper()
	s := u.server
	cmd := exec.Command("doveadm", "-c", filepath.Join(s.dir, "dovecot.conf"), "import", "-u", u.Name,
		format+":"+from.Store(), "", "ALL")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("doveadm import: %v: %s", err, said)
	}
}

// Store is the folder with the account's mail, in the server's format.
func (u *User) Store() string { return filepath.Join(u.server.dir, "mail", u.Name, "mail") }

// Log returns all that the server has logged, over all its starts.
func (s *Server) Log() string { return s.log.String() }

// Restart stops the server, if it runs, and starts it again on the same ports.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.stop(t)
	var err error
	// After a Kill the ports are free when the kernel has buried the last process.
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if err = s.run(); !errors.Is(err, errPortTaken) {
			break
		}
	}
	if err != nil {
		t.Fatalf("start Dovecot again: %v\n%s", err, s.Log())
	}
}

// Kill ends all processes of the server with SIGKILL, as a crash would: clients
// see their connection reset or closed, and new ones are refused. Restart brings
// the server back.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if s.child == nil {
		t.Fatal("kill: the server does not run")
	}
	if err := syscall.Kill(-s.child.pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill Dovecot: %v", err)
	}
	<-s.child.done
	s.child = nil
}

// stop ends the server in good order, if it runs. The signal goes to all of its
// processes: the master alone would wait ten seconds for clients.
func (s *Server) stop(t testing.TB) {
	t.Helper()
	if s.child == nil {
		return
	}
	if err := syscall.Kill(-s.child.pid, syscall.SIGTERM); err != nil {
		t.Fatalf("stop Dovecot: %v", err)
	}
	select {
	case <-s.child.done:
		s.child = nil
	case <-time.After(patience):
		t.Fatalf("Dovecot did not stop within %v", patience)
	}
}

// run starts the program and returns when it answers on its TLS port.
func (s *Server) run() error {
	s.child = nil
	// a killed master leaves it, and the next may find its number taken
	if err := os.RemoveAll(filepath.Join(s.dir, "run", "master.pid")); err != nil {
		return err
	}
	cmd := exec.Command(s.program, "-F", "-c", filepath.Join(s.dir, "dovecot.conf"))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TZ=UTC"} // not NOTIFY_SOCKET, not LISTEN_FDS
	cmd.Stdout, cmd.Stderr = &s.log, &s.log
	ready := s.log.expect("starting up")
	done, err := StartChild(cmd)
	if err != nil {
		return err
	}
	c := &child{pid: cmd.Process.Pid, done: done}
	select {
	case <-ready: // it listens
	case <-c.done:
		if strings.Contains(s.log.tail(), "Address already in use") {
			return errPortTaken
		}
		return errors.New("it ended at once")
	case <-time.After(patience):
		s.child = c
		return fmt.Errorf("no sign of life within %v", patience)
	}
	s.child = c
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// Only this server has a certificate of this CA.
	conn, err := (&tls.Dialer{Config: s.TLS}).DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return fmt.Errorf("try the TLS port: %w", err)
	}
	return conn.Close()
}

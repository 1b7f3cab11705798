package process

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// timeout bounds a start and a stop. It is long, since a busy machine is slow: it
// only keeps a test from hanging.
const timeout = 2 * time.Minute

// errPortTaken is returned when another process listens on one of the server's
// ports.
var errPortTaken = errors.New("port taken")

// Spec says how a server is started.
type Spec struct {
	Name     string // in messages: "Dovecot"
	Greeting string // a part of the greeting on PlainAddr that no other server sends; "": not checked
	InMemory bool   // the files lie in memory if they fit, for a server that syncs every message

	// Configure writes the configuration. It runs before the first start, and again
	// with other ports if one is taken.
	Configure func(*Server) error
	// Command returns the command of one start, which stays in the foreground.
	Command func(*Server) (*exec.Cmd, error)
}

// Server is a server that runs, or was killed. The exported fields are constant. Its
// methods are for one goroutine, except Log.
type Server struct {
	Addr      string      // host:port of implicit TLS
	PlainAddr string      // host:port of plaintext and STARTTLS
	CAFile    string      // PEM file of the CA that signed the certificate
	TLS       *tls.Config // trusts that CA alone, for localhost and 127.0.0.1
	Dir       string      // all files of the server; server.pem and server.key lie here
	Owner     Owner       // whom the server runs as

	spec   Spec
	child  *child // nil: none runs
	output output
}

// Start runs a server until the test ends.
func Start(t testing.TB, spec Spec) *Server {
	t.Helper()
	s := &Server{spec: spec}
	t.Cleanup(func() { s.remove(t) })
	if err := s.prepare(); err != nil {
		t.Fatalf("prepare %s: %v", spec.Name, err)
	}
	var err error
	// The kernel names free ports. Another process may bind them before the server does.
	for range 5 {
		if err = s.configure(); err != nil {
			break
		}
		if err = s.run(); !errors.Is(err, errPortTaken) {
			break
		}
	}
	if err != nil {
		t.Fatalf("start %s: %v\n%s", spec.Name, err, s.Log())
	}
	return s
}

// Path returns the path of one of the server's files.
func (s *Server) Path(name string) string { return filepath.Join(s.Dir, name) }

// Log returns what the server has printed, over all its starts.
func (s *Server) Log() string { return s.output.String() }

// Restart stops the server, if it runs, and starts it on the same ports.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.stop(t)
	var err error
	// After Kill the ports are in use until the kernel has ended the last process.
	for end := time.Now().Add(timeout); time.Now().Before(end); {
		if err = s.run(); !errors.Is(err, errPortTaken) {
			break
		}
	}
	if err != nil {
		t.Fatalf("start %s again: %v\n%s", s.spec.Name, err, s.Log())
	}
}

// Kill ends all processes of the server with SIGKILL, as a crash would: clients see
// their connection reset or closed, and new ones are refused.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if s.child == nil {
		t.Fatalf("kill: %s does not run", s.spec.Name)
	}
	if err := s.kill(); err != nil {
		t.Fatalf("kill %s: %v", s.spec.Name, err)
	}
}

// kill ends all processes. The master may have ended by itself.
func (s *Server) kill() error {
	if err := s.child.signal(syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	<-s.child.done
	s.child = nil
	return nil
}

// stop ends the server, if it runs, after it has closed its files. The signal goes
// to all processes: the master alone would wait ten seconds for clients.
func (s *Server) stop(t testing.TB) {
	t.Helper()
	if s.child == nil {
		return
	}
	if err := s.child.signal(syscall.SIGTERM); err != nil {
		t.Fatalf("stop %s: %v", s.spec.Name, err)
	}
	select {
	case <-s.child.done:
		s.child = nil
	case <-time.After(timeout):
		t.Fatalf("%s did not stop within %v", s.spec.Name, timeout)
	}
}

// prepare makes what all starts share: directory, owner and certificate.
func (s *Server) prepare() error {
	var err error
	if s.Owner, err = FindOwner(); err != nil {
		return err
	}
	newDir := Scratch
	if !s.spec.InMemory {
		newDir = func(pattern string) (string, error) { return os.MkdirTemp("/tmp", pattern) }
	}
	if s.Dir, err = newDir(strings.ToLower(s.spec.Name) + "-"); err != nil {
		return err
	}
	certificate, err := NewCertificate()
	if err != nil {
		return err
	}
	s.CAFile, s.TLS = s.Path("ca.pem"), certificate.ClientTLS()
	return certificate.write(s.Dir)
}

// remove kills the server and removes its files at the end of a test.
func (s *Server) remove(t testing.TB) {
	if s.child != nil { // a stop would take a second
		if err := s.kill(); err != nil {
			t.Errorf("kill %s: %v", s.spec.Name, err)
		}
	}
	if t.Failed() {
		t.Logf("the log of %s:\n%s", s.spec.Name, s.Log())
	}
	// A killed process may still complete a system call that makes a file.
	err := os.RemoveAll(s.Dir)
	for end := time.Now().Add(timeout); err != nil && time.Now().Before(end); {
		err = os.RemoveAll(s.Dir)
	}
	if err != nil {
		t.Errorf("remove the files of %s: %v", s.spec.Name, err)
	}
}

// configure chooses free ports and has the configuration written.
func (s *Server) configure() error {
	for _, addr := range []*string{&s.Addr, &s.PlainAddr} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close() // open until both are chosen, so that they differ
		*addr = l.Addr().String()
	}
	return s.spec.Configure(s)
}

// run starts the program and returns when the server answers on its ports. After an
// error no process of it runs.
func (s *Server) run() error {
	cmd, err := s.spec.Command(s)
	if err != nil {
		return err
	}
	s.output.startRun()
	cmd.Stdout, cmd.Stderr = &s.output, &s.output
	if s.child, err = startChild(cmd); err != nil {
		return err
	}
	if err := s.awaitAnswer(); err != nil {
		return errors.Join(err, s.kill())
	}
	return nil
}

// awaitAnswer waits until the server answers. A server may report only to syslog
// that it listens, so its ports are tried.
func (s *Server) awaitAnswer() error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	retry := time.NewTicker(5 * time.Millisecond)
	defer retry.Stop()
	for {
		err := s.dial(ctx)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
		select {
		case <-retry.C:
		case <-s.child.done:
			if strings.Contains(s.output.latestRun(), "Address already in use") {
				return errPortTaken
			}
			return errors.New("the server ended at once")
		case <-ctx.Done():
			return fmt.Errorf("no answer within %v", timeout)
		}
	}
}

// dial tries both ports. It returns nil if this server answers there, ECONNREFUSED
// if nobody listens yet, and errPortTaken if another server answers.
func (s *Server) dial(ctx context.Context) error {
	secure, err := (&tls.Dialer{Config: s.TLS}).DialContext(ctx, "tcp", s.Addr)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	if err != nil { // only this server has a certificate of this CA
		return fmt.Errorf("%w: %w", errPortTaken, err)
	}
	defer secure.Close()
	plain, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.PlainAddr)
	if err != nil {
		return err
	}
	defer plain.Close()
	if s.spec.Greeting == "" {
		return nil
	}
	if err := plain.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	greeting, err := bufio.NewReader(plain).ReadString('\n')
	if err != nil {
		return fmt.Errorf("%w: read the greeting: %w", errPortTaken, err)
	}
	if !strings.Contains(greeting, s.spec.Greeting) {
		return fmt.Errorf("%w: greeting %q", errPortTaken, greeting)
	}
	return nil
}

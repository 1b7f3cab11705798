package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	gosync "sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"archiverd/internal/daemon"
	"archiverd/internal/testing/dovecot"
	server "archiverd/internal/testing/process"
	"archiverd/state"
)

// beMain in the environment makes the test binary run as archiverd. The tests so run
// the real program as a process, with the race detector where the tests have it.
const beMain = "ARCHIVERD_TEST_BE_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(beMain) != "" {
		main()
	}
	testscript.Main(withoutBuild{m}, map[string]func(){"archiverd": main})
}

// withoutBuild removes what plainProgram has built after all tests.
type withoutBuild struct{ *testing.M }

// Run keeps also what archiverd remembers of the tests' archives out of the user's own
// state directory.
func (m withoutBuild) Run() int {
	defer func() { os.RemoveAll(plainBuild.dir) }()
	memory, err := os.MkdirTemp("", "archiverd-memory-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(memory)
	if err := os.Setenv("XDG_STATE_HOME", memory); err != nil {
		panic(err)
	}
	return m.M.Run()
}

// plainBuild is archiverd without the race detector, built once for all tests.
var plainBuild struct {
	once gosync.Once
	dir  string
	err  error
}

// plainProgram returns the path of archiverd without the race detector, which
// multiplies memory and time.
func plainProgram(t *testing.T) string {
	t.Helper()
	b := &plainBuild
	b.once.Do(func() {
		if b.dir, b.err = os.MkdirTemp("", "archiverd-plain-"); b.err != nil {
			return
		}
		if out, err := exec.Command("go", "build", "-o", b.dir, ".").CombinedOutput(); err != nil {
			b.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if b.err != nil {
		t.Fatal(b.err)
	}
	return filepath.Join(b.dir, "archiverd")
}

// patience is the longest wait for an event that must happen. It only ends a test
// that hangs: a busy machine is slow.
const patience = 3 * time.Minute

// promptly is the longest time of a step that must not wait for a silent server,
// which has a minute to reply.
const promptly = 45 * time.Second

// site is an installation of archiverd: a directory with its configuration, its
// secrets and its archive.
type site struct {
	t       *testing.T
	dir     string
	config  string
	archive string
	program string   // "": this test binary
	env     []string // further variables
}

// newSite makes a site. After the test its archive must verify, and the last ledger
// of each account must balance.
func newSite(t *testing.T) *site {
	t.Helper()
	return newSiteIn(t, server.Scratch) // no test waits for the disk that all others sync as well
}

// newSiteOnDisk is newSite for tests that need hundreds of megabytes.
func newSiteOnDisk(t *testing.T) *site {
	t.Helper()
	return newSiteIn(t, func(pattern string) (string, error) { return os.MkdirTemp("/tmp", pattern) })
}

func newSiteIn(t *testing.T, mkdir func(pattern string) (string, error)) *site {
	t.Helper()
	dir, err := mkdir("archiverd-")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, dir: dir, config: filepath.Join(dir, "config.yaml"), archive: filepath.Join(dir, "archive")}
	t.Cleanup(func() {
		if _, err := os.Stat(filepath.Join(s.archive, "archive.json")); err == nil {
			s.verifyAll()
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the site: %v", err)
		}
	})
	return s
}

// verifyAll checks that the archive verifies without a finding, and that every
// account is complete.
func (s *site) verifyAll() {
	s.t.Helper()
	r := s.run("verify", "--archive", s.archive).want(0)
	if !strings.Contains(r.out, "; 0 damaged\n") || strings.Contains(r.out, "note") {
		s.t.Errorf("verify is not content:\n%s", r.out)
	}
	var report daemon.Report
	s.run("status", "--json", "--archive", s.archive).want(0).decode(&report)
	for _, acc := range report.Accounts {
		if acc.Last == nil {
			s.t.Errorf("account %s has no run", acc.Account)
			continue
		}
		checkBalanced(s.t, *acc.Last)
	}
}

// checkBalanced checks that a run's ledgers account for every message.
func checkBalanced(t *testing.T, r state.Run) {
	t.Helper()
	for _, l := range append(slices.Clone(r.Mailboxes), r.Sum) {
		if !l.Balanced() || l.Missing != 0 || l.Error != "" {
			t.Errorf("mailbox %q does not balance: %+v", l.Mailbox, l)
		}
	}
}

// write writes a file of the site that only its owner may read.
func (s *site) write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// configure writes the configuration: the archive's path and the control socket,
// then the given text.
func (s *site) configure(more ...string) {
	s.t.Helper()
	s.write("config.yaml", fmt.Sprintf("archive:\n  path: %s\ncontrol:\n  socket: %s\n%s", s.archive,
		filepath.Join(s.dir, "control.sock"), strings.Join(more, "")))
}

// overTLS returns the lines of an account at a Dovecot, followed by the given lines.
func (s *site) overTLS(srv *dovecot.Server, u *dovecot.User, more ...string) string {
	return s.account(u, srv.Addr, append([]string{"tls_ca_file: " + srv.CAFile}, more...)...)
}

// plain is overTLS without TLS, for connections through a proxy that records them.
func (s *site) plain(addr string, u *dovecot.User, more ...string) string {
	return s.account(u, addr, append([]string{"tls: none"}, more...)...)
}

func (s *site) account(u *dovecot.User, addr string, lines ...string) string {
	s.t.Helper()
	secret := s.write(u.Name+".password", u.Password+"\n")
	lines = append([]string{"server: " + addr, "username: " + u.Name, "password_file: " + secret}, lines...)
	return "  - name: " + u.Name + "\n    " + strings.Join(lines, "\n    ") + "\n"
}

// result is the exit status and the output of a command that has ended.
type result struct {
	t        *testing.T
	args     []string
	status   int
	out, err string
	elapsed  time.Duration
}

// want checks the exit status.
func (r *result) want(status int) *result {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("archiverd %s: exit status %d, want %d\n%s%s", strings.Join(r.args, " "), r.status, status, r.out, r.err)
	}
	return r
}

// says checks that standard error has each of the texts.
func (r *result) says(texts ...string) *result {
	r.t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.err, text) {
			r.t.Errorf("archiverd %s: standard error does not say %q:\n%s", strings.Join(r.args, " "), text, r.err)
		}
	}
	return r
}

// prints checks that standard output has each of the texts.
func (r *result) prints(texts ...string) *result {
	r.t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.out, text) {
			r.t.Errorf("archiverd %s: standard output has no %q:\n%s", strings.Join(r.args, " "), text, r.out)
		}
	}
	return r
}

// decode reads standard output as JSON.
func (r *result) decode(v any) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.out), v); err != nil {
		r.t.Fatalf("archiverd %s: %v in\n%s", strings.Join(r.args, " "), err, r.out)
	}
}

// run runs archiverd to its end.
func (s *site) run(args ...string) *result {
	s.t.Helper()
	p := s.start(args...)
	return p.wait()
}

// sync runs sync --json, which must succeed for one account, and returns its run.
// The ledgers must balance.
func (s *site) sync() state.Run {
	s.t.Helper()
	var runs []state.Run
	s.run("sync", "--json").want(0).decode(&runs)
	for _, r := range runs {
		checkBalanced(s.t, r)
	}
	if len(runs) != 1 {
		s.t.Fatalf("%d runs, want 1", len(runs))
	}
	return runs[0]
}

// process is a running archiverd.
type process struct {
	t        *testing.T
	cmd      *exec.Cmd
	out, err *buffer
	started  time.Time
	done     chan struct{} // closed when it has ended
}

// start starts archiverd in the site's folder.
func (s *site) start(args ...string) *process {
	s.t.Helper()
	program := s.program
	if program == "" {
		self, err := os.Executable()
		if err != nil {
			s.t.Fatal(err)
		}
		program = self
	}
	return s.execute(exec.Command(program, args...))
}

// execute is start for a command that runs archiverd in another way. A command that
// has streams keeps them.
func (s *site) execute(cmd *exec.Cmd) *process {
	s.t.Helper()
	cmd.Dir = s.dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, beMain + "=1", "GORACE=halt_on_error=1 atexit_sleep_ms=10"}, s.env...)
	if os.Geteuid() == 0 && exists(filepath.Join(s.dir, localConfig)) && !slices.Contains(s.env, "ARCHIVERD_CONFIG=") { // root does not read that one unnamed
		cmd.Env = append(cmd.Env, "ARCHIVERD_CONFIG="+localConfig)
	}
	p := &process{t: s.t, cmd: cmd, out: &buffer{}, err: &buffer{}, done: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout, cmd.Stderr = p.out, p.err
	}
	p.started = time.Now()
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		cmd.Wait() // its status is looked at by wait
		close(p.done)
	}()
	s.t.Cleanup(func() {
		cmd.Process.Kill() // ended already, most often
		<-p.done
	})
	return p
}

// wait waits for the end.
func (p *process) wait() *result {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(2 * patience):
		p.signal(syscall.SIGQUIT)
		<-p.done
		p.t.Fatalf("archiverd %s does not end:\n%s%s", strings.Join(p.cmd.Args[1:], " "), p.out, p.err)
	}
	r := &result{t: p.t, args: p.cmd.Args[1:], status: p.cmd.ProcessState.ExitCode(), out: p.out.String(), err: p.err.String(), elapsed: time.Since(p.started)}
	if strings.Contains(r.out+r.err, "DATA RACE") || strings.Contains(r.err, "goroutine 1 [") {
		p.t.Fatalf("archiverd %s:\n%s%s", strings.Join(r.args, " "), r.out, r.err)
	}
	return r
}

func (p *process) signal(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
}

// killAfter kills the process after d, unless it has ended by then.
func (p *process) killAfter(d time.Duration) {
	p.t.Helper()
	alarm := time.NewTimer(d)
	defer alarm.Stop()
	select {
	case <-alarm.C:
		p.signal(syscall.SIGKILL)
		<-p.done
	case <-p.done:
	}
}

// eventually waits until cond is true.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("did not happen: %s", what)
		}
	}
}

// buffer is a bytes.Buffer that may be read while a process writes to it.
type buffer struct {
	mu gosync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// TestRootReadsNoConfigurationOfTheWorkingDirectory: it could be anybody's, and names
// commands that are run.
func TestRootReadsNoConfigurationOfTheWorkingDirectory(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 || exists(systemConfig) {
		t.Skip("root reads " + systemConfig)
	}
	s := newSite(t)
	s.env = append(s.env, "ARCHIVERD_CONFIG=")
	s.configure("accounts:\n- {name: a, server: 127.0.0.1, username: a, tls: none, password_command: [touch, ran]}\n")
	s.run("config", "check", "--connect").want(2).says("root does not read the configuration of the working directory", "--config config.yaml")
	if exists(filepath.Join(s.dir, "ran")) {
		t.Error("the password command has run")
	}
	s.run("--config", "config.yaml", "config", "check").want(0)
}

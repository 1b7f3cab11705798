package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"archiverd/internal/testing/dovecot"
)

// measurement is the cost of one run of a command.
type measurement struct {
	wall, cpu time.Duration
	peak      int64 // largest resident memory in octets
	private   int64 // of peak: not pages of files, which the kernel may drop
}

// installation is a directory with a configuration and its archive.
type installation struct{ dir, program string }

// newInstallation makes dir with the configuration of an account bench. The caller removes
// dir.
func newInstallation(dir, program string, srv *dovecot.Server, u *dovecot.User, connections int) (*installation, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	s := &installation{dir, program}
	return s, s.configure("archive:\n  path: archive\naccounts:\n" + accountYAML("bench", srv.Addr, srv.CAFile, u, connections))
}

// accountYAML returns an account of a configuration.
func accountYAML(name, addr, ca string, u *dovecot.User, connections int) string {
	return fmt.Sprintf("  - name: %s\n    server: %s\n    tls_ca_file: %s\n    username: %s\n    password: %q\n    connections: %d\n",
		name, addr, ca, u.Name, u.Password, connections)
}

// configure writes the configuration.
func (s *installation) configure(text string) error {
	return os.WriteFile(filepath.Join(s.dir, "config.yaml"), []byte(text), 0o600)
}

// environment names the configuration, because root does not read that of the working
// directory by itself, and keeps what archiverd remembers of the archive in the directory.
func (s *installation) environment() []string {
	return []string{"ARCHIVERD_CONFIG=" + filepath.Join(s.dir, "config.yaml"), "XDG_STATE_HOME=" + filepath.Join(s.dir, "state")}
}

// run runs archiverd in the directory.
func (s *installation) run(args ...string) (m measurement, err error) {
	cmd := exec.Command(s.program, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), s.environment()...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if m, err = measureCommand(cmd); err != nil {
		return m, fmt.Errorf("archiverd %s: %w: %s", args[0], err, output.Bytes())
	}
	return m, nil
}

// measureCommand runs a command and measures it. It reads the memory every 2 ms.
func measureCommand(cmd *exec.Cmd) (m measurement, err error) {
	started := time.Now()
	if err := cmd.Start(); err != nil {
		return m, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		peak, own := residentMemory(cmd.Process.Pid)
		m.peak, m.private = max(m.peak, peak), max(m.private, own)
		select {
		case err := <-ended:
			m.wall = time.Since(started)
			m.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
			return m, err
		case <-tick.C:
		}
	}
}

var (
	highWater = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)
	anonymous = regexp.MustCompile(`RssAnon:\s+(\d+) kB`)
)

// residentMemory returns the peak of a process's resident memory until now, and the part
// of its present memory that is of no file; 0 if the process is gone. The peak of wait4
// would start with the memory of this program.
func residentMemory(pid int) (peak, own int64) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0
	}
	number := func(line *regexp.Regexp) int64 {
		found := line.FindSubmatch(status)
		if found == nil {
			return 0
		}
		kib, err := strconv.ParseInt(string(found[1]), 10, 64)
		if err != nil {
			return 0
		}
		return kib << 10
	}
	return number(highWater), number(anonymous)
}

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

// measured is what one run of archiverd took.
type measured struct {
	wall, cpu time.Duration
	peak      int64 // octets resident
	own       int64 // of those, the process's own: not of files, which the kernel may drop
}

// site is an archive and the configuration for it.
type site struct{ dir, program string }

// newSite writes the configuration, with the account bench. The caller removes dir.
func newSite(dir, program string, srv *dovecot.Server, u *dovecot.User, connections int) (*site, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	s := &site{dir, program}
	return s, s.configure("archive:\n  path: archive\naccounts:\n" + entry("bench", srv.Addr, srv.CAFile, u, connections))
}

// entry is an account in a configuration.
func entry(name, addr, ca string, u *dovecot.User, connections int) string {
	return fmt.Sprintf("  - name: %s\n    server: %s\n    tls_ca_file: %s\n    username: %s\n    password: %q\n    connections: %d\n",
		name, addr, ca, u.Name, u.Password, connections)
}

// configure writes the configuration.
func (s *site) configure(text string) error {
	return os.WriteFile(filepath.Join(s.dir, "config.yaml"), []byte(text), 0o600)
}

// run runs archiverd once.
func (s *site) run(args ...string) (m measured, err error) {
	cmd := exec.Command(s.program, args...)
	cmd.Dir = s.dir
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if m, err = watch(cmd); err != nil {
		return m, fmt.Errorf("archiverd %s: %w: %s", args[0], err, said.Bytes())
	}
	return m, nil
}

// watch runs a command and measures it.
func watch(cmd *exec.Cmd) (m measured, err error) {
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return m, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		peak, own := resident(cmd.Process.Pid)
		m.peak, m.own = max(m.peak, peak), max(m.own, own)
		select {
		case err := <-ended:
			m.wall = time.Since(began)
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

// resident is the most octets that a process had resident until now, and how many
// that are of no file it has now; 0 if it is gone. The maximum that wait4 tells
// begins with the memory of this program.
func resident(pid int) (peak, own int64) {
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

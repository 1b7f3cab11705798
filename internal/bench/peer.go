package main

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"archiverd/internal/testing/dovecot"
	"archiverd/internal/testing/process"
)

// endpoint is the server and the account that a client copies.
type endpoint struct {
	addr, host, port string
	ca               string
	user             *dovecot.User
}

func newEndpoint(addr, ca string, u *dovecot.User) (endpoint, error) {
	_, port, err := net.SplitHostPort(addr)
	return endpoint{addr, "localhost", port, ca, u}, err // some clients accept no IP address in a certificate
}

// peer is a client that copies an account to the disk.
type peer struct {
	name        string
	program     string        // must be in PATH
	asMailOwner bool          // runs as the owner of the server's mail, because it refuses root
	pause       time.Duration // before its second run
	prepare     preparer
}

// preparer writes the files that a client needs into dir and returns the command of
// each run, which stores messages below dir/mail.
type preparer func(l endpoint, dir string) (argv []string, err error)

// The configuration files of the clients. withConfigFile replaces the words in braces.
var (
	//go:embed naive.py
	naive string
	//go:embed peers/mbsyncrc
	mbsyncConfig string
	//go:embed peers/doveadm.conf
	doveadmConfig string
	//go:embed peers/offlineimaprc
	offlineimapConfig string
	//go:embed peers/getmailrc
	getmailConfig string
)

// peers returns the clients to measure, the limit first. program is the path of archiverd,
// self that of this program.
func peers(program, self string, connections int) []peer {
	limit := func(word string) preparer {
		return withoutFiles(func(l endpoint, dir string) []string {
			return []string{self, word, l.addr, l.ca, l.user.Name, l.user.Password, dir + "/mail"}
		})
	}
	archiverd := func(connections int) preparer {
		return func(l endpoint, dir string) ([]string, error) {
			text := "archive:\n  path: mail\naccounts:\n" + accountYAML("bench", l.addr, l.ca, l.user, connections)
			return []string{program, "--config", filepath.Join(dir, "config.yaml"), "sync"}, os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(text), 0o600)
		}
	}
	mbsync := func(fsync string) preparer {
		return withConfigFile("mbsyncrc", strings.ReplaceAll(mbsyncConfig, "{fsync}", fsync), "mbsync", "-q", "-c", "{dir}/mbsyncrc", "all")
	}
	return []peer{
		{name: limitName, prepare: limit(limitArg)},
		{name: "limit, durable, named by month", prepare: limit(durableLimitArg)},
		{name: fmt.Sprintf("archiverd, %d connections", connections), prepare: archiverd(connections)},
		{name: "archiverd, 1 connection", prepare: archiverd(1)},
		{name: "mbsync", program: "mbsync", pause: 1500 * time.Millisecond, prepare: mbsync("yes")},
		{name: "mbsync, FSync no", program: "mbsync", pause: 1500 * time.Millisecond, prepare: mbsync("no")},
		{name: "doveadm backup", program: "doveadm", asMailOwner: true, prepare: withConfigFile("doveadm.conf", doveadmConfig, "doveadm", "-c", "{dir}/doveadm.conf", "backup", "-R", "imapc:")},
		{name: "offlineimap3", program: "offlineimap", prepare: withConfigFile("offlineimaprc", offlineimapConfig, "offlineimap", "-o", "-c", "{dir}/offlineimaprc")},
		{name: "getmail6", program: "getmail", asMailOwner: true, prepare: withConfigFile("getmailrc", getmailConfig, "getmail", "--getmaildir", "{dir}")},
		{name: "imaplib loop", program: "python3", prepare: withoutFiles(func(l endpoint, dir string) []string {
			return []string{"python3", "-c", naive, l.host, l.port, l.ca, l.user.Name, l.user.Password, dir + "/mail"}
		})},
	}
}

// withoutFiles returns the preparer of a client that needs no files.
func withoutFiles(argv func(l endpoint, dir string) []string) preparer {
	return func(l endpoint, dir string) ([]string, error) { return argv(l, dir), nil }
}

// limitName is the name of the limit, with which all others are compared.
const limitName = "limit: read and write, 1 connection"

// withConfigFile returns the preparer of a client that has one configuration file. The
// words in braces in text and argv are replaced.
func withConfigFile(file, text string, argv ...string) preparer {
	return func(l endpoint, dir string) ([]string, error) {
		fill := strings.NewReplacer("{host}", l.host, "{port}", l.port, "{ca}", l.ca, "{user}", l.user.Name, "{password}", l.user.Password, "{dir}", dir)
		filled := make([]string, len(argv))
		for i, word := range argv {
			filled[i] = fill.Replace(word)
		}
		for _, d := range []string{"mail/all/cur", "mail/all/new", "mail/all/tmp"} {
			if file == "getmailrc" {
				if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
					return nil, err
				}
			}
		}
		return filled, os.WriteFile(filepath.Join(dir, file), []byte(fill.Replace(text)), 0o600)
	}
}

// preparedPeer is a client that is ready to run.
type preparedPeer struct {
	peer
	dir   string
	argv  []string
	owner process.Owner
}

// prepareIn makes dir for a client and writes the files that it needs there.
func (p peer) prepareIn(l endpoint, dir string) (*preparedPeer, error) {
	if err := os.MkdirAll(filepath.Join(dir, "mail"), 0o700); err != nil {
		return nil, err
	}
	s := &preparedPeer{peer: p, dir: dir}
	ca, err := os.ReadFile(l.ca) // the file of the server may be readable only for its owner
	if err != nil {
		return nil, err
	}
	l.ca = filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(l.ca, ca, 0o600); err != nil {
		return nil, err
	}
	if s.argv, err = p.prepare(l, dir); err != nil {
		return nil, err
	}
	if p.asMailOwner && os.Geteuid() == 0 {
		if s.owner, err = process.FindOwner(); err != nil {
			return nil, err
		}
		err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Chown(path, s.owner.UID, s.owner.GID)
		})
	}
	return s, err
}

// run runs the client once and stops it after maxTime.
func (s *preparedPeer) run(ctx context.Context, maxTime time.Duration) (measurement, error) {
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.argv[0], s.argv[1:]...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "HOME="+s.dir, "XDG_STATE_HOME="+filepath.Join(s.dir, "state"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if s.owner.UID != 0 {
		cmd.Env = append(cmd.Env, "USER="+s.owner.User)
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(s.owner.UID), Gid: uint32(s.owner.GID)}
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // with its children
	cmd.WaitDelay = 5 * time.Second
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	m, err := measureCommand(cmd)
	if err == nil {
		return m, nil
	}
	if ctx.Err() != nil {
		return m, fmt.Errorf("stopped after %v", maxTime)
	}
	text := strings.Join(strings.Fields(output.String()), " ")
	if len(text) > 600 {
		text = text[:300] + " … " + text[len(text)-300:]
	}
	return m, fmt.Errorf("%w: %s", err, text)
}

// countMessages returns the number of messages that the client has stored, in its own format.
func (s *preparedPeer) countMessages() (n int, err error) {
	err = filepath.WalkDir(filepath.Join(s.dir, "mail"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			in := filepath.Base(filepath.Dir(path))
			if strings.HasSuffix(path, ".eml") || in == "cur" || in == "new" {
				n++
			}
		}
		return err
	})
	return n, err
}

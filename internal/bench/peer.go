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

// line is how a client reaches the account.
type line struct {
	addr, host, port string
	ca               string
	user             *dovecot.User
}

func newLine(addr, ca string, u *dovecot.User) (line, error) {
	_, port, err := net.SplitHostPort(addr)
	return line{addr, "localhost", port, ca, u}, err // some clients accept no IP address in a certificate
}

// peer is a client that copies an account to the disk.
type peer struct {
	name    string
	program string        // must be in PATH
	owner   bool          // runs as the owner of the server's mail: it refuses root
	settle  time.Duration // to wait before its second run
	prepare preparer
}

// preparer writes the files that a client needs into dir and returns the command of
// each run, which stores messages below dir/mail.
type preparer func(l line, dir string) (argv []string, err error)

// What the clients are configured with; written replaces the words in braces.
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

// peers returns the clients that are measured, the limit first. archiverd is at
// program, this program at self.
func peers(program, self string, connections int) []peer {
	limit := func(word string) preparer {
		return command(func(l line, dir string) []string {
			return []string{self, word, l.addr, l.ca, l.user.Name, l.user.Password, dir + "/mail"}
		})
	}
	archiverd := func(connections int) preparer {
		return func(l line, dir string) ([]string, error) {
			text := "archive:\n  path: mail\naccounts:\n" + entry("bench", l.addr, l.ca, l.user, connections)
			return []string{program, "sync"}, os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(text), 0o600)
		}
	}
	mbsync := func(fsync string) preparer {
		return written("mbsyncrc", strings.ReplaceAll(mbsyncConfig, "{fsync}", fsync), "mbsync", "-q", "-c", "{dir}/mbsyncrc", "all")
	}
	return []peer{
		{name: limitName, prepare: limit(limitWord)},
		{name: "limit, durable, named by month", prepare: limit(durableWord)},
		{name: fmt.Sprintf("archiverd, %d connections", connections), prepare: archiverd(connections)},
		{name: "archiverd, 1 connection", prepare: archiverd(1)},
		{name: "mbsync", program: "mbsync", settle: 1500 * time.Millisecond, prepare: mbsync("yes")},
		{name: "mbsync, FSync no", program: "mbsync", settle: 1500 * time.Millisecond, prepare: mbsync("no")},
		{name: "doveadm backup", program: "doveadm", owner: true, prepare: written("doveadm.conf", doveadmConfig, "doveadm", "-c", "{dir}/doveadm.conf", "backup", "-R", "imapc:")},
		{name: "offlineimap3", program: "offlineimap", prepare: written("offlineimaprc", offlineimapConfig, "offlineimap", "-o", "-c", "{dir}/offlineimaprc")},
		{name: "getmail6", program: "getmail", owner: true, prepare: written("getmailrc", getmailConfig, "getmail", "--getmaildir", "{dir}")},
		{name: "imaplib loop", program: "python3", prepare: command(func(l line, dir string) []string {
			return []string{"python3", "-c", naive, l.host, l.port, l.ca, l.user.Name, l.user.Password, dir + "/mail"}
		})},
	}
}

// command prepares a client that needs no files.
func command(argv func(l line, dir string) []string) preparer {
	return func(l line, dir string) ([]string, error) { return argv(l, dir), nil }
}

// limitName is the limit's, with which all others are compared.
const limitName = "limit: read and write, 1 connection"

// written prepares a client that has one file of configuration.
func written(file, text string, argv ...string) preparer {
	return func(l line, dir string) ([]string, error) {
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

// stand is a client that is ready to run.
type stand struct {
	peer
	dir   string
	argv  []string
	owner process.Owner
}

// ready makes a directory for one client, and all that it needs in it.
func (p peer) ready(l line, dir string) (*stand, error) {
	if err := os.MkdirAll(filepath.Join(dir, "mail"), 0o700); err != nil {
		return nil, err
	}
	s := &stand{peer: p, dir: dir}
	ca, err := os.ReadFile(l.ca) // which may be its owner's alone
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
	if p.owner && os.Geteuid() == 0 {
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

// run runs the client once, at most for as long as patience.
func (s *stand) run(ctx context.Context, patience time.Duration) (measured, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.argv[0], s.argv[1:]...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "HOME="+s.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if s.owner.UID != 0 {
		cmd.Env = append(cmd.Env, "USER="+s.owner.User)
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(s.owner.UID), Gid: uint32(s.owner.GID)}
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // its children too
	cmd.WaitDelay = 5 * time.Second
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	m, err := watch(cmd)
	if err == nil {
		return m, nil
	}
	if ctx.Err() != nil {
		return m, fmt.Errorf("stopped after %v", patience)
	}
	text := strings.Join(strings.Fields(said.String()), " ")
	if len(text) > 600 {
		text = text[:300] + " … " + text[len(text)-300:]
	}
	return m, fmt.Errorf("%w: %s", err, text)
}

// messages counts what the client has on the disk: files of its own format.
func (s *stand) messages() (n int, err error) {
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

package config

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"archiverd/internal/redact"
)

// isWithheld reports whether a variable of the environment is not for a password command:
// what service managers give to the daemon alone (its credentials are those of all
// accounts; with NOTIFY_SOCKET a command could end the watchdog), archiverd's own
// settings, and the names of terminals.
func isWithheld(name string) bool {
	for _, prefix := range []string{"ARCHIVERD_", "LISTEN_", "WATCHDOG_", "MEMORY_PRESSURE_", "FDSTORE"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return slices.Contains([]string{
		"NOTIFY_SOCKET", "MAINPID", "MANAGERPID", "CREDENTIALS_DIRECTORY", "ENCRYPTED_CREDENTIALS_DIRECTORY",
		"INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "GPG_TTY", "SSH_TTY",
	}, name)
}

// commandEnvironment returns the environment of a password command: all of environ but
// the variables of isWithheld and those in secrets. What a password store needs has many
// names (HOME, DBUS_SESSION_BUS_ADDRESS, GNUPGHOME, BW_SESSION, …), so all else is kept.
func commandEnvironment(environ, secrets []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return isWithheld(name) || slices.Contains(secrets, name)
	})
}

// runCommand runs argv without a shell, in a session of its own that has no terminal, and
// returns the first line it prints.
func runCommand(ctx context.Context, argv, environ []string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	name := printable(argv[0])
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = environ
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out := &capture{limit: maxSecret, full: cancel}
	stderr := &capture{limit: maxSecret}
	cmd.Stdout, cmd.Stderr = out, stderr
	// A background process of the command may keep its output open: do not wait for it.
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	defer func() { clear(out.b) }()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // the command itself succeeded
	}
	switch {
	case out.over:
		return nil, fmt.Errorf("%s printed more than %d octets; it must print the password and end", name, maxSecret)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("%s did not end in time: it must print the password without asking anybody: %w", name, ctx.Err())
	case ctx.Err() != nil:
		return nil, fmt.Errorf("run %s: %w", name, ctx.Err())
	case err != nil && len(stderr.b) > 0:
		return nil, fmt.Errorf("run %s: %w: %q", name, err, stderr.without(out.b))
	case err != nil:
		return nil, fmt.Errorf("run %s: %w", name, err)
	}
	return firstLine(out.b)
}

// capture stores the first octets of what a command prints.
type capture struct {
	b     []byte
	limit int
	over  bool
	full  func() // called when there is more, nil to ignore it
}

func (c *capture) Write(p []byte) (int, error) {
	n := min(len(p), c.limit-len(c.b))
	c.b = append(c.b, p[:n]...)
	if n < len(p) && c.full != nil {
		c.over = true
		c.full()
	}
	return len(p), nil
}

// maxShownError is how many octets of what a command says are shown.
const maxShownError = 500

// without returns the beginning of the captured text without the password, which is the
// first line of the output: a command that traces itself must not reveal it.
func (c *capture) without(output []byte) string {
	text := string(c.b)
	if password, err := firstLine(output); err == nil {
		text = redact.New("", string(password)).Text(text)
		clear(password)
	}
	if len(text) > maxShownError { // only now: a part of a password would not be found
		text = strings.ToValidUTF8(text[:maxShownError], "")
	}
	return strings.TrimSpace(text)
}

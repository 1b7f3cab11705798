package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"
)

// runCommand runs argv without a shell and returns the first line it prints.
func runCommand(ctx context.Context, argv []string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	name := printable(argv[0])
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	out := &capture{limit: maxSecret, full: cancel}
	stderr := &capture{limit: 500}
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

// without returns the captured text without the password, which is the first line
// of the output: a command that traces itself must not reveal it.
func (c *capture) without(output []byte) []byte {
	password, err := firstLine(output)
	if err != nil {
		return bytes.TrimSpace(c.b)
	}
	defer clear(password)
	return bytes.TrimSpace(bytes.ReplaceAll(c.b, password, []byte(hidden)))
}

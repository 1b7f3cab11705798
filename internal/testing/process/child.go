package process

import (
	"bytes"
	"fmt"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// child is one run of a program.
type child struct {
	pid  int             // of the program, and of the process group of all its children
	done <-chan struct{} // closed when the program has ended and its output is read
}

// startChild starts a program in a process group of its own. The kernel sends it
// SIGTERM when this process dies, even by a timeout or a panic.
func startChild(cmd *exec.Cmd) (*child, error) {
	cmd.WaitDelay = timeout
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Pdeathsig = true, syscall.SIGTERM
	started, done := make(chan error), make(chan struct{})
	go func() {
		// Pdeathsig is sent when the thread that started the child ends, so the thread
		// must live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // a server's exit status says nothing that its log does not
			close(done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return &child{pid: cmd.Process.Pid, done: done}, nil
}

// signal sends a signal to all processes of the child.
func (c *child) signal(s syscall.Signal) error { return syscall.Kill(-c.pid, s) }

// output collects what a server prints, over all its runs. It is safe for
// concurrent use.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	run  int // offset of the latest run's first octet
}

// startRun begins the part of a new run.
func (o *output) startRun() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.run = o.text.Len()
}

// Write implements [io.Writer].
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// latestRun returns what the latest run has printed.
func (o *output) latestRun() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text.Bytes()[o.run:])
}

// String returns what all runs have printed.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

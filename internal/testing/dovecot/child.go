package dovecot

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// errPortTaken is returned when another process has one of the server's ports.
var errPortTaken = errors.New("port taken")

// child is one run of the program.
type child struct {
	pid  int             // of the master, and of the process group of all
	done <-chan struct{} // closed when the master is gone and its log is read
}

// StartChild starts a program in a process group of its own, whose id is the
// program's. It is told to end when this process dies, even by a timeout or a
// panic. done is closed when it is gone and its output is read.
func StartChild(cmd *exec.Cmd) (done <-chan struct{}, err error) {
	cmd.WaitDelay = patience
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Pdeathsig = true, syscall.SIGTERM
	started, gone := make(chan error), make(chan struct{})
	go func() {
		// The signal comes when the parent thread dies: keep this one to the end.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait() // its status says nothing: the log does
			close(gone)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return gone, nil
}

// log keeps what the server writes, and waits for a word in it.
type log struct {
	mu    sync.Mutex
	text  bytes.Buffer
	start int // where the latest run's part begins
	word  string
	seen  chan struct{}
}

// expect begins the part of a new run, and returns a channel that is closed when
// the word stands in that part.
func (l *log) expect(word string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.start, l.word, l.seen = l.text.Len(), word, make(chan struct{})
	return l.seen
}

// Write implements [io.Writer].
func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	if l.word != "" && bytes.Contains(l.text.Bytes()[l.start:], []byte(l.word)) {
		l.word = ""
		close(l.seen)
	}
	return len(p), nil
}

func (l *log) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text.Bytes()[l.start:])
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

package dovecot

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// errPortTaken is returned when another process has one of the server's ports.
var errPortTaken = errors.New("port taken")

// child is one run of the program.
type child struct {
	pid  int           // of the master, and of the process group of all
	done chan struct{} // closed when the master is gone and its log is read
}

// start runs the program in a process group of its own. It is told to end when
// this process dies, even by a timeout or a panic.
func (c *child) start(program, conf string, log *log) error {
	cmd := exec.Command(program, "-F", "-c", conf)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TZ=UTC"} // not NOTIFY_SOCKET, not LISTEN_FDS
	cmd.Stdout, cmd.Stderr = log, log
	cmd.WaitDelay = patience
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	started := make(chan error)
	go func() {
		// The signal comes when the parent thread dies: keep this one to the end.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			c.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			cmd.Wait() // its status says nothing: the log does
			close(c.done)
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", program, err)
	}
	return nil
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

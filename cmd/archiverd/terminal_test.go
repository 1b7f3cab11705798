package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/mattn/go-runewidth"
	"golang.org/x/sys/unix"

	"archiverd/internal/testing/dovecot"
)

// terminal is a pseudo-terminal whose far end the test has.
type terminal struct {
	*buffer // what is on the screen, and was
	far     *os.File
	near    *os.File
}

func openTerminal(t *testing.T, columns uint16) *terminal {
	t.Helper()
	far, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals: %v", err)
	}
	if err := unix.IoctlSetPointerInt(int(far.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(far.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	near, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(near.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
	term := &terminal{&buffer{}, far, near}
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 4096)
		for {
			n, err := far.Read(buf)
			term.Write(buf[:n])
			if err != nil {
				return // nobody has the near end any more
			}
		}
	}()
	t.Cleanup(func() {
		near.Close()
		<-read
		far.Close()
	})
	return term
}

// echoes reports whether the terminal shows typed characters.
func (term *terminal) echoes(t *testing.T) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(term.near.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// startOn is start with a terminal for all streams.
func (s *site) startOn(term *terminal, args ...string) *process {
	s.t.Helper()
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = term.near, term.near, term.near
	p := s.execute(cmd)
	p.out = term.buffer
	return p
}

// TestPasswordPrompt: a typed password is not shown, and after Ctrl-C the terminal
// shows typed characters again.
func TestPasswordPrompt(t *testing.T) {
	t.Parallel()
	srv := dovecot.Start(t)
	u := srv.User(t, "alice")
	s := newSite(t)
	for _, c := range []struct {
		typed  string
		status int
		shows  string
	}{
		{u.Password + "\n", 0, "alice: complete"},
		{"not this\n", 1, "check username and password"},
		{"half\x03", 1, ""},
		{u.Password + "\n", 0, "alice: complete"},
	} {
		term := openTerminal(t, 80)
		p := s.startOn(term, "sync", "--server", srv.Addr, "--tls-ca-file", srv.CAFile, "--username", "alice", "--archive", s.archive)
		eventually(t, "the password is asked for", func() bool {
			return strings.Contains(term.String(), "Password of alice on "+srv.Addr) && !term.echoes(t)
		})
		if _, err := term.far.WriteString(c.typed); err != nil {
			t.Fatal(err)
		}
		p.wait().want(c.status)
		eventually(t, "it shows "+c.shows, func() bool { return strings.Contains(term.String(), c.shows) })
		if !term.echoes(t) {
			t.Error("the terminal is left without its echo")
		}
		if strings.Contains(term.String(), strings.TrimSpace(c.typed)) {
			t.Errorf("the password is shown:\n%s", term)
		}
	}
}

// TestProgress: on a terminal a sync shows its progress in one line, which it
// removes at its end.
func TestProgress(t *testing.T) {
	t.Parallel()
	srv := dovecot.Start(t)
	u := srv.User(t, "alice")
	u.Dial(t).Load(dovecot.Corpus(13, 400))
	logRecord := regexp.MustCompile(`time=\S+ level=[^\r\n]*\r?\n`) // may be longer than a line
	for _, columns := range []uint16{72, 100, 40} {
		s := newSite(t)
		tap := newProxy(t, srv.PlainAddr)
		tap.passAtMost(1 << 20)
		s.configure("accounts:\n", s.plain(tap.Addr, u))
		term := openTerminal(t, columns)
		p := s.startOn(term, "sync")
		eventually(t, "the proxy stops the server", tap.limitReached)
		if columns > 70 {
			eventually(t, "a bar is shown", func() bool { return strings.Contains(term.String(), "%") && strings.Contains(term.String(), "|") })
		}
		tap.passAtMost(-1)
		p.wait().want(0)
		eventually(t, "the result is shown", func() bool { return strings.Contains(term.String(), "in all") })
		bar, _, _ := strings.Cut(term.String(), "alice: complete")
		bar = logRecord.ReplaceAllString(bar, "")
		if columns < 70 && bar != "" {
			t.Errorf("on %d columns it shows %q", columns, bar)
		}
		for _, line := range strings.FieldsFunc(bar, func(r rune) bool { return r == '\r' || r == '\n' }) {
			if w := runewidth.StringWidth(strings.ReplaceAll(line, "\x1b[2K", "")); w > int(columns) {
				t.Errorf("on %d columns it shows %d: %q", columns, w, line)
			}
		}
	}
}

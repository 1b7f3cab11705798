package dovecot

import (
	"crypto/sha256"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"archiverd/internal/testing/process"
)

// checkSame compares what is read with what was appended.
func checkSame(t *testing.T, mailbox string, got, want []Msg) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d messages, want %d", mailbox, len(got), len(want))
	}
	for i, g := range got {
		w := want[i]
		if g.SHA256 != w.SHA256 || g.Size != w.Size || !g.Date.Equal(w.Date) || !slices.Equal(g.Flags, w.Flags) {
			t.Fatalf("%s: message %d is\n%+v, want\n%+v", mailbox, i, g, w)
		}
	}
}

func TestCorpusGoesInAndComesOut(t *testing.T) {
	corpus := Corpus(1, 5000)
	for _, format := range []string{"mdbox", "sdbox", "maildir"} {
		t.Run(format, func(t *testing.T) {
			c := StartWith(t, Options{Format: format}).User(t, "alice").Dial(t)
			start := time.Now()
			c.Load(corpus)
			loaded := time.Now()
			var octets int64
			for _, m := range corpus {
				checkSame(t, m.Name, c.Read(m.Name), m.Msgs)
				for _, msg := range m.Msgs {
					octets += msg.Size
				}
			}
			t.Logf("%d octets, loaded in %v, read in %v", octets, loaded.Sub(start), time.Since(loaded))
		})
	}
}

// TestRealMail loads real mail. Dovecot refuses an empty message and turns a bare LF
// into CRLF, so only two readings of the server can be compared.
func TestRealMail(t *testing.T) {
	files := Mail(t)
	if files == nil {
		t.Skip("ARCHIVERD_TEST_MAIL is not set")
	}
	var msgs []Msg
	for _, f := range files {
		if len(f.Data) > 0 {
			msgs = append(msgs, Msg{Body: f.Data, SHA256: sha256.Sum256(f.Data)})
		}
	}
	u := Start(t).User(t, "alice")
	u.Dial(t).Append("INBOX", msgs...)
	first, second := u.Dial(t).Read("INBOX"), u.DialPlain(t).Read("INBOX")
	checkSame(t, "INBOX", second, first)
	if got, want := len(first), len(msgs); got != want {
		t.Fatalf("%d messages, want %d", got, want)
	}
	changed := 0
	for i, m := range first {
		if m.SHA256 != msgs[i].SHA256 {
			changed++
		}
	}
	t.Logf("%d files and messages, %d empty, %d not as they were appended", len(files), len(files)-len(msgs), changed)
}

func TestClientChangesMailboxes(t *testing.T) {
	c := Start(t).User(t, "alice").Dial(t)
	body := []byte("Subject: one\r\n\r\ntext\r\n")
	c.Create("Проекты/日本語 & \"more\"")
	c.Append("Проекты/日本語 & \"more\"", Msg{Body: body}, Msg{Body: body}, Msg{Body: body})
	c.Rename("Проекты", "Projekte")
	if got, want := c.Do(`LIST "" Projekte/*`), `* LIST (\HasNoChildren) "/" "Projekte/&ZeVnLIqe- &- \"more\""`; len(got) != 1 || got[0] != want {
		t.Errorf("LIST is %q, want %q", got, want)
	}
	const mailbox = "Projekte/日本語 & \"more\""
	c.Store(mailbox, `+FLAGS (\Flagged $Work)`, 1, 3)
	c.Expunge(mailbox, 2)
	for i, m := range c.Read(mailbox) {
		if got, want := m.UID, []uint32{1, 3}[i]; got != want {
			t.Errorf("message %d has UID %d, want %d", i, got, want)
		}
		if got, want := m.Flags, []string{"$Work", `\Flagged`}; !slices.Equal(got, want) {
			t.Errorf("message %d has flags %q, want %q", i, got, want)
		}
		if got, want := m.SHA256, sha256.Sum256(body); got != want {
			t.Errorf("message %d is not as appended", i)
		}
	}
	c.Delete(mailbox)
	if _, err := c.Try("EXAMINE " + name(mailbox)); err == nil || !strings.Contains(err.Error(), "doesn't exist") {
		t.Errorf("EXAMINE of a deleted mailbox: %v, want a refusal", err)
	}
	if _, err := c.Try("APPEND INBOX {0+}\r\n"); err == nil || !strings.Contains(err.Error(), "zero byte") {
		t.Errorf("APPEND of an empty message: %v, want a refusal", err)
	}
	c.Close()
}

func TestServersShareNothing(t *testing.T) {
	one, two := Start(t), StartWith(t, Options{Extra: "login_greeting = the second"})
	one.User(t, "alice").Dial(t).Append("INBOX", Msg{Body: []byte("one\r\n")})
	if got := two.User(t, "alice").Dial(t).Read("INBOX"); len(got) != 0 {
		t.Errorf("a message went to the other server: %v", got)
	}
	conn, err := net.Dial("tcp", two.PlainAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	line := make([]byte, 200)
	n, err := conn.Read(line)
	if err != nil || !strings.HasSuffix(string(line[:n]), "the second\r\n") {
		t.Errorf("greeting %q (%v), want the one of Extra", line[:n], err)
	}
}

func TestPasswords(t *testing.T) {
	s := Start(t)
	odd := s.AddUser(t, "bob@example.org", `a:b {PLAIN} "ü\`)
	odd.Dial(t).Append("INBOX", Msg{Body: []byte("kept\r\n")})
	c := odd.Dial(t)
	changed := s.AddUser(t, "bob@example.org", "another password")
	if got := changed.DialPlain(t).Read("INBOX"); len(got) != 1 {
		t.Errorf("with the new password there are %d messages, want 1", len(got))
	}
	c.Close()
	if _, err := DialAt(t, s.Addr, s.TLS, odd.Name, odd.Password); err == nil || !strings.Contains(err.Error(), "AUTHENTICATIONFAILED") {
		t.Errorf("with the old password: %v, want AUTHENTICATIONFAILED", err)
	}
	if _, err := DialAt(t, s.Addr, s.TLS, "stranger", "x"); err == nil || !strings.Contains(err.Error(), "AUTHENTICATIONFAILED") {
		t.Errorf("an unknown user: %v, want AUTHENTICATIONFAILED", err)
	}
}

func TestKillAndRestart(t *testing.T) {
	s := Start(t)
	u := s.User(t, "alice")
	c := u.Dial(t)
	c.Append("INBOX", Msg{Body: []byte("before\r\n")})
	s.Kill(t)
	if _, err := c.Try("NOOP"); err == nil {
		t.Error("a killed server answers")
	}
	if conn, err := net.Dial("tcp", s.Addr); err == nil {
		// A process may listen until the kernel has ended it.
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("a killed server sends a greeting")
		}
		conn.Close()
	}
	for range 2 { // the second time the server runs
		s.Restart(t)
		if got := u.Dial(t).Read("INBOX"); len(got) != 1 {
			t.Errorf("after a restart there are %d messages, want 1", len(got))
		}
	}
	if got, want := strings.Count(s.Log(), "starting up"), 3; got != want {
		t.Errorf("the log has %d starts, want %d", got, want)
	}
}

// TestPortTaken starts a server while another process has its plaintext port: it gets
// another one.
func TestPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := spec(program.Find(t), Options{})
	configure, configured := p.Configure, 0
	p.Configure = func(s *process.Server) error {
		if configured++; configured == 1 {
			s.PlainAddr = l.Addr().String()
		}
		return configure(s)
	}
	s := &Server{process.Start(t, p)}
	s.User(t, "alice").DialPlain(t)
	if configured != 2 {
		t.Errorf("the server was configured %d times, want 2", configured)
	}
}

// TestRestartWaitsForPort restarts a server whose port is free only after the first try.
func TestRestartWaitsForPort(t *testing.T) {
	s := Start(t)
	s.Kill(t)
	l, err := net.Listen("tcp", s.PlainAddr)
	if err != nil {
		t.Fatal(err)
	}
	released := make(chan error)
	go func() {
		for range time.Tick(5 * time.Millisecond) {
			if strings.Contains(s.Log(), "Address already in use") {
				break
			}
		}
		released <- l.Close()
	}()
	s.Restart(t)
	if err := <-released; err != nil {
		t.Fatal(err)
	}
	s.User(t, "alice").DialPlain(t)
}

package cyrus

import (
	"crypto/sha256"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"archiverd/internal/testing/dovecot"
	"archiverd/internal/testing/process"
)

// checkSame compares what is read with what was appended.
func checkSame(t *testing.T, mailbox string, got, want []dovecot.Msg) {
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
	for _, x := range []struct {
		name      string
		options   Options
		namespace string
		prefix    string
	}{
		{"slashes", Options{}, `* NAMESPACE (("" "/"))`, ""},
		{"dots", Options{Dots: true}, `* NAMESPACE (("" "."))`, ""},
		{"prefix, slashes", Options{Prefix: true}, `* NAMESPACE (("INBOX/" "/"))`, "INBOX/"},
		{"prefix, dots", Options{Prefix: true, Dots: true}, `* NAMESPACE (("INBOX." "."))`, "INBOX."},
	} {
		t.Run(x.name, func(t *testing.T) {
			start := time.Now()
			x.options.Settings = map[string]string{"munge8bit": "no"}
			u := StartWith(t, x.options).User(t, "alice")
			started := time.Now()
			c := u.Dial(t)
			if got := strings.Join(c.Do("NAMESPACE"), ""); !strings.HasPrefix(got, x.namespace) {
				t.Errorf("NAMESPACE is %q, want %q and more", got, x.namespace)
			}
			corpus := dovecot.Corpus(1, 600)
			for i := range corpus {
				m := &corpus[i]
				if x.options.Dots {
					m.Name = strings.ReplaceAll(m.Name, "/", ".")
				}
				if m.Name != "INBOX" {
					m.Name = x.prefix + m.Name
				}
			}
			c.Load(corpus)
			loaded := time.Now()
			second := u.DialPlain(t)
			for _, m := range corpus {
				checkSame(t, m.Name, second.Read(m.Name), m.Msgs)
			}
			t.Logf("started in %v, loaded in %v, read in %v", started.Sub(start), loaded.Sub(started), time.Since(loaded))
		})
	}
}

func TestSettings(t *testing.T) {
	c := StartWith(t, Options{Settings: map[string]string{"autocreate_quota": "4"}}).User(t, "alice").Dial(t)
	body := "Subject: five kilobytes\r\n\r\n" + strings.Repeat("x", 5<<10) + "\r\n"
	_, err := c.Try("APPEND INBOX {5149+}\r\n" + body)
	if err == nil || !strings.Contains(err.Error(), "Over quota") {
		t.Errorf("a message above the quota: %v, want a refusal", err)
	}
}

// TestEightBitHeaderIsMunged shows that Cyrus replaces each 8-bit octet of a header
// with X unless munge8bit is no. It leaves the body as it is.
func TestEightBitHeaderIsMunged(t *testing.T) {
	body := []byte("Subject: grün\r\n\r\ngrün\r\n")
	want := []byte("Subject: grXXn\r\n\r\ngrün\r\n")
	for setting, want := range map[string][]byte{"yes": want, "no": body} {
		c := StartWith(t, Options{Settings: map[string]string{"munge8bit": setting}}).User(t, "alice").Dial(t)
		c.Append("INBOX", dovecot.Msg{Body: body})
		if got := c.Read("INBOX"); got[0].SHA256 != sha256.Sum256(want) {
			t.Errorf("munge8bit: %s: the message is not %q", setting, want)
		}
	}
}

func TestPasswords(t *testing.T) {
	s := Start(t)
	odd := s.AddUser(t, "bob", `a:b {PLAIN} "ü\`)
	odd.Dial(t).Append("INBOX", dovecot.Msg{Body: []byte("Subject: kept\r\n\r\n")})
	changed := s.AddUser(t, "bob", "another password")
	if got := changed.Dial(t).Read("INBOX"); len(got) != 1 {
		t.Errorf("with the new password there are %d messages, want 1", len(got))
	}
	for name, password := range map[string]string{"bob": odd.Password, "stranger": "x"} {
		if _, err := dovecot.DialAt(t, s.Addr, s.TLS, name, password); err == nil || !strings.Contains(err.Error(), "Login failed") {
			t.Errorf("%s with password %q: %v, want a refusal", name, password, err)
		}
	}
}

func TestServersShareNothing(t *testing.T) {
	one, two := Start(t), Start(t)
	one.User(t, "alice").Dial(t).Append("INBOX", dovecot.Msg{Body: []byte("Subject: one\r\n\r\n")})
	if got := two.User(t, "alice").Dial(t).Read("INBOX"); len(got) != 0 {
		t.Errorf("a message went to the other server: %v", got)
	}
}

func TestNothingIsLeft(t *testing.T) {
	var s *Server
	t.Run("server", func(t *testing.T) {
		s = Start(t)
		s.User(t, "alice").Dial(t)
	})
	if s == nil {
		t.Skip("no Cyrus")
	}
	// Each process of a service has its listening socket until it has ended, and resets
	// a connection made at that moment.
	for _, addr := range []string{s.Addr, s.PlainAddr} {
		conn, err := net.Dial("tcp", addr)
		for end := time.Now().Add(time.Minute); !errors.Is(err, syscall.ECONNREFUSED) && time.Now().Before(end); conn, err = net.Dial("tcp", addr) {
			if err == nil {
				conn.Close()
			}
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial the ended server: %v, want %v", err, syscall.ECONNREFUSED)
		}
	}
	if _, err := os.Stat(s.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the server's directory: %v, want none", err)
	}
}

// TestPortTaken starts a server while another has one of its ports: it gets others.
func TestPortTaken(t *testing.T) {
	for _, port := range []string{"TLS", "plain"} {
		t.Run(port, func(t *testing.T) {
			other := Start(t)
			l := &logins{}
			p := spec(t, Options{}, l)
			configure, configured := p.Configure, 0
			p.Configure = func(s *process.Server) error {
				if configured++; configured > 1 {
					return configure(s)
				}
				if port == "TLS" {
					s.Addr = other.Addr
				} else {
					s.PlainAddr = other.PlainAddr
				}
				return configure(s)
			}
			s := &Server{process.Start(t, p), l}
			s.User(t, "alice").DialPlain(t)
			if configured != 2 {
				t.Errorf("the server was configured %d times, want 2", configured)
			}
		})
	}
}

package wire

import (
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"archiverd/internal/testing/process"
)

// alpnServer is a TLS server that judges the protocols in each ClientHello. It counts the
// connections.
type alpnServer struct {
	address string
	client  *tls.Config

	mu     sync.Mutex
	hellos []string // the protocols of each connection
}

// newALPNServer starts a server that greets, unless refuse returns an error for the
// protocols: then it sends an alert, or hangs up if drop is set.
func newALPNServer(t *testing.T, drop bool, refuse func(protocols []string) error) *alpnServer {
	t.Helper()
	certificate, err := process.NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	config, err := certificate.ServerTLS()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &alpnServer{address: l.Addr().String(), client: certificate.ClientTLS()}
	config.NextProtos = nil
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		s.mu.Lock()
		s.hellos = append(s.hellos, strings.Join(hello.SupportedProtos, ","))
		s.mu.Unlock()
		err := refuse(hello.SupportedProtos)
		if err != nil && drop {
			hello.Conn.Close()
		}
		return nil, err
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			wait.Go(func() {
				defer raw.Close()
				conn := tls.Server(raw, config)
				if conn.Handshake() != nil {
					return
				}
				conn.Write([]byte("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hello\r\n"))
				conn.Read(make([]byte, 1)) // until the client hangs up
			})
		}
	})
	t.Cleanup(func() { l.Close(); wait.Wait() })
	return s
}

// dialTimes connects n times, one after the other, and returns the ClientHellos.
func (s *alpnServer) dialTimes(t *testing.T, n int, o Options) ([]string, error) {
	t.Helper()
	o.Address, o.TLS = s.address, s.client
	for range n {
		c, err := Dial(t.Context(), o)
		if err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.hellos, err
		}
		c.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hellos, nil
}

var errRefused = errors.New("refused")

// A server that drops a ClientHello with ALPN never sees one; one that requires it, by an
// alert or by hanging up, gets it at the second connection and from then on.
func TestALPN(t *testing.T) {
	forbidden := func(protocols []string) error {
		if len(protocols) > 0 {
			return errRefused
		}
		return nil
	}
	required := func(protocols []string) error {
		if !slices.Contains(protocols, "imap") {
			return errRefused
		}
		return nil
	}
	for _, c := range []struct {
		name   string
		drop   bool
		refuse func([]string) error
		want   []string
	}{
		{"dropped", true, forbidden, []string{"", "", ""}},
		{"refused", false, forbidden, []string{"", "", ""}},
		{"required, or dropped", true, required, []string{"", "imap", "imap", "imap"}},
		{"required, or refused", false, required, []string{"", "imap", "imap", "imap"}},
		{"ignored", false, func([]string) error { return nil }, []string{"", "", ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newALPNServer(t, c.drop, c.refuse)
			got, err := s.dialTimes(t, 3, Options{ALPN: &ALPN{}})
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("the ClientHellos have %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

// A server that takes neither gets two connections, and the first error is told. One
// whose certificate is not trusted gets one.
func TestALPNIsNotTheFault(t *testing.T) {
	s := newALPNServer(t, true, func([]string) error { return errRefused })
	if got, err := s.dialTimes(t, 1, Options{ALPN: &ALPN{}}); err == nil || !slices.Equal(got, []string{"", "imap"}) {
		t.Errorf("the ClientHellos have %q, %v", got, err)
	}
	s = newALPNServer(t, false, func([]string) error { return nil })
	s.client = &tls.Config{ServerName: "localhost"}
	if got, err := s.dialTimes(t, 1, Options{}); Classify(err) != ClassTLS || !slices.Equal(got, []string{""}) {
		t.Errorf("the ClientHellos have %q, %v", got, err)
	}
}

// What succeeded is forgotten when it fails, and port 443 begins the other way round.
func TestALPNIsRemembered(t *testing.T) {
	var a ALPN
	if say, known := a.choose("a:993"); say || known {
		t.Error("it is said at first")
	}
	if say, known := a.choose("a:443"); !say || known {
		t.Error("it is not said to port 443")
	}
	a.remember("a:993", true)
	if say, known := a.choose("a:993"); !say || !known {
		t.Error("it is not remembered")
	}
	a.forget("a:993")
	if say, known := a.choose("a:993"); say || known {
		t.Error("it is not forgotten")
	}
}

// A name that leads off this machine gets nothing where only the loopback may be used.
func TestLoopbackOnly(t *testing.T) {
	for _, address := range []string{"192.0.2.1:143", "[2001:db8::1]:143", "0.0.0.0:143", "[::ffff:192.0.2.1]:143"} {
		_, err := Dial(t.Context(), Options{Address: address, Security: Plaintext, LoopbackOnly: true})
		if !errors.Is(err, ErrNotLoopback) || Classify(err) != ClassTLS {
			t.Errorf("%s: %v", address, err)
		}
	}
	for address, ok := range map[string]bool{"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "[::ffff:127.0.0.1]:1": true, "[::]:1": false, "10.0.0.1:1": false, "localhost:1": false} {
		if err := checkLoopback(t.Context(), "tcp", address, nil); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}

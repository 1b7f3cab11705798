// Package imapd is a small IMAP server in the process and in memory, for the demo, tests
// and restore drills. Closing it drops all of its mail.
//
// A Server has Users, a User has Mailboxes, a Mailbox has Messages. All of them can be
// read and changed from Go while clients are connected; the clients are sent the
// changes. go-imap's imapserver implements the protocol.
//
// Guarantees:
//
//   - A message is octets. FETCH returns exactly those of Append or APPEND: bare LFs,
//     NULs, no header, no line end at the end. No message is parsed and composed again.
//   - Keywords keep their case, INTERNALDATE its zone, a mailbox its name.
//   - UIDs ascend and are never used twice under one UIDVALIDITY. A UIDVALIDITY is never
//     used twice in one server.
//   - EXAMINE changes nothing.
//   - No shared lock is held while octets are sent to or received from a client: a slow
//     client delays no other.
//
// It has no persistence, no MIME (ENVELOPE, BODYSTRUCTURE and body parts are refused
// with NO), no CONDSTORE, no quota and no shared mailboxes.
package imapd

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"archiverd/internal/safetext"
)

// Options of a Server. The zero value is a plain server for loopback.
type Options struct {
	Delimiter   rune         // between the levels of mailbox names; 0 means '/'
	TLS         *tls.Config  // nil: no encryption, LOGIN in the clear
	StartTLS    bool         // with TLS: the connection starts in the clear, and LOGIN needs STARTTLS
	UIDValidity uint32       // of the first mailbox, ascending from there; 0 means Unix time in seconds
	AppendLimit uint32       // largest message of APPEND in octets (RFC 7889); 0 means 4 GiB
	SpoolDir    string       // for large messages of APPEND; "" means os.TempDir()
	Log         *slog.Logger // for the errors of clients, at level debug; nil: none
}

// Server is an IMAP server. New makes it; the caller closes it. Its methods may be
// called from several goroutines.
type Server struct {
	options Options
	imap    *imapserver.Server
	spool   spool
	running sync.WaitGroup // the accept loops and the sessions

	mu          sync.Mutex // guards the fields below
	users       map[string]*User
	conns       map[net.Conn]struct{} // every connection accepted and not ended
	uidValidity uint32                // of the next mailbox
	closed      bool

	bodies, octets atomic.Int64 // sent, see Sent
}

// ErrClosed is returned by Listen after Close.
var ErrClosed = errors.New("server closed")

// New returns a server without users that does not listen yet.
func New(o Options) *Server {
	if o.Delimiter == 0 {
		o.Delimiter = '/'
	}
	if o.UIDValidity == 0 {
		o.UIDValidity = uint32(time.Now().Unix())
	}
	if o.AppendLimit == 0 {
		o.AppendLimit = 1<<32 - 1
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		options:     o,
		users:       make(map[string]*User),
		conns:       make(map[net.Conn]struct{}),
		uidValidity: o.UIDValidity,
	}
	s.spool.dir = o.SpoolDir
	opts := &imapserver.Options{
		NewSession: s.newSession,
		Caps: imap.CapSet{
			imap.CapIMAP4rev1: {}, imap.CapNamespace: {}, imap.CapUIDPlus: {}, imap.CapESearch: {},
			imap.CapListExtended: {}, imap.CapListStatus: {}, imap.CapChildren: {}, imap.CapMove: {},
			imap.CapStatusSize: {}, imap.CapSpecialUse: {}, imap.CapCreateSpecialUse: {}, imap.CapLiteralPlus: {},
		},
		Logger:       logger{o.Log},
		InsecureAuth: o.TLS == nil,
	}
	if o.StartTLS {
		opts.TLSConfig = o.TLS
	}
	s.imap = imapserver.New(opts)
	return s
}

// AddUser adds a user with a password and an empty INBOX. It replaces an earlier
// user of that name.
func (s *Server) AddUser(name, password string) *User {
	u := &User{server: s, password: password, mailboxes: make(map[string]*Mailbox)}
	u.mailboxes[inbox] = newMailbox(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[name] = u
	return u
}

// Listen accepts connections at a TCP address such as "127.0.0.1:0" until Close. It
// returns the address with the real port.
func (s *Server) Listen(addr string) (string, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("listen: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return "", errors.Join(ErrClosed, ln.Close())
	}
	var tracked net.Listener = &listener{ln, s}
	if s.options.TLS != nil && !s.options.StartTLS {
		tracked = tls.NewListener(tracked, s.options.TLS)
	}
	s.running.Go(func() {
		defer ln.Close()
		if err := s.imap.Serve(tracked); err != nil {
			s.options.Log.Debug("accept loop ended", "error", err)
		}
	})
	return ln.Addr().String(), nil
}

// Sent returns how many message bodies (BODY[], whole or in part) have been sent since
// New, and how many octets they had.
func (s *Server) Sent() (bodies, octets int64) { return s.bodies.Load(), s.octets.Load() }

// Close stops listening, closes all connections and waits for their sessions. Large
// messages can't be read after it. A second Close does nothing.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	for c := range s.conns {
		c.Close() // ends the session
	}
	s.mu.Unlock()
	err := s.imap.Close()
	s.running.Wait()
	if err := errors.Join(err, s.spool.close()); err != nil {
		return fmt.Errorf("close server: %w", err)
	}
	return nil
}

// nextUIDValidity returns a value that no mailbox of this server had before.
func (s *Server) nextUIDValidity() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uidValidity++
	return s.uidValidity - 1
}

// listener adds the connections it accepts to the server's: imapserver.Server.Close
// misses a connection that was just accepted, and waits for none.
type listener struct {
	net.Listener
	server *Server
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	s := l.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.Join(net.ErrClosed, c.Close())
	}
	s.conns[c] = struct{}{}
	s.running.Add(1) // until session.Close
	return c, nil
}

// logger logs what imapserver reports at level debug. The text may quote a client.
type logger struct{ *slog.Logger }

func (l logger) Printf(format string, args ...any) {
	l.Debug("imapserver", "message", safetext.Line(fmt.Sprintf(format, args...)))
}

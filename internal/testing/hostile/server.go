// Package hostile is an IMAP server for tests: truthful until a script makes it
// lie, stall, stutter or hang up.
//
// It is written line by line and shares nothing with the client under test nor
// with its library. By default it serves its mailboxes byte for byte: CAPABILITY,
// STARTTLS, LOGIN, AUTHENTICATE PLAIN and LOGIN, LIST with RETURN (STATUS),
// STATUS, EXAMINE, SELECT, UID SEARCH, FETCH by UID or number (of EMAILID, X-GM-MSGID
// and X-GM-LABELS too), NOOP, LOGOUT. A Script
// sees every command first; it may answer in its own octets, and leave the rest
// of the answer, or all of it, to the server. Commands are recorded.
//
// It changes nothing, checks no syntax, and is no model of a good server.
package hostile

import (
	"bufio"
	"compress/flate"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"archiverd/internal/testing/process"
)

// Message is one message. Date is an INTERNALDATE without its quotes.
type Message struct {
	UID    uint32
	Flags  string // "\\Seen $Junk"
	Date   string
	Body   []byte
	ModSeq uint64
	ID     string // EMAILID, and X-GM-MSGID
	Labels string // X-GM-LABELS: "\\Inbox \"a label\""
}

// Mailbox is one mailbox; Name is as it goes over the wire.
type Mailbox struct {
	Name          string
	Attrs         string
	UIDValidity   uint32
	UIDNext       uint32 // 0: one above the last message
	HighestModSeq uint64
	Messages      []Message
}

// Options describe a server. Every zero value is an honest default.
type Options struct {
	TLS          bool   // from the first octet
	StartTLS     bool   // offered
	Capabilities string // default "IMAP4rev1 AUTH=PLAIN"
	Username     string // default "alice"
	Password     string // default "secret"
	Mailboxes    []Mailbox

	// Greet, if set, takes the place of the greeting; it returns false to hang up.
	Greet func(s *Session) bool
	// Script, if set, sees each command first. If it returns false, the server
	// answers as well.
	Script func(s *Session, cmd Command) (handled bool)
	// Deflate offers COMPRESS=DEFLATE (RFC 4978).
	Deflate bool
	// Literal, if set, sees what has come of a command each time that it ends in the
	// size of a literal, and whether the client waits to be asked for it. It returns
	// false if the literal does not come: then it has answered the command itself.
	Literal func(s *Session, sent string, waits bool) (comes bool)
	// InMemory makes a server without a socket, to which only Dial connects. A test in a
	// bubble of package testing/synctest needs it, where time passes only while
	// everybody waits: no deadline depends on how busy the machine is.
	InMemory bool
	// Drop is from how many octets on a literal is left out of what is given to
	// Script, and so takes no memory; 0: none is.
	Drop int
}

// Command is one command of a client.
type Command struct {
	Tag  string
	Name string // upper case, with UID: "UID FETCH"
	Args string // as sent, literals in place
}

// Server listens on a port of the loopback interface.
type Server struct {
	opt      Options
	listener net.Listener
	wait     sync.WaitGroup

	serverTLS *tls.Config
	clientTLS *tls.Config // nil without TLS

	mu       sync.Mutex
	closed   bool
	sessions map[*Session]bool
	commands []string
}

// New starts a server. The caller closes it.
func New(o Options) (*Server, error) {
	if o.Capabilities == "" {
		o.Capabilities = "IMAP4rev1 AUTH=PLAIN"
	}
	if o.Username == "" {
		o.Username = "alice"
	}
	if o.Password == "" {
		o.Password = "secret"
	}
	s := &Server{opt: o, sessions: make(map[*Session]bool), serverTLS: &tls.Config{}}
	if o.TLS || o.StartTLS {
		certificate, err := process.NewCertificate()
		if err != nil {
			return nil, err
		}
		s.clientTLS = certificate.ClientTLS()
		if s.serverTLS, err = certificate.ServerTLS(); err != nil {
			return nil, err
		}
	}
	if o.InMemory {
		s.listener = newMemoryListener()
	} else {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		s.listener = listener
	}
	s.wait.Add(1)
	go s.accept()
	return s, nil
}

// Address is host:port of the server.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Dial connects to the server, as a client's dialer. Address and network are ignored
// by a server in memory.
func (s *Server) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if l, ok := s.listener.(*memoryListener); ok {
		return l.dial(ctx.Done())
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// ClientTLS returns the configuration of a client that trusts the server, or nobody
// if the server has no TLS.
func (s *Server) ClientTLS() *tls.Config {
	if s.clientTLS == nil {
		return &tls.Config{ServerName: "localhost", RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	}
	return s.clientTLS.Clone()
}

// Commands returns all commands received so far, as "NAME args" without tags.
func (s *Server) Commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.commands...)
}

// Close ends all sessions and waits for them.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	for session := range s.sessions {
		_ = session.raw.Close() // a session that is gone already
	}
	s.mu.Unlock()
	err := s.listener.Close()
	s.wait.Wait()
	return err
}

func (s *Server) accept() {
	defer s.wait.Done()
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		session := &Session{Server: s, raw: conn, conn: conn, r: bufio.NewReader(conn), w: bufio.NewWriterSize(conn, 64<<10)}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			_ = conn.Close()
			continue
		}
		s.sessions[session] = true
		s.wait.Add(1)
		s.mu.Unlock()
		go func() {
			defer s.wait.Done()
			session.serve()
			_ = conn.Close()
			s.mu.Lock()
			delete(s.sessions, session)
			s.mu.Unlock()
		}()
	}
}

// Session is one connection.
type Session struct {
	Server *Server
	User   string   // after a login
	Open   *Mailbox // after EXAMINE

	raw, conn net.Conn
	r         *bufio.Reader
	w         *bufio.Writer
	over      bool
}

// Send writes octets as they are, at once. An error shows in the next read.
func (s *Session) Send(text string) {
	s.Write(text)
	_ = s.w.Flush()
}

// Write is Send, but the octets may wait for those that follow.
func (s *Session) Write(text string) { _, _ = s.w.WriteString(text) }

// Stall says nothing more, and returns when the client has gone.
func (s *Session) Stall() {
	s.over = true
	_, _ = io.Copy(io.Discard, s.r)
}

// Drip sends one octet of text after each pause, over and over, until the client has gone.
func (s *Session) Drip(text string, pause time.Duration) {
	s.over = true
	gone := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, s.conn)
		close(gone)
	}()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-gone:
			return
		case <-tick.C:
			s.Send(text[i%len(text) : i%len(text)+1])
		}
	}
}

// Flood sends text over and over until the client has gone.
func (s *Session) Flood(text string) {
	s.over = true
	for {
		if _, err := s.w.WriteString(text); err != nil {
			return
		}
	}
}

// HangUp ends the session after the script.
func (s *Session) HangUp() { s.over = true }

func (s *Session) secure() bool {
	conn := tls.Server(s.raw, s.Server.serverTLS)
	if conn.Handshake() != nil {
		return false
	}
	s.conn, s.r, s.w = conn, bufio.NewReader(conn), bufio.NewWriterSize(conn, 64<<10)
	return true
}

func (s *Session) serve() {
	if s.Server.opt.TLS && !s.secure() {
		return
	}
	if greet := s.Server.opt.Greet; greet == nil {
		s.Send("* OK [CAPABILITY " + s.Capabilities() + "] ready\r\n")
	} else if !greet(s) {
		return
	}
	for !s.over {
		cmd, err := s.command()
		if err != nil {
			return
		}
		s.Server.mu.Lock()
		s.Server.commands = append(s.Server.commands, strings.TrimSpace(cmd.Name+" "+cmd.Args))
		s.Server.mu.Unlock()
		if script := s.Server.opt.Script; script != nil && script(s, cmd) || s.over {
			continue
		}
		s.Answer(cmd)
	}
}

// Capabilities is what the server can now.
func (s *Session) Capabilities() string {
	if s.conn == s.raw && s.Server.opt.StartTLS {
		return s.Server.opt.Capabilities + " STARTTLS"
	}
	if s.Server.opt.Deflate {
		return s.Server.opt.Capabilities + " COMPRESS=DEFLATE"
	}
	return s.Server.opt.Capabilities
}

// compress puts DEFLATE between the session and the connection.
func (s *Session) compress() error {
	w, err := flate.NewWriter(s.conn, flate.DefaultCompression)
	if err != nil {
		return err
	}
	s.r = bufio.NewReader(flate.NewReader(s.r))
	s.w = bufio.NewWriterSize(flushing{w}, 64<<10)
	return nil
}

// flushing sends each write at once.
type flushing struct{ w *flate.Writer }

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if err == nil {
		err = f.w.Flush()
	}
	return n, err
}

// command reads one command, its literals too.
func (s *Session) command() (Command, error) {
	var text strings.Builder
	for {
		line, err := s.Line()
		if err != nil {
			return Command{}, err
		}
		text.WriteString(line)
		i := strings.LastIndexByte(line, '{')
		if i < 0 || !strings.HasSuffix(line, "}") {
			break
		}
		size, plus := strings.CutSuffix(line[i+1:len(line)-1], "+")
		n, err := strconv.Atoi(size)
		if err != nil {
			break
		}
		if hook := s.Server.opt.Literal; hook != nil && !hook(s, text.String(), !plus) {
			text.Reset()
			if s.over {
				return Command{}, io.EOF
			}
			continue
		}
		if !plus {
			s.Send("+ go on\r\n")
		}
		if drop := s.Server.opt.Drop; drop > 0 && n >= drop {
			if _, err := io.CopyN(io.Discard, s.r, int64(n)); err != nil {
				return Command{}, err
			}
			continue
		}
		octets := make([]byte, n)
		if _, err := io.ReadFull(s.r, octets); err != nil {
			return Command{}, err
		}
		text.WriteString("\r\n" + string(octets))
	}
	var cmd Command
	cmd.Tag, cmd.Args, _ = strings.Cut(text.String(), " ")
	cmd.Name, cmd.Args, _ = strings.Cut(cmd.Args, " ")
	cmd.Name = strings.ToUpper(cmd.Name)
	if cmd.Name == "UID" {
		var name string
		name, cmd.Args, _ = strings.Cut(cmd.Args, " ")
		cmd.Name += " " + strings.ToUpper(name)
	}
	return cmd, nil
}

// Line reads one line of the client's, without its end.
func (s *Session) Line() (string, error) {
	line, err := s.r.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}

package imapd

import (
	"crypto/subtle"
	"crypto/tls"
	"net"
	"sync"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

// session is one connection. imapserver calls its methods one after the other. Only Idle
// runs at the same time as others, until its stop channel is closed.
type session struct {
	server *Server
	conn   *imapserver.Conn
	base   net.Conn // the connection that the listener accepted, without TLS
	user   *User    // nil before LOGIN
	view   *view    // nil when no mailbox is selected

	idle sync.Mutex // locked by Idle; guards view
}

var (
	_ imapserver.SessionIMAP4rev2   = (*session)(nil)
	_ imapserver.SessionAppendLimit = (*session)(nil)
)

func (s *Server) newSession(conn *imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
	base := conn.NetConn()
	if c, ok := base.(*tls.Conn); ok {
		base = c.NetConn()
	}
	return &session{server: s, conn: conn, base: base}, nil, nil
}

// Close ends the session.
func (s *session) Close() error {
	s.idle.Lock()
	defer s.idle.Unlock()
	s.server.mu.Lock()
	delete(s.server.conns, s.base)
	s.server.mu.Unlock()
	s.server.running.Done()
	return nil
}

// Login handles LOGIN and AUTHENTICATE PLAIN.
func (s *session) Login(name, password string) error {
	s.server.mu.Lock()
	u := s.server.users[name]
	s.server.mu.Unlock()
	if u == nil || subtle.ConstantTimeCompare([]byte(password), []byte(u.password)) != 1 {
		return imapserver.ErrAuthFailed
	}
	s.user = u
	return nil
}

// Select handles SELECT and EXAMINE (RFC 9051 6.3.2, 6.3.3).
func (s *session) Select(name string, o *imap.SelectOptions) (*imap.SelectData, error) {
	m, err := s.user.selectable(name)
	if err != nil {
		return nil, err
	}
	s.idle.Lock()
	defer s.idle.Unlock()
	v, data := m.open(o.ReadOnly)
	if data.UIDValidity == 0 { // deleted in the meantime
		return nil, ErrNotFound
	}
	s.view = v
	return data, nil
}

// Unselect handles UNSELECT, and CLOSE after its EXPUNGE.
func (s *session) Unselect() error {
	s.idle.Lock()
	defer s.idle.Unlock()
	s.view = nil
	return nil
}

// selected returns the view of the selected mailbox. It waits for an IDLE that the
// client ended without DONE.
func (s *session) selected() (*view, error) {
	s.idle.Lock()
	defer s.idle.Unlock()
	return s.view, s.check()
}

// writable returns the view for a command that changes the mailbox. After EXAMINE it
// returns an error.
func (s *session) writable() (*view, error) {
	v, err := s.selected()
	if err == nil && v.readOnly {
		err = &imap.Error{Type: imap.StatusResponseTypeNo, Code: "READ-ONLY", Text: "Mailbox was opened with EXAMINE"}
	}
	return v, err
}

// check sends BYE and returns an error if the selected mailbox was deleted or renumbered.
// s.idle is locked.
func (s *session) check() error {
	if s.view == nil {
		return nil
	}
	err := s.view.valid()
	if err != nil {
		_ = s.conn.Bye(err.Error()) // the tagged reply fails if the connection is closed
	}
	return err
}

// Poll sends the changes of the selected mailbox to the client. imapserver calls it at
// the end of every command.
func (s *session) Poll(w *imapserver.UpdateWriter, allowExpunge bool) error {
	s.idle.Lock()
	defer s.idle.Unlock()
	return s.sendUpdates(w, allowExpunge)
}

func (s *session) sendUpdates(w *imapserver.UpdateWriter, allowExpunge bool) error {
	if s.view == nil {
		return nil
	}
	if err := s.check(); err != nil {
		return err
	}
	n := s.view.refresh(allowExpunge)
	for _, seq := range n.expunged {
		if err := w.WriteExpunge(seq); err != nil {
			return err
		}
	}
	if n.exists > 0 {
		if err := w.WriteNumMessages(n.exists); err != nil {
			return err
		}
	}
	for _, p := range n.flags {
		if err := w.WriteMessageFlags(p.seq, imap.UID(p.uid), toFlags(p.flags)); err != nil {
			return err
		}
	}
	return nil
}

// Idle handles IDLE (RFC 9051 6.3.13): it sends changes to the client as they happen.
func (s *session) Idle(w *imapserver.UpdateWriter, stop <-chan struct{}) error {
	s.idle.Lock()
	defer s.idle.Unlock()
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		var changed <-chan struct{}
		if s.view != nil {
			changed = s.view.mailbox.nextChange() // before sendUpdates, so that no change is missed
		}
		if err := s.sendUpdates(w, true); err != nil {
			return err
		}
		select {
		case <-stop:
			return nil
		case <-changed:
		}
	}
}

// Namespace handles NAMESPACE (RFC 9051 6.3.10): one personal namespace.
func (s *session) Namespace() (*imap.NamespaceData, error) {
	return &imap.NamespaceData{Personal: []imap.NamespaceDescriptor{{Delim: s.server.options.Delimiter}}}, nil
}

// AppendLimit returns the APPENDLIMIT in octets (RFC 7889).
func (s *session) AppendLimit() uint32 { return s.server.options.AppendLimit }

func toFlags(flags []string) []imap.Flag {
	all := make([]imap.Flag, len(flags))
	for i, f := range flags {
		all[i] = imap.Flag(f)
	}
	return all
}

func fromFlags(flags []imap.Flag) []string {
	all := make([]string, len(flags))
	for i, f := range flags {
		all[i] = string(f)
	}
	return all
}

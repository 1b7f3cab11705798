package imapd

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
)

func TestLogin(t *testing.T) {
	r := start(t, Options{})
	for _, bad := range [][2]string{{name, "wrong"}, {"nobody", password}, {"", ""}} {
		conn, err := tls.Dial("tcp", r.addr, r.tls)
		if err != nil {
			t.Fatal(err)
		}
		c := imapclient.New(conn, nil)
		var refused *imap.Error
		if err := c.Login(bad[0], bad[1]).Wait(); !errors.As(err, &refused) || refused.Code != imap.ResponseCodeAuthenticationFailed {
			t.Errorf("LOGIN %q: %v", bad, err)
		}
		if bad[0] == name {
			if err := c.Authenticate(sasl.NewPlainClient("", name, password)); err != nil {
				t.Errorf("AUTHENTICATE PLAIN: %v", err)
			}
		}
		c.Close()
	}
}

// TestStartTLS: LOGIN in the clear is refused if the server has STARTTLS, and allowed if
// it has no TLS.
func TestStartTLS(t *testing.T) {
	r := start(t, Options{StartTLS: true})
	plain, err := imapclient.DialInsecure(r.addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	var refused *imap.Error
	if err := plain.Login(name, password).Wait(); !errors.As(err, &refused) || refused.Code != imap.ResponseCodePrivacyRequired {
		t.Errorf("LOGIN before STARTTLS: %v", err)
	}
	c, err := imapclient.DialStartTLS(r.addr, &imapclient.Options{TLSConfig: r.tls})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login(name, password).Wait(); err != nil {
		t.Errorf("LOGIN after STARTTLS: %v", err)
	}

	s := New(Options{})
	defer s.Close()
	s.AddUser(name, password)
	addr, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	loginOn(t, conn, nil)
}

// TestExamineChangesNothing: no command after EXAMINE changes the mailbox.
func TestExamineChangesNothing(t *testing.T) {
	r := start(t, Options{})
	m := r.inbox(t)
	m.Append(Message{Flags: []string{`\Deleted`, "Key"}, Body: []byte("x")})
	m.Append(Message{Body: []byte("y")})
	before := fmt.Sprint(m.Messages())
	r.create(t, "other")
	c := r.login(t, nil)
	if data := open(t, c, "INBOX", true); len(data.PermanentFlags) != 0 {
		t.Errorf("PERMANENTFLAGS %q after EXAMINE", data.PermanentFlags)
	}
	for what, err := range map[string]error{
		"STORE":       c.Store(allUIDs, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{`\Seen`}}, nil).Close(),
		"EXPUNGE":     c.Expunge().Close(),
		"UID EXPUNGE": c.UIDExpunge(allUIDs).Close(),
		"MOVE":        func() error { _, err := c.Move(allUIDs, "other").Wait(); return err }(),
	} {
		var refused *imap.Error
		if !errors.As(err, &refused) || refused.Type != imap.StatusResponseTypeNo {
			t.Errorf("%s after EXAMINE: %v, want NO", what, err)
		}
	}
	got := fetch(t, c, allUIDs, &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{{}}})
	if len(got) != 2 {
		t.Errorf("%d messages fetched", len(got))
	}
	if err := c.UnselectAndExpunge().Wait(); err != nil { // CLOSE
		t.Errorf("CLOSE after EXAMINE: %v", err)
	}
	if after := fmt.Sprint(m.Messages()); after != before {
		t.Errorf("messages were %s, are %s", before, after)
	}

	open(t, c, "INBOX", false)
	fetch(t, c, imap.UIDSetNum(2), &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{{}}})
	if flags := m.Messages()[1].Flags; !slices.Equal(flags, []string{`\Seen`}) {
		t.Errorf("BODY[] after SELECT leaves flags %q", flags)
	}
	if err := c.UnselectAndExpunge().Wait(); err != nil {
		t.Fatal(err)
	}
	if got := uids(m.Messages()); !slices.Equal(got, []uint32{2}) {
		t.Errorf("after SELECT and CLOSE UIDs %d are left, want 2", got)
	}
}

func TestUIDsAreNeverReused(t *testing.T) {
	r := start(t, Options{UIDValidity: 10})
	m := r.inbox(t)
	c := r.login(t, nil)
	m.Append(Message{UID: 7})
	m.Append(Message{})
	if got := m.Append(Message{UID: 3}); got != 9 {
		t.Errorf("a UID below UIDNEXT became %d, want 9", got)
	}
	if got := m.Expunge(7, 8, 9, 100); got != 3 {
		t.Errorf("Expunge = %d, want 3", got)
	}
	if got := r.append(t, c, "INBOX", []byte("x"), nil).UID; got != 10 {
		t.Errorf("UID %d after all are gone, want 10", got)
	}
	if got := m.Append(Message{UID: 1<<32 - 2}); got != 1<<32-2 {
		t.Errorf("the last UID became %d", got)
	}
	if got := m.Append(Message{}); got != 0 {
		t.Errorf("UID %d after the last", got)
	}
	var refused *imap.Error
	cmd := c.Append("INBOX", 0, nil)
	cmd.Close()
	if _, err := cmd.Wait(); !errors.As(err, &refused) || refused.Code != imap.ResponseCodeLimit {
		t.Errorf("APPEND after the last UID: %v", err)
	}
	if data := open(t, c, "INBOX", true); data.UIDNext != 1<<32-1 || data.UIDValidity != 10 {
		t.Errorf("UIDNEXT %d, UIDVALIDITY %d", data.UIDNext, data.UIDValidity)
	}

	a := r.create(t, "a")
	if err := r.user.Delete("a"); err != nil {
		t.Fatal(err)
	}
	if got := a.Append(Message{}); got != 0 {
		t.Errorf("UID %d in a deleted mailbox", got)
	}
	if b := r.create(t, "a"); b.UIDValidity() == 11 || a.UIDValidity() != 0 {
		t.Errorf("UIDVALIDITY %d of a mailbox made again", b.UIDValidity())
	}
}

func TestRenumber(t *testing.T) {
	r := start(t, Options{UIDValidity: 10})
	m := r.inbox(t)
	for _, b := range []string{"a", "b", "c"} {
		m.Append(Message{Body: []byte(b), Flags: []string{b}})
	}
	c, idle := r.login(t, nil), r.login(t, nil)
	open(t, c, "INBOX", true)
	open(t, idle, "INBOX", true)
	idling, err := idle.Idle()
	if err != nil {
		t.Fatal(err)
	}
	m.Renumber(4711)
	if err := c.Noop().Wait(); err == nil {
		t.Error("a session goes on with UIDs that are no longer valid")
	}
	<-idle.Closed()
	idling.Close()

	c = r.login(t, nil)
	if data := open(t, c, "INBOX", true); data.UIDValidity != 4711 || data.UIDNext != 5 {
		t.Errorf("UIDVALIDITY %d, UIDNEXT %d", data.UIDValidity, data.UIDNext)
	}
	got := fetch(t, c, allUIDs, all)
	for i, want := range []string{"a", "b", "c"} {
		if g := got[i]; g.UID != imap.UID(i+2) || string(g.FindBodySection(peek)) != want || string(g.Flags[0]) != want {
			t.Errorf("UID %d is %q %q, want %q under UID %d", g.UID, g.FindBodySection(peek), g.Flags, want, i+2)
		}
	}
	m.Renumber(0)
	if got := m.UIDValidity(); got != 11 {
		t.Errorf("UIDVALIDITY %d, want the server's next", got)
	}
}

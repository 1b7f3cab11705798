package imapd

import (
	"crypto/tls"
	"net"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

const (
	name     = "mira@example.org"
	password = "tick, tock"
)

// rig is a running server with one user, and what a client needs to connect to it.
type rig struct {
	*Server
	user *User
	addr string
	tls  *tls.Config
}

func start(t testing.TB, o Options) *rig {
	t.Helper()
	cert, err := SelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	o.TLS = cert.Server
	o.SpoolDir = t.TempDir()
	r := &rig{Server: New(o), tls: &tls.Config{RootCAs: cert.Roots, ServerName: "localhost"}}
	r.user = r.AddUser(name, password)
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	if r.addr, err = r.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	return r
}

// login returns a new connection over TLS.
func (r *rig) login(t testing.TB, o *imapclient.Options) *imapclient.Client {
	t.Helper()
	conn, err := tls.Dial("tcp", r.addr, r.tls)
	if err != nil {
		t.Fatal(err)
	}
	return loginOn(t, conn, o)
}

func loginOn(t testing.TB, conn net.Conn, o *imapclient.Options) *imapclient.Client {
	t.Helper()
	c := imapclient.New(conn, o)
	t.Cleanup(func() {
		conn.Close() // before the client, whose Close would wait for a body nobody reads
		c.Close()
	})
	if err := c.Login(name, password).Wait(); err != nil {
		t.Fatal(err)
	}
	return c
}

func (r *rig) create(t testing.TB, name string, attrs ...imap.MailboxAttr) *Mailbox {
	t.Helper()
	m, err := r.user.Create(name, attrs...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (r *rig) inbox(t testing.TB) *Mailbox {
	t.Helper()
	m, err := r.user.Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func open(t testing.TB, c *imapclient.Client, mailbox string, readOnly bool) *imap.SelectData {
	t.Helper()
	data, err := c.Select(mailbox, &imap.SelectOptions{ReadOnly: readOnly}).Wait()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

var (
	allUIDs = imap.UIDSet{{Start: 1}} // 1:*
	peek    = &imap.FetchItemBodySection{Peek: true}
	all     = &imap.FetchOptions{UID: true, Flags: true, InternalDate: true, RFC822Size: true, BodySection: []*imap.FetchItemBodySection{peek}}
)

func fetch(t testing.TB, c *imapclient.Client, set imap.NumSet, o *imap.FetchOptions) []*imapclient.FetchMessageBuffer {
	t.Helper()
	got, err := c.Fetch(set, o).Collect()
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// body sends a FETCH of all messages and returns the first body while it arrives.
func body(t testing.TB, c *imapclient.Client) (*imapclient.FetchCommand, imap.LiteralReader) {
	t.Helper()
	cmd := c.Fetch(allUIDs, all)
	if m := cmd.Next(); m != nil {
		for it := m.Next(); it != nil; it = m.Next() {
			if b, ok := it.(imapclient.FetchItemDataBodySection); ok {
				return cmd, b.Literal
			}
		}
	}
	t.Fatalf("no body: %v", cmd.Close())
	return nil, nil
}

func (r *rig) append(t testing.TB, c *imapclient.Client, mailbox string, body []byte, o *imap.AppendOptions) *imap.AppendData {
	t.Helper()
	cmd := c.Append(mailbox, int64(len(body)), o)
	if _, err := cmd.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := cmd.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func uids(messages []Message) []uint32 {
	var all []uint32
	for _, m := range messages {
		all = append(all, m.UID)
	}
	return all
}

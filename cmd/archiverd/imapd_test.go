package main

import (
	"testing"

	"archiverd/internal/imapd"
	"archiverd/internal/testing/dovecot"
)

// imapServer is an imapd on a local port, with a certificate of its own.
type imapServer struct {
	*imapd.Server
	t    *testing.T
	addr string
	ca   string // the certificate, PEM
}

// newIMAPServer starts an imapd with TLS. It is closed after the test and its
// parallel subtests.
func newIMAPServer(t *testing.T, o imapd.Options) *imapServer {
	t.Helper()
	cert, err := imapd.SelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	o.TLS = cert.Server
	s := &imapServer{Server: imapd.New(o), t: t, ca: string(cert.PEM)}
	t.Cleanup(func() { s.Close() })
	if s.addr, err = s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	return s
}

// mailbox returns a user's mailbox, which it creates if it is missing.
func (s *imapServer) mailbox(u *imapd.User, name string) *imapd.Mailbox {
	s.t.Helper()
	mailbox, err := u.Mailbox(name)
	if err != nil {
		if mailbox, err = u.Create(name); err != nil {
			s.t.Fatal(err)
		}
	}
	return mailbox
}

// configureAlice writes a configuration whose one account is alice with password
// "secret" at the server. Further lines stand before the accounts.
func (s *site) configureAlice(server *imapServer, more ...string) {
	s.t.Helper()
	alice := &dovecot.User{Name: "alice", Password: "secret"}
	s.configure(append(more, "accounts:\n", s.account(alice, server.addr, "tls_ca_file: "+s.write("ca.pem", server.ca)))...)
}

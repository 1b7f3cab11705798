package world

import (
	"crypto/tls"
	"testing"

	"archiverd/internal/imapd"
	"archiverd/internal/session"
	"archiverd/internal/testing/dovecot"
)

// NewIMAPD starts a server in the process until the test ends. It has the user alice
// with an empty INBOX.
func NewIMAPD(t testing.TB) (*imapd.User, session.Account) {
	t.Helper()
	certificate, err := imapd.SelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	s := imapd.New(imapd.Options{TLS: certificate.Server})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	u := s.AddUser("alice", "secret")
	address, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return u, Login(address, "alice", "secret", &tls.Config{RootCAs: certificate.Roots, ServerName: "localhost"})
}

// Fill appends messages to a user's mailboxes, which it creates if need be.
func Fill(t testing.TB, u *imapd.User, mailboxes []dovecot.Mailbox) {
	t.Helper()
	for _, b := range mailboxes {
		m, err := u.Mailbox(b.Name)
		if err != nil {
			if m, err = u.Create(b.Name); err != nil {
				t.Fatal(err)
			}
		}
		for _, msg := range b.Msgs {
			m.Append(imapd.Message{Flags: msg.Flags, InternalDate: msg.Date, Body: msg.Body})
		}
	}
}

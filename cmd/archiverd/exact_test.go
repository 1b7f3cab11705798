package main

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"archiverd/internal/demomail"
	"archiverd/internal/imapd"
	"archiverd/internal/testing/dovecot"
)

// TestOctetForOctet archives messages with bare LFs, NULs, no header or no octet
// from a server that changes nothing. The files have just the octets of the
// messages.
func TestOctetForOctet(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	cert, err := imapd.SelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	server := imapd.New(imapd.Options{TLS: cert.Server})
	defer server.Close()
	user := server.AddUser("alice", "secret")
	inbox, err := user.Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	given := map[uint32][]byte{}
	give := func(body []byte) {
		uid := inbox.Append(imapd.Message{Body: body, InternalDate: time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", -5400))})
		given[uid] = body
	}
	for _, text := range []string{"", "\x00", "\n", "\r", "no header", "A: b\n\nbare\n", "A: b\r\n\r\n\x00\xff\r\n)\r\nX1 OK done\r\n", "From x\nA: b\n"} {
		give([]byte(text))
	}
	items, err := demomail.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range items {
		give(it.Body)
	}
	for _, f := range dovecot.Mail(t) {
		give(f.Data)
	}
	addr, err := server.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.write("ca.pem", string(cert.PEM))
	s.write("password", "secret\n")
	s.configure(fmt.Sprintf("accounts:\n  - name: alice\n    server: %s\n    username: alice\n    password_file: password\n    tls_ca_file: ca.pem\n", addr))
	if run := s.sync(); run.Sum.Archived != len(given) {
		t.Fatalf("%d messages are archived, want %d", run.Sum.Archived, len(given))
	}
	var list []listedMessage
	s.run("list", "--json", "--archive", s.archive, "alice", "INBOX").want(0).decode(&list)
	if len(list) != len(given) {
		t.Errorf("%d messages are listed, want %d", len(list), len(given))
	}
	for _, m := range list {
		want := given[m.UID]
		if got := read(t, filepath.Join(s.archive, m.ID)); string(got) != string(want) || m.SHA256 != fmt.Sprintf("%x", sha256.Sum256(want)) {
			t.Errorf("UID %d: %d octets are archived, SHA-256 %s; the server was given %d", m.UID, len(got), m.SHA256, len(want))
		}
	}
	t.Logf("%d messages", len(given))
}

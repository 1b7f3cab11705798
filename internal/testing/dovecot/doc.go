// Package dovecot is test support: it configures private Dovecot servers, which
// package process runs as child processes of a test, and has an IMAP client that
// fills any server and checks what it holds.
//
// Layout: server.go starts a server, user.go adds its users, config.go writes its
// configuration (for Dovecot 2.3 and 2.4), client.go is the client's connection,
// mailbox.go its commands on mailboxes, corpus.go makes messages of which everything
// is known, mail.go reads the real ones that ARCHIVERD_TEST_MAIL points to.
//
// A server's guarantees are those of package process. The client shares no code
// with archiverd, except the encoding of mailbox names, nor with go-imap, so that it
// can check them from outside. It is not protected from a hostile server.
//
// Without Dovecot, or with -short, tests that need it are skipped. With
// ARCHIVERD_REQUIRE_DOVECOT=1 in the environment they run, or fail.
package dovecot

// Package dovecot is test support: it runs real, private Dovecot servers as
// child processes of a test, and holds an IMAP client of its own to fill them
// and to say what they hold.
//
// Layout: server.go starts and stops the server and knows its users,
// child.go is the process and its log, config.go writes the configuration (for
// Dovecot 2.3 and 2.4), cert.go makes its CA and certificate,
// client.go is the connection of the witness, mailbox.go what it does with
// mailboxes, utf7.go their names on the wire, corpus.go makes messages of which
// all is known, mail.go reads the real ones that ARCHIVERD_TEST_MAIL points to.
//
// Guarantees. A server lives in a temporary directory of its own, listens on
// 127.0.0.1 only, is gone when its test ends or the test binary dies, and shares
// nothing with a Dovecot of the machine or with another Server. The client
// shares no code with archiverd or go-imap: it is a witness from outside.
//
// A machine without Dovecot skips the tests that need one, as -short does. With
// ARCHIVERD_REQUIRE_DOVECOT=1 in the environment they run, or fail.
//
// It does not protect the witness from a hostile server, and it needs Linux.
package dovecot

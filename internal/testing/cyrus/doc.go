// Package cyrus is test support: it runs real, private Cyrus servers as child
// processes of a test. Clients are those of package dovecot.
//
// Layout: server.go starts and stops the server and knows its users, config.go
// writes its configuration, login.go is the password service that it asks.
//
// Guarantees. A server lives in a temporary directory of its own, listens on
// 127.0.0.1 only, is gone when its test ends or the test binary dies, and shares
// nothing with a Cyrus of the machine or with another Server, except the log:
// Cyrus knows syslog alone.
//
// Debian's packages of Cyrus and Dovecot exclude each other. So Cyrus may lie
// unpacked in a folder: the one that ARCHIVERD_TEST_CYRUS names, or
// archiverd-test/cyrus in the user's cache directory (root: in /var/cache).
// scripts/need-servers puts it there. An installed one does as well.
//
// A machine without Cyrus skips the tests that need one, as -short does. With
// ARCHIVERD_REQUIRE_CYRUS=1 in the environment they run, or fail.
//
// It needs Linux.
package cyrus

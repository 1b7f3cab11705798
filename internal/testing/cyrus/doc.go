// Package cyrus is test support: it configures private Cyrus servers, which package
// process runs as child processes of a test. Their clients are those of package
// dovecot.
//
// Layout: server.go starts a server and knows its users, config.go writes its
// configuration, login.go is the service that checks passwords for it.
//
// A server's guarantees are those of package process, except that Cyrus logs to
// syslog only.
//
// The packages of Cyrus and Dovecot conflict in Debian. So Cyrus may lie unpacked in
// a directory: the one that ARCHIVERD_TEST_CYRUS names, or archiverd-test/cyrus in
// the user's cache directory (root: in /var/cache), where scripts/need-servers puts
// it. An installed Cyrus is used as well.
//
// Without Cyrus, or with -short, tests that need it are skipped. With
// ARCHIVERD_REQUIRE_CYRUS=1 in the environment they run, or fail.
package cyrus

// Package process is test support: it runs a mail server as child processes of a
// test. Packages dovecot and cyrus add the configuration of their server and its
// users.
//
// Layout: program.go finds an installed server, server.go starts, stops and
// restarts it, child.go runs its processes and records what they print,
// certificate.go makes its CA and certificate, scratch.go its directory, owner.go
// the user that it runs as.
//
// Guarantees. A server has a directory, ports on 127.0.0.1 and a certificate that
// no other server has. It ends with its test, or when the test binary dies. A test
// that fails logs what the server printed.
//
// It needs Linux.
package process

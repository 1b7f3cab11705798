package drill

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"os"
	"strings"
	"unicode/utf8"

	"archiverd/internal/imapd"
	"archiverd/internal/session"
	"archiverd/internal/wire"
)

// Server is a server that is thrown away. The drill calls Close.
type Server struct {
	Account session.Account
	Close   func() error
}

// StartServer starts an empty server on the loopback interface, which separates
// levels with delimiter. Nobody else can log in to it: its password never leaves
// the process.
func StartServer(delimiter string) (Server, error) {
	const username = "drill"
	password := rand.Text()
	certificate, err := imapd.SelfSigned()
	if err != nil {
		return Server{}, err
	}
	d, _ := utf8.DecodeRuneInString(delimiter)
	server := imapd.New(imapd.Options{TLS: certificate.Server, Delimiter: d, SpoolDir: spoolDir()})
	server.AddUser(username, password)
	address, err := server.Listen("127.0.0.1:0")
	if err != nil {
		return Server{}, errors.Join(err, server.Close())
	}
	host, _, _ := strings.Cut(address, ":")
	return Server{Close: server.Close, Account: session.Account{
		Name: "the throw-away server",
		Wire: wire.Options{Address: address, TLS: &tls.Config{RootCAs: certificate.Roots, ServerName: host, MinVersion: tls.VersionTLS13}},
		Auth: func(context.Context) (wire.Auth, error) {
			return wire.Auth{Username: username, Password: []byte(password)}, nil
		},
		Connections: 2,
	}}, nil
}

// spoolDir returns where the server keeps large messages: a directory on a disk,
// if there is one, as /tmp may be in memory (file-hierarchy(7)).
func spoolDir() string {
	const onDisk = "/var/tmp"
	if info, err := os.Stat(onDisk); err == nil && info.IsDir() && os.Getenv("TMPDIR") == "" {
		return onDisk
	}
	return os.TempDir()
}

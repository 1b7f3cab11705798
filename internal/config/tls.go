package config

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// TLSConfig returns the TLS configuration for the account's server, nil for tls: none.
//
// With a fingerprint, the server's own certificate must have that SHA-256; signature, name
// and dates are not checked. Without one, the certificate must be valid for the host and
// signed by an authority of the CA file, or of the system if there is no CA file. A
// certificate that is refused is a *tls.CertificateVerificationError; with a fingerprint,
// its text has that of the server.
func (a *Account) TLSConfig() (*tls.Config, error) {
	if a.TLS == TLSNone {
		return nil, nil
	}
	host, _, _ := strings.Cut(a.Host, "%") // the zone of an IPv6 address is local to this machine
	c := &tls.Config{
		ServerName: strings.TrimSuffix(host, "."),
		MinVersion: tls.VersionTLS12,
	}
	if a.TLSMinVersion == "1.3" {
		c.MinVersion = tls.VersionTLS13
	}
	if a.TLSFingerprint != "" {
		pin, err := parseFingerprint(a.TLSFingerprint)
		if err != nil {
			return nil, fmt.Errorf("account %s: tls_fingerprint %w", printable(a.Name), err)
		}
		// VerifyConnection replaces the check of the chain, also on resumed connections.
		c.InsecureSkipVerify = true
		c.VerifyConnection = func(s tls.ConnectionState) error { return checkPin(pin, s.PeerCertificates) }
		return c, nil
	}
	if a.TLSCAFile != "" {
		pool, err := readCAs(a.TLSCAFile)
		if err != nil {
			return nil, fmt.Errorf("account %s: tls_ca_file %w", printable(a.Name), err)
		}
		c.RootCAs = pool
	}
	return c, nil
}

// checkPin compares the server's own certificate with the pinned fingerprint.
func checkPin(pin []byte, certs []*x509.Certificate) error {
	if len(certs) == 0 {
		return errors.New("the server sent no certificate")
	}
	got := sha256.Sum256(certs[0].Raw)
	if bytes.Equal(got[:], pin) {
		return nil
	}
	return &tls.CertificateVerificationError{
		UnverifiedCertificates: certs,
		Err:                    fmt.Errorf("the server's certificate has the SHA-256 fingerprint %x, not %x as in tls_fingerprint; ask the server's operator which is right", got, pin),
	}
}

// parseFingerprint reads a SHA-256 in hex digits, with or without colons, with or without
// sha256: before it.
func parseFingerprint(s string) ([]byte, error) {
	digits := s
	if len(s) > 7 && strings.EqualFold(s[:7], "sha256:") {
		digits = s[7:]
	}
	pin, err := hex.DecodeString(strings.ReplaceAll(digits, ":", ""))
	if err != nil || len(pin) != sha256.Size {
		return nil, fmt.Errorf("%q is no SHA-256: 64 hex digits, with or without colons, as openssl x509 -noout -fingerprint -sha256 prints", s)
	}
	return pin, nil
}

// readCAs reads the certificates of a PEM file.
func readCAs(path string) (*x509.CertPool, error) {
	pem, info, err := readRegular(path, maxFile)
	if err != nil {
		return nil, err
	}
	if err := checkNotWritable(path, info); err != nil && !inCredentials(path) {
		return nil, fmt.Errorf("%s would trust whoever wrote it: %w", printable(path), err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate in it (PEM, -----BEGIN CERTIFICATE-----)", printable(path))
	}
	return pool, nil
}

// readRegular reads a regular file of at most limit octets. It refuses a pipe or
// device without waiting for it.
func readRegular(path string, limit int64) ([]byte, os.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s: not a regular file", printable(path))
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, nil, err
	}
	if int64(len(data)) > limit {
		return nil, nil, fmt.Errorf("%s: more than %d octets", printable(path), limit)
	}
	return data, info, nil
}

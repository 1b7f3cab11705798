package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// server listens with a certificate of an own authority for 127.0.0.1. It returns its
// address, the authority's file and the certificate's fingerprint.
func server(t *testing.T, version uint16, expired bool) (address, caFile, fingerprint string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "test"}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if expired {
		leaf.NotAfter = time.Now().Add(-time.Minute)
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der, caDER}, PrivateKey: key}},
		MinVersion:   tls.VersionTLS10, MaxVersion: version, NextProtos: []string{"imap"},
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.(*tls.Conn).Handshake() // its error is the client's to judge
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	sum := sha256.Sum256(der)
	return l.Addr().String(), caFile, hex.EncodeToString(sum[:])
}

// tlsServers are the servers of TestTLSAgainstServer.
type tlsServers struct{ address, caFile, fingerprint map[string]string }

// startTLSServers starts the servers "good", "expired", "TLS 1.1" and "TLS 1.2", each
// with an authority of its own.
func startTLSServers(t *testing.T) tlsServers {
	t.Helper()
	s := tlsServers{map[string]string{}, map[string]string{}, map[string]string{}}
	for name, version := range map[string]uint16{"good": tls.VersionTLS13, "expired": tls.VersionTLS13, "TLS 1.1": tls.VersionTLS11, "TLS 1.2": tls.VersionTLS12} {
		s.address[name], s.caFile[name], s.fingerprint[name] = server(t, version, name == "expired")
	}
	return s
}

// tlsTests are the connections of TestTLSAgainstServer.
var tlsTests = []struct {
	name   string
	server string // of tlsServers
	ca     string // the server whose authority is trusted; "": the system's
	pin    string // the server whose fingerprint is expected, or a fingerprint; "": none
	host   string // in the configuration; "": the server's address
	min    string // the least version of TLS
	want   string // in the error; "": the connection is made
}{
	{"unknown authority", "good", "", "", "", "1.2", "unknown authority"},
	{"CA file", "good", "good", "", "", "1.2", ""},
	{"another CA file", "good", "TLS 1.1", "", "", "1.2", "unknown authority"},
	{"CA file, other name", "good", "good", "", "localhost", "1.2", "localhost"},
	{"CA file, expired", "expired", "expired", "", "", "1.2", "expired"},
	{"pin", "good", "", "good", "", "1.2", ""},
	{"pin as openssl prints it", "good", "", "openssl", "", "1.3", ""},
	{"pin, other name", "good", "", "good", "localhost", "1.2", ""},
	{"pin, expired", "expired", "", "expired", "127.0.0.1", "1.2", ""},
	{"wrong pin", "good", "", "wrong", "", "1.2", "fingerprint PIN"},
	{"TLS 1.1", "TLS 1.1", "TLS 1.1", "", "", "1.2", "version"},
	{"TLS 1.2", "TLS 1.2", "TLS 1.2", "", "", "1.2", ""},
	{"TLS 1.2 of 1.3", "TLS 1.2", "TLS 1.2", "", "", "1.3", "version"},
}

// asOpenSSL returns a fingerprint as openssl prints it.
func asOpenSSL(fingerprint string) string {
	var pairs []string
	for i := 0; i < len(fingerprint); i += 2 {
		pairs = append(pairs, strings.ToUpper(fingerprint[i:i+2]))
	}
	return "SHA256:" + strings.Join(pairs, ":")
}

func TestTLSAgainstServer(t *testing.T) {
	servers := startTLSServers(t)
	servers.fingerprint["openssl"] = asOpenSSL(servers.fingerprint["good"])
	servers.fingerprint["wrong"] = strings.Repeat("ab", 32)
	for _, test := range tlsTests {
		t.Run(test.name, func(t *testing.T) {
			address := servers.address[test.server]
			f := Flags{Server: address, Username: "me", Archive: "a", TLSCAFile: servers.caFile[test.ca], TLSFingerprint: servers.fingerprint[test.pin]}
			if test.host != "" {
				_, port, _ := net.SplitHostPort(address)
				f.Server = net.JoinHostPort(test.host, port)
			}
			err := dialTLS(t, address, f, test.min)
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil {
				t.Fatal("the connection was made")
			}
			if want := strings.Replace(test.want, "PIN", servers.fingerprint["good"], 1); !strings.Contains(err.Error(), want) {
				t.Errorf("%v\nwant %s", err, want)
			}
			var refused *tls.CertificateVerificationError
			if got, want := errors.As(err, &refused), test.want != "version"; got != want {
				t.Errorf("certificate refused: %v, want %v", got, want)
			}
		})
	}
}

// dialTLS connects with the TLS configuration that the flags and the least version
// result in.
func dialTLS(t *testing.T, address string, f Flags, minVersion string) error {
	t.Helper()
	c, err := Single(f)
	if err != nil {
		t.Fatal(err)
	}
	a := &c.Accounts[0]
	a.TLSMinVersion = minVersion
	config, err := a.TLSConfig()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Minute}, "tcp", address, config)
	if err != nil {
		return err
	}
	if got := conn.ConnectionState().NegotiatedProtocol; got != "" { // the connection decides whether to say it
		t.Errorf("protocol %q", got)
	}
	conn.Close() // the server may have closed it: its error does not matter
	return nil
}

func TestTLSConfig(t *testing.T) {
	if c, err := (&Account{TLS: TLSNone}).TLSConfig(); c != nil || err != nil {
		t.Errorf("none: %v, %v", c, err)
	}
	for host, want := range map[string]string{"imap.example.com.": "imap.example.com", "fe80::1%eth0": "fe80::1", "2001:db8::1": "2001:db8::1"} {
		a := Account{TLS: TLSStart, Host: host, TLSMinVersion: "1.2"}
		c, err := a.TLSConfig()
		if err != nil || c.ServerName != want || c.MinVersion != tls.VersionTLS12 || c.InsecureSkipVerify {
			t.Errorf("%s: %+v, %v", host, c, err)
		}
	}
	// What Load saw may be gone when the account runs.
	if _, err := (&Account{Name: "work", TLS: TLSStart, TLSCAFile: "/nonexistent/ca.pem"}).TLSConfig(); err == nil || !strings.Contains(err.Error(), "account work: tls_ca_file open /nonexistent/ca.pem") {
		t.Error(err)
	}
	for _, s := range []string{"", "ab", strings.Repeat("ab", 31), strings.Repeat("ab", 33), strings.Repeat("xy", 32), "md5:" + strings.Repeat("ab", 32), strings.Repeat("ab", 20)} {
		if _, err := parseFingerprint(s); err == nil {
			t.Errorf("%q is a fingerprint", s)
		}
	}
}

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

func TestTLSAgainstServer(t *testing.T) {
	address, caFile, pin := server(t, tls.VersionTLS13, false)
	expiredAddress, expiredCA, expiredPin := server(t, tls.VersionTLS13, true)
	old, oldCA, _ := server(t, tls.VersionTLS11, false)
	middle, middleCA, _ := server(t, tls.VersionTLS12, false)
	_, port, _ := net.SplitHostPort(address)
	_, expiredPort, _ := net.SplitHostPort(expiredAddress)
	wrong := strings.Repeat("ab", 32)
	var pairs []string
	for i := 0; i < len(pin); i += 2 {
		pairs = append(pairs, strings.ToUpper(pin[i:i+2]))
	}
	for _, test := range []struct {
		name, address string
		flags         Flags
		min           string
		want          string // in the error, "" for success
	}{
		{"unknown authority", address, Flags{}, "1.2", "unknown authority"},
		{"CA file", address, Flags{TLSCAFile: caFile}, "1.2", ""},
		{"another CA file", address, Flags{TLSCAFile: oldCA}, "1.2", "unknown authority"},
		{"CA file, other name", address, Flags{TLSCAFile: caFile, Server: "localhost:" + port}, "1.2", "localhost"},
		{"CA file, expired", expiredAddress, Flags{TLSCAFile: expiredCA}, "1.2", "expired"},
		{"pin", address, Flags{TLSFingerprint: pin}, "1.2", ""},
		{"pin as openssl prints it", address, Flags{TLSFingerprint: "SHA256:" + strings.Join(pairs, ":")}, "1.3", ""},
		{"pin, other name", address, Flags{TLSFingerprint: pin, Server: "localhost:" + port}, "1.2", ""},
		{"pin, expired", expiredAddress, Flags{TLSFingerprint: expiredPin, Server: "127.0.0.1:" + expiredPort}, "1.2", ""},
		{"wrong pin", address, Flags{TLSFingerprint: wrong}, "1.2", "fingerprint " + pin},
		{"TLS 1.1", old, Flags{TLSCAFile: oldCA}, "1.2", "version"},
		{"TLS 1.2", middle, Flags{TLSCAFile: middleCA}, "1.2", ""},
		{"TLS 1.2 of 1.3", middle, Flags{TLSCAFile: middleCA}, "1.3", "version"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := test.flags
			f.Username, f.Archive = "me", "a"
			if f.Server == "" {
				f.Server = test.address
			}
			c, err := Single(f)
			if err != nil {
				t.Fatal(err)
			}
			a := &c.Accounts[0]
			a.TLSMinVersion = test.min
			config, err := a.TLSConfig()
			if err != nil {
				t.Fatal(err)
			}
			conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", test.address, config)
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if got := conn.ConnectionState().NegotiatedProtocol; got != "imap" {
					t.Errorf("protocol %q", got)
				}
				conn.Close()
				return
			}
			if err == nil {
				t.Fatal("the connection was made")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v\nwant %s", err, test.want)
			}
			var refused *tls.CertificateVerificationError
			if got, want := errors.As(err, &refused), test.want != "version"; got != want {
				t.Errorf("certificate refused: %v, want %v", got, want)
			}
		})
	}
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

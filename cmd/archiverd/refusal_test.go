package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"archiverd/internal/testing/dovecot"
)

// refusedSite has what the accounts of TestRefusals need.
type refusedSite struct {
	*site
	srv       *dovecot.Server
	user      *dovecot.User
	closed    string // an address at which no process listens
	otherName string // the server's address under a name that its certificate does not have
}

// refusedLogin is an account that can't be archived, and what archiverd says of it.
type refusedLogin struct {
	name    string
	account func(refusedSite) string
	says    func(refusedSite) []string
}

var refusedLogins = []refusedLogin{
	{"wrong password", func(s refusedSite) string {
		text := s.overTLS(s.srv, s.user)
		s.write("alice.password", "not this\n")
		return text
	}, func(s refusedSite) []string {
		return []string{s.srv.Addr, "AUTHENTICATIONFAILED", "check username and password"}
	}},
	{"nobody listens", func(s refusedSite) string { return s.plain(s.closed, s.user) },
		func(s refusedSite) []string { return []string{s.closed, "refused"} }},
	{"no such host", func(s refusedSite) string { return s.account(s.user, "imap.example.invalid") },
		func(refusedSite) []string { return []string{"imap.example.invalid", "no such host"} }},
	{"unknown authority", func(s refusedSite) string { return s.account(s.user, s.srv.Addr) },
		func(s refusedSite) []string {
			return []string{s.srv.Addr, "unknown authority", "tls_ca_file", "tls_fingerprint"}
		}},
	{"another name", func(s refusedSite) string { return s.account(s.user, s.otherName, "tls_ca_file: "+s.srv.CAFile) },
		func(s refusedSite) []string {
			return []string{s.otherName, "certificate is valid for", "write the server's name"}
		}},
	{"another certificate", func(s refusedSite) string {
		return s.account(s.user, s.srv.Addr, "tls_fingerprint: "+strings.Repeat("00", 32))
	}, func(s refusedSite) []string { return []string{s.srv.Addr, "tls_fingerprint"} }},
	{"TLS to a port without it", func(s refusedSite) string { return s.account(s.user, s.srv.PlainAddr, "tls_ca_file: "+s.srv.CAFile) },
		func(s refusedSite) []string {
			return []string{s.srv.PlainAddr, "no TLS on this port", "tls: starttls"}
		}},
	{"no password file", func(s refusedSite) string {
		text := s.overTLS(s.srv, s.user)
		if err := os.Remove(filepath.Join(s.dir, "alice.password")); err != nil {
			s.t.Fatal(err)
		}
		return text
	}, func(refusedSite) []string { return []string{"password_file", "chmod 600"} }},
}

// closedAddress is a local address at which no process listens.
func closedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestRefusals: if an account or a server is not as the configuration has it,
// archiverd names what is wrong and what to do, and exits with status 1.
func TestRefusals(t *testing.T) {
	t.Parallel()
	srv := dovecot.Start(t)
	all := refusedSite{srv: srv, user: srv.User(t, "alice"), closed: closedAddress(t), otherName: newProxyAt(t, "127.0.0.2:0", srv.Addr).Addr}
	for _, c := range refusedLogins {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := all
			s.site = newSite(t)
			s.configure("accounts:\n", c.account(s))
			for _, args := range [][]string{{"config", "check", "--connect"}, {"sync"}} {
				if c.name == "no such host" && args[0] == "sync" {
					continue // the same again, after half a minute of tries
				}
				r := s.run(args...)
				if want := 1; r.status != want && !(c.name == "no password file" && args[0] == "config" && r.status == 2) {
					t.Errorf("%q: exit status %d, want %d", args, r.status, want)
				}
				text := r.out + r.err
				for _, want := range append(c.says(s), "alice") {
					if !strings.Contains(text, want) {
						t.Errorf("%q does not say %q:\n%s", args, want, text)
					}
				}
				checkPrintable(t, strings.Join(args, " "), text)
			}
			if err := os.RemoveAll(s.archive); err != nil { // no run of it is complete
				t.Fatal(err)
			}
		})
	}
}

package config

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
)

// withProfile returns the first account of a configuration with these lines.
func withProfile(t *testing.T, lines string) (*Account, error) {
	t.Helper()
	c, err := Parse("/etc/archiverd/config.yaml", []byte("archive: {path: mail}\naccounts:\n  - name: home\n    username: me@example.com\n    password_env: PW\n"+lines))
	if err != nil {
		return nil, err
	}
	return &c.Accounts[0], nil
}

// TestProfiles: an account needs only a profile, its name and its login, and no profile
// excludes a mailbox.
func TestProfiles(t *testing.T) {
	docs, err := os.ReadFile("../../docs/providers.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range profileNames() {
		a, err := withProfile(t, "    profile: "+name+"\n")
		if err != nil {
			t.Fatal(err)
		}
		if a.Profile != name || a.Port != 993 || a.TLS != TLSImplicit || a.Auth != "auto" || a.Connections < 1 || a.LoginHint() == "" {
			t.Errorf("%s: %+v", name, a)
		}
		for _, box := range []string{"INBOX", "[Gmail]/All Mail", "[Gmail]/Spam", "Trash"} {
			if ok, rule := a.Selects(box, "/", []string{`\All`, `\Junk`, `\Trash`}); !ok {
				t.Errorf("%s leaves out %s: %s", name, box, rule)
			}
		}
		for _, text := range []string{"`" + name + "`", a.Host} {
			if !strings.Contains(string(docs), text) {
				t.Errorf("docs/providers.md does not name %s", text)
			}
		}
	}
}

// TestKeysGoBeforeTheProfile: a key in the file overrides the profile, in any order.
func TestKeysGoBeforeTheProfile(t *testing.T) {
	keys := "    server: localhost:1143\n    tls: starttls\n    connections: 7\n    daily_limit: 0\n    rate: 1MB\n    auth: login\n    mailboxes: {exclude: [Spam]}\n"
	want, err := withProfile(t, keys)
	if err != nil {
		t.Fatal(err)
	}
	want.Profile, want.Line = "gmail", 0
	for _, lines := range []string{"    profile: gmail\n" + keys, keys + "    profile: gmail\n"} {
		got, err := withProfile(t, lines)
		if err != nil {
			t.Fatal(err)
		}
		if got.Line = 0; !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if a, err := withProfile(t, "    profile: gmail\n"); err != nil || a.DailyLimit == 0 {
		t.Errorf("%+v, %v: the profile has no daily limit to go before", a, err)
	}
	if a, err := withProfile(t, "    profile: gmail\n    tls: starttls\n"); err != nil || a.Port != 143 {
		t.Errorf("%+v, %v: not the port of STARTTLS", a, err)
	}
}

func TestProfileFaults(t *testing.T) {
	for lines, want := range map[string]string{
		"    profile: gmial\n":                                     "did you mean gmail?",
		"    profile: [gmail]\n":                                   "accounts[0].profile",
		"    profile: gmail\n    profile: yahoo\n":                 "a second time",
		"    profile:\n":                                           "has no value",
		"    profile: gmail\n    rate: 999\n":                      "would never finish",
		"    profile: gmail\n    daily_limit: 999kB\n":             "would never finish",
		"    profile: gmail\n    daily_limit: 2.5GB\n":             "expected octets",
		"    server: a.b\n    daily_limit: -1\n    rate: 1 MB/s\n": "expected octets",
	} {
		_, err := withProfile(t, lines)
		var faults *Faults
		if !errors.As(err, &faults) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", lines, err)
		}
		if err != nil && strings.Contains(err.Error(), "server: is required") && strings.Contains(lines, "gmail") {
			t.Errorf("%q: %v", lines, err)
		}
	}
}

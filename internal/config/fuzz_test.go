package config

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// FuzzParse: no text makes Parse panic or hang; its faults are printable and have lines; a
// configuration it returns passes validation again and reads the same again.
func FuzzParse(f *testing.F) {
	text, err := os.ReadFile(example)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	for _, s := range []string{good, "", "a: &a [*a]", "archive: {path: ~}\naccounts:\n- {name: [}]", strings.Replace(good, "'@daily'", "'CRON_TZ=UTC */7 1-3 * * ?'", 1),
		strings.Replace(good, "imap.example.com", "'[::1]:1143'\n    tls: none\n    timeout: 5s\n    connections: 3", 1),
		strings.Replace(good, "password_env: PW", "password: \"a\\eb\"\n    mailboxes: {include: ['%/*', \\All], exclude: [\\Junk]}", 1)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("/nonexistent/c.yaml", data)
		if err != nil {
			if c != nil {
				t.Error("both a configuration and an error")
			}
			for _, fault := range err.(*Faults).List {
				if fault.Line < 1 || fault.Text == "" || hasInvisible(fault.String()) {
					t.Errorf("%q", fault)
				}
			}
			return
		}
		r := c.report()
		if c.validate(r); r.err() != nil {
			t.Errorf("valid once only: %v", r.err())
		}
		again, err := Parse("/nonexistent/c.yaml", data)
		if err != nil || !reflect.DeepEqual(c, again) {
			t.Errorf("read twice: %v\n%+v\n%+v", err, c, again)
		}
		for i := range c.Accounts {
			a := &c.Accounts[i]
			if a.Host == "" || a.Port == 0 || a.Schedule == "" || c.State.Path == "" || c.Control.Socket == "" {
				t.Errorf("incomplete: %+v", c)
			}
			if _, err := a.TLSConfig(); err != nil {
				t.Error(err)
			}
		}
	})
}

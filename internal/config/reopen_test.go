package config

import (
	"strings"
	"testing"
	"time"
)

// TestReopen: the values of the key reopen.
func TestReopen(t *testing.T) {
	for value, want := range map[string]time.Duration{"6h": 6 * time.Hour, "1m": time.Minute, "never": -1, "30s": 0, "0": 0, "-1h": 0, "daily": 0} {
		c, err := Parse("/c.yaml", []byte("archive: {path: a}\nreopen: "+value+"\naccounts: [{name: a, server: a.example, username: a, password: x}]\n"))
		switch {
		case want == 0 && (err == nil || !strings.Contains(err.Error(), "or never")):
			t.Errorf("%s: %v", value, err)
		case want != 0 && (err != nil || c.Reopen != want):
			t.Errorf("%s: %v, %v", value, c, err)
		}
	}
}

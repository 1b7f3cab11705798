package config

import (
	"strings"
	"testing"
)

func TestMatching(t *testing.T) {
	parse := func(top, account string) (*Config, error) {
		return Parse("/c.yaml", []byte("archive: {path: /a}\n"+top+"\naccounts: [{name: x, server: h, username: u, password_env: P"+account+"}]\n"))
	}
	for _, c := range []struct {
		top, account string
		matching     string
		check        float64
	}{
		{"", "", "on", 0.005},
		{"matching: off", "", "off", 0.005},
		{"matching: off\nmatching_check: 3%", ", matching: on", "on", 0.03},
		{"matching_check: 3%", ", matching: off, matching_check: 0%", "off", 0},
		{"", ", matching_check: 100%", "on", 1},
		{"matching_check: '0.01%'", "", "on", 0.0001},
	} {
		got, err := parse(c.top, c.account)
		if err != nil || got.Accounts[0].Matching != c.matching || got.Accounts[0].MatchingCheck != c.check {
			t.Errorf("%q, %q: %+v, %v", c.top, c.account, got, err)
		}
	}
	for _, bad := range []string{"matching: yes", "matching: true", "matching: ''", "matching_check: 1", "matching_check: -1%", "matching_check: 101%", "matching_check: 0.001%", "matching_check: 01%", "matching_check: 1/200", "matching_check: NaN%", "matching_check: all"} {
		if _, err := parse(bad, ""); err == nil || !strings.Contains(err.Error(), "matching") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	one, err := Single(Flags{Server: "h", Username: "u", Archive: "/a"})
	if err != nil || one.Accounts[0].Matching != "on" || one.Accounts[0].MatchingCheck != 0.005 {
		t.Errorf("without a file: %+v, %v", one, err)
	}
}

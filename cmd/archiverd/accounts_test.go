package main

import "testing"

func TestNoAccount(t *testing.T) {
	for _, c := range []struct {
		name string
		have []string
		want string
	}{
		{"wrok", []string{"home", "work"}, `no account "wrok" in the archive; it has home, work; did you mean "work"?`},
		{"Home", []string{"home", "work"}, `no account "Home" in the archive; it has home, work; did you mean "home"?`},
		{"other", []string{"home", "work"}, `no account "other" in the archive; it has home, work`},
		{"x", []string{"y"}, `no account "x" in the archive; it has y`},
		{"home", nil, `no account "home" in the archive; it has none`},
	} {
		if got := noAccount(c.name, c.have, "the archive").Error(); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

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

func TestTypos(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"work", "work", 0}, {"wrk", "work", 1}, {"worky", "work", 1}, {"wark", "work", 1}, {"wrok", "work", 2}, {"", "abc", 3}, {"abc", "", 3}} {
		if got := typos(c.a, c.b); got != c.want {
			t.Errorf("typos(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

package config

import "testing"

// The edit distance counts octets that are added, removed or changed.
func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"work", "work", 0}, {"wrk", "work", 1}, {"worky", "work", 1}, {"wark", "work", 1}, {"wrok", "work", 2}, {"", "abc", 3}, {"abc", "", 3}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

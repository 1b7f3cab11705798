package uid

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestString: a set has one form, in whatever order it was written.
func TestString(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""}, {"5", "5"}, {"5,6", "5:6"}, {"7:5", "5:7"}, {"9,1,5:6,2", "1:2,5:6,9"},
		{"4294967295,4294967294", "4294967294:4294967295"}, {"1:4294967295,7", "1:4294967295"},
		{"1:3,10:12,2:11", "1:12"}, {"20:30,1:5,6", "1:6,20:30"},
	} {
		s, err := Parse(c.in)
		if err != nil {
			t.Fatalf("Parse(%q): %v", c.in, err)
		}
		if got := s.String(); got != c.want {
			t.Errorf("Parse(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, in := range []string{"0", "1:0", "*", "1:*", "1,", ",", "a", "-1", "4294967296", "1:2:3", " 1"} {
		if s, err := Parse(in); err == nil {
			t.Errorf("Parse(%q) = %q, want an error", in, s)
		}
	}
}

// TestAgainstModel compares random sets and all operations with maps of single UIDs.
func TestAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	build := func() (Set, map[uint32]bool) {
		var s Set
		m := map[uint32]bool{}
		for range r.IntN(12) {
			a := uint32(1 + r.IntN(60))
			b := a + uint32(r.IntN(6))
			if r.IntN(2) == 0 {
				a, b = b, a
			}
			s.AddRange(a, b)
			for u := min(a, b); u <= max(a, b); u++ {
				m[u] = true
			}
		}
		return s, m
	}
	check := func(name string, s Set, want func(uint32) bool) {
		t.Helper()
		n := 0
		for u := uint32(1); u < 80; u++ {
			if s.Contains(u) != want(u) {
				t.Fatalf("%s: Contains(%d) = %v in %q", name, u, s.Contains(u), s)
			}
			if want(u) {
				n++
			}
		}
		if s.Len() != n {
			t.Fatalf("%s: Len() = %d, want %d, of %q", name, s.Len(), n, s)
		}
		if again, err := Parse(s.String()); err != nil || again.String() != s.String() {
			t.Fatalf("%s: %q reads back as %q, %v", name, s, again, err)
		}
		last := uint32(0)
		for u := range s.All() {
			if u <= last || !want(u) {
				t.Fatalf("%s: All yields %d after %d", name, u, last)
			}
			last = u
		}
	}
	for range 2000 {
		a, am := build()
		b, bm := build()
		check("set", a, func(u uint32) bool { return am[u] })
		check("subtract", a.Subtract(b), func(u uint32) bool { return am[u] && !bm[u] })
		check("intersect", a.Intersect(b), func(u uint32) bool { return am[u] && bm[u] })
		n := r.IntN(70)
		head, rest := a.Split(n)
		if head.Len() != min(n, a.Len()) || !rest.Empty() && head.Max() >= rest.r[0].First {
			t.Fatalf("%q.Split(%d) = %q, %q", a, n, head, rest)
		}
		check("split", head.Union(rest), func(u uint32) bool { return am[u] })
		check("union", a.Union(b), func(u uint32) bool { return am[u] || bm[u] })
	}
}

// TestWholeRangeIsCheap: the set of all UIDs costs no more than that of one.
func TestWholeRangeIsCheap(t *testing.T) {
	var s Set
	s.AddRange(1, 4294967295)
	if got := s.Len(); got != 4294967295 {
		t.Errorf("Len() = %d", got)
	}
	if got := s.Subtract(Of(1, 7, 4294967295)).String(); got != "2:6,8:4294967294" {
		t.Errorf("Subtract = %q", got)
	}
}

// A set in descending order is parsed as fast as in ascending order: each range is moved
// a few times at most, not by each that comes before it.
func TestDescendingSetIsParsed(t *testing.T) {
	const n = 1_000_000
	var text strings.Builder
	for u := n; u > 0; u-- {
		if u < n {
			text.WriteByte(',')
		}
		fmt.Fprint(&text, 2*u)
	}
	s, err := Parse(text.String()) // quadratic time would exceed that of the whole test
	if err != nil || s.Len() != n || s.Max() != 2*n {
		t.Errorf("%d UIDs up to %d, %v", s.Len(), s.Max(), err)
	}
}

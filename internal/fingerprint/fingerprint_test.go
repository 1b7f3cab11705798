package fingerprint

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"
	"testing/iotest"

	"archiverd/archive"
)

func TestSplitHeader(t *testing.T) {
	for _, c := range []struct {
		octets, header string
		ended, plain   bool
	}{
		{"A: b\r\nC: d\r\n\r\nbody", "A: b\r\nC: d", true, true},
		{"A: b\nC: d\n\nbody", "A: b\nC: d", true, true},
		{"A: b\r\n folded\r\n\tonce more\r\n\r\n", "A: b\r\n folded\r\n\tonce more", true, true},
		{"A: b\r\n", "A: b", false, false},
		{"A: b", "A: b", false, false},
		{"", "", false, false},
		{"\r\nbody", "", true, false},
		{"\n", "", true, false},
		{" folded\r\nA: b\r\n\r\n", " folded\r\nA: b", true, false},
		{"From me Mon\r\nA: b\r\n\r\n", "From me Mon\r\nA: b", true, false},
		{"no colon\r\n\r\n", "no colon", true, false},
		{"A: b\x00\r\n\r\n", "A: b\x00", true, false},
		{"A: b\rc\r\n\r\n", "A: b\rc", true, false},
		{"A b: c\r\n\r\n", "A b: c", true, false},
		{"A: Grüße\r\n\r\n", "A: Grüße", true, true},
		{"A: b\r\r\n\r\n", "A: b\r", true, false},
	} {
		header, ended, plain := SplitHeader([]byte(c.octets))
		if want := strings.TrimRight(c.header, "\r\n"); string(header) != want || ended != c.ended || plain != c.plain {
			t.Errorf("%q: %q %v %v, want %q %v %v", c.octets, header, ended, plain, want, c.ended, c.plain)
		}
		read, plain, err := ReadHeader(strings.NewReader(c.octets))
		if !bytes.Equal(read, header) || plain != c.plain || err != nil {
			t.Errorf("%q: read %q %v %v", c.octets, read, plain, err)
		}
	}
}

// TestReadHeaderLong: a header is read up to MaxHeader.
func TestReadHeaderLong(t *testing.T) {
	long := strings.Repeat("A: "+strings.Repeat("x", 70)+"\r\n", 10000)
	header, plain, err := ReadHeader(iotest.HalfReader(strings.NewReader(long + "\r\nbody")))
	if string(header) != strings.TrimRight(long, "\r\n") || !plain || err != nil {
		t.Errorf("%d octets, %v, %v", len(header), plain, err)
	}
	if header, plain, err := ReadHeader(strings.NewReader(strings.Repeat(long, 20))); header != nil || plain || err != nil {
		t.Errorf("%d octets, %v, %v", len(header), plain, err)
	}
}

// canonical returns the sum and size of octets in canonical form.
func canonical(octets string) (archive.Sum, int64) {
	c := NewCanonical()
	for i := range len(octets) { // one by one
		_, _ = c.Write([]byte(octets[i : i+1])) // never fails
	}
	return c.Sum(), c.Size()
}

// TestCanonical: a message and what servers make of it have one canonical form,
// and no other message has it.
func TestCanonical(t *testing.T) {
	same := [][]string{
		{"A: b\n\nx\n", "A: b\r\n\r\nx\r\n", "A: b\r\r\n\r\nx\r\r\r\n", "A: b\n\nx\n\r"},
		{"A: b\r\n\r\nx\x00y", "A: b\r\n\r\nx\x80y"},
		{"A: \xfc\r\n\r\n\xfc", "A: X\r\n\r\n\xfc"},
		{"A: b\r\n\r\nx\ry\r\n"},
		{"A: b\r\n\r\nx\r\n", "A: b\n\r\nx\n"},
		{"A: b\r\n\r\nX\x80"},
		{"A: b\r\n\r\n"},
		{"A: b\r\n"},
		{"A: b"},
		{"", "\r"},
		{"\r\nü", "\nü"},
	}
	seen := map[archive.Sum]int{}
	for i, group := range same {
		want, size := canonical(group[0])
		if other, ok := seen[want]; ok && i != 4 {
			t.Errorf("%q is as %q", group[0], same[other][0])
		}
		seen[want] = i
		for _, octets := range group {
			got, n := canonical(octets)
			if got != want || n != size {
				t.Errorf("%q is not as %q", octets, group[0])
			}
			c := NewCanonical()
			if _, err := c.Write([]byte(octets)); err != nil || c.Sum() != want {
				t.Errorf("%q in one piece is another", octets)
			}
		}
	}
}

func TestLineEnds(t *testing.T) {
	for in, want := range map[string]string{"": "", "a\nb\r\nc\n": "a\r\nb\r\nc\r\n", "\n\n": "\r\n\r\n", "a\rb\r\r\n": "a\rb\r\r\n", "\n\r": "\r\n\r"} {
		whole := NewLineEnds()
		whole.Write([]byte(want))
		for cut := range len(in) + 1 { // wherever the pieces end
			l := NewLineEnds()
			l.Write([]byte(in[:cut]))
			l.Write([]byte(in[cut:]))
			if l.Sum() != whole.Sum() {
				t.Errorf("%q cut at %d", in, cut)
			}
		}
	}
}

func TestTraits(t *testing.T) {
	for octets, want := range map[string]Traits{
		"A: b\r\n\r\nx\r\n":          {},
		"A: b\n\r\nx\n":              {BareLF: 2},
		"A: b\r\n\r\nx\ry\r\r\n":     {BareCR: 2},
		"A: \xc3\xbc\r\n\r\n\xc3":    {Header8: 2},
		"A: b\r\n\r\nx\x00y\x00\r\n": {NUL: 2},
	} {
		var s TraitScanner
		_, _ = s.Write([]byte(octets)) // never fails
		if s.Traits() != want {
			t.Errorf("%q: %+v, want %+v", octets, s.Traits(), want)
		}
	}
	if got := (Traits{BareLF: 1, NUL: 3}).String(); got != "LF without CR, NUL" {
		t.Error(got)
	}
}

// FuzzCanonical: the canonical form of a canonical form is the same, and a header
// is the start of its message.
func FuzzCanonical(f *testing.F) {
	f.Add([]byte("A: b\r\r\n\xff\x00\n\rx\r"))
	f.Fuzz(func(t *testing.T, octets []byte) {
		c := NewCanonical()
		_, _ = c.Write(octets) // never fails
		if header, _, _ := SplitHeader(octets); !bytes.HasPrefix(octets, header) {
			t.Fatalf("%q is no start of %q", header, octets)
		}
		form := bytes.Clone(c.Header())
		if c.Size() > MaxHeader {
			return
		}
		if archive.Sum(sha256.Sum256(form)) != c.Sum() {
			t.Fatal("the sum is not that of the octets")
		}
		if again, n := canonical(string(form)); again != c.Sum() || n != c.Size() {
			t.Fatalf("%q becomes %q, and that another", octets, form)
		}
	})
}

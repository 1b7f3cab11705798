package sync

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"
	"testing/iotest"

	"archiverd/archive"
)

func TestHeaderOf(t *testing.T) {
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
		header, ended, plain := headerOf([]byte(c.octets))
		if want := strings.TrimRight(c.header, "\r\n"); string(header) != want || ended != c.ended || plain != c.plain {
			t.Errorf("%q: %q %v %v, want %q %v %v", c.octets, header, ended, plain, want, c.ended, c.plain)
		}
		read, plain, err := readHeader(strings.NewReader(c.octets))
		if !bytes.Equal(read, header) || plain != c.plain || err != nil {
			t.Errorf("%q: read %q %v %v", c.octets, read, plain, err)
		}
	}
}

// A header of any length is read as far as is bearable.
func TestReadHeaderLong(t *testing.T) {
	long := strings.Repeat("A: "+strings.Repeat("x", 70)+"\r\n", 10000)
	header, plain, err := readHeader(iotest.HalfReader(strings.NewReader(long + "\r\nbody")))
	if string(header) != strings.TrimRight(long, "\r\n") || !plain || err != nil {
		t.Errorf("%d octets, %v, %v", len(header), plain, err)
	}
	if header, plain, err := readHeader(strings.NewReader(strings.Repeat(long, 20))); header != nil || plain || err != nil {
		t.Errorf("%d octets, %v, %v", len(header), plain, err)
	}
}

// canonical is canon of all octets at once.
func canonical(octets string) (archive.Sum, int64) {
	c := newCanon()
	for i := range len(octets) { // in the smallest pieces
		_, _ = c.Write([]byte(octets[i : i+1])) // never fails
	}
	return c.end(), c.size
}

// What servers make of messages is the same as the messages, canonically; and
// nothing else is.
func TestCanon(t *testing.T) {
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
			c := newCanon()
			if _, err := c.Write([]byte(octets)); err != nil || c.end() != want {
				t.Errorf("%q in one piece is another", octets)
			}
		}
	}
}

func TestTraits(t *testing.T) {
	for octets, want := range map[string]traits{
		"A: b\r\n\r\nx\r\n":          {},
		"A: b\n\r\nx\n":              {bareLF: 2},
		"A: b\r\n\r\nx\ry\r\r\n":     {bareCR: 2},
		"A: \xc3\xbc\r\n\r\n\xc3":    {header8: 2},
		"A: b\r\n\r\nx\x00y\x00\r\n": {nul: 2},
	} {
		var s traitScan
		_, _ = s.Write([]byte(octets)) // never fails
		if s.traits != want {
			t.Errorf("%q: %+v, want %+v", octets, s.traits, want)
		}
	}
	if got := (traits{bareLF: 1, nul: 3}).String(); got != "LF without CR, NUL" {
		t.Error(got)
	}
}

// FuzzCanon looks for a message that is not what its own canonical form is, and
// for a header that is not the start of its message.
func FuzzCanon(f *testing.F) {
	f.Add([]byte("A: b\r\r\n\xff\x00\n\rx\r"))
	f.Fuzz(func(t *testing.T, octets []byte) {
		var out bytes.Buffer
		c := newCanon()
		c.header = out
		_, _ = c.Write(octets) // never fails
		if header, _, _ := headerOf(octets); !bytes.HasPrefix(octets, header) {
			t.Fatalf("%q is no start of %q", header, octets)
		}
		form := bytes.Clone(c.header.Bytes())
		if c.size > maxHeader {
			return
		}
		if archive.Sum(sha256.Sum256(form)) != c.end() {
			t.Fatal("the sum is not that of the octets")
		}
		if again, n := canonical(string(form)); again != c.end() || n != c.size {
			t.Fatalf("%q becomes %q, and that another", octets, form)
		}
	})
}

package message

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// cutAll returns each line as text|line end, and each piece of a line as text+.
func cutAll(t *testing.T, r io.Reader) (all []string) {
	l := newLines(r, window)
	for {
		ln, err := l.next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		s := fmt.Sprintf("%s%q", ln.text, ln.eol)
		if !ln.first {
			s = "+" + s
		}
		all = append(all, s)
	}
}

func TestLines(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"a", `a""`},
		{"a\nb\r\nc\rd\r\r\ne", `a"\n" b"\r\n" c"\r" d"\r\r\n" e""`},
		{"\n\n\r\r\r\r\n\r", `"\n" "\n" "\r" "\r" "\r\r\n" "\r"`},
		{"a\r", `a"\r"`},
		{"a\r\r", `a"\r" "\r"`},
	} {
		for _, r := range []io.Reader{strings.NewReader(c.in), iotest.OneByteReader(strings.NewReader(c.in))} {
			if got := strings.Join(cutAll(t, r), " "); got != c.want {
				t.Errorf("%q: %s, want %s", c.in, got, c.want)
			}
		}
	}
}

// A line end is never split, wherever the window ends.
func TestLineLongerThanWindow(t *testing.T) {
	for n := window - 4; n <= window+4; n++ {
		for _, eol := range []string{"\n", "\r", "\r\n", "\r\r\n"} {
			x := strings.Repeat("x", n)
			got := cutAll(t, strings.NewReader(x+eol+"y"))
			text, ends := "", 0
			for _, s := range got[:len(got)-1] {
				if strings.HasSuffix(s, fmt.Sprintf("%q", eol)) {
					ends++
				}
				text += strings.TrimLeft(s, "+")
			}
			if ends != 1 || got[len(got)-1] != `y""` || strings.Count(text, "x") != n {
				t.Errorf("%d octets and %q: %d line ends, last %q", n, eol, ends, got[len(got)-1])
			}
		}
	}
}

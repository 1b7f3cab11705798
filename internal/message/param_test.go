package message

import (
	"strings"
	"testing"
)

func TestParams(t *testing.T) {
	for _, c := range []struct{ field, value, name, want string }{
		{"", "", "name", ""},
		{"Text/Plain; Charset=UTF-8", "text/plain", "charset", "UTF-8"},
		{"text/plain (c;c) ; charset=us-ascii (plain text)", "text/plain", "charset", "us-ascii"},
		{`a/b; name="x;\"y\".txt"; z=1`, "a/b", "name", `x;"y".txt`},
		{`a/b; name="C:\dir\f.txt"`, "a/b", "name", `C:\dir\f.txt`},
		{"a/b; name=two words (1).txt; z=1", "a/b", "name", "two words .txt"},
		{"a/b; name=x(1).txt", "a/b", "name", "x(1).txt"},
		{`a/b; name="never ends`, "a/b", "name", "never ends"},
		{"a/b; name=one; name=two", "a/b", "name", "one"},
		{"a/b;;;=;name;name=x", "a/b", "name", "x"},
		{"a/b; name=Gr\xfc\xdfe.txt", "a/b", "name", "Grüße.txt"},
		{`a/b; name="=?utf-8?q?Gr=C3=BC=C3=9Fe?="`, "a/b", "name", "Grüße"},
		{"a/b; name*=iso-8859-1'de'Gr%FC%DFe; name=other", "a/b", "name", "Grüße"},
		{"a/b; name*=utf-8''100%25%zz", "a/b", "name", "100%%zz"},
		{"a/b; name*=plain", "a/b", "name", "plain"},
		{"a/b; name*0*=utf-8''Gr%C3; name*1*=%BC%C3%9F; name*2=\"e %41\"; name*9=x", "a/b", "name", "Grüße %41"},
		{"a/b; name*1=b; name*0=a", "a/b", "name", "ab"},
	} {
		value, ps := parseParams(c.field)
		if got := ps.get(c.name); value != c.value || got != c.want {
			t.Errorf("%q: %q and %q, want %q and %q", c.field, value, got, c.value, c.want)
		}
	}
}

func TestFileName(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"a.txt", "a.txt"},
		{"../../etc/passwd", "passwd"},
		{`C:\Users\x\a.txt`, "a.txt"},
		{"dir/", ""},
		{"..", ""},
		{".bashrc", "bashrc"},
		{" a.exe. ", "a.exe"},
		{"a\x00\n\u202egpj.exe", "a___gpj.exe"},
		{"a:b|c?.txt", "a_b_c_.txt"},
		{"日本.txt", "日本.txt"},
		{strings.Repeat("ü", 150) + ".tar", strings.Repeat("ü", 98) + ".tar"},
		{strings.Repeat("a", 300), strings.Repeat("a", 200)},
	} {
		if got := fileName(c.in); got != c.want {
			t.Errorf("fileName(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

package safetext

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

func TestLine(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"INBOX/Lists", "INBOX/Lists"},
		{`\Seen C:\new`, `\Seen C:\new`},
		{"a\nb\r\nc\td", `a\nb\r\nc\td`},
		{"\x00\x07\x1b[2J\x7f", `\x00\x07\x1b[2J\x7f`},
		{"\u0085\u009b2J", `\u0085\u009b2J`},
		{"gpj.\u202eexe\u2066\u2069\u200e\u200f\u061c", `gpj.\u202eexe\u2066\u2069\u200e\u200f\u061c`},
		{"a\u200bb\u00adc\ufeffd\u034fe\u3164f\u180bg", `a\u200bb\u00adc\ufeffd\u034fe\u3164f\u180bg`},
		{"a\u2028b\u2029", `a\u2028b\u2029`},
		{"\ue000\U000f0000\U000e0041\uffff\u0378", `\ue000\U000f0000\U000e0041\uffff\u0378`},
		{"caf\xe9 \xed\xa0\x80 \xc0\x80", `caf\xe9 \xed\xa0\x80 \xc0\x80`},
		{"\ufffd", "\ufffd"},
		{"Grüße, 日本語, مرحبا, e\u0301, हिन्दी", "Grüße, 日本語, مرحبا, e\u0301, हिन्दी"},
		{"🎉 ❤\ufe0f 👍🏽 🇩🇪 1\ufe0f\u20e3 ☎\ufe0e", "🎉 ❤\ufe0f 👍🏽 🇩🇪 1\ufe0f\u20e3 ☎\ufe0e"},
		{"👩\u200d💻", `👩\u200d💻`},
		{"\ufe0f a\ufe0f\ufe0f \ufe0f\x01\ufe0f\xff\ufe0f", `\ufe0f a` + "\ufe0f" + `\ufe0f \ufe0f\x01\ufe0f\xff\ufe0f`},
		{"a\u00a0b\u3000c", "a\u00a0b\u3000c"},
	} {
		if got := Line(c.in); got != c.want {
			t.Errorf("Line(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestText(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"a\n\tb\n", "a\n\tb\n"},
		{"a\r\nb\rc\r\r\nd\r", "a\nb\\rc\\r\nd\\r"},
		{"\x1b]0;title\x07\nü\u202e", `\x1b]0;title\x07` + "\nü" + `\u202e`},
		{"a\n\ufe0f", "a\n" + `\ufe0f`},
	} {
		if got := Text(c.in); got != c.want {
			t.Errorf("Text(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestCut(t *testing.T) {
	marks := strings.Repeat("\u0301", 1000)
	for _, c := range []struct {
		in    string
		width int
		want  string
	}{
		{"hello", 5, "hello"},
		{"hello", 4, "hel…"},
		{"hello", 1, "…"},
		{"hello", 0, ""},
		{"hello", -1, ""},
		{"", 3, ""},
		{"日本語", 6, "日本語"},
		{"日本語", 5, "日本…"},
		{"日本語", 4, "日…"},
		{"日本語", 1, "…"},
		{"ae\u0301b", 3, "ae\u0301b"},
		{"ae\u0301bc", 3, "ae\u0301…"},
		{"a" + marks, 10, "…"},
		{"abc" + marks, 10, "ab…"},
		{"a\nb", 10, `a\nb`},
		{"a\x1b[2J", 4, `a\x…`},
	} {
		if got := Cut(c.in, c.width); got != c.want {
			t.Errorf("Cut(%q, %d) = %q, want %q", c.in, c.width, got, c.want)
		}
	}
}

// TestWriteJSON: the JSON is safe, and reads back as the same value.
func TestWriteJSON(t *testing.T) {
	for _, in := range []string{"", "plain", "a\nb\t\x1b\x7f\u009b2J", "\u202egpj\u200b\ufeff", "\U000e0041\U000f0000", "日本 ❤\ufe0f \ufe0f", `a\b"c`, "\u2028", "<&>"} {
		var out bytes.Buffer
		if err := WriteJSON(&out, map[string]string{"s": in}); err != nil {
			t.Fatal(err)
		}
		check(t, out.String(), "\n")
		var back map[string]string
		if err := json.Unmarshal(out.Bytes(), &back); err != nil || back["s"] != in {
			t.Errorf("%q: %s, read back as %q, %v", in, out.String(), back["s"], err)
		}
	}
}

func TestWriteJSONFormat(t *testing.T) {
	var out strings.Builder
	if err := WriteJSON(&out, map[string]string{"name": "<a> & \u202eb"}); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "{\n  \"name\": \"<a> & \\u202eb\"\n}\n"; got != want {
		t.Errorf("it is %s, want %s", got, want)
	}
}

// TestSafeTextIsNotCopied: text that needs no escape costs no allocation.
func TestSafeTextIsNotCopied(t *testing.T) {
	for _, s := range []string{"plain text of some length", "Grüße 日本語 ❤\ufe0f"} {
		if n := testing.AllocsPerRun(10, func() { Line(s); Text(s); Cut(s, 80) }); n != 0 {
			t.Errorf("%q: %v allocations", s, n)
		}
	}
}

func FuzzSafe(f *testing.F) {
	for _, s := range []string{"a\r\nb", "\x1b[31m", "\u202e\xff\x00", "👩\u200d💻❤\ufe0f\ufe0f", "\x01\ufe0f", "日本語 e\u0301"} {
		f.Add(s, 7)
	}
	f.Fuzz(func(t *testing.T, s string, width int) {
		line, text, cut := Line(s), Text(s), Cut(s, width)
		check(t, line, "")
		check(t, text, "\n\t")
		check(t, cut, "")
		if again := Line(line); again != line {
			t.Errorf("Line is no fixed point: %q, then %q", line, again)
		}
		if again := Text(text); again != text {
			t.Errorf("Text is no fixed point: %q, then %q", text, again)
		}
		if got := uniseg.StringWidth(cut); got > max(width, 0) {
			t.Errorf("Cut(%q, %d) = %q is %d wide", s, width, cut, got)
		}
		if width < 1<<20 && len(cut) > maxCluster*max(width, 0) {
			t.Errorf("Cut(%q, %d) has %d octets", s, width, len(cut))
		}
		if !strings.HasPrefix(line, strings.TrimSuffix(cut, "…")) {
			t.Errorf("Cut(%q, %d) = %q is no beginning of %q", s, width, cut, line)
		}
	})
}

// check fails the test if s has a character that must not reach a terminal. Its rules
// are independent of those of the code.
func check(t *testing.T, s, keep string) {
	t.Helper()
	if !utf8.ValidString(s) {
		t.Errorf("%q is not UTF-8", s)
	}
	for _, r := range s {
		if strings.ContainsRune(keep, r) {
			continue
		}
		if unicode.In(r, unicode.C, unicode.Zl, unicode.Zp, unicode.Bidi_Control, unicode.Join_Control, unicode.Other_Default_Ignorable_Code_Point) {
			t.Errorf("%q has %U", s, r)
		}
	}
}

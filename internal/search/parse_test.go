package search

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// The words of a text.
func TestWords(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "",
		"Hello, World!":                    "hello world",
		"me@example.com":                   "me example com",
		"don't e-mail 3.14":                "don t e mail 3 14",
		"Müller MÜLLER Mu\u0308ller":       "muller muller muller",
		"Straße STRASSE":                   "strasse strasse",
		"İstanbul ISTANBUL ıstanbul":       "istanbul istanbul istanbul",
		"Σίσυφος ΣΊΣΥΦΟΣ":                  "σισυφοσ σισυφοσ",
		"Łódź Søren Ærø œuvre đ þing":      "lodz soren aero oeuvre d thing",
		"ﬁle ½ ① x² Ａｂ":                    "file 1 2 1 x2 ab",
		"東京都、大阪":                           "東 京 都 大 阪",
		"ｶﾞギ か\u3099":                      "ガ ギ が",
		"한국어 test한글":                       "한 국 어 test 한 글",
		"สวัสดี":                           "ส ว ั ส ด ี",
		"iPhone手机15pro":                    "iphone 手 机 15pro",
		"soft\u00adhyphen zero\u200bwidth": "softhyphen zerowidth",
		"שָׁלוֹם":                          "שלום",
		"ёлка йод":                         "елка иод",
		"<\u0338 =\u0338 a\u0338":          "a",
		"हिन्दी":                           "हिन्दी",
		"🎉 party ¶":                        "party",
		strings.Repeat("x", 100):           strings.Repeat("x", maxWordLength),
		strings.Repeat("é", 100) + " y":    strings.Repeat("e", maxWordLength) + " y",
	} {
		var b strings.Builder
		newWordFolder().appendWords(&b, text)
		if got := strings.TrimSuffix(b.String(), " "); got != want {
			t.Errorf("the words of %q are %q, want %q", text, got, want)
		}
	}
}

// The words of a query as an expression for FTS5.
func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		`invoice`:                       `("invoice")`,
		`Invoi*`:                        `("invoi"*)`,
		`from:Alice -to:bob`:            `(({ c0 } : "alice")) NOT (({ c1 c2 } : "bob"))`,
		`"annual report" SUBJECT:"a b"`: `("annual report") AND ({ c3 } : "a b")`,
		`"annual rep"*`:                 `("annual rep"*)`,
		`"annual rep*"`:                 `("annual rep"*)`,
		`text:a.b message-id:<x@y>`:     `({ c6 } : "a b") AND ({ c4 } : "x y")`,
		` cc:x  filename:report.pdf `:   `({ c2 } : "x") AND ({ c7 } : "report pdf")`,
		`京都*`:                           `("京 都"*)`,
		`12:30`:                         `("12 30")`,
		`"NEAR" OR`:                     `("near") AND ("or")`,
	} {
		q, err := Parse(text, parseTestTime)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := q.documentQuery().args[0]; got != want {
			t.Errorf("%s: expression %s, want %s", text, got, want)
		}
	}
}

// The message of a query that can't be parsed names the faulty word.
func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		``:               "what to search for",
		`  `:             "what to search for",
		`a -`:            `"-": write the - directly before`,
		`from:`:          `"from:": write a value after the colon`,
		`from: alice`:    `"from:": write a value after the colon`,
		`x from:"a b`:    `"from:\"a b": the quote is not closed`,
		`"a b"c d`:       `"\"a b\"c": write a space after`,
		`a*b`:            `"a*b": write a star only at the end`,
		`*`:              `"*": there is no letter`,
		`foo.*`:          `"foo.*": write the star directly after`,
		`subject:"!?"`:   `"subject:\"!?\"": there is no letter`,
		`foo larger:10X`: `"larger:10X": write octets`,
		`larger:-1`:      `"larger:-1": write octets`,
		`has:pictures`:   `"has:pictures": the only value of has:`,
		`after:soon`:     `"after:soon": `,
		`http://x y`:     `"http://x": there is no field http:`,
		"a\xff":          "valid UTF-8",
		`flag:`:          `"flag:": write a value after the colon`,
	} {
		_, err := Parse(text, parseTestTime)
		var e *SyntaxError
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		} else if text[e.Offset:e.Offset+len(e.Word)] != e.Word {
			t.Errorf("%s: the word at offset %d is not %q", text, e.Offset, e.Word)
		}
	}
}

// No query panics or becomes an FTS5 expression with other operators; an error names a
// word of the query.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{`from:"a b"* -x* after:2026-01-01`, `larger:1e3 京都`, `"`, `-`, `a:b`, "\u0301*", `flag:\Seen mailbox:*`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := Parse(text, parseTestTime)
		var e *SyntaxError
		if err != nil {
			if !errors.As(err, &e) || len(text) < e.Offset+len(e.Word) || text[e.Offset:e.Offset+len(e.Word)] != e.Word {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		for _, m := range q.terms {
			if m.kind == wordsKind && (m.words == "" || strings.ContainsAny(m.words, "\"*:(){}\x00") || !utf8.ValidString(m.words)) {
				t.Fatalf("%q has the words %q", text, m.words)
			}
		}
		q.matchesDocument(&document{}, 1)
		q.matchesDate(startTime)
		q.matchesFlags([]string{`\Seen`})
		q.matchesAccount("alice")
	})
}

// The words of any text are separated by one space, have no ASCII character but lower
// case letters and digits, and are not too long.
func FuzzWords(f *testing.F) {
	for _, s := range []string{"Hello, World", "Straße", "İı", "東京ガｷﾞ", "e\u0301\u0301", "\xff\xfe", "a\u00adb", "ﷺ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var b strings.Builder
		newWordFolder().appendWords(&b, text)
		words := b.String()
		if words != "" && !strings.HasSuffix(words, " ") || strings.Contains(words, "  ") || strings.HasPrefix(words, " ") {
			t.Fatalf("%q: %q", text, words)
		}
		for _, w := range strings.Fields(words) {
			if n := utf8.RuneCountInString(w); n > maxWordLength || w == textBorder {
				t.Fatalf("%q: word %q", text, w)
			}
			for _, r := range w {
				if r < utf8.RuneSelf && !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z') {
					t.Fatalf("%q: word %q", text, w)
				}
			}
		}
	})
}

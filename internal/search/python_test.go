package search

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"

	"archiverd/archive"
)

// asked is a term as the oracle takes it.
type asked struct {
	Field  string `json:"field"`
	Words  string `json:"words"`
	Prefix bool   `json:"prefix"`
	Not    bool   `json:"not"`
}

func (a asked) String() string {
	text := ""
	if a.Not {
		text = "-"
	}
	if a.Field != "" {
		text += a.Field + ":"
	}
	text += `"` + a.Words + `"`
	if a.Prefix {
		text += "*"
	}
	return text
}

// said is what the oracle says.
type said struct {
	Answers  [][]string                     `json:"answers"`
	Words    map[string]map[string][]string `json:"words"`
	Doubtful []string                       `json:"doubtful"`
	Rendered []string                       `json:"rendered"`
}

// judge is the path of a program. Without it the test is skipped, but not where
// ARCHIVERD_REQUIRE_DOVECOT says that everything is there.
func judge(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil && os.Getenv("ARCHIVERD_REQUIRE_DOVECOT") == "1" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skip("no " + program)
	}
	return path
}

// oracle asks Python.
func oracle(t *testing.T, files []string, queries [][]asked) *said {
	t.Helper()
	task, err := json.Marshal(map[string]any{"files": files, "queries": queries})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(judge(t, "python3"), "testdata/oracle.py")
	cmd.Stdin = bytes.NewReader(task)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("oracle: %v\n%s", err, &log)
	}
	s := &said{}
	if err := json.Unmarshal(out.Bytes(), s); err != nil {
		t.Fatal(err)
	}
	return s
}

// compared is a store whose one mailbox has messages, and a folder with the same.
type compared struct {
	*store
	files []string
}

func newCompared(t *testing.T, bodies []string) *compared {
	t.Helper()
	c := &compared{store: newStore(t)}
	dir := t.TempDir()
	var letters []letter
	for i, body := range bodies {
		f := filepath.Join(dir, fmt.Sprintf("%04d", i))
		if err := os.WriteFile(f, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		c.files = append(c.files, f)
		letters = append(letters, letter{uint32(i + 1), clock, nil, body})
	}
	c.commit("alice", "INBOX", 1, []archive.Event{opened("INBOX", 1)}, letters...)
	c.index()
	return c
}

// compare compares what find finds with what the oracle says, but for the messages that
// are doubtful or excused. It returns how many results there were.
func (c *compared) compare(queries [][]asked, s *said, excused func(file string, q []asked) bool, find func(query string) *Found) (some int) {
	c.t.Helper()
	for i, q := range queries {
		var texts []string
		for _, a := range q {
			texts = append(texts, a.String())
		}
		query := strings.Join(texts, " ")
		found := map[string]bool{}
		for _, r := range find(query).Results {
			for _, p := range r.Places {
				found[c.files[p.UID-1]] = true
			}
		}
		some += len(found)
		for _, f := range c.files {
			if found[f] != slices.Contains(s.Answers[i], f) && !slices.Contains(s.Doubtful, f) && !excused(f, q) {
				c.t.Errorf("%s: %s finds it: %v; Python: %v", filepath.Base(f), query, found[f], !found[f])
			}
		}
	}
	return some
}

// encoded is a message in a charset, text and subject, and HTML.
func encoded(charset string, e encoding.Encoding, text string) string {
	octets := text
	if e != nil {
		var err error
		if octets, err = e.NewEncoder().String(text); err != nil {
			return ""
		}
	}
	hex := func(s string, always string) string {
		var b strings.Builder
		for i := range len(s) {
			if c := s[i]; c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, always, c)
			}
		}
		return b.String()
	}
	q := hex(octets, "=%02X")
	return "From: =?" + charset + "?Q?" + q + "?= <someone@example.com>\r\nTo: other@example.org\r\nSubject: =?" + charset + "?q?" + q + "?=\r\n" +
		"X-Other: headword\r\nReceived: from hostword\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
		"--b\r\nContent-Type: text/plain; charset=" + charset + "\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + q + "=20" + strings.ToLower(strings.ReplaceAll(charset, "-", "")) + "\r\n" +
		"--b\r\nContent-Type: text/html; charset=" + charset + "\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<style>styleword</style><p>in<b>side</b>=20" + q + "<p>next</p>\r\n" +
		"--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename*=utf-8''" + hex(text, "%%%02X") + ".pdf\r\n\r\npdfword\r\n--b--\r\n"
}

// What Python finds in mail of many charsets is what is found here.
func TestFoundAsByPython(t *testing.T) {
	var bodies []string
	for _, m := range []struct {
		charset string
		e       encoding.Encoding
		text    string
	}{
		{"utf-8", nil, "Größe İstanbul ﬁne Straße 東京都庁 Ångström Łódź"},
		{"utf-8", nil, "Straßenbahn naïveté 한국어 สวัสดี שָׁלוֹם"},
		{"iso-8859-1", charmap.ISO8859_1, "Grosse Größe café Müller"},
		{"iso-8859-15", charmap.ISO8859_15, "œuvre Müller größer"},
		{"windows-1251", charmap.Windows1251, "Привет ёлка"},
		{"koi8-r", charmap.KOI8R, "Привет мир ёлка"},
		{"iso-8859-7", charmap.ISO8859_7, "Σίσυφος ΕΛΙΑ"},
		{"shift_jis", japanese.ShiftJIS, "東京都 カバン"},
		{"euc-jp", japanese.EUCJP, "京都の郵便"},
		{"iso-2022-jp", japanese.ISO2022JP, "東京の郵便"},
		{"gb18030", simplifiedchinese.GB18030, "北京邮件"},
		{"euc-kr", korean.EUCKR, "한국 편지"},
		{"iso-8859-9", charmap.ISO8859_9, "ISTANBUL ıstanbul Iğdır"},
		{"iso-8859-2", charmap.ISO8859_2, "Łódź Dvořák"},
	} {
		body := encoded(m.charset, m.e, m.text)
		if body == "" {
			t.Fatalf("%s can't hold %q", m.charset, m.text)
		}
		bodies = append(bodies, body)
	}
	var queries [][]asked
	for _, w := range []string{"größe", "GROSSE", "istanbul", "ISTANBUL", "fine", "strasse", "東京", "京都", "都", "angstrom", "lodz", "naivete", "한국", "국", "สวัส", "שלום",
		"cafe", "muller", "Müller", "oeuvre", "привет", "елка", "Ёлка", "σίσυφος", "ΣΙΣΥΦΟΣ", "ελιά", "カハン", "カバン", "郵便", "邮件", "igdir", "dvorak",
		"headword", "hostword", "styleword", "pdfword", "inside", "next", "pdf", "example com", "someone@example.com", "koi8r", "nothing"} {
		for _, field := range []string{"", "from", "to", "subject", "text", "filename"} {
			queries = append(queries, []asked{{Field: field, Words: w, Prefix: field == "" || field == "filename"}})
		}
		queries = append(queries, []asked{{Words: w, Not: true}}, []asked{{Words: w}, {Words: "muller", Not: true}}, []asked{{Words: w + " muller"}})
	}
	c := newCompared(t, bodies)
	n := 0
	python := oracle(t, c.files, queries)
	some := c.compare(queries, python, func(string, []asked) bool { return false }, func(query string) *Found {
		if n++; n%10 == 0 {
			return c.same(query, archive.Selection{}, 0)
		}
		return c.find(query, archive.Selection{}, 0, n%3 > 0)
	})
	if some < 300 || len(python.Doubtful) > 0 {
		t.Errorf("%d results in all, %d messages are doubtful", some, len(python.Doubtful))
	}
}

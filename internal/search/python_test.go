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

// queryTerm is a term as the oracle takes it.
type queryTerm struct {
	Field  string `json:"field"`
	Words  string `json:"words"`
	Prefix bool   `json:"prefix"`
	Not    bool   `json:"not"`
}

func (a queryTerm) String() string {
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

// pythonAnswer is what the oracle says.
type pythonAnswer struct {
	Answers  [][]string                     `json:"answers"`
	Words    map[string]map[string][]string `json:"words"`
	Doubtful []string                       `json:"doubtful"`
	Rendered []string                       `json:"rendered"`
}

// requireProgram is the path of a program. Without it the test is skipped, but not where
// ARCHIVERD_REQUIRE_DOVECOT says that everything is there.
func requireProgram(t *testing.T, program string) string {
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

// askPython asks Python.
func askPython(t *testing.T, files []string, queries [][]queryTerm) *pythonAnswer {
	t.Helper()
	task, err := json.Marshal(map[string]any{"files": files, "queries": queries})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(requireProgram(t, "python3"), "testdata/oracle.py")
	cmd.Stdin = bytes.NewReader(task)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("oracle: %v\n%s", err, &log)
	}
	s := &pythonAnswer{}
	if err := json.Unmarshal(out.Bytes(), s); err != nil {
		t.Fatal(err)
	}
	return s
}

// comparedArchive is a store whose one mailbox has messages, and a folder with the same.
type comparedArchive struct {
	*testArchive
	files []string
}

func newComparedArchive(t *testing.T, bodies []string) *comparedArchive {
	t.Helper()
	c := &comparedArchive{testArchive: newTestArchive(t)}
	dir := t.TempDir()
	var letters []testMessage
	for i, body := range bodies {
		f := filepath.Join(dir, fmt.Sprintf("%04d", i))
		if err := os.WriteFile(f, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		c.files = append(c.files, f)
		letters = append(letters, testMessage{uint32(i + 1), startTime, nil, body})
	}
	c.commit("alice", "INBOX", 1, []archive.Event{openedEvent("INBOX", 1)}, letters...)
	c.updateIndex()
	return c
}

// compare compares what find finds with what the oracle says, but for the messages that
// are doubtful or excused. It returns how many results there were.
func (c *comparedArchive) compare(queries [][]queryTerm, s *pythonAnswer, excused func(file string, q []queryTerm) bool, find func(query string) *Report) (some int) {
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

// encodedMessage is a message in a charset, text and subject, and HTML.
func encodedMessage(charset string, e encoding.Encoding, text string) string {
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
func TestCharsetsMatchAsInPython(t *testing.T) {
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
		body := encodedMessage(m.charset, m.e, m.text)
		if body == "" {
			t.Fatalf("%s can't hold %q", m.charset, m.text)
		}
		bodies = append(bodies, body)
	}
	var queries [][]queryTerm
	for _, w := range []string{"größe", "GROSSE", "istanbul", "ISTANBUL", "fine", "strasse", "東京", "京都", "都", "angstrom", "lodz", "naivete", "한국", "국", "สวัส", "שלום",
		"cafe", "muller", "Müller", "oeuvre", "привет", "елка", "Ёлка", "σίσυφος", "ΣΙΣΥΦΟΣ", "ελιά", "カハン", "カバン", "郵便", "邮件", "igdir", "dvorak",
		"headword", "hostword", "styleword", "pdfword", "inside", "next", "pdf", "example com", "someone@example.com", "koi8r", "nothing"} {
		for _, field := range []string{"", "from", "to", "subject", "text", "filename"} {
			queries = append(queries, []queryTerm{{Field: field, Words: w, Prefix: field == "" || field == "filename"}})
		}
		queries = append(queries, []queryTerm{{Words: w, Not: true}}, []queryTerm{{Words: w}, {Words: "muller", Not: true}}, []queryTerm{{Words: w + " muller"}})
	}
	c := newComparedArchive(t, bodies)
	n := 0
	python := askPython(t, c.files, queries)
	some := c.compare(queries, python, func(string, []queryTerm) bool { return false }, func(query string) *Report {
		if n++; n%10 == 0 {
			return c.searchBothWays(query, archive.Selection{}, 0)
		}
		return c.search(query, archive.Selection{}, 0, n%3 > 0)
	})
	if some < 300 || len(python.Doubtful) > 0 {
		t.Errorf("%d results in all, %d messages are doubtful", some, len(python.Doubtful))
	}
}

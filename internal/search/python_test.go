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
	"archiverd/archive/history"
)

// queryTerm is a term of words, in the form that testdata/oracle.py reads.
type queryTerm struct {
	Field  string `json:"field"`
	Words  string `json:"words"`
	Prefix bool   `json:"prefix"`
	Not    bool   `json:"not"`
}

// String returns the term in the syntax of a query.
func (q queryTerm) String() string {
	text := ""
	if q.Not {
		text = "-"
	}
	if q.Field != "" {
		text += q.Field + ":"
	}
	text += `"` + q.Words + `"`
	if q.Prefix {
		text += "*"
	}
	return text
}

// queryText returns terms as one query.
func queryText(terms []queryTerm) string {
	var texts []string
	for _, q := range terms {
		texts = append(texts, q.String())
	}
	return strings.Join(texts, " ")
}

// pythonAnswer is the output of testdata/oracle.py.
type pythonAnswer struct {
	Answers  [][]string                     `json:"answers"`  // for each query, the files that match
	Words    map[string]map[string][]string `json:"words"`    // by file and field
	Doubtful []string                       `json:"doubtful"` // files that Python finds malformed; they have neither words nor answers
	Rendered []string                       `json:"rendered"` // files with text that is converted: HTML, reports, attached messages
}

// requireProgram returns the path of a program. If it is missing the test is skipped, or
// fails with ARCHIVERD_REQUIRE_DOVECOT=1.
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

// askPython runs queries over files with testdata/oracle.py.
func askPython(t *testing.T, files []string, queries [][]queryTerm) *pythonAnswer {
	t.Helper()
	task, err := json.Marshal(map[string]any{"files": files, "queries": queries})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(requireProgram(t, "python3"), "testdata/oracle.py")
	cmd.Stdin = bytes.NewReader(task)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("oracle.py: %v\n%s", err, &stderr)
	}
	answer := &pythonAnswer{}
	if err := json.Unmarshal(stdout.Bytes(), answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// comparedArchive is an archive with one mailbox, whose messages are also in files.
type comparedArchive struct {
	*testArchive
	files []string // by UID - 1
}

// newComparedArchive creates an archive with an index.
func newComparedArchive(t *testing.T, texts []string) *comparedArchive {
	t.Helper()
	c := &comparedArchive{testArchive: newTestArchive(t), files: writeMessages(t, t.TempDir(), texts)}
	var messages []testMessage
	for i, text := range texts {
		messages = append(messages, testMessage{uint32(i + 1), startTime, nil, text})
	}
	c.commit("alice", "INBOX", 1, []archive.Event{openedEvent("INBOX", 1)}, messages...)
	c.updateIndex()
	return c
}

// writeMessages writes each text to a file in dir.
func writeMessages(t *testing.T, dir string, texts []string) (files []string) {
	t.Helper()
	for i, text := range texts {
		file := filepath.Join(dir, fmt.Sprintf("%04d", i))
		writeFile(t, file, []byte(text))
		files = append(files, file)
	}
	return files
}

// compare fails the test if search and Python disagree about a message that is neither
// doubtful nor a known difference. It returns the number of results.
func (c *comparedArchive) compare(queries [][]queryTerm, python *pythonAnswer, isKnownDifference func(file string, terms []queryTerm) bool, search func(query string) *Report) (results int) {
	c.t.Helper()
	for i, terms := range queries {
		query := queryText(terms)
		found := map[string]bool{}
		for _, r := range search(query).Results {
			for _, p := range r.Places {
				found[c.files[p.UID-1]] = true
			}
		}
		results += len(found)
		for _, f := range c.files {
			if found[f] != slices.Contains(python.Answers[i], f) && !slices.Contains(python.Doubtful, f) && !isKnownDifference(f, terms) {
				c.t.Errorf("message %s matches %s: %v; with Python: %v", filepath.Base(f), query, found[f], !found[f])
			}
		}
	}
	return results
}

// escapeOctets writes the octets of s that are no ASCII letters with a format.
func escapeOctets(s, format string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, format, c)
		}
	}
	return b.String()
}

// encodedMessage returns a message with a text in a charset: in its From, Subject, plain
// text, HTML and, as UTF-8, in a file name. A nil encoding is UTF-8.
func encodedMessage(t *testing.T, charset string, e encoding.Encoding, text string) string {
	octets := text
	if e != nil {
		var err error
		if octets, err = e.NewEncoder().String(text); err != nil {
			t.Fatalf("encode %q in %s: %v", text, charset, err)
		}
	}
	q := escapeOctets(octets, "=%02X")
	return "From: =?" + charset + "?Q?" + q + "?= <someone@example.com>\r\nTo: other@example.org\r\nSubject: =?" + charset + "?q?" + q + "?=\r\n" +
		"X-Other: headword\r\nReceived: from hostword\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
		"--b\r\nContent-Type: text/plain; charset=" + charset + "\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + q + "=20" + strings.ToLower(strings.ReplaceAll(charset, "-", "")) + "\r\n" +
		"--b\r\nContent-Type: text/html; charset=" + charset + "\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<style>styleword</style><p>in<b>side</b>=20" + q + "<p>next</p>\r\n" +
		"--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename*=utf-8''" + escapeOctets(text, "%%%02X") + ".pdf\r\n\r\npdfword\r\n--b--\r\n"
}

// charsetTexts are texts that differ from their folded words.
var charsetTexts = []struct {
	charset  string
	encoding encoding.Encoding
	text     string
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
}

// Queries match messages in many charsets exactly when Python says so.
func TestCharsetsMatchAsInPython(t *testing.T) {
	var messages []string
	for _, c := range charsetTexts {
		messages = append(messages, encodedMessage(t, c.charset, c.encoding, c.text))
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
	c := newComparedArchive(t, messages)
	python := askPython(t, c.files, queries)
	n := 0
	results := c.compare(queries, python, func(string, []queryTerm) bool { return false }, func(query string) *Report {
		if n++; n%10 == 0 {
			return c.searchBothWays(query, history.Selection{}, 0)
		}
		return c.search(query, history.Selection{}, 0, n%3 > 0)
	})
	if results < 300 || len(python.Doubtful) > 0 {
		t.Errorf("%d results in all, %d messages are doubtful", results, len(python.Doubtful))
	}
}

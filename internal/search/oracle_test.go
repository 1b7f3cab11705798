package search

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
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
	"archiverd/internal/dovecot"
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

// oracle asks Python. Without it the test is skipped, but not where
// ARCHIVERD_REQUIRE_DOVECOT says that everything is there.
func oracle(t *testing.T, files []string, queries [][]asked, plain bool) (answers [][]string, doubtful []string) {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil && os.Getenv("ARCHIVERD_REQUIRE_DOVECOT") == "1" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skip("no python3")
	}
	task, err := json.Marshal(map[string]any{"files": files, "queries": queries, "plain": plain})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "testdata/oracle.py")
	cmd.Stdin = bytes.NewReader(task)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("oracle: %v\n%s", err, &log)
	}
	var said struct {
		Answers  [][]string `json:"answers"`
		Doubtful []string   `json:"doubtful"`
	}
	if err := json.Unmarshal(out.Bytes(), &said); err != nil {
		t.Fatal(err)
	}
	return said.Answers, said.Doubtful
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

// compare asks the oracle and find the same. It returns how many results there
// were, how many messages are doubtful, and a query for each other message that one
// of the two finds and the other does not.
func (c *compared) compare(queries [][]asked, plain bool, find func(query string) *Found) (some, doubtful int, differ map[string]string) {
	c.t.Helper()
	answers, doubts := oracle(c.t.(*testing.T), c.files, queries, plain)
	differ = map[string]string{}
	for i, q := range queries {
		var texts []string
		for _, a := range q {
			texts = append(texts, a.String())
		}
		query := strings.Join(texts, " ")
		var got []string
		for _, r := range find(query).Results {
			for _, p := range r.Places {
				if f := c.files[p.UID-1]; !slices.Contains(doubts, f) {
					got = append(got, f)
				}
			}
		}
		some += len(got)
		for _, f := range got {
			if !slices.Contains(answers[i], f) {
				differ[filepath.Base(f)] = query + " finds it, and Python does not"
			}
		}
		for _, f := range answers[i] {
			if !slices.Contains(got, f) {
				differ[filepath.Base(f)] = query + " does not find it, and Python does"
			}
		}
	}
	return some, len(doubts), differ
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
	some, doubtful, differ := c.compare(queries, false, func(query string) *Found {
		if n++; n%10 == 0 {
			return c.same(query, archive.Selection{}, 0)
		}
		return c.find(query, archive.Selection{}, 0, n%3 > 0)
	})
	if some < 300 || doubtful > 0 {
		t.Errorf("%d results in all, %d messages are doubtful", some, doubtful)
	}
	for name, how := range differ {
		t.Errorf("%s: %s", name, how)
	}
}

// The same for the mail of ARCHIVERD_TEST_MAIL, as far as Python reads it without
// finding fault: words that stand in it, by field. The mail is there to be hostile,
// so that two readers need not agree about the last message; but about 95 of 100.
func TestFoundAsByPythonInRealMail(t *testing.T) {
	var bodies []string
	seen := map[string]bool{}
	for _, f := range dovecot.Mail(t) {
		if text := string(f.Data); len(text) < 100_000 && !seen[text] {
			bodies = append(bodies, text)
			seen[text] = true
		}
	}
	if bodies == nil {
		t.Skip("ARCHIVERD_TEST_MAIL is not set")
	}
	a := rand.New(rand.NewPCG(5, 5))
	r := reader{newFolder()}
	queries := map[bool][][]asked{}
	for _, text := range bodies {
		d, err := r.read(strings.NewReader(text), false)
		if err != nil {
			t.Fatal(err)
		}
		for i, field := range []string{"from", "to", "subject", "message-id", "text", "filename"} {
			list := strings.Fields(d.words[[]column{from, to, subject, ident, body, file}[i]])
			if len(list) == 0 || a.IntN(40) > 0 {
				continue
			}
			if w := list[a.IntN(len(list))]; w != border {
				queries[field == "text"] = append(queries[field == "text"], []asked{{Field: field, Words: w, Prefix: a.IntN(3) == 0}})
			}
		}
	}
	c := newCompared(t, bodies)
	for _, plain := range []bool{false, true} {
		some, doubtful, differ := c.compare(queries[plain], plain, func(query string) *Found { return c.find(query, archive.Selection{}, 0, true) })
		t.Logf("%d messages, %d of them doubtful; %d queries, %d results; %d messages differ: %v", len(bodies), doubtful, len(queries[plain]), some, len(differ), differ)
		if sure := len(bodies) - doubtful; some < len(queries[plain]) || sure < len(bodies)/8 || len(differ) > sure/20 {
			t.Errorf("of %d messages %d are doubtful; %d results for %d queries; %d differ", len(bodies), doubtful, some, len(queries[plain]), len(differ))
		}
	}
	for range 2 {
		c.same(queries[true][a.IntN(len(queries[true]))][0].String(), archive.Selection{}, 0)
	}
}

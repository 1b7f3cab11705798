package search

import (
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"archiverd/archive/history"
	"archiverd/internal/testing/dovecot"
)

// knownDifferences are messages that Python reads differently: a pattern of their text,
// the fields that differ (nil: all) and the reason.
var knownDifferences = []struct {
	pattern *regexp.Regexp
	fields  []string
	reason  string
}{
	{regexp.MustCompile(`\A\s*\n`), nil,
		"an empty line before the header: by RFC 5322 2.1 there is no header, as in Python; here the fields after it are read"},
	{regexp.MustCompile(`(?i)name==\?`), []string{"filename"},
		"a file name that is an encoded word without quotes is no token (RFC 2045 5.1, RFC 2047 5): Python ignores it"},
	{regexp.MustCompile(`(?i)(content-type:[ \t]*multipart/[^\n]*\n\s*--\S*\s*){101}`), []string{"text"},
		"more than the 100 nested multiparts that are read: the rest is text here"},
	{regexp.MustCompile(`(?im)^content-transfer-encoding:[^\n]*[ \t]\r?$`), []string{"text"},
		"a space after the encoding's name is no part of it (RFC 2045 6.1, RFC 5322 3.2.2): Python does not decode"},
}

// isKnownDifference reports whether Python may read a field of a message differently.
func isKnownDifference(text, field string) bool {
	for _, d := range knownDifferences {
		if (d.fields == nil || slices.Contains(d.fields, field)) && d.pattern.MatchString(text) {
			return true
		}
	}
	return false
}

// realMail returns the messages of ARCHIVERD_TEST_MAIL, equal ones once. Without it the
// test is skipped.
func realMail(t *testing.T) (messages []string) {
	t.Helper()
	seen := map[string]bool{}
	for _, f := range dovecot.Mail(t) {
		if text := string(f.Data); len(text) < 100_000 && !seen[text] {
			messages = append(messages, text)
			seen[text] = true
		}
	}
	if messages == nil {
		t.Skip("ARCHIVERD_TEST_MAIL is not set")
	}
	return messages
}

// readDocuments reads messages as documents.
func readDocuments(t *testing.T, messages []string) (documents []*document) {
	t.Helper()
	r := documentReader{newWordFolder()}
	for _, text := range messages {
		d, err := r.read(strings.NewReader(text), false)
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, d)
	}
	return documents
}

// pythonFields are the fields of testdata/oracle.py, in the order of the columns.
var pythonFields = [numColumns]string{"from", "to", "cc", "subject", "message-id", "other", "text", "filename"}

// randomQueries returns queries for single words of the documents.
func randomQueries(documents []*document) (queries [][]queryTerm) {
	r := rand.New(rand.NewPCG(5, 5))
	for _, d := range documents {
		for c, field := range pythonFields {
			words := strings.Fields(d.words[c])
			// The column other has no field in a query. Python converts other parts to text.
			if field == "other" || field == "text" || len(words) == 0 || r.IntN(40) > 0 {
				continue
			}
			if w := words[r.IntN(len(words))]; w != textBorder {
				queries = append(queries, []queryTerm{{Field: field, Words: w, Prefix: r.IntN(3) == 0}})
			}
		}
	}
	return queries
}

// In real mail that Python finds well-formed, each field has the words that Python
// reads, in the same order, and queries for such words match the same messages. Each
// difference is in knownDifferences.
func TestRealMailMatchesAsInPython(t *testing.T) {
	messages := realMail(t)
	documents := readDocuments(t, messages)
	queries := randomQueries(documents)
	c := newComparedArchive(t, messages)
	python := askPython(t, c.files, queries)
	wellFormed, withText, differences := 0, 0, 0
	for i, f := range c.files {
		words, ok := python.Words[f]
		if !ok {
			continue
		}
		wellFormed++
		rendered := slices.Contains(python.Rendered, f)
		if !rendered {
			withText++
		}
		for column, field := range pythonFields {
			if field == "text" && rendered {
				continue
			}
			ours := slices.DeleteFunc(strings.Fields(documents[i].words[column]), func(w string) bool { return w == textBorder })
			if slices.Equal(ours, words[field]) {
				continue
			}
			differences++
			if !isKnownDifference(messages[i], field) {
				t.Errorf("message %s, %s: the words are\n%q\nwith Python\n%q", filepath.Base(f), field, ours, words[field])
			}
		}
	}
	results := c.compare(queries, python,
		func(file string, terms []queryTerm) bool {
			return isKnownDifference(messages[slices.Index(c.files, file)], terms[0].Field)
		},
		func(query string) *Report { return c.search(query, history.Selection{}, 0, true) })
	t.Logf("%d messages, %d well-formed, %d of them with comparable text; %d fields with known differences; %d queries, %d results",
		len(messages), wellFormed, withText, differences, len(queries), results)
	if wellFormed < len(messages)/2 || withText < len(messages)/4 || results < len(queries) {
		t.Errorf("too few comparisons: %d of %d messages, %d with text, %d results of %d queries", wellFormed, len(messages), withText, results, len(queries))
	}
	for _, i := range []int{0, len(queries) / 2} {
		c.searchBothWays(queries[i][0].String(), history.Selection{}, 0)
	}
}

// Messages that Python reads differently match these queries.
func TestMatchesUnlikePython(t *testing.T) {
	for _, m := range []struct{ name, text, query string }{
		{"name in a comment", "From: ann@example.com (Ann Archer)\r\n\r\nx", "from:archer"},
		{"word in two encoded words", "From: =?utf-8?q?Arch?= =?utf-8?q?er?= <ann@example.com>\r\n\r\nx", "from:archer"},
		{"character in two encoded words", "Subject: =?utf-8?b?w4RyY8M=?= =?utf-8?b?pGU=?=\r\n\r\nx", `subject:arcae`},
		{"wrong day of the week", "Date: Sun, 3 Mar 2020 10:00:00 +0100 (CET)\r\n\r\nx", "3 sun cet"},
		{"header in the charset of the text", "From: H\xe4mmer <h@example.com>\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\nx", "from:hämmer"},
		{"empty line before the header", "\r\nFrom: ann@example.com\r\nSubject: late\r\n\r\nx", "from:ann subject:late"},
		{"file name as encoded word", "Content-Type: text/plain; name==?utf-8?b?w6RwZmVsLnR4dA==?=\r\n\r\nx", "filename:äpfel"},
		{"space after the transfer encoding", "Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable  \r\n\r\np=65ar", "text:pear"},
	} {
		t.Run(m.name, func(t *testing.T) {
			d := readDocuments(t, []string{m.text})[0]
			if !parse(t, m.query).matchesDocument(d, int64(len(m.text))) {
				t.Errorf("%s does not match %q, whose words are %q", m.query, m.text, d.words)
			}
		})
	}
}

package search

import (
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"archiverd/archive"
	"archiverd/internal/testing/dovecot"
)

// knownDifferences are the messages that Python reads otherwise for a reason, by what stands in
// them; and the fields that differ, nil for all.
var knownDifferences = []struct {
	pattern *regexp.Regexp
	fields  []string
	why     string
}{
	{regexp.MustCompile(`\A\s*\n`), nil,
		"an empty line stands before the header: by RFC 5322 2.1 there is none, as Python has it; the fields behind are what was meant"},
	{regexp.MustCompile(`(?i)name==\?`), []string{"filename"},
		"a name that is an encoded word without quotes is no token (RFC 2045 5.1, RFC 2047 5): Python leaves it out"},
	{regexp.MustCompile(`(?i)(content-type:[ \t]*multipart/[^\n]*\n\s*--\S*\s*){101}`), []string{"text"},
		"deeper than the 100 multiparts that are read, the rest is shown as text"},
	{regexp.MustCompile(`(?im)^content-transfer-encoding:[^\n]*[ \t]\r?$`), []string{"text"},
		"white space at the end is no part of the encoding's name (RFC 2045 6.1, RFC 5322 3.2.2): Python does not decode"},
}

// isKnownDifference says whether Python may read a field of a message otherwise.
func isKnownDifference(body, field string) bool {
	for _, e := range knownDifferences {
		if (e.fields == nil || slices.Contains(e.fields, field)) && e.pattern.MatchString(body) {
			return true
		}
	}
	return false
}

// realMail is the mail of ARCHIVERD_TEST_MAIL, each message once.
func realMail(t *testing.T) (bodies []string) {
	t.Helper()
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
	return bodies
}

// Of the mail of ARCHIVERD_TEST_MAIL, as far as Python reads it without finding fault,
// each field has the words that Python finds there, all of them, in order; and words
// that stand in it are found in the messages in which Python finds them. What
// differs for a reason has an excuse.
func TestRealMailMatchesAsInPython(t *testing.T) {
	bodies := realMail(t)
	fields := []string{"from", "to", "cc", "subject", "message-id", "other", "text", "filename"}
	parts := []column{fromColumn, toColumn, ccColumn, subjectColumn, messageIDColumn, otherColumn, textColumn, filenameColumn}
	a := rand.New(rand.NewPCG(5, 5))
	r := documentReader{newWordFolder()}
	var docs []*document
	var queries [][]queryTerm
	for _, text := range bodies {
		d, err := r.read(strings.NewReader(text), false)
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, d)
		for i, field := range fields {
			list := strings.Fields(d.words[parts[i]])
			if field == "other" || field == "text" || len(list) == 0 || a.IntN(40) > 0 {
				continue // other has no name, and of text Python renders much otherwise
			}
			if w := list[a.IntN(len(list))]; w != textBorder {
				queries = append(queries, []queryTerm{{Field: field, Words: w, Prefix: a.IntN(3) == 0}})
			}
		}
	}
	c := newComparedArchive(t, bodies)
	python := askPython(t, c.files, queries)
	read, plain, differ := 0, 0, 0
	for i, f := range c.files {
		words, ok := python.Words[f]
		if !ok {
			continue // doubtful
		}
		read++
		rendered := slices.Contains(python.Rendered, f)
		if !rendered {
			plain++
		}
		for j, field := range fields {
			if field == "text" && rendered {
				continue
			}
			ours := slices.DeleteFunc(strings.Fields(docs[i].words[parts[j]]), func(w string) bool { return w == textBorder })
			if slices.Equal(ours, words[field]) {
				continue
			}
			differ++
			if !isKnownDifference(bodies[i], field) {
				t.Errorf("message %s, %s: the words are\n%q\nand Python's\n%q", filepath.Base(f), field, ours, words[field])
			}
		}
	}
	some := c.compare(queries, python, func(file string, q []queryTerm) bool {
		return isKnownDifference(bodies[slices.Index(c.files, file)], q[0].Field)
	},
		func(query string) *Report { return c.search(query, archive.Selection{}, 0, true) })
	t.Logf("%d messages: Python reads %d without fault, of %d also the text; %d fields differ for a reason; %d queries, %d results", len(bodies), read, plain, differ, len(queries), some)
	if read < len(bodies)/2 || plain < len(bodies)/4 || some < len(queries) {
		t.Errorf("of %d messages Python reads %d, and %d with their text; %d results for %d queries", len(bodies), read, plain, some, len(queries))
	}
	for _, i := range []int{0, len(queries) / 2} {
		c.searchBothWays(queries[i][0].String(), archive.Selection{}, 0)
	}
}

// Where Python reads otherwise, this is what is found.
func TestMatchesUnlikePython(t *testing.T) {
	for _, m := range []struct{ body, query string }{
		{"From: ann@example.com (Ann Archer)\r\n\r\nx", "from:archer"},
		{"From: =?utf-8?q?Arch?= =?utf-8?q?er?= <ann@example.com>\r\n\r\nx", "from:archer"},
		{"Subject: =?utf-8?b?w4RyY8M=?= =?utf-8?b?pGU=?=\r\n\r\nx", `subject:arcae`},
		{"Date: Sun, 3 Mar 2020 10:00:00 +0100 (CET)\r\n\r\nx", "3 sun cet"},
		{"From: H\xe4mmer <h@example.com>\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\nx", "from:hämmer"},
		{"\r\nFrom: ann@example.com\r\nSubject: late\r\n\r\nx", "from:ann subject:late"},
		{"Content-Type: text/plain; name==?utf-8?b?w6RwZmVsLnR4dA==?=\r\n\r\nx", "filename:äpfel"},
		{"Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable  \r\n\r\np=65ar", "text:pear"},
	} {
		d, err := documentReader{newWordFolder()}.read(strings.NewReader(m.body), false)
		if err != nil {
			t.Fatal(err)
		}
		if !parse(t, m.query).matchesDocument(d, int64(len(m.body))) {
			t.Errorf("%s does not find %q, whose words are %q", m.query, m.body, d.words)
		}
	}
}

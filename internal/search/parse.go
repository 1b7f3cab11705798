package search

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
)

// SyntaxError is a query that can't be understood. It names the word.
type SyntaxError struct {
	Word    string // as it was written
	Offset  int    // octets of the query before it
	Message string // what is wrong, and what to write
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("query, at %q: %s", e.Word, e.Message) }

// fieldNames are the fields of a query, for people.
const fieldNames = "from: to: cc: subject: text: filename: message-id: after: before: larger: smaller: flag: mailbox: account: has:attachment"

// maxQueryOctets bounds a query, in octets: it is typed by a person.
const maxQueryOctets = 10_000

// Parse reads a query. readTime reads the times of after: and before:, which it is
// given as they are written. The error is an *Error.
func Parse(text string, readTime func(field, text string) (time.Time, error)) (*Query, error) {
	q := &Query{text: text}
	if len(text) > maxQueryOctets || !utf8.ValidString(text) {
		return nil, &SyntaxError{"", 0, fmt.Sprintf("a query is valid UTF-8 of at most %d octets", maxQueryOctets)}
	}
	p := parser{rest: text, folder: newWordFolder(), parseTime: readTime}
	for {
		p.rest = strings.TrimLeftFunc(p.rest, unicode.IsSpace)
		if p.rest == "" {
			break
		}
		before := p.rest
		t, err := p.parseTerm()
		if err != nil {
			word := strings.TrimRightFunc(before[:len(before)-len(p.rest)], unicode.IsSpace)
			return nil, &SyntaxError{word, len(text) - len(before), err.Error()}
		}
		q.terms = append(q.terms, t)
	}
	if len(q.terms) == 0 {
		return nil, &SyntaxError{"", 0, "write what to search for: words, or " + fieldNames}
	}
	return q, nil
}

// parser is a query on its way.
type parser struct {
	rest      string
	folder    *wordFolder
	parseTime func(field, text string) (time.Time, error)
}

// parseTerm reads the next term, which the rest begins with.
func (p *parser) parseTerm() (t term, err error) {
	if rest, ok := strings.CutPrefix(p.rest, "-"); ok {
		t.negated, p.rest = true, rest
	}
	field := p.cutField()
	value, quoted, err := p.cutValue()
	if err != nil {
		return t, err
	}
	if value == "" && !quoted {
		if field == "" {
			return t, errors.New("a - stands right before the word that is not to be there")
		}
		return t, errors.New("a value follows the colon, without a space between")
	}
	switch field {
	case "":
		return t, p.setWords(&t, value)
	case "from":
		t.columns = []column{fromColumn}
		return t, p.setWords(&t, value)
	case "to":
		t.columns = []column{toColumn, ccColumn}
		return t, p.setWords(&t, value)
	case "cc":
		t.columns = []column{ccColumn}
		return t, p.setWords(&t, value)
	case "subject":
		t.columns = []column{subjectColumn}
		return t, p.setWords(&t, value)
	case "message-id":
		t.columns = []column{messageIDColumn}
		return t, p.setWords(&t, value)
	case "text":
		t.columns = []column{textColumn}
		return t, p.setWords(&t, value)
	case "filename":
		t.columns = []column{filenameColumn}
		return t, p.setWords(&t, value)
	case "after", "before":
		t.kind = afterKind
		if field == "before" {
			t.kind = beforeKind
		}
		if t.time, err = p.parseTime(field+":", value); err == nil && t.time.IsZero() {
			err = errors.New("write a time")
		}
		return t, err
	case "larger", "smaller":
		t.kind = largerKind
		if field == "smaller" {
			t.kind = smallerKind
		}
		n, err := humanize.ParseBytes(value)
		if err != nil || n > math.MaxInt64 {
			return t, errors.New("write octets, such as 5000, 100kB, 10MB or 1GiB")
		}
		t.size = int64(n)
		return t, nil
	case "flag":
		t.kind, t.pattern = flagKind, value
		return t, nil
	case "mailbox", "account":
		t.kind, t.pattern = mailboxKind, p.folder.fold(value)
		if field == "account" {
			t.kind = accountKind
		}
		return t, nil
	case "has":
		t.kind = attachmentKind
		if !strings.EqualFold(value, "attachment") {
			return t, errors.New("has: knows only has:attachment")
		}
		return t, nil
	}
	return t, fmt.Errorf("there is no field %s:; there are %s; a word with a colon is searched for in quotes", field, fieldNames)
}

// cutField cuts the name of a field and its colon, "" if there is none.
func (p *parser) cutField() string {
	i := strings.IndexFunc(p.rest, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || r == '-')
	})
	if i <= 0 || p.rest[i] != ':' {
		return ""
	}
	field := strings.ToLower(p.rest[:i])
	p.rest = p.rest[i+1:]
	return field
}

// cutValue cuts what follows: text in quotes, with a star behind it perhaps, or all up
// to a space.
func (p *parser) cutValue() (value string, quoted bool, err error) {
	if rest, ok := strings.CutPrefix(p.rest, `"`); ok {
		value, rest, ok := strings.Cut(rest, `"`)
		if !ok {
			p.rest = ""
			return "", true, errors.New("the quote is not closed")
		}
		if after, ok := strings.CutPrefix(rest, "*"); ok {
			value, rest = value+"*", after
		}
		p.rest = rest
		if r, _ := utf8.DecodeRuneInString(rest); rest != "" && !unicode.IsSpace(r) {
			p.skipToSpace()
			return "", true, errors.New("a space follows the closing quote")
		}
		return value, true, nil
	}
	before := p.rest
	p.skipToSpace()
	return before[:len(before)-len(p.rest)], false, nil
}

// skipToSpace passes over what comes before a space.
func (p *parser) skipToSpace() {
	i := strings.IndexFunc(p.rest, unicode.IsSpace)
	if i < 0 {
		i = len(p.rest)
	}
	p.rest = p.rest[i:]
}

// setWords makes the term one of words.
func (p *parser) setWords(t *term, value string) error {
	value, t.prefix = strings.CutSuffix(value, "*")
	if strings.Contains(value, "*") {
		return errors.New("a star stands only at the end, for words that begin so")
	}
	var b strings.Builder
	p.folder.appendWords(&b, value)
	t.words = strings.TrimSuffix(b.String(), " ")
	if t.words == "" {
		return errors.New("there is no letter or digit in it to search for")
	}
	if r, _ := utf8.DecodeLastRuneInString(value); t.prefix && !unicode.In(r, unicode.L, unicode.M, unicode.N) {
		return errors.New("the star stands right behind the beginning of a word")
	}
	return nil
}

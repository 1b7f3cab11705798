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

// SyntaxError describes a query that Parse can't read.
type SyntaxError struct {
	Word    string // the faulty term as it was written; "" for the query as a whole
	Offset  int    // of Word in the query, in octets
	Message string // the fault and its remedy
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("query, at %q: %s", e.Word, e.Message) }

// fieldNames lists the fields of a query, for messages.
const fieldNames = "from: to: cc: subject: text: filename: message-id: after: before: larger: smaller: flag: mailbox: account: has:attachment"

// wordFields are the fields whose value is words, with the columns to search. Without
// a field all columns are searched.
var wordFields = map[string][]column{
	"":           nil,
	"from":       {fromColumn},
	"to":         {toColumn, ccColumn},
	"cc":         {ccColumn},
	"subject":    {subjectColumn},
	"message-id": {messageIDColumn},
	"text":       {textColumn},
	"filename":   {filenameColumn},
}

// maxQueryOctets limits the length of a query.
const maxQueryOctets = 10_000

// Parse parses a query. It calls parseTime for the values of after: and before:. The
// error is a *SyntaxError.
func Parse(text string, parseTime func(field, text string) (time.Time, error)) (*Query, error) {
	q := &Query{text: text}
	if len(text) > maxQueryOctets || !utf8.ValidString(text) {
		return nil, &SyntaxError{"", 0, fmt.Sprintf("a query is valid UTF-8 of at most %d octets", maxQueryOctets)}
	}
	p := parser{rest: text, folder: newWordFolder(), parseTime: parseTime}
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

// parser is the state of one call of Parse.
type parser struct {
	rest      string // what is not parsed yet
	folder    *wordFolder
	parseTime func(field, text string) (time.Time, error)
}

// parseTerm cuts the next term from the rest, which does not begin with a space.
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
			return t, errors.New("write the - directly before the term to exclude")
		}
		return t, errors.New("write a value after the colon, without a space between")
	}
	if columns, ok := wordFields[field]; ok {
		t.columns = columns
		return t, p.setWords(&t, value)
	}
	switch field {
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
	case "mailbox":
		t.kind, t.pattern = mailboxKind, p.folder.fold(value)
		return t, nil
	case "account":
		t.kind, t.pattern = accountKind, p.folder.fold(value)
		return t, nil
	case "has":
		t.kind = attachmentKind
		if !strings.EqualFold(value, "attachment") {
			return t, errors.New("the only value of has: is attachment")
		}
		return t, nil
	}
	return t, fmt.Errorf("there is no field %s:; the fields are %s; to search for a word with a colon, put it in quotes", field, fieldNames)
}

// cutField cuts the name of a field and its colon from the rest. It returns the name in
// lower case, "" if there is none.
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

// cutValue cuts a value from the rest: text in quotes, which a star may follow, or
// everything up to a space.
func (p *parser) cutValue() (value string, quoted bool, err error) {
	rest, quoted := strings.CutPrefix(p.rest, `"`)
	if !quoted {
		before := p.rest
		p.skipToSpace()
		return before[:len(before)-len(p.rest)], false, nil
	}
	value, rest, closed := strings.Cut(rest, `"`)
	if !closed {
		p.rest = ""
		return "", true, errors.New("the quote is not closed")
	}
	if after, ok := strings.CutPrefix(rest, "*"); ok {
		value, rest = value+"*", after
	}
	p.rest = rest
	if r, _ := utf8.DecodeRuneInString(rest); rest != "" && !unicode.IsSpace(r) {
		p.skipToSpace()
		return "", true, errors.New("write a space after the closing quote")
	}
	return value, true, nil
}

// skipToSpace cuts everything before the next space from the rest.
func (p *parser) skipToSpace() {
	i := strings.IndexFunc(p.rest, unicode.IsSpace)
	if i < 0 {
		i = len(p.rest)
	}
	p.rest = p.rest[i:]
}

// setWords sets the words of a term from its value.
func (p *parser) setWords(t *term, value string) error {
	value, t.prefix = strings.CutSuffix(value, "*")
	if strings.Contains(value, "*") {
		return errors.New("write a star only at the end, where it matches words with this beginning")
	}
	var b strings.Builder
	p.folder.appendWords(&b, value)
	t.words = strings.TrimSuffix(b.String(), " ")
	if t.words == "" {
		return errors.New("there is no letter or digit to search for")
	}
	if r, _ := utf8.DecodeLastRuneInString(value); t.prefix && !unicode.In(r, unicode.L, unicode.M, unicode.N) {
		return errors.New("write the star directly after a letter or digit")
	}
	return nil
}

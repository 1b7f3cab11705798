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

// Error is a query that can't be understood. It names the word.
type Error struct {
	Word string // as it was written
	At   int    // octets of the query before it
	Text string // what is wrong, and what to write
}

func (e *Error) Error() string { return fmt.Sprintf("query, at %q: %s", e.Word, e.Text) }

// fieldNames are the fields of a query, for people.
const fieldNames = "from: to: cc: subject: text: filename: message-id: after: before: larger: smaller: flag: mailbox: account: has:attachment"

// maxQuery bounds a query, in octets: it is typed by a person.
const maxQuery = 10_000

// Parse reads a query. readTime reads the times of after: and before:, which it is
// given as they are written. The error is an *Error.
func Parse(text string, readTime func(field, text string) (time.Time, error)) (*Query, error) {
	q := &Query{text: text}
	if len(text) > maxQuery || !utf8.ValidString(text) {
		return nil, &Error{"", 0, fmt.Sprintf("a query is valid UTF-8 of at most %d octets", maxQuery)}
	}
	p := parser{rest: text, fold: newFolder(), time: readTime}
	for {
		p.rest = strings.TrimLeftFunc(p.rest, unicode.IsSpace)
		if p.rest == "" {
			break
		}
		before := p.rest
		t, err := p.term()
		if err != nil {
			word := strings.TrimRightFunc(before[:len(before)-len(p.rest)], unicode.IsSpace)
			return nil, &Error{word, len(text) - len(before), err.Error()}
		}
		q.terms = append(q.terms, t)
	}
	if len(q.terms) == 0 {
		return nil, &Error{"", 0, "write what to search for: words, or " + fieldNames}
	}
	return q, nil
}

// parser is a query on its way.
type parser struct {
	rest string
	fold *folder
	time func(field, text string) (time.Time, error)
}

// term reads the next term, which the rest begins with.
func (p *parser) term() (t term, err error) {
	if rest, ok := strings.CutPrefix(p.rest, "-"); ok {
		t.not, p.rest = true, rest
	}
	field := p.field()
	value, quoted, err := p.value()
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
		return t, p.words(&t, value)
	case "from":
		t.columns = []column{from}
		return t, p.words(&t, value)
	case "to":
		t.columns = []column{to, cc}
		return t, p.words(&t, value)
	case "cc":
		t.columns = []column{cc}
		return t, p.words(&t, value)
	case "subject":
		t.columns = []column{subject}
		return t, p.words(&t, value)
	case "message-id":
		t.columns = []column{ident}
		return t, p.words(&t, value)
	case "text":
		t.columns = []column{body}
		return t, p.words(&t, value)
	case "filename":
		t.columns = []column{file}
		return t, p.words(&t, value)
	case "after", "before":
		t.kind = afterKind
		if field == "before" {
			t.kind = beforeKind
		}
		if t.time, err = p.time(field+":", value); err == nil && t.time.IsZero() {
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
		t.kind, t.text = flagKind, value
		return t, nil
	case "mailbox", "account":
		t.kind, t.text = mailboxKind, p.fold.string(value)
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

// field cuts the name of a field and its colon, "" if there is none.
func (p *parser) field() string {
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

// value cuts what follows: text in quotes, with a star behind it perhaps, or all up
// to a space.
func (p *parser) value() (value string, quoted bool, err error) {
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
			p.skip()
			return "", true, errors.New("a space follows the closing quote")
		}
		return value, true, nil
	}
	before := p.rest
	p.skip()
	return before[:len(before)-len(p.rest)], false, nil
}

// skip passes over what comes before a space.
func (p *parser) skip() {
	i := strings.IndexFunc(p.rest, unicode.IsSpace)
	if i < 0 {
		i = len(p.rest)
	}
	p.rest = p.rest[i:]
}

// words makes the term one of words.
func (p *parser) words(t *term, value string) error {
	value, t.prefix = strings.CutSuffix(value, "*")
	if strings.Contains(value, "*") {
		return errors.New("a star stands only at the end, for words that begin so")
	}
	var b strings.Builder
	p.fold.words(&b, value)
	t.words = strings.TrimSuffix(b.String(), " ")
	if t.words == "" {
		return errors.New("there is no letter or digit in it to search for")
	}
	if r, _ := utf8.DecodeLastRuneInString(value); t.prefix && !unicode.In(r, unicode.L, unicode.M, unicode.N) {
		return errors.New("the star stands right behind the beginning of a word")
	}
	return nil
}

package config

import (
	"strings"
	"testing"
	"time"
)

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		pattern, name, delimiter string
		want                     bool
	}{
		{"*", "", "/", true},
		{"*", "a/b/c", "/", true},
		{"%", "a", "/", true},
		{"%", "a/b", "/", false},
		{"%", "a/b", ".", true},
		{"%", "a/b", "", true},
		{"%/%", "a/b", "/", true},
		{"%/%", "a/b/c", "/", false},
		{"Lists", "Lists", "/", true},
		{"Lists", "lists", "/", false},
		{"Lists", "Lists/go", "/", false},
		{"Lists*", "Lists/go", "/", true},
		{"Lists/%", "Lists/go", "/", true},
		{"Lists/%", "Lists/go/dev", "/", false},
		{"Lists/%", "Lists", "/", false},
		{"*/dev", "Lists/go/dev", "/", true},
		{"L%s/*v", "Lists/go/dev", "/", true},
		{"*a*a*", "banana", "/", true},
		{"*a*x*", "banana", "/", false},
		{"%*%", "a/b", "/", true},
		{"", "", "/", true},
		{"", "a", "/", false},
		{"a", "", "/", false},
		{"inbox", "INBOX", "/", true},
		{"INBOX", "Inbox", "/", true},
		{"InB*", "INBOX", "/", true},
		{"inbox/x", "INBOX/x", "/", true},
		{"inbox/x", "INBOX/X", "/", false},
		{"inbox/%", "Inbox/x", "/", true},
		{"inbox.x", "INBOX.x", "/", false},
		{"inboxes", "INBOXES", "/", false},
		{"Entw\u00fcrfe", "Entwu\u0308rfe", "/", true},
		{"日%", "日本語", "/", true},
		{"?", "a", "/", false},
	} {
		if got := Match(test.pattern, test.name, test.delimiter); got != test.want {
			t.Errorf("Match(%q, %q, %q) = %v", test.pattern, test.name, test.delimiter, got)
		}
	}
}

// TestMatchIsBounded gives it what takes a backtracking matcher for ever.
func TestMatchIsBounded(t *testing.T) {
	begin := time.Now()
	if Match(strings.Repeat("*a", 200)+"b", strings.Repeat("a", 2000), "/") {
		t.Error("matched")
	}
	if elapsed := time.Since(begin); elapsed > 5*time.Second {
		t.Errorf("took %v", elapsed)
	}
}

func TestSelects(t *testing.T) {
	junk := []string{`\HasNoChildren`, `\junk`}
	for _, test := range []struct {
		include, exclude []string
		name             string
		attrs            []string
		rule             string // "" when it is archived
	}{
		{nil, nil, "Spam", junk, ""},
		{nil, []string{`\Junk`}, "Spam", junk, `exclude "\Junk"`},
		{nil, []string{`\JUNK`}, "Spam", nil, ""},
		{nil, []string{"Spam"}, "Spam", nil, `exclude "Spam"`},
		{nil, []string{"Lists/*", "Spam*"}, "Spam/old", nil, `exclude "Spam*"`},
		{[]string{"INBOX"}, nil, "Inbox", nil, ""},
		{[]string{"INBOX"}, nil, "Sent", nil, "not in include"},
		{[]string{`\Sent`}, nil, "Gesendet", []string{`\Sent`}, ""},
		{[]string{"*"}, []string{`\Junk`}, "Spam", junk, `exclude "\Junk"`},
		{[]string{`\Junk`}, []string{"%"}, "a/Spam", junk, ""},
	} {
		a := Account{Include: test.include, Exclude: test.exclude}
		if ok, rule := a.Selects(test.name, "/", test.attrs); rule != test.rule || ok != (rule == "") {
			t.Errorf("%+v: got %v, %q", test, ok, rule)
		}
	}
}

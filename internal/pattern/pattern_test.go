package pattern

import (
	"strings"
	"testing"
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

// TestMatchIsBounded: the time is bounded, where a matcher that backtracks would not end.
func TestMatchIsBounded(t *testing.T) {
	if Match(strings.Repeat("*a", 200)+"b", strings.Repeat("a", 2000), "/") {
		t.Error("matched")
	}
}

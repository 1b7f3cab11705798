package config

import "testing"

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

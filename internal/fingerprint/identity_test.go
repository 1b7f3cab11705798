package fingerprint

import "testing"

// TestIdentity: what makes a header that of one message alone.
func TestIdentity(t *testing.T) {
	for header, want := range map[string]struct {
		id       string
		isUnique bool
	}{
		"Message-ID: <1@x>\r\nSubject: a\r\n":           {"<1@x>", true},
		"Subject: a\r\nMESSAGE-id :\r\n <1@x>\r\nA: b":  {"<1@x>", true},
		"Subject: a\nMessage-ID:  <1@x> \nA: b\n":       {"<1@x>", true},
		"Message-ID: <1@x>\r\nMessage-ID: <2@x>\r\n":    {"<1@x>", true},
		"Message-ID:\r\nMessage-ID: <2@x>\r\n":          {"<2@x>", true},
		"Received: from a by b\r\nSubject: a":           {"", true},
		"Received:\r\n":                                 {"", false},
		"Message-ID: \r\n\r\n":                          {"", false},
		"Subject: a\r\n Message-ID: <1@x>\r\n":          {"", false},
		"From me\r\nX-Message-ID: <1@x>\r\nnot a field": {"", false},
		"": {"", false},
	} {
		if id, isUnique := Identity([]byte(header)); id != want.id || isUnique != want.isUnique {
			t.Errorf("%q: %q %v", header, id, isUnique)
		}
	}
}

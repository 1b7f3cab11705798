package pattern

import "testing"

func TestInbox(t *testing.T) {
	for name, want := range map[string]bool{
		"INBOX": true, "inbox": true, "InBoX": true,
		"": false, "INBOX/x": false, "INBOXES": false, "ınbox": false, "İNBOX": false, " INBOX": false,
	} {
		if got := IsInbox(name); got != want {
			t.Errorf("IsInbox(%q) = %v", name, got)
		}
		folded := name
		if want {
			folded = "INBOX"
		}
		if got := FoldInbox(name); got != folded {
			t.Errorf("FoldInbox(%q) = %q, want %q", name, got, folded)
		}
	}
}

func TestSameName(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"Lists", "Lists", true},
		{"Lists", "lists", false},
		{"inbox", "INBOX", true},
		{"INBOX", "INBOX/x", false},
		{"Entw\u00fcrfe", "Entwu\u0308rfe", false}, // other octets are another mailbox at the server
	} {
		if got := SameName(test.a, test.b); got != test.want {
			t.Errorf("SameName(%q, %q) = %v", test.a, test.b, got)
		}
	}
}

package utf7

import "testing"

// TestName converts names in both directions, and refuses invalid ones.
func TestName(t *testing.T) {
	for name, want := range map[string]string{
		"INBOX":             "INBOX",
		"Entwürfe":          "Entw&APw-rfe",
		"R&D":               "R&-D",
		"~peter/台北/日本語":     "~peter/&U,BTFw-/&ZeVnLIqe-", // RFC 3501 5.1.3
		"a\x00b":            "a&AAA-b",
		"Space & Ampersand": "Space &- Ampersand",
		"ü&ü":               "&APw-&-&APw-",
		"😀\x7f":             "&2D3eAAB,-",
		"":                  "",
		"\U0001F600 lucky":  "&2D3eAA- lucky",
	} {
		if got := Encode(name); got != want {
			t.Errorf("Encode(%q) = %q, want %q", name, got, want)
		}
		if got, err := Decode(want); got != name || err != nil {
			t.Errorf("Decode(%q) = %q, %v, want %q", want, got, err, name)
		}
	}
	for _, wire := range []string{"&", "a&b", "&AGE-", "&U,BTFw", "ü", "&2D0-", "&U,BTFw-&ZeVnLIqe-"} {
		if name, err := Decode(wire); err != ErrName {
			t.Errorf("Decode(%q) = %q, %v, want ErrName", wire, name, err)
		}
	}
}

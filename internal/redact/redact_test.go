package redact

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"archiverd/internal/utf7"
)

// Every form in which a server could send a password back is removed, whatever stands
// around it and in whatever case.
func TestFormsOfAPassword(t *testing.T) {
	for _, password := range []string{"hunter22", `p"a\ss&wörd`, "pässwörd ß ſ K", " trimmed in replies ", "\xff\xfewild\x01", "x+/=%20", "日本語のパスワード"} {
		r := New("ada@example.org", password)
		octets := []byte(password)
		std := base64.StdEncoding.EncodeToString
		forms := []string{
			password, strings.TrimSpace(password), strings.ToUpper(password), strings.ToLower(password),
			strconv.Quote(password), fmt.Sprintf("%+q", password), fmt.Sprintf("%x", password), strings.ToUpper(hex.EncodeToString(octets)),
			url.QueryEscape(password), url.PathEscape(password), strings.ToLower(url.QueryEscape(password)), utf7.Encode(password),
			std(octets), base64.RawURLEncoding.EncodeToString(octets),
			std([]byte("\x00ada@example.org\x00" + password)), std([]byte("ada@example.org\x00ada@example.org\x00" + password)),
			std([]byte("T1 LOGIN ada " + password)), std([]byte("a:" + password + "\r\n")), std([]byte("ab:" + password + "!")),
		}
		for i, form := range forms {
			for _, text := range []string{form, strings.ToUpper(form), "ALERT] " + form + " is wrong"} {
				got := r.Text(text)
				if strings.Contains(strings.ToUpper(got), strings.ToUpper(strings.TrimSpace(password))) || !strings.Contains(got, Mark) {
					t.Errorf("form %d of %q: %q became %q", i, password, text, got)
				}
			}
		}
	}
}

// What is no password stays as it is.
func TestTextWithoutPassword(t *testing.T) {
	text := "NO [AUTHENTICATIONFAILED] Straße, ǅ \xff 100%"
	for _, r := range []*Redactor{nil, New("u", ""), New("u", "hunter22")} {
		if got := r.Text(text); got != text || r.Finds(text) {
			t.Errorf("%q became %q", text, got)
		}
	}
	r := New("u", "hunter22")
	if got := r.Text("a HUNTER22 b hunter22"); got != "a *** b ***" {
		t.Errorf("got %q", got)
	}
	if !r.Finds("xhunter22x") {
		t.Error("hunter22 is not found")
	}
	if got := New("u", "long").Text(strings.Repeat("x", 1<<20)); len(got) > maxText {
		t.Errorf("%d octets remain", len(got))
	}
}

package message

import (
	"strings"
	"testing"
)

// AllText has the texts that Text omits otherwise: both alternatives, attached text, text
// of a type that is not shown, and text in an attached message.
func TestAllText(t *testing.T) {
	mail := `Subject: s
Content-Type: multipart/mixed; boundary=a

--a
Content-Type: multipart/alternative; boundary=b

--b
Content-Type: text/plain

plainword
--b
Content-Type: text/html

<p>html<b>word</b>
--b--
--a
Content-Type: text/x-log
Content-Disposition: attachment; filename=l.log

logword
--a
Content-Type: message/rfc822
Content-Disposition: attachment

Subject: innersubject

innerword
--a
Content-Type: image/png

pixels
--a--
`
	m, err := Read(strings.NewReader(mail), Options{AllText: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"plainword", "htmlword", "logword", "innersubject", "innerword"} {
		if strings.Count(m.Text, word) != 1 {
			t.Errorf("the text has %q not once: %q", word, m.Text)
		}
	}
	if strings.Contains(m.Text, "pixels") {
		t.Errorf("the text is %q", m.Text)
	}
}

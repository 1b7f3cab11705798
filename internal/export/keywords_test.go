package export

import (
	"slices"
	"strings"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/internal/maildir"
	"archiverd/internal/mbox"
)

// A flag of a foreign journal with a line end in it writes no line into an mbox or a
// dovecot-keywords, and is told as lost.
func TestLineEndInKeyword(t *testing.T) {
	evil := []string{"a\n\nFrom evil@example.org Mon Nov 23 10:00:00 2026\nSubject: evil", "b\r0 $Forwarded", "c d", "e\x00", "f\u2028g", "\xff", ""}
	m := &archive.Message{Flags: append([]string{`\Seen`, "work", "büro"}, evil...)}
	words := keywordsOf([]*archive.Message{m})
	if want := []string{"büro", "work"}; !slices.Equal(words, want) {
		t.Errorf("the keywords are %q, want %q", words, want)
	}
	if lost := lostKeywords(m.Flags); len(lost) != 1 || !strings.Contains(lost[0], "Subject: evil") || strings.Contains(lost[0], "\n") || lostKeywords([]string{"work", `\Seen`}) != nil {
		t.Errorf("lost: %q", lost)
	}
	form, err := mbox.Measure(strings.NewReader("Subject: x\r\n\r\nx\r\n"), mbox.RD)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	err = mbox.Write(&out, mbox.RD, mbox.Envelope{Date: time.Unix(0, 0), Flags: m.Flags, Base: &mbox.Base{UIDValidity: 1, Keywords: m.Flags}}, form, strings.NewReader("Subject: x\r\n\r\nx\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if text := out.String(); strings.Contains(text, "evil") || strings.Count(text, "\nFrom ") > 0 || !strings.Contains(text, "X-Keywords: work büro\n") {
		t.Errorf("the mbox is\n%q", text)
	}
	if text := maildir.Keywords([]string{"work", evil[0], evil[1]}).String(); text != "0 work\n" {
		t.Errorf("dovecot-keywords is %q", text)
	}
}

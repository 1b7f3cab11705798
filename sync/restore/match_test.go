package restore

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"archiverd/internal/imapd"
	"archiverd/internal/testing/world"
)

// matched matches messages, as files, with what a mailbox has.
func matched(t *testing.T, archived, server []string, fields bool) []found {
	t.Helper()
	u, acc := world.NewIMAPD(t)
	inbox, err := u.Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range server {
		inbox.Append(imapd.Message{Body: []byte(body), InternalDate: day(1)})
	}
	c, err := acc.Connect(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Examine(t.Context(), "INBOX", false); err != nil {
		t.Fatal(err)
	}
	set, err := c.Search(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	items, err := fileSource(t, "INBOX", archived...).Load()
	if err != nil {
		t.Fatal(err)
	}
	m := &matcher{c: c, open: openFile, items: items}
	if err := m.match(t.Context(), set, func(int) bool { return fields }); err != nil {
		t.Fatal(err)
	}
	return m.found
}

func TestMatch(t *testing.T) {
	mail := func(subject, body string) string {
		return "Message-ID: <1@x>\r\nDate: today\r\nSubject: " + subject + "\r\n\r\n" + body + "\r\n"
	}
	a, b := mail("a", "aaaa"), mail("b", "bbbb")
	for _, c := range []struct {
		name             string
		archived, server []string
		fields           bool
		want             string // for each archived the UID and how, "-" for absent
	}{
		{"nothing there", []string{a}, nil, false, "-"},
		{"the same", []string{a, b}, []string{b, a}, false, "2e 1e"},
		{"one Message-ID, other headers", []string{a}, []string{b}, false, "-"},
		{"twice in the archive, once there", []string{a, a}, []string{a}, false, "1e -"},
		{"twice in both", []string{a, a}, []string{a, a}, false, "1e 2e"},
		{"once in the archive, twice there", []string{a}, []string{a, a}, false, "1e"},
		{"one header, two bodies, one there", []string{mail("a", "1111"), mail("a", "2222")}, []string{mail("a", "2222")}, false, "- 1e"},
		{"one header, two bodies, both there", []string{mail("a", "1111"), mail("a", "2222")}, []string{mail("a", "2222"), mail("a", "1111")}, false, "2e 1e"},
		{"no Message-ID", []string{"Subject: x\r\n\r\n1\r\n"}, []string{"Subject: x\r\n\r\n1\r\n"}, false, "1e"},
		{"other order of fields", []string{"A: 1\r\nB: 2\r\n\r\nx"}, []string{"B: 2\r\nA: 1\r\n\r\nx"}, false, "-"},
		{"LF became CRLF", []string{"A: 1\nB: 2\n\nx\n"}, []string{"A: 1\r\nB: 2\r\n\r\nx\r\n"}, false, "1a"},
		{"and twice", []string{"A: 1\n\nx\n", "A: 1\n\nx\n"}, []string{"A: 1\r\n\r\nx\r\n"}, false, "1a -"},
		{"NUL became 0x80", []string{"A: 1\r\n\r\nx\x00\r\n"}, []string{"A: 1\r\n\r\nx\x80\r\n"}, false, "1e"},
		{"NUL in a header", []string{"A: 1\x00\r\n\r\nx\r\n"}, []string{"A: 1\x80\r\n\r\nx\r\n"}, false, "1a"},
		{"CRCRLF became CRLF", []string{"A: 1\r\n\r\nx\r\r\n"}, []string{"A: 1\r\n\r\nx\r\n"}, false, "1a"},
		{"CRCRLF kept, LF changed", []string{"A: 1\n\nx\r\r\n"}, []string{"A: 1\r\n\r\nx\r\r\n"}, false, "1a"},
		{"8-bit header", []string{"A: \xfc\r\n\r\nx\r\n"}, []string{"A: X\r\n\r\nx\r\n"}, false, "1a"},
		{"no header at all", []string{"\r\nbody\r\n"}, []string{"\r\nbody\r\n"}, false, "1e"},
		{"no header, other body", []string{"\r\nbody\r\n"}, []string{"\r\nBODY\r\n"}, false, "-"},
		{"no empty line", []string{"A: 1\r\n"}, []string{"A: 1\r\n"}, false, "1e"},
		{"From line", []string{"From me\r\nA: 1\r\n\r\nx"}, []string{"From me\r\nA: 1\r\n\r\nx"}, false, "1e"},
		{"empty", []string{""}, []string{"A: 1\r\n\r\n"}, false, "-"},
		{"rewritten", []string{a}, []string{"X-Server: 1\r\n" + a}, false, "-"},
		{"rewritten, by fields", []string{a, b}, []string{"X-Server: 1\r\n" + strings.Replace(b, "Subject: b", "subject:\r\n b", 1)}, true, "- 1s"},
		{"rewritten, without Message-ID", []string{"Subject: x\r\n\r\n1"}, []string{"X-S: 1\r\nSubject: x\r\n\r\n1"}, true, "-"},
	} {
		var got []string
		for _, f := range matched(t, c.archived, c.server, c.fields) {
			if f.uid == 0 {
				got = append(got, "-")
			} else {
				got = append(got, fmt.Sprintf("%d%c", f.uid, "-eas"[f.kind]))
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
	}
}

// Thousands of messages of one size are matched in bearable time.
func TestMatchManyOfOneSize(t *testing.T) {
	var archived, server []string
	for i := range 3000 {
		archived = append(archived, fmt.Sprintf("Subject: %05d\r\n\r\n%05d\r\n", i, i))
		server = append(server, fmt.Sprintf("Subject: %05d\r\n\r\n%05d\r\n", i+1500, i+1500))
	}
	n := 0
	for i, f := range matched(t, archived, server, false) {
		if f.uid != 0 {
			n++
		}
		if want := uint32(max(0, i-1500+1)); f.uid != want {
			t.Fatalf("message %d is UID %d, want %d", i, f.uid, want)
		}
	}
	if n != 1500 {
		t.Errorf("%d found, want 1500", n)
	}
}

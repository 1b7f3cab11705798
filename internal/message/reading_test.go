package message

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// Messages that other programs misread or reject. Each case was found in real mail, where
// Python's email package and this one differed.
func TestInstructiveMail(t *testing.T) {
	const mp = "Content-Type: multipart/mixed; boundary=x\n\n"
	for name, c := range map[string]struct{ mail, subject, text, names, problem string }{
		"charset in mixed case":        {"Subject: =?gBk?Q?=BF=A8?=\n\n", "卡", "", "", ""},
		"words of two charsets":        {"Subject: =?gbk?q?=BF=A8?= =?koi8-r?q?=EB?=\n\n", "卡К", "", "", ""},
		"a character in two words":     {"Subject: =?utf-8?b?ww==?= =?utf-8?b?vA==?= x\n\n", "ü x", "", "", ""},
		"word in a quoted string":      {"Subject: \"=?utf-8?q?=C3=BC?=\" x\n\n", `"ü" x`, "", "", ""},
		"word in a comment":            {"Subject: a (=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=)\n\n", "a (日本)", "", "", ""},
		"word with a space in it":      {"Subject: =?utf-8?Q?a b=C3=BC?=\n\n", "a bü", "", "", ""},
		"word that brings a line":      {"Subject: =?utf-8?q?a=0AFrom:_b?=\n\nc\n", "a\nFrom: b", "c\n", "", ""},
		"raw octets as the text":       {"Subject: \xf0\xd2\xc9\nContent-Type: text/plain; charset=koi8-r\n\n\xf0\xd2\xc9\n", "При", "При\n", "", ""},
		"raw octets as other words":    {"From: =?windows-1251?q?=CF?= <a@b>\nSubject: \xcf\xf0\xe8\n\n\xcf\xf0\xe8\n", "При", "При\n", "", "read as windows-1251"},
		"raw octets of the first part": {"Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/plain; charset=gbk\n\n\xbf\xa8\n--x\n\n\xbf\xa8\n--x--\n", "", "卡\n\n卡\n", "", "read as gbk"},
		"raw ISO-2022-JP":              {"Subject: \x1b$BF|K\\\x1b(B\n\n\x1b$BF|K\\\x1b(B\n", "日本", "日本\n", "", ""},
		"UTF-7":                        {"Subject: =?utf-7?q?a+AOk-b_+-?=\nContent-Type: text/plain; charset=unicode-1-1-utf-7\n\nHi Mom +Jjo-!+2D3cEw +AOk-+\n", "aéb +", "Hi Mom ☺!🐓 é+\n", "", ""},
		"ISO-2022-KR":                  {"Content-Type: text/plain; charset=iso-2022-kr\n\n\x1b$)C\na\x0eGQ\x0fb\n", "", "\na한b\n", "", ""},
		"HZ":                           {"Content-Type: text/plain; charset=hz-gb-2312\n\na~{?(~}b\n", "", "a卡b\n", "", ""},
		"names of charsets":            {"Subject: =?cp1251?q?=CF?= =?x-sjis?q?=93=FA?= =?ks_c_5601-1987?q?=C7=D1?= =?latin1?q?=FC?=\n\n", "П日한ü", "", "", ""},
		"no charset known":             {"Content-Type: text/plain; charset=x-unknown\n\nGr\xfc\xdfe\n", "", "Grüße\n", "", "no charset, and not UTF-8"},
		"RFC 2231 and a plain name":    {"Content-Type: a/b; name=other.txt\nContent-Disposition: attachment; filename*0*=utf-8''%C3%BC; filename*1=\"b.txt\"\n\nx", "", "", "üb.txt", ""},
		"name in Content-Type alone":   {"Content-Type: a/b; name=\"=?utf-8?q?=C3=BC.txt?=\"\nContent-Disposition: attachment\n\nx", "", "", "ü.txt", ""},
		"name with a path":             {"Content-Type: a/b; name=\"a/../../../.ssh/rc\"\n\nx", "", "", "rc", ""},
		"name with a line end":         {"Content-Disposition: attachment; filename*=utf-8''a%0Ab%E2%80%AEgpj.exe\n\nx", "", "", "a_b_gpj.exe", ""},
		"name without its quotes":      {"Content-Type: a/b; name=two words.pdf\n\nx", "", "", "two words.pdf", ""},
		"another boundary":             {"Content-Type: multipart/mixed; boundary=y\n\n--x\nContent-Type: text/html\n\n<p>one\n--x\n\ntwo\n--x--\n", "", "one\n\ntwo\n", "", "another boundary than it names"},
		"no boundary named":            {"Content-Type: multipart/mixed\n\nhello\n--x\nContent-Type: text/plain\n\none\n--x--\n", "", "one\n", "", "without a boundary"},
		"the named boundary after all": {"Content-Type: multipart/mixed; boundary=y\n\n--x\nContent-Type: text/plain\n\none\n--y\n\ntwo\n--y--\n", "", "one\n\ntwo\n", "", "another boundary"},
		"message in base64":            {mp + "--x\nContent-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogaW4KQ29udGVudC1UeXBlOiBhL2I7IG5hbWU9ZgoK\neA==\n--x\n\nafter\n--x--\n", "", "Subject: in\n\nafter\n", "f", ""},
		"message in base64, empty":     {mp + "--x\nContent-Type: message/rfc822\nContent-Transfer-Encoding: base64\n--x\n\nafter\n--x--\n", "", "after\n", "", ""},
		"message in an unknown one":    {mp + "--x\nContent-Type: message/rfc822\nContent-Transfer-Encoding: rot13\n\nx\n--x--\n", "", "", "", "not looked into"},
		"uuencode":                     {"Content-Type: text/plain\nContent-Transfer-Encoding: x-uuencode\n\nbegin 644 x\n%:&5L;&\\\n`\nend\n", "", "hello\n", "", ""},
		"uuencode without its end":     {"Content-Type: text/plain\nContent-Transfer-Encoding: uuencode\n\nbegin 644 x\n%:&5L;&\\", "", "hello\n", "", "broken"},
		"headers of a lost message":    {mp + "--x\nContent-Type: text/rfc822-headers\n\nReceived: x\nSubject: =?utf-8?q?=C3=BC?=\nFrom: a@b\n--x--\n", "", "From: a@b\nSubject: ü\n", "", ""},
		"encrypted":                    {"Content-Type: multipart/encrypted; boundary=x\n\n--x\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n--x--\n", "", "", "", "can't read what is in it"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Read(strings.NewReader(c.mail), Options{})
			if err != nil {
				t.Fatal(err)
			}
			check(t, m)
			names := ""
			for _, p := range m.Parts {
				names += p.Name
			}
			if m.Get("Subject") != c.subject || m.Text != c.text || names != c.names {
				t.Errorf("subject %q, text %q, names %q; want %q, %q, %q", m.Get("Subject"), m.Text, names, c.subject, c.text, c.names)
			}
			problems := strings.Join(m.Problems, "\n")
			if c.problem == "" && problems != "" || !strings.Contains(problems, c.problem) {
				t.Errorf("problems %q, want %q", problems, c.problem)
			}
		})
	}
}

func TestFlowed(t *testing.T) {
	for _, c := range []struct {
		in    string
		delSp bool
		want  string
	}{
		{"a \nb\nc", false, "a b\nc\n"},
		{"> a \n> b \nc\n", false, "> a b \nc\n"},
		{">> a \n> b\n", false, ">> a \n> b\n"},
		{">>a \n>>b\n", false, ">> a b\n"},
		{"a \n-- \nme \nyou\n", false, "a \n-- \nme you\n"},
		{" >not a quote\n", false, ">not a quote\n"},
		{"日 \n本\n", true, "日本\n"},
		{"a  \r\nb\r\n", true, "a b\n"},
		{strings.Repeat(">", 50) + "a", false, strings.Repeat(">", maxQuoteDepth) + " a\n"},
	} {
		if got := (flowed{true, c.delSp}).unfold(c.in); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
	m := read(t, "Content-Type: text/plain; format=Flowed; delsp=YES\n\na \nb\n")
	if m.Text != "ab\n" {
		t.Errorf("text %q", m.Text)
	}
}

func TestCalendar(t *testing.T) {
	const invitation = `BEGIN:VCALENDAR
METHOD:REQUEST
BEGIN:VTIMEZONE
DTSTART:19700101T000000
END:VTIMEZONE
BEGIN:VEVENT
DTSTART;TZID=Europe/Berlin:20261130T140000
DTEND:20261130T150000Z
SUMMARY:Meeting\, wee
 kly
LOCATION:Room\; 5
RRULE:FREQ=WEEKLY
ORGANIZER;CN="Zoë: me":mailto:zoe@example.org
ATTENDEE;CN=Tom;PARTSTAT=ACCEPTED:MAILTO:tom@example.org
ATTENDEE;PARTSTAT=NEEDS-ACTION:mailto:ann@example.org
DESCRIPTION:one\ntwo
BEGIN:VALARM
DESCRIPTION:not this
END:VALARM
END:VEVENT
BEGIN:VTODO
DUE;VALUE=DATE:20261201
SUMMARY:Pay
END:VTODO
END:VCALENDAR
`
	want := `Invitation: Meeting, weekly
When: 2026-11-30 14:00 Europe/Berlin to 2026-11-30 15:00 UTC
Repeats: FREQ=WEEKLY
Where: Room; 5
Organizer: Zoë: me <zoe@example.org>
Attendees: Tom <tom@example.org> (accepted), ann@example.org

one
two

Invitation: Pay
When:  to 2026-12-01
`
	want = strings.Replace(want, "When:  to", "When: to", 1)
	if got := renderCalendar(invitation); got != want {
		t.Errorf("%s, want\n%s", got, want)
	}
	for in, want := range map[string]string{
		"": "", "x": "", "BEGIN:VCALENDAR\nEND:VCALENDAR": "",
		"METHOD:CANCEL\nBEGIN:VEVENT\nSUMMARY:lost":    "Cancelled: lost\n",
		"BEGIN:VEVENT\nDTSTART:soon\nEND:VEVENT":       "Event: \nWhen: soon\n",
		strings.Repeat("BEGIN:VTODO\nEND:VTODO\n", 22): strings.TrimPrefix(strings.Repeat("\nEvent: \n", 20), "\n") + "and 2 more\n",
	} {
		if got := renderCalendar(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	// An invitation is shown beside the text of its alternative.
	m := read(t, "Content-Type: multipart/alternative; boundary=x\n\n--x\n\ntext\n--x\nContent-Type: text/html\n\nhtml\n--x\nContent-Type: text/calendar; method=REQUEST\n\n"+
		"BEGIN:VEVENT\nSUMMARY:Lunch\nEND:VEVENT\n--x--\n")
	if m.Text != "text\n\nEvent: Lunch\n" {
		t.Errorf("text %q", m.Text)
	}
}

const places = `Content-Type: multipart/mixed; boundary=x

--x
Content-Type: multipart/alternative; boundary=y

--y

plain
--y
Content-Type: multipart/related; boundary=z

--z
Content-Type: text/html

<b>html
--z
Content-Type: image/png

png
--z--
--y--
--x
Content-Type: application/pdf; name=a.pdf

pdf
--x

between
--x
Content-Type: message/rfc822
Content-Disposition: attachment

Subject: inner
Content-Type: image/gif

gif
--x
Content-Type: text/plain; name=b.txt
Content-Disposition: attachment

attached
--x--
`

// MarkParts marks omitted parts in the text; PreferHTML shows the HTML instead of the text.
func TestMarkParts(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{}, "plain\n\nbetween\n\nSubject: inner\n"},
		{Options{PreferHTML: true}, "html\n\nbetween\n\nSubject: inner\n"},
		{Options{MarkParts: true}, "plain\n\n[part 4: a.pdf, 3 B]\n\nbetween\n\n[part 6: message/rfc822, 43 B]\n\nSubject: inner\n\n[part 7: image/gif, 3 B]\n\n[end of part 6]\n\n[part 8: b.txt, 8 B]\n"},
	} {
		m, err := Read(strings.NewReader(places), c.o)
		if err != nil {
			t.Fatal(err)
		}
		check(t, m)
		if m.Text != c.want {
			t.Errorf("%+v: %q, want %q", c.o, m.Text, c.want)
		}
	}
	attached := ""
	m, err := Read(strings.NewReader(places), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Parts {
		if p.Attachment {
			attached += fmt.Sprint(p.Number, " ")
		}
	}
	if attached != "3 4 6 7 8 " {
		t.Errorf("attachments are %s", attached)
	}
}

// written is the writer of an extracted part. err is returned by its methods.
type written struct {
	strings.Builder
	closed bool
	err    error
}

func (w *written) Write(b []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	return w.Builder.Write(b)
}

func (w *written) Close() error { w.closed = true; return w.err }

func TestExtract(t *testing.T) {
	got := map[int]*written{}
	err := Extract(strings.NewReader(places), Options{}, func(p Part) (io.WriteCloser, error) {
		if p.Number == 2 {
			return nil, nil
		}
		got[p.Number] = &written{}
		return got[p.Number], nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for n, w := range got {
		if want := part(t, places, n); w.String() != want || !w.closed {
			t.Errorf("part %d: %q, closed: %v; want %q", n, w.String(), w.closed, want)
		}
	}
	if len(got) != 7 || got[6].String() != "Subject: inner\nContent-Type: image/gif\n\ngif" {
		t.Errorf("%d parts, the message is %q", len(got), got[6])
	}
	broken := errors.New("disk full")
	for _, open := range []func(Part) (io.WriteCloser, error){
		func(Part) (io.WriteCloser, error) { return nil, broken },
		func(Part) (io.WriteCloser, error) { return &written{err: broken}, nil },
	} {
		if err := Extract(strings.NewReader(places), Options{}, open); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
	}
}

// ReadHeader does not read the body.
func TestReadHeader(t *testing.T) {
	body := &endless{unit: "x", n: 100 << 20}
	m, err := ReadHeader(io.MultiReader(strings.NewReader("Subject: =?utf-8?q?=C3=BC?=\nContent-Type: multipart/mixed; boundary=x\n\n--x\n"), body), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Get("Subject") != "ü" || len(m.Parts) != 0 || body.at > window {
		t.Errorf("%+v, and %d octets of the body were read", m, body.at)
	}
}

// Nested encoded messages are read up to maxEncodedDepth.
func TestNestedEncodedMessages(t *testing.T) {
	mail := strings.Repeat("Subject: x\nContent-Type: message/rfc822\nContent-Transfer-Encoding: quoted-printable\n\n", 20)
	mail = strings.ReplaceAll(mail, "=", "=3D") // there is none: quoted-printable leaves it as it is
	m, err := Read(strings.NewReader(mail), Options{})
	if err != nil {
		t.Fatal(err)
	}
	check(t, m)
	if n := len(m.Parts); n != maxEncodedDepth+1 {
		t.Errorf("%d parts, want %d", n, maxEncodedDepth+1)
	}
	if !strings.Contains(strings.Join(m.Problems, "\n"), "encoded messages within each other") {
		t.Errorf("problems %q", m.Problems)
	}
}

func BenchmarkRead(b *testing.B) {
	text := strings.Repeat("A line of a text as people write it, of the usual length, more or less.\r\n", 100)
	mail := "From: =?utf-8?q?J=C3=BCrgen?= <j@example.com>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n" + strings.Repeat("Received: from a by b; Mon, 1 Jan 2026 00:00:00 +0000\r\n", 20) +
		"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n" + text + "--x\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		strings.Repeat(strings.Repeat("QUFB", 19)+"\r\n", 10_000) + "--x--\r\n"
	b.Run("header", func(b *testing.B) {
		for b.Loop() {
			if _, err := ReadHeader(strings.NewReader(mail), Options{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("message", func(b *testing.B) {
		b.SetBytes(int64(len(mail)))
		for b.Loop() {
			if _, err := Read(strings.NewReader(mail), Options{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	html := strings.Repeat("<table><tr><td><p>Some <b>text</b> and a <a href='https://example.com/x'>link</a>.</p></td><td>12</td></tr><tr><td>a</td><td>b</td></tr></table>\r\n", 1000)
	b.Run("html", func(b *testing.B) {
		b.SetBytes(int64(len(html)))
		for b.Loop() {
			renderHTML(html, 1<<20)
		}
	})
}

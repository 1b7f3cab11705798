package message

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"
	"unicode/utf8"

	"archiverd/internal/safetext"
)

// read reads s with CRLF instead of LF as line ends.
func read(t *testing.T, s string) *Message {
	t.Helper()
	m, err := Read(strings.NewReader(strings.ReplaceAll(s, "\n", "\r\n")), Options{})
	if err != nil {
		t.Fatal(err)
	}
	check(t, m)
	return m
}

// check fails the test if a message lacks a property that every message has.
func check(t *testing.T, m *Message) {
	t.Helper()
	all := []string{m.Text}
	for _, f := range m.Header {
		all = append(all, f.Name, f.Value)
	}
	for i, p := range m.Parts {
		if p.Number != i+1 || p.Size < 0 || p.Path == "" || !isMediaType(p.Type) {
			t.Errorf("part %d: %+v", i+1, p)
		}
		if p.Name != fileName(p.Name) || strings.ContainsAny(p.Name, "/\\\x00") {
			t.Errorf("part %d: unsafe name %q", i+1, p.Name)
		}
		all = append(all, p.Charset, p.Name, p.Disposition)
	}
	if len(m.Problems) > maxProblems {
		t.Errorf("%d problems", len(m.Problems))
	}
	for _, s := range append(all, m.Problems...) {
		if !utf8.ValidString(s) {
			t.Errorf("not UTF-8: %.100q", s)
		}
		if i := strings.IndexFunc(safetext.Text(s), func(r rune) bool {
			return r != '\n' && r != '\t' && unicode.In(r, unicode.Cc, unicode.Cf)
		}); i >= 0 {
			t.Errorf("control character at %d in %.100q", i, s)
		}
	}
}

// part returns the decoded octets of a part.
func part(t *testing.T, s string, number int) string {
	t.Helper()
	var b strings.Builder
	if err := WritePart(&b, strings.NewReader(s), number, Options{}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func paths(m *Message) (s string) {
	for _, p := range m.Parts {
		s += fmt.Sprintf("%s %s %d; ", p.Path, p.Type, p.Depth)
	}
	return strings.TrimSuffix(s, "; ")
}

const nested = `From: =?utf-8?q?J=C3=BCrgen?= <j@example.com>
To: a@example.com,
	b@example.com
Subject: =?utf-8?B?R3LD?= =?utf-8?B?vMOfZQ==?= an =?iso-2022-jp?B?GyRCRnxLXBsoQg==?=
Content-Type: multipart/mixed; boundary=outer

preamble
--outer
Content-Type: multipart/alternative; boundary="in ner"

--in ner
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Gr=FC=DFe =80  
so=
ft
--in ner
Content-Type: text/html

<p>not shown
--in ner--
epilogue
--outer
Content-Type: image/png
Content-Disposition: attachment; filename*=UTF-8''..%2F..%2Fna%C3%AFve.png
Content-Transfer-Encoding: base64

AAECAw==
--outer
Content-Type: message/rfc822

Subject: inner
From: x@example.com
Content-Type: multipart/digest; boundary=dig

--dig

Subject: digested

one
--dig--
--outer--
`

func TestNestedMessage(t *testing.T) {
	m := read(t, nested)
	for _, c := range []struct{ name, want string }{
		{"from", "Jürgen <j@example.com>"},
		{"To", "a@example.com, b@example.com"},
		{"SUBJECT", "Grüße an 日本"},
		{"Date", ""},
	} {
		if got := m.Get(c.name); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	want := "1.1 text/plain 2; 1.2 text/html 2; 2 image/png 1; 3 message/rfc822 1; 3.1 message/rfc822 3; 3.1.1 text/plain 4"
	if got := paths(m); got != want {
		t.Errorf("parts\n%s, want\n%s", got, want)
	}
	if got, want := m.Text, "Grüße €\nsoft\n\nFrom: x@example.com\nSubject: inner\n\nSubject: digested\n\none\n"; got != want {
		t.Errorf("text %q, want %q", got, want)
	}
	if p := m.Parts[2]; p.Name != "naïve.png" || p.Disposition != "attachment" || p.Size != 4 {
		t.Errorf("%+v", p)
	}
	if len(m.Problems) > 0 {
		t.Errorf("problems %q", m.Problems)
	}
}

func TestWritePart(t *testing.T) {
	for number, want := range map[int]string{
		1: "Gr\xfc\xdfe \x80\nsoft",
		3: "\x00\x01\x02\x03",
		5: "Subject: digested\n\none",
		6: "one",
	} {
		if got := part(t, nested, number); got != want {
			t.Errorf("part %d: %q, want %q", number, got, want)
		}
	}
	message := part(t, nested, 4)
	if !strings.HasPrefix(message, "Subject: inner\n") || !strings.HasSuffix(message, "\none\n--dig--") {
		t.Errorf("message: %q", message)
	}
	if got := part(t, message, 2); got != "one" {
		t.Errorf("part of the message within: %q", got)
	}
	if got := part(t, "Subject: x\r\n\r\nno\x00 line end\r\n \r\n", 1); got != "no\x00 line end\r\n \r\n" {
		t.Errorf("body: %q", got)
	}
	for _, number := range []int{-1, 0, 7} {
		if err := WritePart(io.Discard, strings.NewReader(nested), number, Options{}); !errors.Is(err, ErrNoPart) {
			t.Errorf("part %d: %v", number, err)
		}
	}
}

func TestWritePartStopsAfterThePart(t *testing.T) {
	readOn := errors.New("read on")
	mail := func() io.Reader {
		return io.MultiReader(strings.NewReader(nested+strings.Repeat("epilogue\n", window)), iotest.ErrReader(readOn))
	}
	if _, err := Read(mail(), Options{}); !errors.Is(err, readOn) {
		t.Fatalf("Read: %v", err)
	}
	if err := WritePart(io.Discard, mail(), 6, Options{}); err != nil {
		t.Error(err)
	}
}

func TestReaderAndWriterErrors(t *testing.T) {
	broken := errors.New("broken")
	head := "Content-Type: message/rfc822\n\n"
	for _, s := range []string{"", "Subject: x\n", head + "Subject: x\n\nbody\n"} {
		r := io.MultiReader(strings.NewReader(s), iotest.ErrReader(broken))
		if m, err := Read(r, Options{}); !errors.Is(err, broken) || m != nil {
			t.Errorf("Read(%q): %v, %v", s, m, err)
		}
	}
	for number := 1; number <= 2; number++ {
		pr, pw := io.Pipe()
		pr.CloseWithError(broken)
		err := WritePart(pw, strings.NewReader(head+"Subject: x\n\nbody\n"), number, Options{})
		if !errors.Is(err, broken) {
			t.Errorf("WritePart %d: %v", number, err)
		}
	}
}

// brokenMessages are malformed messages as real programs have sent them.
var brokenMessages = map[string]struct {
	mail    string
	subject string
	text    string
	problem string // part of one; empty if there must be none
}{
	"empty":                     {"", "", "", ""},
	"header only":               {"Subject: s", "s", "", ""},
	"header and line end":       {"Subject: s\n", "s", "", ""},
	"empty header":              {"\nbody", "", "body\n", ""},
	"no header":                 {"Hello,\n\nbody", "", "Hello,\n\nbody\n", "no empty line"},
	"no empty line":             {"Subject: s\nHello\nworld", "s", "Hello\nworld\n", "no empty line"},
	"blank line behind header":  {"Subject: s\n \nbody", "s", "body\n", "white space"},
	"blank line within header":  {"Subject: s\n \nFrom: x\n\nbody", "s", "body\n", ""},
	"mbox":                      {"From x Mon Jan  1\nSubject: s\n\nbody", "s", "body\n", ""},
	"quoted mbox":               {">From x Mon Jan  1\nSubject: s\n\nbody", "s", "body\n", ""},
	"byte order mark":           {"\ufeffSubject: s\n\nbody", "s", "body\n", ""},
	"leading blank lines":       {"\n  \n\nSubject: s\n\nbody", "s", "body\n", ""},
	"leading white space":       {"  Subject: s\n\nbody", "s", "body\n", ""},
	"request line":              {"POST / HTTP/1.1\nSubject: s\n\nbody", "s", "body\n", "POST / HTTP/1.1"},
	"fold without white space":  {"Subject: a\nb c\nFrom: x\n\nbody", "a b c", "body\n", "b c"},
	"space before colon":        {"Subject : s\n\nbody", "s", "body\n", ""},
	"bare CR":                   {"Subject: s\r\rone\rtwo\r", "s", "one\ntwo\n", ""},
	"CRCRLF":                    {"Subject: s\r\r\n\r\r\none\r\r\n", "s", "one\n", ""},
	"mixed line ends":           {"Subject: s\rContent-Type: multipart/mixed; boundary=x\r\n\r--x\r\n\none\n--x\r\n\rtwo\r--x--", "s", "one\n\ntwo\n", ""},
	"NUL":                       {"Subject: a\x00b\n\nc\x00d", "a\x00b", "c\x00d\n", ""},
	"8-bit header":              {"Subject: Gr\xfc\xdfe\n\n", "Grüße", "", ""},
	"UTF-8 header":              {"Subject: Grüße\n\n", "Grüße", "", ""},
	"unknown charset in header": {"Subject: =?x-none?q?Gr=FC=DFe?=\n\n", "Grüße", "", "unknown charset x-none"},
	"broken encoded word":       {"Subject: =?utf-8?x?a?= =?utf-8?q?b\n\n", "=?utf-8?x?a?= =?utf-8?q?b", "", ""},
	"word without padding":      {"Subject: =?utf-8*de?b?R3LDvMOfZQ?= =?utf-8?Q?a_b?=\n\n", "Grüßea b", "", ""},
	"8-bit body":                {"\nGr\xfc\xdfe", "", "Grüße\n", "no charset"},
	"UTF-8 body":                {"\nGrüße", "", "Grüße\n", ""},
	"half UTF-8":                {"Content-Type: text/plain; charset=utf-8\n\nGrü\xdfe", "", "Grüße\n", "not all of it is utf-8"},
	"unknown charset":           {"Content-Type: text/plain; charset=x-none\n\nGr\xfc\xdfe", "", "Grüße\n", "unknown charset x-none"},
	"refused charset":           {"Content-Type: text/plain; charset=iso-2022-cn\n\nabc", "", "abc\n", "unknown charset iso-2022-cn"},
	"no charset of that name":   {"Content-Type: text/plain; charset=\"\x1b[2J\"\n\nabc", "", "abc\n", `\x1b[2j`},
	"utf-16":                    {"Content-Type: text/plain; charset=utf-16le\nContent-Transfer-Encoding: base64\n\nRwByAPwA3wBlAA==", "", "Grüße\n", ""},
	"broken base64":             {"Content-Transfer-Encoding: base64\n\nR3LD*vMOf\nZQ", "", "Grüße\n", "broken transfer encoding"},
	"base64 in two pieces":      {"Content-Transfer-Encoding: base64\n\nYQ==\nYg==\n", "", "ab\n", ""},
	"broken quoted-printable":   {"Content-Transfer-Encoding: quoted-printable\n\na=zz=4=\nb=C3=BC =\t\nc=", "", "a=zz=4b\u00fc c\n", "broken transfer encoding"},
	"unknown transfer encoding": {"Content-Transfer-Encoding: x-none\n\nbody", "", "body\n", "unknown transfer encoding x-none"},
	"commented encoding":        {"Content-Transfer-Encoding: BASE64 (yes)\n\nYQ==", "", "a\n", ""},
	"invalid type":              {"Content-Type: text\n\nbody", "", "body\n", "invalid Content-Type"},
	"multipart, no boundary":    {"Content-Type: multipart/mixed\n\n--x\n\nbody", "", "--x\n\nbody\n", "without a boundary"},
	"multipart, other boundary": {"Content-Type: multipart/mixed; boundary=y\n\n--x\n\nbody", "", "--x\n\nbody\n", "without a part"},
	"multipart, no end":         {"Content-Type: multipart/mixed; boundary=x\n\n--x\n\nbody", "", "body\n", "without its last boundary"},
	"multipart, no empty line":  {"Content-Type: multipart/mixed; boundary=x\n--x\nContent-Type: text/html\n\n<b>body\n--x--", "", "body\n", "no empty line"},
	"multipart, text only":      {"Content-Type: multipart/mixed; boundary=x\n\n--x--", "", "", "without a part"},
	"multipart goes on":         {"Content-Type: multipart/mixed; boundary=x\n\n--x\n\none\n--x--\n--x\n\ntwo\n--x--", "", "one\n\ntwo\n", ""},
	"part without header":       {"Content-Type: multipart/mixed; boundary=x\n\n--x\n\nbody\n--x\n--x--", "", "body\n", ""},
	"fold forgotten":            {"Content-Type: multipart/mixed;\nboundary=x\n\n--x\n\nbody\n--x--", "", "body\n", ""},
	"boundary with spaces":      {"Content-Type: multipart/mixed; boundary=\"x \"\n\n--x \n\nbody\n--x--  ", "", "body\n", ""},
	"same boundary twice":       {"Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\nbody\n--x--\n--x--", "", "body\n", "without its last boundary"},
	"html last":                 {"Content-Type: multipart/alternative; boundary=x\n\n--x\n\n \n--x\nContent-Type: text/html\n\n<b>body\n--x--", "", "body\n", ""},
	"plain last":                {"Content-Type: multipart/alternative; boundary=x\n\n--x\nContent-Type: text/html\n\n<b>html\n--x\n\nplain\n--x--", "", "plain\n", ""},
	"html in mixed":             {"Content-Type: multipart/mixed; boundary=x\n\n--x\n\none\n--x\nContent-Type: text/html\n\n<b>two\n--x--", "", "one\n\ntwo\n", ""},
	"calendar alone":            {"Content-Type: text/calendar\n\nBEGIN", "", "BEGIN\n", ""},
	"calendar beside":           {"Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/calendar\n\nBEGIN\n--x\n\nbody\n--x--", "", "body\n", ""},
	"attached text":             {"Content-Type: multipart/mixed; boundary=x\n\n--x\n\none\n--x\nContent-Disposition: attachment\n\ntwo\n--x--", "", "one\n", ""},
	"attached message":          {"Content-Type: multipart/mixed; boundary=x\n\n--x\n\none\n--x\nContent-Type: message/rfc822\nContent-Disposition: attachment\n\nSubject: in\n\ntwo\n--x--", "", "one\n\nSubject: in\n\ntwo\n", ""},
	"encoded message":           {"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogaW4KCmE=", "", "Subject: in\n\na\n", ""},
	"meta charset":              {"Content-Type: text/html\n\n<meta charset=koi8-r>\xf0\xd2\xc9", "", "При\n", ""},
}

// The contents of a broken message are shown, and a problem describes the fault.
func TestBrokenMessages(t *testing.T) {
	for name, c := range brokenMessages {
		t.Run(name, func(t *testing.T) {
			m, err := Read(strings.NewReader(c.mail), Options{})
			if err != nil {
				t.Fatal(err)
			}
			check(t, m)
			if got := m.Get("Subject"); got != c.subject {
				t.Errorf("subject %q, want %q", got, c.subject)
			}
			if m.Text != c.text {
				t.Errorf("text %q, want %q", m.Text, c.text)
			}
			problems := strings.Join(m.Problems, "\n")
			if c.problem == "" && problems != "" || !strings.Contains(problems, c.problem) {
				t.Errorf("problems %q, want %q", problems, c.problem)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	multipart := func(n int) string {
		return "Content-Type: multipart/mixed; boundary=x\n\n" + strings.Repeat("--x\n\nbody\n", n) + "--x--\n"
	}
	deep := ""
	for i := range 10 {
		deep += fmt.Sprintf("Content-Type: multipart/mixed; boundary=x%d\n\n--x%d\n", i, i)
	}
	for name, c := range map[string]struct {
		mail    string
		o       Options
		parts   int
		text    string
		problem string
	}{
		"3,000 parts":   {multipart(3000), Options{}, 3000, strings.TrimSuffix(strings.Repeat("body\n\n", 3000), "\n"), ""},
		"parts":         {multipart(20), Options{MaxParts: 10}, 9, strings.TrimSuffix(strings.Repeat("body\n\n", 9), "\n"), "more than 10 parts"},
		"depth":         {deep + "\nbody\n", Options{MaxDepth: 9}, 1, "--x9\n\nbody\n", "deeper than 9"},
		"no depth":      {deep + "\nbody\n", Options{}, 1, "body\n", "last boundary"},
		"fields":        {strings.Repeat("X: y\n", 11) + " z\n\nbody", Options{MaxFields: 10}, 1, "body\n", "more than 10 header fields"},
		"header octets": {"X: y\n" + strings.Repeat(" y\n", 500) + "\nbody", Options{MaxHeaderOctets: 100}, 1, "body\n", "header of more than 100 octets"},
		"text":          {"\n" + strings.Repeat("12345678\n", 3), Options{MaxTextOctets: 20}, 1, "12345678\n12345678\n", "more than 20 octets"},
		"text of parts": {multipart(5), Options{MaxTextOctets: 11}, 5, "body\n\nbody\n", "more than 11 octets"},
		"preamble":      {"Content-Type: multipart/mixed; boundary=x\n\n" + strings.Repeat("y", 100), Options{MaxTextOctets: 10}, 0, "yyyyyyyyyy", "more than 10 octets"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Read(strings.NewReader(c.mail), c.o)
			if err != nil {
				t.Fatal(err)
			}
			check(t, m)
			if len(m.Parts) != c.parts || m.Text != c.text {
				t.Errorf("%d parts and %.60q, want %d and %.60q", len(m.Parts), m.Text, c.parts, c.text)
			}
			problems := strings.Join(m.Problems, "\n")
			if c.problem == "" && problems != "" || !strings.Contains(problems, c.problem) {
				t.Errorf("problems %q, want %q", problems, c.problem)
			}
		})
	}
}

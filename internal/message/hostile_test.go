package message

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"
)

// Limits for any message, however large and hostile. The time is processor time, which
// does not depend on the load of the machine.
const (
	maxTime = 2 * time.Second
	maxHeap = 64 << 20
)

// timed returns the processor time of f. f starts no goroutine.
func timed(t *testing.T, f func()) time.Duration {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := threadTime(t)
	f()
	d := threadTime(t) - before
	if raceEnabled {
		d /= 20 // the race detector makes everything much slower
	}
	return d
}

func threadTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func heap() uint64 {
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// endless is a reader that repeats unit up to n octets, and records the peak of the heap.
type endless struct {
	unit string
	n    int
	at   int
	heap uint64
}

func (r *endless) Read(p []byte) (int, error) {
	if r.at%(1<<20) < len(p) {
		r.heap = max(r.heap, heap())
	}
	if r.at >= r.n {
		return 0, io.EOF
	}
	n := 0
	for n < len(p) {
		n += copy(p[n:], r.unit[(r.at+n)%len(r.unit):])
	}
	r.at += n
	return n, nil
}

// repetitionOctets is the size of a message of TestHostileRepetition.
var repetitionOctets = ifRace(3<<20, 128<<10)

// ifRace returns the second value if the race detector is on, which is much slower.
func ifRace(normal, race int) int {
	if raceEnabled {
		return race
	}
	return normal
}

const multipartHeader = "Content-Type: multipart/mixed; boundary=x\n\n"

// repetitions are messages that begin with head and repeat unit.
var repetitions = map[string]struct{ head, unit string }{
	"body":                   {"\n", "body\r\n"},
	"one line":               {"\n", "x"},
	"one field":              {"Subject: ", "x"},
	"folds":                  {"Subject: ", "x\n "},
	"fields":                 {"", "X: y\n"},
	"lines of no field":      {"Subject: x\n", "y\nz\nX-a: b\n"},
	"blank lines":            {"", "\n"},
	"white space lines":      {"Subject: x\n", " \n"},
	"CRs":                    {"Subject: x\n\n", "\r"},
	"words":                  {"Subject: ", "=?utf-8?q?a?= "},
	"words of any charset":   {"Subject: ", "=?gb18030?q?a?==?koi8-r?q?b?="},
	"words that never end":   {"Subject: ?=", "=?a?q?"},
	"words that never were":  {"Subject: ", "=?a "},
	"parameters":             {"Content-Type: text/plain", ";a=b"},
	"quotes":                 {"Content-Type: text/plain; a=", `"\`},
	"continuations":          {"Content-Disposition: attachment", ";filename*0*=a;filename*1=b"},
	"comments":               {"Content-Type: text/plain ", " (("},
	"preamble":               {multipartHeader, "--y\n"},
	"parts":                  {multipartHeader, "--x\n\nbody\n"},
	"part headers":           {multipartHeader, "--x\nContent-Type: text/html; charset=koi8-r\nbad\n"},
	"nested multiparts":      {"", multipartHeader + "--x\n"},
	"nested messages":        {"", "Content-Type: message/rfc822\n\n"},
	"base64":                 {"Content-Transfer-Encoding: base64\n\n", "YWJj\n"},
	"broken base64":          {"Content-Transfer-Encoding: base64\n\n", "=*"},
	"quoted-printable":       {"Content-Transfer-Encoding: quoted-printable\n\n", "=C3=BC  =\n"},
	"equals signs":           {"Content-Transfer-Encoding: quoted-printable\n\n", "="},
	"spaces":                 {"Content-Transfer-Encoding: quoted-printable\n\n", " "},
	"html tags":              {"Content-Type: text/html\n\n", "<b>"},
	"html open":              {"Content-Type: text/html\n\n", "<"},
	"html comments":          {"Content-Type: text/html\n\n", "<!--"},
	"html cdata":             {"Content-Type: text/html\n\n", "<![CDATA["},
	"html links":             {"Content-Type: text/html\n\n", "<a href=b>"},
	"html quotes":            {"Content-Type: text/html\n\n", "<blockquote>x<br>"},
	"html attributes":        {"Content-Type: text/html\n\n<a ", "b=c "},
	"html entities":          {"Content-Type: text/html\n\n", "&amp"},
	"html script":            {"Content-Type: text/html\n\n<script>", "</scrip"},
	"html pre":               {"Content-Type: text/html\n\n<pre>", "\n"},
	"html lists":             {"Content-Type: text/html\n\n", "<ol><li>x"},
	"html rows":              {"Content-Type: text/html\n\n<table>", "<tr><td>x<td>y"},
	"html cells":             {"Content-Type: text/html\n\n<table><tr>", "<td>x"},
	"html empty cells":       {"Content-Type: text/html\n\n<table><tr>", "<td>"},
	"html tables":            {"Content-Type: text/html\n\n", "<table><tr><td>x<td>y"},
	"html many tables":       {"Content-Type: text/html\n\n", "<table><tr><td>x<td>y<tr><td>x<td>y</table>"},
	"html end tags":          {"Content-Type: text/html\n\n" + strings.Repeat("<div><p>", 128), "</b></i>"},
	"html long links":        {"Content-Type: text/html\n\n", "<a href='http://a/" + strings.Repeat("x", 100) + "'>b"},
	"html styles":            {"Content-Type: text/html\n\n", "<p style='display:none;font-size:0;a:b'>x</p>"},
	"html base":              {"Content-Type: text/html\n\n<base href='http://a/b/'>", "<a href=../c>d</a>"},
	"html long base":         {"Content-Type: text/html\n\n<base href='http://a/" + strings.Repeat("b/", 200_000) + "'>", "<a href=../c>d</a>"},
	"html base, hidden":      {"Content-Type: text/html\n\n<base href='http://a/" + strings.Repeat("b/", 900) + "'><div hidden>", "<a href=../c>d</a>"},
	"html base, same link":   {"Content-Type: text/html\n\n<base href='http://a/" + strings.Repeat("b/", 900) + "'>", "<a href=c>"},
	"html line ends":         {"Content-Type: text/html\n\nx<pre><blockquote><blockquote>x", "\n"},
	"calendar events":        {"Content-Type: text/calendar\n\n", "BEGIN:VEVENT\nSUMMARY:x\nEND:VEVENT\n"},
	"calendar nested":        {"Content-Type: text/calendar\n\nBEGIN:VEVENT\n", "BEGIN:X\n"},
	"calendar folds":         {"Content-Type: text/calendar\n\nBEGIN:VEVENT\nSUMMARY:", "x\n "},
	"calendar parameters":    {"Content-Type: text/calendar\n\nBEGIN:VEVENT\nATTENDEE", ";a=\"b\""},
	"attendees":              {"Content-Type: text/calendar\n\nBEGIN:VEVENT\n", "ATTENDEE:x\n"},
	"flowed":                 {"Content-Type: text/plain; format=flowed\n\n", ">>> a \n"},
	"flowed quotes":          {"Content-Type: text/plain; format=flowed\n\n", ">"},
	"utf-7":                  {"Content-Type: text/plain; charset=utf-7\n\n", "+2Dw-+"},
	"iso-2022-jp":            {"Content-Type: text/plain; charset=iso-2022-jp\n\n", "\x1b$B!!\x1b(B"},
	"iso-2022-kr":            {"Content-Type: text/plain; charset=iso-2022-kr\n\n", "\x1b$)C\x0e!!\x0f"},
	"hz":                     {"Content-Type: text/plain; charset=hz\n\n", "~{!!~}"},
	"uuencode":               {"Content-Transfer-Encoding: x-uuencode\n\nbegin 644 x\n", "#86)C\n"},
	"encoded messages":       {"", "Content-Type: message/rfc822\nContent-Transfer-Encoding: quoted-printable\n\n"},
	"messages in encoded":    {strings.Repeat("Content-Type: message/rfc822\nContent-Transfer-Encoding: quoted-printable\n\n", 6), "Content-Type: message/rfc822\n\n"},
	"encoded parts":          {multipartHeader, "--x\nContent-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nCgo=\n"},
	"other boundaries":       {"Content-Type: multipart/mixed\n\n", "--y\n--z\n"},
	"named parts":            {multipartHeader, "--x\nContent-Type: a/b; name=c\n\n"},
	"html beside blank text": {"Content-Type: multipart/alternative; boundary=x\n\n--x\n\n" + strings.Repeat(" ", repetitionOctets*2/3) + "\n", "--x\nContent-Type: text/html\n\nx\n"},
	"single octets":          {"Content-Type: text/plain; charset=tis-620\n\n", "\xa1"},
	"utf-16":                 {"Content-Type: text/plain; charset=utf-16\n\n", "\x00\xd8"},
}

// Whatever a message repeats, and however often, time is linear and memory is bounded.
func TestHostileRepetition(t *testing.T) {
	for name, c := range repetitions {
		t.Run(name, func(t *testing.T) {
			runtime.GC()
			r := &endless{unit: c.unit, n: repetitionOctets}
			var m *Message
			var err error
			elapsed := timed(t, func() {
				m, err = Read(io.MultiReader(strings.NewReader(c.head), r), Options{MarkParts: true})
			})
			if err != nil {
				t.Fatal(err)
			}
			if r.heap = max(r.heap, heap()); r.heap > maxHeap {
				t.Errorf("%d MiB of heap", r.heap>>20)
			}
			check(t, m)
			if elapsed > maxTime {
				t.Errorf("takes %v", elapsed)
			}
		})
	}
}

// Encoded words in an encoding that does not exist do not each look for the one end that
// the header has.
func TestWordsOfNoEncoding(t *testing.T) {
	text := "Subject: " + strings.Repeat("=?a?x?b ", 120_000) + "?=\n\n"
	elapsed := timed(t, func() {
		if _, err := Read(strings.NewReader(text), Options{}); err != nil {
			t.Error(err)
		}
	})
	if elapsed > maxTime {
		t.Errorf("takes %v", elapsed)
	}
}

// A message of 64 MiB with text, an attachment and a message inside takes no more memory
// than a small one.
func TestLargeMail(t *testing.T) {
	size := ifRace(64<<20, 4<<20)
	body := func(unit string) *endless { return &endless{unit: unit, n: size / 4} }
	parts := []*endless{body("<p>some <a href=b>text</a>"), body("QUJD\n"), body("x"), body("text\n")}
	runtime.GC()
	var m *Message
	var err error
	elapsed := timed(t, func() {
		m, err = Read(io.MultiReader(strings.NewReader(multipartHeader+"--x\nContent-Type: text/html\n\n"), parts[0],
			strings.NewReader("\n--x\nContent-Type: a/b\nContent-Transfer-Encoding: base64\n\n"), parts[1],
			strings.NewReader("\n--x\nContent-Type: message/rfc822\nContent-Transfer-Encoding: quoted-printable\n\nSubject: x\n\n"), parts[2],
			strings.NewReader("\n--x\n\n"), parts[3]), Options{MarkParts: true})
	})
	if err != nil {
		t.Fatal(err)
	}
	check(t, m)
	peak := heap()
	for _, p := range parts {
		peak = max(peak, p.heap)
	}
	t.Logf("%d MiB: %v, %d MiB of heap", size>>20, elapsed, peak>>20)
	if len(m.Parts) != 5 || m.Parts[1].Size < int64(size/7) || elapsed > 4*maxTime || peak > maxHeap {
		t.Errorf("%d parts, %v, %d MiB of heap", len(m.Parts), elapsed, peak>>20)
	}
}

// Any octets have the same result when they are read in other pieces, and each part can be
// written.
func FuzzRead(f *testing.F) {
	f.Add([]byte(nested))
	f.Add([]byte("From x\rSubject: =?a?b?c?=\r\r--"))
	f.Add([]byte("Content-Type: multipart/mixed;\n boundary=\"a\n\n--a\nContent-Disposition: x; filename*0*=utf-8''%41; filename*1=b\n\n--a--"))
	f.Add([]byte("Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogaW4KCmE=\n--x\n\nb\n--x--"))
	f.Add([]byte("Content-Type: multipart/mixed\n\n--y\nContent-Type: text/calendar\n\nBEGIN:VEVENT\nSUMMARY:a\n b\nEND:VEVENT\n"))
	f.Add([]byte("Content-Type: text/plain; charset=utf-7; format=flowed; delsp=yes\n\n> a+AOk- \n> b"))
	f.Add([]byte("Content-Type: a/b; name=c\nContent-Transfer-Encoding: x-uuencode\n\nbegin 644 c\n#86)C\n`\nend\n"))
	f.Add([]byte("Content-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n<a href=3Dx>=C3=\n</a>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		o := Options{MaxHeaderOctets: 1000, MaxFields: 10, MaxDepth: 5, MaxParts: 20, MaxTextOctets: 1000, PreferHTML: len(b)%2 == 0, MarkParts: len(b)%3 == 0}
		m, err := Read(bytes.NewReader(b), o)
		if err != nil {
			t.Fatal(err)
		}
		check(t, m)
		if len(m.Text) > o.MaxTextOctets || len(m.Parts) > o.MaxParts || len(m.Header) > o.MaxFields {
			t.Errorf("%d octets of text, %d parts, %d fields", len(m.Text), len(m.Parts), len(m.Header))
		}
		again, err := Read(iotest.HalfReader(bytes.NewReader(b)), o)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprint(*again), fmt.Sprint(*m); got != want {
			t.Errorf("read in pieces: %s, want %s", got, want)
		}
		if h, err := ReadHeader(bytes.NewReader(b), o); err != nil || !slices.Equal(h.Header, m.Header) {
			t.Errorf("its header alone: %v, %q, want %q", err, h.Header, m.Header)
		}
		for _, p := range m.Parts {
			var out bytes.Buffer
			if err := WritePart(&out, bytes.NewReader(b), p.Number, o); err != nil {
				t.Fatal(err)
			}
			if int64(out.Len()) != p.Size {
				t.Errorf("part %d: %d octets, want %d", p.Number, out.Len(), p.Size)
			}
		}
		if err := WritePart(io.Discard, bytes.NewReader(b), len(m.Parts)+1, o); !errors.Is(err, ErrNoPart) {
			t.Errorf("one part more: %v", err)
		}
	})
}

// Every real message is read in bounded time and memory, and each part has its size when
// it is extracted.
func TestRealMail(t *testing.T) {
	dir := os.Getenv("ARCHIVERD_TEST_MAIL")
	if dir == "" {
		t.Skip("ARCHIVERD_TEST_MAIL is not set")
	}
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		ext := filepath.Ext(path)
		if err != nil || d.IsDir() || ext != ".eml" && ext != ".mbox" {
			return err
		}
		files++
		t.Run(filepath.Base(path), func(t *testing.T) { testRealMessage(t, path) })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Errorf("no mail in %s", dir)
	}
}

// testRealMessage reads the message at path and its header alone.
func testRealMessage(t *testing.T, path string) {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	r := &endless{unit: string(b), n: len(b)}
	var m *Message
	if elapsed := timed(t, func() { m, err = Read(io.LimitReader(r, int64(len(b))), Options{PreferHTML: true, MarkParts: true}) }); elapsed > maxTime {
		t.Errorf("takes %v", elapsed)
	}
	if err != nil {
		t.Fatal(err)
	}
	if r.heap = max(r.heap, heap()); r.heap > maxHeap {
		t.Errorf("%d MiB of heap", r.heap>>20)
	}
	check(t, m)
	h, err := ReadHeader(bytes.NewReader(b), Options{})
	if err != nil || !slices.Equal(h.Header, m.Header) {
		t.Errorf("its header alone: %v, %q, want %q", err, h.Header, m.Header)
	}
	testParts(t, b, m.Parts)
}

// testParts extracts the parts of a message all at once, and the first five one by one.
func testParts(t *testing.T, b []byte, parts []Part) {
	written := make([]counter, len(parts))
	open := 0
	err := Extract(bytes.NewReader(b), Options{}, func(p Part) (io.WriteCloser, error) {
		open++
		return &closer{&written[p.Number-1], &open}, nil
	})
	if err != nil || open != 0 {
		t.Errorf("extract: %v, and %d parts are open", err, open)
	}
	for i, p := range parts {
		if int64(written[i]) != p.Size {
			t.Errorf("part %d: %d octets written, %d listed", p.Number, written[i], p.Size)
		}
		if i >= 5 {
			continue // each reads the message again, which may have thousands of parts
		}
		n := counter(0)
		if err := WritePart(&n, bytes.NewReader(b), p.Number, Options{}); err != nil || n != written[i] {
			t.Errorf("part %d alone: %d octets written, %v", p.Number, n, err)
		}
	}
}

// closer counts the writers that are open.
type closer struct {
	*counter
	open *int
}

func (c *closer) Close() error {
	*c.open--
	return nil
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

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
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// The bounds for any message, however large and hostile.
const (
	maxTime = 2 * time.Second
	maxHeap = 64 << 20
)

// endless gives unit again and again, up to n octets, and watches the heap.
type endless struct {
	unit string
	n    int
	at   int
	heap uint64
}

func (r *endless) Read(p []byte) (int, error) {
	if r.at%(1<<20) < len(p) {
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		r.heap = max(r.heap, s.HeapAlloc)
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

// Whatever is repeated, and however often, time is linear and memory bounded.
func TestHostileRepetition(t *testing.T) {
	size := 10 << 20
	if raceEnabled {
		size = 1 << 20
	}
	const mp = "Content-Type: multipart/mixed; boundary=x\n\n"
	for name, c := range map[string]struct{ head, unit string }{
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
		"preamble":               {mp, "--y\n"},
		"parts":                  {mp, "--x\n\nbody\n"},
		"part headers":           {mp, "--x\nContent-Type: text/html; charset=koi8-r\nbad\n"},
		"nested multiparts":      {"", mp + "--x\n"},
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
		"html beside blank text": {"Content-Type: multipart/alternative; boundary=x\n\n--x\n\n" + strings.Repeat(" ", 2<<20) + "\n", "--x\nContent-Type: text/html\n\nx\n"},
		"single octets":          {"Content-Type: text/plain; charset=tis-620\n\n", "\xa1"},
		"utf-16":                 {"Content-Type: text/plain; charset=utf-16\n\n", "\x00\xd8"},
	} {
		t.Run(name, func(t *testing.T) {
			runtime.GC()
			r := &endless{unit: c.unit, n: size}
			start := time.Now()
			m, err := Read(io.MultiReader(strings.NewReader(c.head), r), Options{})
			elapsed := time.Since(start)
			if err != nil {
				t.Fatal(err)
			}
			check(t, m)
			if r.heap > maxHeap {
				t.Errorf("%d MiB of heap", r.heap>>20)
			}
			if elapsed > maxTime && !raceEnabled {
				t.Errorf("takes %v", elapsed)
			}
		})
	}
}

// FuzzRead reads any octets twice, by different pieces, and writes each part.
func FuzzRead(f *testing.F) {
	f.Add([]byte(nested))
	f.Add([]byte("From x\rSubject: =?a?b?c?=\r\r--"))
	f.Add([]byte("Content-Type: multipart/mixed;\n boundary=\"a\n\n--a\nContent-Disposition: x; filename*0*=utf-8''%41; filename*1=b\n\n--a--"))
	f.Add([]byte("Content-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n<a href=3Dx>=C3=\n</a>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		o := Options{HeaderOctets: 1000, Fields: 10, Depth: 5, Parts: 20, TextOctets: 1000}
		m, err := Read(bytes.NewReader(b), o)
		if err != nil {
			t.Fatal(err)
		}
		check(t, m)
		if len(m.Text) > o.TextOctets || len(m.Parts) > o.Parts || len(m.Header) > o.Fields {
			t.Errorf("%d octets of text, %d parts, %d fields", len(m.Text), len(m.Parts), len(m.Header))
		}
		again, err := Read(iotest.HalfReader(bytes.NewReader(b)), o)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprint(*again), fmt.Sprint(*m); got != want {
			t.Errorf("read in pieces: %s, want %s", got, want)
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

// Every real message is read in bounded time and memory, and each of its parts
// is written.
func TestRealMail(t *testing.T) {
	dir := os.Getenv("ARCHIVERD_TEST_MAIL")
	if dir == "" {
		t.Skip("ARCHIVERD_TEST_MAIL names no folder of mail")
	}
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		ext := filepath.Ext(path)
		if err != nil || d.IsDir() || ext != ".eml" && ext != ".mbox" {
			return err
		}
		files++
		t.Run(filepath.Base(path), func(t *testing.T) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			runtime.GC()
			r := &endless{unit: string(b), n: len(b)}
			start := time.Now()
			m, err := Read(io.LimitReader(r, int64(len(b))), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if elapsed := time.Since(start); elapsed > maxTime && !raceEnabled {
				t.Errorf("takes %v", elapsed)
			}
			if r.heap > maxHeap {
				t.Errorf("%d MiB of heap", r.heap>>20)
			}
			check(t, m)
			for _, p := range m.Parts[:min(len(m.Parts), 100)] {
				n := counter(0)
				if err := WritePart(&n, bytes.NewReader(b), p.Number, Options{}); err != nil {
					t.Error(err)
				}
				if int64(n) != p.Size {
					t.Errorf("part %d: %d octets written, %d listed", p.Number, n, p.Size)
				}
			}
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Errorf("no mail in %s", dir)
	}
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

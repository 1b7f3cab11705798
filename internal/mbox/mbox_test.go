package mbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"archiverd/internal/testing/dovecot"
)

// hard are messages that an mbox may break.
func hard() map[string]string {
	long := strings.Repeat("x", lineBuffer)
	return map[string]string{
		"plain":                   "Subject: a\r\n\r\nb\r\n",
		"no body":                 "Subject: a\r\n",
		"empty body":              "Subject: a\r\n\r\n",
		"empty lines at the end":  "Subject: a\r\n\r\nb\r\n\r\n\r\n",
		"From_ lines":             "Subject: a\r\n\r\nFrom here\r\n>From there\r\n>>From both\r\n\r\nFrom me@example.com Sat Nov  7 12:00:00 2026\r\nFrom\r\nX-Status: F\r\n",
		"From alone":              "Subject: a\r\n\r\nFrom\r\n\r\nFrom\r\n\r\nFrom \r\n",
		"From_ line first":        "From me@example.com Sat Nov  7 12:00:00 2026\r\nSubject: a\r\n\r\nb\r\n",
		"marked From_ line first": ">From me@example.com Sat Nov  7 12:00:00 2026\r\nSubject: a\r\n\r\nb\r\n",
		"bare CR":                 "Subject: a\r\n\r\nb\rc\r\n\rd\r\n",
		"CR CR LF":                "Subject: a\r\n\r\nb\r\r\nc\r\n",
		"a mixture":               "Subject: a\n\r\nb\nFrom c\r\nFrom d\n",
		"LF alone":                "Subject: a\n\nb\n",
		"no end":                  "Subject: a\r\n\r\nb",
		"no end, in the header":   "Subject: a",
		"empty":                   "",
		"one empty line":          "\r\n",
		"two empty lines":         "\r\n\r\n",
		"NUL and octets":          "Subject: \x00\xff\r\n\r\n\x00\x80\r\n",
		"fields of an mbox":       "Status: RO\r\nX-Status: D\r\nX-Keywords: no\r\nContent-Length: 3\r\nSubject: a\r\n\r\nb\r\n",
		"a length":                "Content-Length: 1\r\nSubject: a\r\nX-UID: 9\r\n\r\nb\r\n",
		"a length that fits":      "Content-Length: 10\r\nSubject: a\r\n\r\nFrom here\r\n",
		"folded fields":           "X-Keywords: a\r\n b\r\nSubject: a\r\n c\r\n\r\nb\r\n",
		"long lines":              "X: " + long + "\r\n\r\n" + long[1:] + "\r\n" + long + "\r\nFrom " + long + "\r\n" + long[2:] + "\r\r\n",
		"long line, CR at a cut":  "X: 1\r\n\r\n" + long[:lineBuffer-1] + "\r\n" + long[:lineBuffer-2] + "\r\n",
		"a server's memory":       "X-IMAP: 1 2\r\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\r\n\r\nb\r\n",
	}
}

// entry is a message in an mbox.
type entry struct {
	name, body string
	Envelope
}

func write(t testing.TB, v Variant, list []entry) ([]byte, []Form) {
	t.Helper()
	var b bytes.Buffer
	var forms []Form
	for _, e := range list {
		f, err := Measure(strings.NewReader(e.body), v)
		if err == nil {
			err = Write(&b, v, e.Envelope, f, iotestOne{strings.NewReader(e.body)})
		}
		if err != nil || f.Size != int64(len(e.body)) {
			t.Fatalf("%s: measured %d octets, want %d: %v", e.name, f.Size, len(e.body), err)
		}
		forms = append(forms, f)
	}
	return b.Bytes(), forms
}

// iotestOne reads a few octets at a time.
type iotestOne struct{ r io.Reader }

func (r iotestOne) Read(p []byte) (int, error) { return r.r.Read(p[:min(len(p), 7777)]) }

func entries(bodies map[string]string) (list []entry) {
	flags := [][]string{nil, {`\Seen`}, {`\Flagged`, `\Seen`}, {"$Forwarded", `\Answered`, `\Deleted`, `\Draft`, "ключ"}}
	for name, body := range bodies {
		list = append(list, entry{name: name, body: body})
	}
	slices.SortFunc(list, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	for i := range list {
		list[i].Envelope = Envelope{Sender: "me@example.com", Date: time.Date(2026, 11, i%28+1, 3, 4, 5, 0, time.UTC), Flags: flags[i%len(flags)]}
	}
	list[0].Base = &Base{UIDValidity: 1, Keywords: []string{"$Forwarded", "ключ"}}
	return list
}

// TestRoundTrip writes messages and reads them again: what comes back otherwise is
// just what Measure says.
func TestRoundTrip(t *testing.T) {
	bodies := hard()
	for i, f := range dovecot.Mail(t) {
		bodies[fmt.Sprint(f.Name, " ", i)] = string(f.Data)
	}
	list := entries(bodies)
	for _, v := range []Variant{RD, O, CL2} {
		text, forms := write(t, v, list)
		i := 0
		for m, err := range Scan(bytes.NewReader(text), int64(len(text)), Options{}) {
			if err != nil {
				t.Fatalf("%s: after %d messages: %v", v, i, err)
			}
			if i == len(list) {
				t.Fatalf("%s: more messages than there were", v)
			}
			e := list[i]
			got := octets(t, m)
			if same := got == e.body; same != (len(forms[i].Loss) == 0) {
				t.Errorf("%s: %s comes back as %.300q, was %.300q, and Measure says %q", v, e.name, got, e.body, forms[i].Loss)
			}
			if !m.Date.Equal(e.Date) || !m.HasFlags || !slices.Equal(m.Flags, e.Flags) {
				t.Errorf("%s: %s has %v %q, want %v %q", v, e.name, m.Date, m.Flags, e.Date, e.Flags)
			}
			i++
		}
		if i != len(list) {
			t.Errorf("%s: %d messages, want %d", v, i, len(list))
		}
	}
}

func octets(t testing.TB, m *Message) string {
	t.Helper()
	r, err := m.Octets()
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

// TestOthers reads what other programs write.
func TestOthers(t *testing.T) {
	const from = "From a@b Sat Nov  7 12:00:00 2026\n"
	type got struct {
		body  string
		flags []string
	}
	for name, c := range map[string]struct {
		text string
		o    Options
		want []got
	}{
		"nothing":           {text: "", want: nil},
		"empty lines alone": {text: "\n\n", want: nil},
		"Dovecot": {
			text: from + "X-IMAPbase: 1 2 work\n\nX-UID: 1\nSubject: a\nStatus: RO\nX-Status: AF\nX-Keywords: work\n\nb\n\n",
			want: []got{{"\r\nX-UID: 1\r\nSubject: a\r\nStatus: RO\r\nX-Status: AF\r\nX-Keywords: work\r\n\r\nb\r\n", nil}},
		},
		"Dovecot's fields": {
			text: from + "Subject: a\nX-IMAPbase: 1 2 work\nX-UID: 1\nStatus: RO\nX-Status: AF\nX-Keywords: work\n rest\nContent-Length: 2\n\nb\n\n" + from + "Subject: c\nStatus: O\n\n",
			want: []got{{"Subject: a\r\n\r\nb\r\n", []string{`\Answered`, `\Flagged`, `\Seen`, "rest", "work"}}, {"Subject: c\r\n", []string{}}},
		},
		"Thunderbird": {
			text: "From - Sat Nov 07 12:00:00 2026\r\nX-Mozilla-Status: 1005\r\nX-Mozilla-Status2: 00000000\r\nX-Mozilla-Keys: $label1   \r\nSubject: a\r\n\r\nb\r\n\r\nFrom - \r\nX-Mozilla-Status: 0008\r\nSubject: c\r\n\r\n",
			want: []got{{"Subject: a\r\n\r\nb\r\n", []string{"$Forwarded", "$label1", `\Flagged`, `\Seen`}}, {"Subject: c\r\n", []string{`\Deleted`}}},
		},
		"a server's memory":        {text: from + "Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1 2\n\nb\n\n" + from + "Subject: c\n\nd\n", want: []got{{"Subject: c\r\n\r\nd\r\n", nil}}},
		"no empty line between":    {text: from + "a: b\n\nc\n" + from + "d: e\n\nf", want: []got{{"a: b\r\n\r\nc\r\n", nil}, {"d: e\r\n\r\nf", nil}}},
		"From in a text":           {text: from + "a: b\n\nc\n\nFrom now on\n>From then\n", want: []got{{"a: b\r\n\r\nc\r\n\r\nFrom now on\r\nFrom then\r\n", nil}}},
		"mboxo":                    {text: from + "a: b\n\n>From c\n>>From d\n", o: Options{Variant: O}, want: []got{{"a: b\r\n\r\nFrom c\r\n>>From d\r\n", nil}}},
		"a length, unmarked":       {text: from + "Content-Length: 71\na: b\n\n" + from + "a: b\n>From c\n\n" + "From a@b Mon Nov 16 12:00\n" + from[:0] + "\n" + from + "d: e\n\n", want: nil},
		"a length that is wrong":   {text: from + "Content-Length: 7\na: b\n\nc\n\n" + from + "d: e\n\nf\n", want: []got{{"Content-Length: 7\r\na: b\r\n\r\nc\r\n", nil}, {"d: e\r\n\r\nf\r\n", nil}}},
		"a length, not believed":   {text: from + "Content-Length: 2\na: b\n\nc\n\n" + from + "d: e\n\nf\n", o: Options{Variant: RD}, want: []got{{"Content-Length: 2\r\na: b\r\n\r\nc\r\n", nil}, {"d: e\r\n\r\nf\r\n", nil}}},
		"line ends are kept":       {text: from + "a: b\n\nc\n", o: Options{KeepLineEnds: true}, want: []got{{"a: b\n\nc\n", nil}}},
		"a first line of no date":  {text: "From someone\na: b\n\nc\n", want: []got{{"a: b\r\n\r\nc\r\n", nil}}},
		"a From_ line in a header": {text: from + "a: b\n" + from + "d: e\n\nf\n", want: []got{{"a: b\r\n", nil}, {"d: e\r\n\r\nf\r\n", nil}}},
	} {
		if name == "a length, unmarked" {
			body := from + "a: b\n>From c\n\n"
			c.text = from + fmt.Sprintf("Content-Length: %d\na: b\n\n%s\n%sd: e\n\n", len(body), body, from)
			c.want = []got{{"a: b\r\n\r\n" + strings.ReplaceAll(body, "\n", "\r\n"), nil}, {"d: e\r\n", nil}}
		}
		var list []got
		for m, err := range Scan(strings.NewReader(c.text), int64(len(c.text)), c.o) {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			g := got{octets(t, m), m.Flags}
			if m.HasFlags && g.flags == nil {
				g.flags = []string{}
			}
			list = append(list, g)
		}
		if fmt.Sprintf("%q", list) != fmt.Sprintf("%q", c.want) {
			t.Errorf("%s:\n%q, want\n%q", name, list, c.want)
		}
	}
	for m, err := range Scan(strings.NewReader("Subject: a\n\nb\n"), 14, Options{}) {
		if !errors.Is(err, ErrNotMbox) || m != nil {
			t.Errorf("no mbox: %v, %v", m, err)
		}
	}
}

// A header that goes on and on must not fill the memory, nor take the time that
// making its value longer and longer takes.
func TestFieldWithoutEnd(t *testing.T) {
	f := fields{message: &Message{}}
	f.line([]byte("X-Keywords: first\n"), 0)
	for range 100_000 {
		f.line([]byte(" and so on\n"), 0)
	}
	if n := len(f.own[0].value); n > 2*maxValue {
		t.Errorf("%d octets are kept of one field", n)
	}
}

func TestOctetsAtTheSameTime(t *testing.T) {
	// Of three fields cut out, a slice that grew has room for a fourth.
	text := "From a@example.org Mon Nov 23 10:00:00 2026\nSubject: x\nStatus: RO\nA: 1\nX-Status: A\nB: 2\nX-Keywords: k\n\nbody\n"
	for m, err := range Scan(strings.NewReader(text), int64(len(text)), Options{}) {
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan string)
		for range 2 {
			go func() {
				r, err := m.Octets()
				if err != nil {
					done <- err.Error()
					return
				}
				got, err := io.ReadAll(r)
				done <- string(got) + fmt.Sprint(err)
			}()
		}
		for range 2 {
			if got, want := <-done, "Subject: x\r\nA: 1\r\nB: 2\r\n\r\nbody\r\n<nil>"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	}
}

func TestParseFrom(t *testing.T) {
	want := time.Date(2026, 11, 7, 12, 0, 0, 0, time.UTC)
	for line, date := range map[string]time.Time{
		"From a@b Sat Nov  7 12:00:00 2026":                  want,
		"From a@b Sat Nov 07 12:00:00 2026\r\n":              want,
		"From a b c  Sat Nov  7 12:00 2026\n":                want,
		"From Sat Nov  7 12:00:00 2026\n":                    want,
		"From - Sat Nov 07 12:00:00 2026\n":                  want,
		"From a@b Sat Nov  7 13:00:00 +0100 2026\n":          want,
		"From a@b Sat Nov  7 07:00:00 2026 -0500\n":          want,
		"From a@b Sat Nov  7 12:00:00 CET 2026\n":            want,
		"From a@b Sat, Nov 7 12:00:00 2026 remote from x\n":  want,
		"From 1234567890@xxx Sat Nov 07 12:00:00 +0000 2026": want,
		"From a@b Sat Nov 31 12:00:00 2026":                  {},
		"From a@b Sat Nov  7 25:00:00 2026":                  {},
	} {
		if got, ok := parseFrom([]byte(line)); !got.Equal(date) || !ok {
			t.Errorf("%q: %v, %v, want %v", line, got, ok, date)
		}
	}
	for _, line := range []string{"From now on", "From a@b", "from a@b Sat Nov  7 12:00:00 2026", ">From a@b Sat Nov  7 12:00:00 2026", "From: a@b Sat Nov  7 12:00:00 2026"} {
		if got, ok := parseFrom([]byte(line)); ok {
			t.Errorf("%q: %v", line, got)
		}
	}
}

// FuzzScan reads whatever comes, and writes and reads again what it found in it.
func FuzzScan(f *testing.F) {
	for _, v := range []Variant{RD, O, CL2} {
		text, _ := write(f, v, entries(hard()))
		f.Add(text[:8000])
	}
	f.Add([]byte("From - \nContent-Length: 99999999999999999999\n\nFrom x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var list []entry
		total := 0
		for m, err := range Scan(bytes.NewReader(text), int64(len(text)), Options{}) {
			if err != nil {
				if !errors.Is(err, ErrNotMbox) {
					t.Fatal(err)
				}
				return
			}
			list = append(list, entry{name: fmt.Sprint(m.Offset), body: octets(t, m)})
			total += len(list[len(list)-1].body)
		}
		if total > 2*len(text) {
			t.Fatalf("%d octets in an mbox of %d", total, len(text))
		}
		for _, v := range []Variant{RD, CL2} {
			again, forms := write(t, v, list)
			i := 0
			for m, err := range Scan(bytes.NewReader(again), int64(len(again)), Options{}) {
				if err != nil {
					t.Fatal(err)
				}
				if got := octets(t, m); i < len(list) && (got == list[i].body) != (len(forms[i].Loss) == 0) {
					t.Errorf("%s: %q becomes %q; %q", v, list[i].body, got, forms[i].Loss)
				}
				i++
			}
			if i != len(list) {
				t.Errorf("%s: %d messages become %d", v, len(list), i)
			}
		}
	})
}

package search

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// generator generates messages, flags, dates and queries. A seed always gives the same.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator { return generator{rand.New(rand.NewPCG(seed, 7))} }

// word returns a word; the list has words that fold to the same.
func (g generator) word() string {
	words := []string{"invoice", "Rechnung", "Größe", "naïve", "meeting", "in", "Invoices", "東京都庁", "かばん", "Straße", "İstanbul", "ελιά", "ΕΛΙΆ", "v2", "ok", "a", "Привет", "ice"}
	return words[g.IntN(len(words))]
}

// words returns n words, joined by a random separator.
func (g generator) words(n int) string {
	var list []string
	for range n {
		list = append(list, g.word())
	}
	return strings.Join(list, []string{" ", " ", " ", "-", ", "}[g.IntN(5)])
}

// message returns a message with two parts or one.
func (g generator) message() string {
	var b strings.Builder
	fmt.Fprintf(&b, "From: %s <%s@example.com>\r\nTo: %s\r\nSubject: %s\r\nMessage-ID: <%d@example.net>\r\n", g.word(), []string{"alice", "bob"}[g.IntN(2)], g.word(), g.words(1+g.IntN(3)), g.IntN(1000))
	b.WriteString("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n")
	b.WriteString(g.words(1 + g.IntN(12)))
	if g.IntN(3) == 0 {
		fmt.Fprintf(&b, "\r\n--x\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=%s.pdf\r\n\r\n%%PDF", []string{"report", "invoice"}[g.IntN(2)])
	}
	b.WriteString("\r\n--x--\r\n")
	return b.String()
}

// flags returns some flags.
func (g generator) flags() []string {
	var out []string
	for _, f := range []string{`\Seen`, `\Flagged`, "$Forwarded"} {
		if g.IntN(3) == 0 {
			out = append(out, f)
		}
	}
	return out
}

// query returns a query of up to three terms.
func (g generator) query() string {
	terms := make([]string, 1+g.IntN(3))
	for i := range terms {
		terms[i] = g.term()
		if g.IntN(4) == 0 {
			terms[i] = "-" + terms[i]
		}
	}
	return strings.Join(terms, " ")
}

// term returns a term of any kind.
func (g generator) term() string {
	word := g.word()
	kinds := []func() string{
		func() string { return "from:" + word },
		func() string { return "subject:" + word },
		func() string { return "to:" + word },
		func() string { return `"` + g.word() + " " + g.word() + `"` },
		func() string { return string([]rune(word)[:1]) + "*" },
		func() string { return "text:" + word },
		func() string { return "filename:invoice" },
		func() string { return "has:attachment" },
		func() string { return fmt.Sprintf("larger:%d", 250+g.IntN(200)) },
		func() string { return "after:" + g.day().Format(time.DateOnly) },
		func() string { return "before:" + g.day().Format(time.DateOnly) },
		func() string { return "flag:" + []string{"seen", `\Flagged`, "$forwarded"}[g.IntN(3)] },
		func() string { return "mailbox:" + []string{"INBOX", "lists*", "%"}[g.IntN(3)] },
		func() string { return "account:" + []string{"alice", "bob", "*"}[g.IntN(3)] },
		func() string { return "京" },
		func() string { return word },
	}
	return kinds[g.IntN(len(kinds))]()
}

// day returns a date of INTERNALDATE in January 2026, in one of three time zones.
func (g generator) day() time.Time {
	return time.Date(2026, 1, 1+g.IntN(20), g.IntN(3), 0, 0, 0, time.FixedZone("", 3600*(g.IntN(3)-1)))
}

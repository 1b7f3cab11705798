package dovecot

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// Mailbox is a mailbox to make, with its messages.
type Mailbox struct {
	Name string // in UTF-8; / separates its components
	Msgs []Msg
}

// Load makes the mailboxes, except INBOX, which exists, and appends their messages.
func (c *Client) Load(mailboxes []Mailbox) {
	c.t.Helper()
	for _, m := range mailboxes {
		if m.Name != "INBOX" {
			c.Create(m.Name)
		}
		c.Append(m.Name, m.Msgs...)
	}
}

// Sizes is the log-normal distribution of the sizes of messages, in octets. The
// smallest message has 700.
type Sizes struct {
	Median, Max float64
	Spread      float64 // standard deviation of the logarithm
}

// Corpus is CorpusOf with the sizes of usual mail without its few large messages: a
// median of 5 KB, a maximum of 300 KB.
func Corpus(seed uint64, n int) []Mailbox {
	return CorpusOf(seed, n, Sizes{Median: 5000, Max: 300_000, Spread: 1})
}

// CorpusOf returns n messages in mailboxes, one of which is empty. It depends on its
// arguments only. All lines end in CRLF. One message in forty is a copy of an earlier
// one with other flags and another date. Size and SHA256 are set, UIDs are not.
func CorpusOf(seed uint64, n int, sizes Sizes) []Mailbox {
	shares := []struct {
		name    string
		percent int // of the messages
	}{
		{"INBOX", 38},
		{"Archive", 12},
		{"Archive/2023", 10},
		{"Archive/2024/Q1", 6},
		{"Lists/go", 14},
		{"Sent", 10},
		{"Entwürfe", 3},
		{"Проекты/日本語", 4},
		{"Space & Ampersand", 2},
		{"Trash", 1},
		{"Empty", 0},
	}
	g := &generator{
		Rand:  rand.New(rand.NewPCG(seed, 0)),
		sizes: sizes,
		ascii: strings.Fields("alice bob carol dave erin frank grace heidi ivan judy mallory olivia peggy trent victor"),
		words: strings.Fields(`the of and to in is that for it with as was on be at by this had not are but from or
			have an they which one you were all her she there would their we him been has when who will no more if out
			release invoice meeting budget harbour lantern quarter Größe für München naïve café Привет 郵便 ελιά`),
	}
	mailboxes := make([]Mailbox, len(shares))
	for i, s := range shares {
		mailboxes[i].Name = s.name
	}
	var bodies [][]byte
	for i := range n {
		mailbox, lot := 0, g.IntN(100)
		for lot >= shares[mailbox].percent {
			lot -= shares[mailbox].percent
			mailbox++
		}
		date := g.date()
		var body []byte
		if i > 0 && g.IntN(40) == 0 {
			body = bodies[g.IntN(len(bodies))]
		} else {
			body = g.message(i, date)
		}
		bodies = append(bodies, body)
		mailboxes[mailbox].Msgs = append(mailboxes[mailbox].Msgs, Msg{
			Flags: g.flags(), Date: date, Body: body, Size: int64(len(body)), SHA256: sha256.Sum256(body),
		})
	}
	return mailboxes
}

// generator invents the parts of messages.
type generator struct {
	*rand.Rand
	sizes        Sizes
	ascii, words []string
}

// date returns a time between 1998 and 2025 in one of ten time zones.
func (g *generator) date() time.Time {
	zones := []int{-11 * 60, -8 * 60, -3*60 - 30, 0, 60, 120, 5*60 + 30, 5*60 + 45, 9 * 60, 13 * 60}
	zone := time.FixedZone("", 60*zones[g.IntN(len(zones))])
	from := time.Date(1998, 1, 1, 0, 0, 0, 0, time.UTC)
	to := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return time.Unix(from.Unix()+g.Int64N(to.Unix()-from.Unix()), 0).In(zone)
}

// flags returns the flags and keywords of a message, sorted.
func (g *generator) flags() []string {
	var flags []string
	for _, f := range []struct {
		name    string
		percent int
	}{
		{"$Forwarded", 5}, {"$Junk", 1}, {"Important", 3}, {"NonJunk", 8},
		{`\Answered`, 15}, {`\Deleted`, 1}, {`\Draft`, 1}, {`\Flagged`, 6}, {`\Seen`, 75},
	} {
		if g.IntN(100) < f.percent {
			flags = append(flags, f.name)
		}
	}
	return flags
}

// message returns a message with a number in its Message-ID.
func (g *generator) message(number int, date time.Time) []byte {
	const minSize = 700
	size := int(min(g.sizes.Median*math.Exp(g.sizes.Spread*g.NormFloat64()), g.sizes.Max-200)) // the last line may exceed the size
	size = max(size, minSize)
	var b bytes.Buffer
	for hop := range 1 + g.IntN(3) {
		fmt.Fprintf(&b, "Received: from mx%d.example.org (mx%d.example.org [192.0.2.%d])\r\n\tby in.example.net with ESMTPS id %08x;\r\n\t%s\r\n",
			hop, hop, g.IntN(256), g.Uint32(), date.Format(time.RFC1123Z))
	}
	fmt.Fprintf(&b, "From: %s %s <%s@example.org>\r\n", g.word(), g.word(), g.person())
	fmt.Fprintf(&b, "To: <%s@example.net>\r\n", g.person())
	fmt.Fprintf(&b, "Date: %s\r\n", date.Format(time.RFC1123Z))
	fmt.Fprintf(&b, "Message-ID: <%d.%x@example.org>\r\n", number, g.Uint64())
	subject := g.word() + " " + g.word() + " " + g.word()
	fmt.Fprintf(&b, "Subject: =?utf-8?B?%s?=\r\nMIME-Version: 1.0\r\n", base64.StdEncoding.EncodeToString([]byte(subject)))
	if size < 12_000 {
		b.WriteString("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
		g.text(&b, size)
		return b.Bytes()
	}
	boundary := fmt.Sprintf("=_%016x", g.Uint64())
	fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=%q\r\n\r\n", boundary)
	fmt.Fprintf(&b, "--%s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n", boundary)
	g.text(&b, b.Len()+500+g.IntN(2000))
	fmt.Fprintf(&b, "--%s\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=\"%s.bin\"\r\nContent-Transfer-Encoding: base64\r\n\r\n",
		boundary, g.person())
	g.attachment(&b, size-len(boundary))
	fmt.Fprintf(&b, "--%s--\r\n", boundary)
	return b.Bytes()
}

func (g *generator) person() string { return g.ascii[g.IntN(len(g.ascii))] }

func (g *generator) word() string { return g.words[g.IntN(len(g.words))] }

// text writes lines until the message has the size. Some are such as break programs
// that handle mail as plain lines: "From " or a dot at the start, spaces at the end,
// more than 998 octets.
func (g *generator) text(b *bytes.Buffer, size int) {
	for b.Len() < size {
		width := 72
		switch g.IntN(150) {
		case 0:
			b.WriteString("From now on ")
		case 1:
			b.WriteString(".")
		case 2:
			b.WriteString("tail  \r\n")
		case 3:
			width = min(1200, size-b.Len())
		}
		for start := b.Len(); b.Len()-start < width; {
			b.WriteString(g.word() + " ")
		}
		b.WriteString("\r\n")
	}
}

// attachment writes lines of base64 until the message has the size.
func (g *generator) attachment(b *bytes.Buffer, size int) {
	raw := make([]byte, 57)
	for b.Len() < size {
		for i := range raw {
			raw[i] = byte(g.Uint32())
		}
		b.Write(base64.StdEncoding.AppendEncode(nil, raw))
		b.WriteString("\r\n")
	}
}

package sync

import (
	"bytes"
	"io"
	"strings"

	"archiverd/internal/message"
)

// bodyTraits are what a body is judged by beside its octets. They are valid when it has
// been read to its end.
type bodyTraits struct {
	size  int64 // octets
	lines int64 // line feeds
	// headerEnd is the number of octets up to the body behind the header, the empty line
	// included; -1: there is no empty line.
	headerEnd int64
	head      []byte // the whole body, if it is at most maxNotice octets
}

// hasOnlyHeader reports whether nothing follows the header.
func (b *bodyTraits) hasOnlyHeader() bool { return b.headerEnd == b.size }

// bodyReader reads a body and notes its traits: of one that has as many octets as
// announced, only what a notice is recognised by.
type bodyReader struct {
	r           io.Reader
	traits      bodyTraits
	isExact     bool
	lineIsEmpty bool // so far
}

// newBodyReader returns a reader of a body of size octets. traits.head uses buf.
func newBodyReader(r io.Reader, size int64, isExact bool, buf []byte) *bodyReader {
	b := &bodyReader{r: r, traits: bodyTraits{headerEnd: -1}, isExact: isExact, lineIsEmpty: true}
	if size <= maxNotice {
		b.traits.head = buf[:0]
	}
	return b
}

func (b *bodyReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	p = p[:n]
	if b.traits.head != nil && len(b.traits.head)+n <= maxNotice {
		b.traits.head = append(b.traits.head, p...)
	}
	if !b.isExact {
		if b.traits.headerEnd < 0 {
			b.findHeaderEnd(p)
		}
		b.traits.lines += int64(bytes.Count(p, []byte{'\n'}))
	}
	b.traits.size += int64(n)
	return n, err
}

// findHeaderEnd looks for the empty line in the octets that follow those read before.
func (b *bodyReader) findHeaderEnd(p []byte) {
	for i, c := range p {
		switch {
		case c == '\n' && b.lineIsEmpty:
			b.traits.headerEnd = b.traits.size + int64(i) + 1
			return
		case c == '\n':
			b.lineIsEmpty = true
		case c != '\r':
			b.lineIsEmpty = false
		}
	}
}

// maxNotice is the most octets of a message that may be a notice in the place of another.
const maxNotice = 32 << 10

// notices are what servers send in the place of a message that they can't convert or
// read: how the subject begins, and what the text says, in lower case and with plain
// apostrophes. Exchange names neither a sender's address nor a Message-ID; but both parts
// must be there, because people write about such notices.
var notices = []struct{ subject, text, server string }{
	{"retrieval using the imap4 protocol failed for the following message", "the server couldn't retrieve the following message", "Exchange"},
	{"retrieval using the imap4 protocol failed for the following message", "the server could not retrieve the following message", "Exchange"},
	{"retrieval using the pop3 protocol failed for the following message", "the server couldn't retrieve the following message", "Exchange"},
	{"retrieval using the pop3 protocol failed for the following message", "the server could not retrieve the following message", "Exchange"},
}

// noticeOf returns which server's notice a message is, "" if it is a message.
func noticeOf(octets []byte) string {
	if !bytes.Contains(octets, []byte("etrieval using the ")) {
		return ""
	}
	m, err := message.Read(bytes.NewReader(octets), message.Options{})
	if err != nil {
		return ""
	}
	subject := plainText(m.Get("Subject"))
	for _, n := range notices {
		if strings.HasPrefix(subject, n.subject) && strings.Contains(plainText(m.Text), n.text) {
			return n.server
		}
	}
	return ""
}

// plainText returns text in lower case, with plain apostrophes and single spaces.
func plainText(text string) string {
	text = strings.NewReplacer("\u2019", "'", "\u02bc", "'").Replace(strings.ToLower(text))
	return strings.Join(strings.Fields(text), " ")
}

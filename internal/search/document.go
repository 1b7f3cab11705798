package search

import (
	"io"
	"strings"

	"archiverd/internal/message"
)

// column is a part of a message in which words are searched for.
type column int

const (
	fromColumn      column = iota // From, Sender
	toColumn                      // To
	ccColumn                      // Cc, Bcc
	subjectColumn                 // Subject
	messageIDColumn               // Message-ID
	otherColumn                   // all other fields but those of isTraceField
	textColumn                    // every text part, HTML as text; from 4 MiB on the rest is left out
	filenameColumn                // the names of the parts
	numColumns      = iota
)

// document is a message as words: each column begins and ends with a space and has
// one between two words, so that a phrase is a substring.
type document struct {
	words      [numColumns]string
	attachment bool // see isAttachment
}

// maxTextOctets is how much text of a message is searched.
const maxTextOctets = 4 << 20

// documentReader makes documents. It belongs to one goroutine.
type documentReader struct{ folder *wordFolder }

// read reads a message to its end, or with header alone its header. The only errors
// are those of r.
func (d documentReader) read(r io.Reader, header bool) (*document, error) {
	read := message.Read
	if header {
		read = message.ReadHeader
	}
	m, err := read(r, message.Options{TextOctets: maxTextOctets, AllText: true})
	if err != nil {
		return nil, err
	}
	var texts [numColumns]strings.Builder
	add := func(c column, s string) {
		b := &texts[c]
		if b.Len() == 0 {
			b.WriteByte(' ')
		} else {
			b.WriteString(textBorder + " ")
		}
		d.folder.appendWords(b, s)
	}
	for _, f := range m.Header {
		if c, ok := columnOf(strings.ToLower(f.Name)); ok {
			add(c, f.Value)
		}
	}
	add(textColumn, m.Text)
	doc := &document{}
	for _, p := range m.Parts {
		if p.Name != "" {
			add(filenameColumn, p.Name)
		}
		doc.attachment = doc.attachment || isAttachment(p)
	}
	for c := range texts {
		doc.words[c] = texts[c].String()
	}
	return doc, nil
}

// columnOf says in which column a header field is searched for.
func columnOf(name string) (column, bool) {
	switch name {
	case "from", "sender":
		return fromColumn, true
	case "to":
		return toColumn, true
	case "cc", "bcc":
		return ccColumn, true
	case "subject":
		return subjectColumn, true
	case "message-id":
		return messageIDColumn, true
	}
	return otherColumn, !isTraceField(name)
}

// isTraceField says whether a field, in lower case, is what servers wrote for each
// other: the way, signatures, verdicts. Nobody searches there, and every host name
// is in it.
func isTraceField(name string) bool {
	switch name {
	case "received", "return-path", "received-spf", "authentication-results", "dkim-signature", "domainkey-signature",
		"autocrypt", "face", "x-face", "x-received", "x-gm-message-state", "thread-index":
		return true
	}
	for _, prefix := range []string{"arc-", "dkim-", "x-google-", "x-ms-", "x-microsoft-", "x-forefront-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// isAttachment says whether a part is one for has:attachment: what says so itself,
// and what has a file name, but for pictures that are shown in the text.
func isAttachment(p message.Part) bool {
	return p.Disposition == "attachment" ||
		p.Name != "" && !(p.Disposition == "inline" && strings.HasPrefix(p.Type, "image/"))
}

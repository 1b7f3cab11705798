package search

import (
	"io"
	"strings"

	"archiverd/internal/message"
)

// column is a part of a message that a query can name. Its number is the number of
// the column in the index.
type column int

const (
	fromColumn      column = iota // From, Sender
	toColumn                      // To
	ccColumn                      // Cc, Bcc
	subjectColumn                 // Subject
	messageIDColumn               // Message-ID
	otherColumn                   // all other fields, except those of isTraceField
	textColumn                    // the text parts, HTML converted to text, up to maxTextOctets
	filenameColumn                // file names of the parts
	numColumns      = iota
)

// document is a message as words. A column begins and ends with a space and has one
// space between two words: a phrase is a substring of it.
type document struct {
	words      [numColumns]string
	attachment bool // see isAttachment
}

// maxTextOctets is how much of a message's text is searched, in octets.
const maxTextOctets = 4 << 20

// documentReader converts messages to documents. It belongs to one goroutine.
type documentReader struct{ folder *wordFolder }

// read reads a message from r to its end, or only its header. It returns only errors
// of r: a malformed message is read as far as possible.
func (d documentReader) read(r io.Reader, headerOnly bool) (*document, error) {
	read := message.Read
	if headerOnly {
		read = message.ReadHeader
	}
	m, err := read(r, message.Options{MaxTextOctets: maxTextOctets, AllText: true})
	if err != nil {
		return nil, err
	}
	var columns [numColumns]strings.Builder
	add := func(c column, text string) {
		b := &columns[c]
		if b.Len() == 0 {
			b.WriteByte(' ')
		} else {
			b.WriteString(textBorder + " ")
		}
		d.folder.appendWords(b, text)
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
	for c := range columns {
		doc.words[c] = columns[c].String()
	}
	return doc, nil
}

// columnOf returns the column of a header field, whose name is in lower case; false
// if the field is not searched.
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

// isTraceField reports whether a header field, whose name is in lower case, was
// written by servers for other servers: routes, signatures, spam scores. Such fields
// are not searched: their host names and keys would match nearly every query.
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

// isAttachment reports whether has:attachment matches a part: one with the disposition
// "attachment", or with a file name unless it is an inline image.
func isAttachment(p message.Part) bool {
	return p.Disposition == "attachment" ||
		p.Name != "" && !(p.Disposition == "inline" && strings.HasPrefix(p.Type, "image/"))
}

package message

import (
	"strconv"
	"strings"
)

// addPart appends a part and returns its index and its content.
func (p *parser) addPart(mtype, path string, ps params, h *header, enc string) (int, content) {
	disposition, dps := parseParams(h.get("Content-Disposition"))
	if !isToken(disposition) {
		disposition = ""
	}
	name := fileName(dps.get("filename"))
	if name == "" {
		name = fileName(ps.get("name"))
	}
	n := len(p.message.Parts)
	part := Part{
		Number:      n + 1,
		Path:        path,
		Type:        mtype,
		Charset:     strings.ToLower(ps.get("charset")),
		Name:        name,
		Disposition: disposition,
		Depth:       len(p.stack) - 1,
	}
	part.Attachment = name != "" || rank(mtype, disposition) == 0
	p.message.Parts = append(p.message.Parts, part)
	if p.charsetHint == "" && !isUnicode(part.Charset) {
		p.charsetHint = part.Charset
	}
	c := content{decoder: newDecoder(enc)}
	if c.decoder == nil {
		p.addProblem("part %d: unknown transfer encoding %s", n+1, quote(enc))
		c.decoder = identity{}
	}
	if p.openPart != nil && p.openErr == nil {
		c.w, p.openErr = p.openPart(part)
	}
	return n, c
}

// contentType returns the media type of a header and its parameters. digest is set for
// the parts of a multipart/digest.
func (p *parser) contentType(h *header, digest bool) (string, params) {
	field := h.get("Content-Type")
	mtype, ps := parseParams(field)
	switch {
	case isMediaType(mtype):
		return mtype, ps
	case strings.TrimSpace(field) == "" && digest:
		return "message/rfc822", ps
	case strings.TrimSpace(field) != "":
		p.addProblem("invalid Content-Type: %s", quote(field))
	}
	return "text/plain", ps // RFC 2045 5.2
}

// isMessage reports whether a media type is that of a whole message.
func isMessage(mtype string) bool {
	return mtype == "message/rfc822" || mtype == "message/global" || mtype == "message/news"
}

// sectionPath returns the section number of a child (RFC 9051 6.4.5).
func sectionPath(path string, n int) string {
	if path == "" {
		return strconv.Itoa(n)
	}
	return path + "." + strconv.Itoa(n)
}

// atPath returns a section number with a space before it, for the text of a problem;
// "" for the whole message.
func atPath(path string) string {
	if path == "" {
		return ""
	}
	return " " + path
}

// maxEncodedDepth limits nested encoded messages: each level decodes its octets once
// more.
const maxEncodedDepth = 5

// canParseMessage reports whether the message within the message at Parts[n] is parsed,
// and records a problem if not.
func (p *parser) canParseMessage(deep bool, enc string, n int) bool {
	switch {
	case deep:
		p.addProblem("parts deeper than %d: not looked into", p.options.MaxDepth)
	case enc != "" && newDecoder(enc) == nil:
		p.addProblem("part %d: message in %s: not looked into", n+1, quote(enc))
	case enc != "" && len(p.encodedMessages) == maxEncodedDepth:
		p.addProblem("part %d: more than %d encoded messages within each other: not looked into", n+1, maxEncodedDepth)
	default:
		return true
	}
	return false
}

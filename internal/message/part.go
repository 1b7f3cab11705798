package message

import (
	"strconv"
	"strings"
)

// addPart lists a part and returns its index and what its octets go to.
func (p *parser) addPart(mtype, path string, ps params, h *header, enc string) (int, content) {
	disposition, dps := parseParams(h.get("Content-Disposition"))
	if !isToken(disposition) {
		disposition = ""
	}
	name := fileName(dps.get("filename"))
	if name == "" {
		name = fileName(ps.get("name"))
	}
	n := len(p.m.Parts)
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
	p.m.Parts = append(p.m.Parts, part)
	if p.hint == "" && !isUnicode(part.Charset) {
		p.hint = part.Charset
	}
	c := content{dec: newDecoder(enc)}
	if c.dec == nil {
		p.problem("part %d: unknown transfer encoding %s", n+1, quote(enc))
		c.dec = identity{}
	}
	if p.open != nil && p.err == nil {
		c.w, p.err = p.open(part)
	}
	return n, c
}

// contentType returns the media type of a header and its parameters.
func (p *parser) contentType(h *header, digest bool) (string, params) {
	field := h.get("Content-Type")
	mtype, ps := parseParams(field)
	switch {
	case isMediaType(mtype):
		return mtype, ps
	case strings.TrimSpace(field) == "" && digest:
		return "message/rfc822", ps
	case strings.TrimSpace(field) != "":
		p.problem("invalid Content-Type: %s", quote(field))
	}
	return "text/plain", ps // RFC 2045 5.2
}

// isMessage says whether a media type is that of a whole message.
func isMessage(mtype string) bool {
	return mtype == "message/rfc822" || mtype == "message/global" || mtype == "message/news"
}

func join(path string, n int) string {
	if path == "" {
		return strconv.Itoa(n)
	}
	return path + "." + strconv.Itoa(n)
}

func where(path string) string {
	if path == "" {
		return ""
	}
	return " " + path
}

// maxEncoded is how many encoded messages may stand within each other: each is
// one more time that its octets are read.
const maxEncoded = 5

// looksInto says whether the message within the message at Parts[n] is parsed.
func (p *parser) looksInto(deep bool, enc string, n int) bool {
	switch {
	case deep:
		p.problem("parts deeper than %d: not looked into", p.o.Depth)
	case enc != "" && newDecoder(enc) == nil:
		p.problem("part %d: message in %s: not looked into", n+1, quote(enc))
	case enc != "" && len(p.sources) == maxEncoded:
		p.problem("part %d: more than %d encoded messages within each other: not looked into", n+1, maxEncoded)
	default:
		return true
	}
	return false
}

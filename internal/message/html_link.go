package message

import (
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// links are the targets of the links in a page. A short target follows the link's text.
// A long one, as in newsletters, is listed at the end; its host and a number follow the
// text.
type links struct {
	base    *url.URL
	joined  int // octets of bases and targets that were joined
	long    []string
	numbers map[string]int
	octets  int // total length of long
}

// link is an open link.
type link struct {
	href   string
	offset int // offset of its text
}

const (
	maxURL          = 2000    // octets of a target that are shown
	maxHost         = 253     // octets of a host name
	maxInlineURL    = 78      // octets of a target that follows its text
	maxFooterOctets = 1 << 20 // octets of all targets at the end
	maxJoinedOctets = 8 << 20 // octets of bases, each counted as maxURL, and targets that are joined
)

// setBase sets what targets are relative to. A base that is longer than any target that
// is shown is ignored: it would be parsed and copied for each link.
func (l *links) setBase(href string) {
	if len(href) > maxURL {
		return
	}
	if u, err := url.Parse(strings.TrimSpace(href)); err == nil && l.base == nil && u.IsAbs() {
		l.base = u
	}
}

// address returns a link target as it is shown, without the white space that browsers
// ignore; "" for a target inside the page.
func (l *links) address(href string) string {
	href = strings.Join(strings.Fields(href), "")
	if href == "" || strings.HasPrefix(href, "#") {
		return ""
	}
	if len(href) > maxURL {
		return cutUTF8(href, maxURL) + "…"
	}
	if l.base != nil && l.joined < maxJoinedOctets { // beyond that they are shown as they are written
		l.joined += maxURL + len(href)
		if u, err := l.base.Parse(href); err == nil && !strings.Contains(href, ":") {
			href = u.String()
		}
	}
	return href
}

// format returns a target as it follows its text. A host name that is not ASCII is also
// shown in Punycode (RFC 3492): its letters may look like others.
func (l *links) format(target string) string {
	host, ascii := "", ""
	if u, err := url.Parse(target); err == nil && len(u.Hostname()) <= maxHost {
		host = u.Hostname()
		if a, err := idna.Punycode.ToASCII(host); err == nil && a != host {
			ascii = " (" + a + ")"
		}
	}
	if len(target) <= maxInlineURL {
		return "<" + target + ">" + ascii
	}
	n, known := l.numbers[target]
	if !known {
		if l.octets += len(target); l.octets > maxFooterOctets {
			return "<" + target + ">" + ascii
		}
		if l.numbers == nil {
			l.numbers = map[string]int{}
		}
		l.long = append(l.long, target)
		n = len(l.long)
		l.numbers[target] = n
	}
	begin := cutUTF8(target, maxInlineURL/2)
	if i := strings.Index(target, host); host != "" && i >= 0 {
		begin = cutUTF8(target, min(i+len(host), maxInlineURL+maxHost))
	}
	return fmt.Sprintf("<%s…>%s [%d]", begin, ascii, n)
}

// footer returns the list of long targets, at most limit octets.
func (l *links) footer(limit int) string {
	var b strings.Builder
	for i, target := range l.long {
		line := fmt.Sprintf("\n[%d] %s", i+1, target)
		if i == 0 {
			line = "\n\nLinks:" + line
		}
		if b.Len()+len(line) > limit {
			break
		}
		b.WriteString(line)
	}
	return b.String()
}

// endLink writes the target of a link, unless the text is the target itself.
func (p *htmlPage) endLink(l link) {
	if l.href == "" || p.visibility().isHidden() {
		return
	}
	target := p.links.address(l.href) // not before it is known to be shown
	if target == "" {
		return
	}
	text := ""
	if l.offset < len(p.out) {
		text = strings.TrimSpace(string(p.out[l.offset:min(len(p.out), l.offset+2*maxURL)]))
	}
	if withoutScheme(text) == withoutScheme(target) && utf8.ValidString(text) {
		return
	}
	space := p.space
	p.word(p.links.format(target))
	p.space = space
}

// withoutScheme returns a target without the parts that people omit.
func withoutScheme(s string) string {
	for _, scheme := range []string{"mailto:", "tel:", "http://", "https://"} {
		s = strings.TrimPrefix(s, scheme)
	}
	return strings.TrimSuffix(s, "/")
}

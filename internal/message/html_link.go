package message

import (
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// links are the targets of a page's links. A short one stands behind the link's
// text, a long one, as newsletters have them, at the end, with its host and its
// number behind the text.
type links struct {
	base    *url.URL
	long    []string
	numbers map[string]int
	octets  int // of long
}

// link is a link that is open.
type link struct {
	target string
	offset int // where its text begins
}

const (
	maxURL          = 2000    // octets of an address that are shown
	maxHost         = 253     // octets of a host in the DNS
	maxInlineURL    = 78      // octets of one that stands behind its text
	maxFooterOctets = 1 << 20 // octets of all at the end
)

func (l *links) setBase(href string) {
	if u, err := url.Parse(strings.TrimSpace(href)); err == nil && l.base == nil && u.IsAbs() {
		l.base = u
	}
}

func (l *links) newLink(href string, at int) link { return link{l.address(href), at} }

// address returns an address as it is shown: one that leads out of the page,
// without the white space that browsers pass over. It is empty if there is none.
func (l *links) address(href string) string {
	href = strings.Join(strings.Fields(href), "")
	if href == "" || strings.HasPrefix(href, "#") {
		return ""
	}
	if len(href) > maxURL {
		return cutUTF8(href, maxURL) + "…"
	}
	if l.base != nil {
		if u, err := l.base.Parse(href); err == nil && !strings.Contains(href, ":") {
			href = u.String()
		}
	}
	return href
}

// format returns what stands for a target in the text. A host in letters that may
// look like others is shown in the letters of the DNS too (RFC 3492).
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

// footer returns the long targets, in at most limit octets.
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

// endLink writes the target of a link, unless its text is the target.
func (p *htmlPage) endLink(l link) {
	if l.target == "" || p.visibility().isHidden() {
		return
	}
	text := ""
	if l.offset < len(p.out) {
		text = strings.TrimSpace(string(p.out[l.offset:min(len(p.out), l.offset+2*maxURL)]))
	}
	if withoutScheme(text) == withoutScheme(l.target) && utf8.ValidString(text) {
		return
	}
	space := p.space
	p.word(p.links.format(l.target))
	p.space = space
}

// withoutScheme returns an address without what people leave out.
func withoutScheme(s string) string {
	for _, scheme := range []string{"mailto:", "tel:", "http://", "https://"} {
		s = strings.TrimPrefix(s, scheme)
	}
	return strings.TrimSuffix(s, "/")
}

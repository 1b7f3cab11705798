package message

import (
	"strings"
	"unicode"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
	"golang.org/x/net/html/charset"
)

// metaCharset returns the charset that an HTML document itself names, else
// empty.
func metaCharset(b []byte) string {
	_, name, _ := charset.DetermineEncoding(b, "")
	if name == "windows-1252" { // also the answer when there is none
		return ""
	}
	return name
}

// renderHTML returns HTML as text of about limit octets at most: scripts, styles
// and tags dropped, entities decoded, white space collapsed, block elements on
// lines of their own, a link shown as its text and <address>. It walks the
// tokens and builds no tree, so nesting costs nothing.
func renderHTML(s string, limit int) string {
	var p page
	z := html.NewTokenizer(strings.NewReader(s))
	skip := false // this is the text of a script, a style, …
	for p.b.Len() < limit {
		switch z.Next() {
		case html.ErrorToken: // the end: a string has no other error
			p.endLink()
			return p.b.String()
		case html.TextToken:
			if !skip {
				p.text(string(z.Text()))
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, _ := z.TagName()
			tag := atom.Lookup(name)
			skip = unread(tag)
			p.start(tag, attributes(z))
		case html.EndTagToken:
			name, _ := z.TagName()
			skip = false
			p.end(atom.Lookup(name))
		}
	}
	return p.b.String()
}

// unread says whether an element's text, always one token, is not for reading.
func unread(tag atom.Atom) bool {
	switch tag {
	case atom.Script, atom.Style, atom.Title, atom.Iframe, atom.Noembed, atom.Noframes:
		return true
	}
	return false
}

// attrs are the attributes that show.
type attrs struct{ href, alt string }

func attributes(z *html.Tokenizer) (a attrs) {
	for more := true; more; {
		var key, value []byte
		key, value, more = z.TagAttr()
		switch string(key) {
		case "href":
			a.href = string(value)
		case "alt":
			a.alt = string(value)
		}
	}
	return a
}

// page is a rendering on its way. Line ends and spaces wait until text follows.
type page struct {
	b        strings.Builder
	newlines int
	space    bool
	item     bool // a list item begins
	pre      int  // elements open that keep white space
	quotes   int  // block quotes open
	href     string
	link     int // where the text of that link begins
}

// Octets of an address, and levels of quotes, that are shown.
const (
	maxURL    = 2000
	maxQuotes = 8
)

func (p *page) start(tag atom.Atom, a attrs) {
	p.newlines = max(p.newlines, margin(tag))
	switch tag {
	case atom.Br:
		if p.newlines < 2 || p.pre > 0 {
			p.newlines++
		}
	case atom.Hr:
		p.word("----")
		p.newlines = 1
	case atom.Img, atom.Area:
		if alt := strings.Join(strings.Fields(a.alt), " "); alt != "" {
			p.word("[" + alt + "]")
		}
	case atom.Li:
		p.item = true
	case atom.Td, atom.Th:
		p.space = true
	case atom.Pre, atom.Textarea:
		p.pre++
	case atom.Blockquote:
		p.quotes++
	case atom.A:
		p.endLink()
		p.href, p.link = address(a.href), p.b.Len()
	}
}

func (p *page) end(tag atom.Atom) {
	if tag == atom.A {
		p.endLink()
	}
	p.newlines = max(p.newlines, margin(tag))
	switch tag {
	case atom.Pre, atom.Textarea:
		p.pre = max(p.pre-1, 0)
	case atom.Blockquote:
		p.quotes = max(p.quotes-1, 0)
	}
}

// margin returns the line ends before and after an element.
func margin(tag atom.Atom) int {
	switch tag {
	case atom.P, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Blockquote, atom.Pre:
		return 2
	case atom.Div, atom.Section, atom.Article, atom.Header, atom.Footer, atom.Nav, atom.Aside, atom.Main,
		atom.Form, atom.Fieldset, atom.Address, atom.Center, atom.Body, atom.Hr, atom.Ul, atom.Ol, atom.Li,
		atom.Dl, atom.Dt, atom.Dd, atom.Table, atom.Tr, atom.Caption, atom.Figure, atom.Option, atom.Textarea:
		return 1
	}
	return 0
}

// text writes the text between two tags.
func (p *page) text(s string) {
	if p.pre > 0 {
		for i, line := range strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n") {
			if i > 0 {
				p.newlines++
			}
			if line != "" {
				p.flush()
				p.b.WriteString(line)
			}
		}
		return
	}
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			p.space = true
		case isFiller(r):
		default:
			p.flush()
			p.b.WriteRune(r)
		}
	}
}

// isFiller says whether r is one of those invisible characters that mails are
// padded with.
func isFiller(r rune) bool {
	switch r {
	case '\u00ad', '\u034f', '\u200b', '\u200c', '\u200d', '\u2060', '\ufeff':
		return true
	}
	return false
}

// word writes s as a word of its own.
func (p *page) word(s string) {
	p.space = true
	p.flush()
	p.b.WriteString(s)
	p.space = true
}

// flush writes the white space that stands before the next text.
func (p *page) flush() {
	begin := p.b.Len() == 0
	switch {
	case p.newlines > 0 && !begin:
		for range p.newlines {
			p.b.WriteByte('\n')
		}
		begin = true
	case p.space && !begin:
		p.b.WriteByte(' ')
	}
	if begin {
		p.b.WriteString(strings.Repeat("> ", min(p.quotes, maxQuotes)))
	}
	if p.item {
		p.b.WriteString("- ")
	}
	p.newlines, p.space, p.item = 0, false, false
}

// endLink writes the address of the link that is open, unless its text is the
// address.
func (p *page) endLink() {
	if p.href == "" {
		return
	}
	text := strings.TrimSpace(p.b.String()[p.link:])
	bare := strings.TrimSuffix(p.href, "/")
	for _, scheme := range []string{"mailto:", "http://", "https://"} {
		bare = strings.TrimPrefix(bare, scheme)
	}
	if text = strings.TrimSuffix(text, "/"); text != bare && text != strings.TrimSuffix(p.href, "/") {
		space := p.space
		p.word("<" + p.href + ">")
		p.space = space
	}
	p.href = ""
}

// address returns an address as it is shown: one that leads out of the page,
// without the white space that browsers pass over.
func address(href string) string {
	href = strings.Join(strings.Fields(href), "")
	if strings.HasPrefix(href, "#") {
		return ""
	}
	if len(href) > maxURL {
		href = cutUTF8(href, maxURL) + "…"
	}
	return href
}

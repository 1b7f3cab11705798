package message

import (
	"bytes"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
	"golang.org/x/net/html/charset"
)

// metaCharset returns the charset that an HTML document names itself, "" if it names
// none.
func metaCharset(b []byte) string {
	_, name, _ := charset.DetermineEncoding(b, "")
	if name == "windows-1252" { // also returned if there is none
		return ""
	}
	return name
}

// renderHTML converts HTML to text of about limit octets at most, and counts the
// characters that mail programs hide, which are omitted. Scripts, styles, comments and
// tags are removed, entities decoded, white space collapsed. Blocks are on lines of
// their own, list items have marks, small tables are aligned, links have their targets.
//
// It reads tokens and builds no tree. Open elements are on a stack of limited height, so
// that nesting costs nothing. An end tag without a start tag does not close elements
// outside of its table cell.
func renderHTML(s string, limit int) (text string, hidden int) {
	p := &htmlPage{limit: limit}
	z := html.NewTokenizer(strings.NewReader(s))
	skip := false // the text is that of a script, a style or the like
	for len(p.out) < limit {
		switch z.Next() {
		case html.ErrorToken: // the end: reading a string has no other error
			return p.finish(), p.hidden
		case html.TextToken:
			if !skip {
				p.text(z.Text())
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := z.TagName()
			tag := atom.Lookup(name)
			if tag == atom.Noscript { // mail programs run no scripts: its content is HTML
				z.NextIsNotRawText()
			}
			skip = isSkipped(tag)
			p.startTag(tag, attributes(z, more))
		case html.EndTagToken:
			name, _ := z.TagName()
			skip = false
			p.endTag(atom.Lookup(name))
		}
	}
	return p.finish(), p.hidden
}

// htmlPage builds the text of an HTML document. Line ends and spaces are written only
// before the next text.
type htmlPage struct {
	limit          int
	out            []byte
	lastLineEnd    int // offset of the last line end in out
	hidden         int // number of hidden characters
	newlines       int
	space          bool
	pendingCells   int    // cell ends to be written before the next text
	atCellStart    bool   // at the start of a table cell: a block there starts no new line
	itemSign       string // mark of the list item that starts, "" if none does
	preDepth       int    // number of open elements that preserve white space
	quoteDepth     int    // number of open block quotes
	lastQuoteDepth int    // quoteDepth of the last text
	listDepth      int    // number of open lists
	open           []element
	untracked      int // number of open elements that are not on the stack
	tables         []table
	links          links
}

// element is an open element.
type element struct {
	tag        atom.Atom
	visibility visibility
	link       link // of an a
	nextItem   int  // number of the next item of an ol; 0 for other elements

	offset, newlines int // length of out, and line ends to be written, at the start of the element
}

const (
	maxOpenElements = 256 // height of the stack of open elements
	maxShownDepth   = 8   // levels of quotes and lists that are marked
)

// startTag handles a start tag.
func (p *htmlPage) startTag(tag atom.Atom, a attrs) {
	if tag == atom.Base {
		p.links.setBase(a.href)
	}
	p.closeImplied(tag)
	look := p.visibility().withAttributes(a)
	if !look.isHidden() {
		p.writeStart(tag, a)
	}
	if tag == 0 || isVoid(tag) {
		return
	}
	if len(p.open) == maxOpenElements {
		p.untracked++
		return
	}
	e := element{tag: tag, visibility: look, offset: len(p.out), newlines: p.newlines}
	switch tag {
	case atom.A:
		e.link = link{a.href, len(p.out)}
	case atom.Ol:
		e.nextItem = 1
		if n, err := strconv.Atoi(strings.TrimSpace(a.start)); err == nil && 0 < n && n < 1e9 {
			e.nextItem = n
		}
		p.listDepth++
	case atom.Ul, atom.Menu:
		p.listDepth++
	case atom.Pre, atom.Textarea:
		p.preDepth++
	case atom.Blockquote:
		p.quoteDepth++
	case atom.Table:
		p.beginTable()
	}
	p.open = append(p.open, e)
}

// writeStart writes what an element shows at its start.
func (p *htmlPage) writeStart(tag atom.Atom, a attrs) {
	p.atCellStart = p.atCellStart && tag != atom.Table
	p.margin(tag)
	switch tag {
	case atom.Br:
		if p.newlines < 2 || p.preDepth > 0 {
			p.newlines++
		}
	case atom.Hr:
		p.word("----")
		p.newlines = 1
	case atom.Img:
		if alt := collapseSpace(a.alt); alt != "" {
			p.word("[" + alt + "]")
		}
	case atom.Area:
		if target := p.links.address(a.href); target != "" {
			p.word("[" + collapseSpace(a.alt) + "]")
			p.word(p.links.format(target))
		}
	case atom.Form:
		if target := p.links.address(a.action); target != "" {
			p.word("[form to " + p.links.format(target) + "]")
		}
	case atom.Input:
		p.writeInput(a)
	case atom.Li:
		p.itemSign = "- "
		if i := p.find(atom.Ol, atom.Ul, atom.Menu); i >= 0 && p.open[i].tag == atom.Ol {
			p.itemSign = strconv.Itoa(p.open[i].nextItem) + ". "
			p.open[i].nextItem++
		}
	case atom.Tr:
		p.beginRow()
	case atom.Td, atom.Th:
		p.beginCell()
	}
}

// writeInput writes what a form field shows.
func (p *htmlPage) writeInput(a attrs) {
	switch strings.ToLower(a.inputType) {
	case "hidden":
	case "submit", "button", "reset", "image":
		p.word("[" + collapseSpace(a.value+" "+a.alt) + "]")
	case "password":
		p.word("[password: ]")
	default:
		p.word("[" + collapseSpace(a.value) + "_]")
	}
}

// endTag closes the innermost element of a name, and the elements inside it.
func (p *htmlPage) endTag(tag atom.Atom) {
	if p.untracked > 0 && tag != 0 && !isVoid(tag) {
		p.untracked--
		return
	}
	if i := p.find(tag); i >= 0 {
		p.closeElements(i)
	} else if !p.visibility().isHidden() {
		p.margin(tag)
	}
}

// find returns the index of the innermost open element with one of the names, within the
// current table cell; -1 if there is none.
func (p *htmlPage) find(tags ...atom.Atom) int {
	for i := len(p.open) - 1; i >= 0; i-- {
		for _, tag := range tags {
			if p.open[i].tag == tag {
				return i
			}
		}
		if t := p.open[i].tag; t == atom.Table || (t == atom.Td || t == atom.Th || t == atom.Caption) && !inTable(tags[0]) {
			return -1
		}
	}
	return -1
}

// closeElements closes open[i] and all elements inside it.
func (p *htmlPage) closeElements(i int) {
	for len(p.open) > i {
		e := p.open[len(p.open)-1]
		p.open = p.open[:len(p.open)-1]
		switch e.tag {
		case atom.A:
			p.endLink(e.link)
		case atom.Ol, atom.Ul, atom.Menu:
			p.listDepth--
		case atom.Pre, atom.Textarea:
			p.preDepth--
		case atom.Blockquote:
			p.quoteDepth--
		case atom.Table:
			p.endTable()
		}
		if e.visibility.isHidden() {
			continue
		}
		if e.tag == atom.Td || e.tag == atom.Th {
			p.newlines = 0 // the end of the last block in a cell ends no line
			if len(p.out) == e.offset {
				p.newlines = e.newlines // the cell is empty
			}
			p.space, p.atCellStart = true, false
			continue
		}
		p.margin(e.tag)
	}
}

// closeImplied closes the elements that a start tag ends implicitly.
func (p *htmlPage) closeImplied(tag atom.Atom) {
	i := -1
	switch tag {
	case atom.A:
		i = p.find(atom.A)
	case atom.Li:
		if j := p.find(atom.Li, atom.Ul, atom.Ol, atom.Menu); j >= 0 && p.open[j].tag == atom.Li {
			i = j
		}
	case atom.Dt, atom.Dd:
		i = p.find(atom.Dt, atom.Dd)
	case atom.Option:
		i = p.find(atom.Option)
	case atom.Td, atom.Th:
		i = p.find(atom.Td, atom.Th)
	case atom.Tr, atom.Tbody, atom.Thead, atom.Tfoot:
		i = p.find(atom.Tr)
	default:
		if lineEndsAround(tag) > 0 && len(p.open) > 0 && p.open[len(p.open)-1].tag == atom.P {
			i = len(p.open) - 1
		}
	}
	if i >= 0 {
		p.closeElements(i)
	}
}

// margin ends the line before or after a block element.
func (p *htmlPage) margin(tag atom.Atom) {
	if !p.atCellStart {
		p.newlines = max(p.newlines, lineEndsAround(tag))
	}
}

// text writes a text token.
func (p *htmlPage) text(s []byte) {
	if p.visibility().isHidden() {
		for _, r := range string(s) {
			if !unicode.IsSpace(r) && !isFiller(r) {
				p.hidden++
			}
		}
		return
	}
	if p.preDepth > 0 {
		for line := range bytes.Lines(bytes.ReplaceAll(s, []byte(cellEnd), nil)) {
			text := bytes.TrimRight(line, "\r\n")
			if len(text) > 0 {
				p.flush()
				p.out = append(p.out, text...)
			}
			if len(text) < len(line) {
				p.newlines++
			}
		}
		return
	}
	for _, r := range string(s) {
		switch {
		case unicode.IsSpace(r):
			p.space = true
		case isFiller(r):
		default:
			p.flush()
			p.out = utf8.AppendRune(p.out, r)
		}
	}
}

// isFiller reports whether r is an invisible character that mails use as padding, or the
// character that marks the end of a cell here.
func isFiller(r rune) bool {
	switch r {
	case '\u00ad', '\u034f', '\u200b', '\u200c', '\u200d', '\u2060', '\ufeff', cellEndRune:
		return true
	}
	return false
}

// word writes s as a separate word.
func (p *htmlPage) word(s string) {
	p.space = true
	p.flush()
	p.out = append(p.out, strings.ReplaceAll(s, cellEnd, "")...)
	p.space = true
}

// flush writes the white space and marks that are due before the next text.
func (p *htmlPage) flush() {
	if p.newlines == 0 && !p.space && p.itemSign == "" && p.pendingCells == 0 && len(p.out) > 0 {
		p.atCellStart = false
		return
	}
	begin := len(p.out) == 0
	switch {
	case p.newlines > 0 && !begin:
		p.lastLineEnd = len(p.out)
		p.out = append(p.out, '\n')
		blank := strings.TrimSpace(strings.Repeat("> ", min(p.quoteDepth, p.lastQuoteDepth, maxShownDepth))) + "\n"
		p.out = append(p.out, strings.Repeat(blank, min(p.newlines-1, p.limit-min(len(p.out), p.limit)))...)
		begin = true
	case p.pendingCells > 0:
	case p.space && !begin:
		p.out = append(p.out, ' ')
	}
	if begin {
		p.out = append(p.out, strings.Repeat("> ", min(p.quoteDepth, maxShownDepth))...)
		p.out = append(p.out, strings.Repeat("  ", min(max(p.listDepth-1, 0), maxShownDepth))...)
	}
	p.out = append(p.out, strings.Repeat(cellEnd, p.pendingCells)...)
	p.out = append(p.out, p.itemSign...)
	p.newlines, p.space, p.pendingCells, p.atCellStart, p.itemSign, p.lastQuoteDepth = 0, false, 0, false, "", p.quoteDepth
}

// finish closes all elements and returns the text.
func (p *htmlPage) finish() string {
	p.closeElements(0)
	out := separateCells(p.out)
	return out + p.links.footer(p.limit-len(out))
}

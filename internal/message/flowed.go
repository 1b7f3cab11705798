package message

import "strings"

// flowed is whether a text is format=flowed, and its DelSp (RFC 3676 4).
type flowed struct{ isFlowed, delSp bool }

// maxQuoteDepth is how many levels of quotes are shown as such.
const maxQuoteDepth = 20

// unfold joins the lines of each paragraph, for whoever shows them to wrap.
func (f flowed) unfold(s string) string {
	var b strings.Builder
	open := -1 // the quote depth of the paragraph that goes on, -1 if none does
	for line := range strings.Lines(normalizeLineEnds(s)) {
		line = strings.TrimSuffix(line, "\n")
		text := strings.TrimLeft(line, ">")
		depth := len(line) - len(text)
		text = strings.TrimPrefix(text, " ") // stuffed, RFC 3676 4.4
		if open >= 0 && (open != depth || text == "-- ") {
			b.WriteByte('\n')
			open = -1
		}
		if open < 0 && depth > 0 {
			b.WriteString(strings.Repeat(">", min(depth, maxQuoteDepth)) + " ")
		}
		if text == "-- " || !strings.HasSuffix(text, " ") { // the signature's separator is no soft break, RFC 3676 4.3
			b.WriteString(text + "\n")
			open = -1
			continue
		}
		if f.delSp {
			text = text[:len(text)-1]
		}
		b.WriteString(text)
		open = depth
	}
	return b.String()
}

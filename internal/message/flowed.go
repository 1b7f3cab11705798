package message

import "strings"

// flowed is the format=flowed and DelSp of a text/plain (RFC 3676 4).
type flowed struct{ isFlowed, delSp bool }

// maxQuoteDepth limits the quote marks before a line.
const maxQuoteDepth = 20

// unfold joins the lines of each paragraph. Who shows the text wraps it.
func (f flowed) unfold(s string) string {
	var b strings.Builder
	open := -1 // quote depth of the unfinished paragraph; -1: there is none
	for line := range strings.Lines(normalizeLineEnds(s)) {
		line = strings.TrimSuffix(line, "\n")
		text := strings.TrimLeft(line, ">")
		depth := len(line) - len(text)
		text = strings.TrimPrefix(text, " ") // space-stuffing, RFC 3676 4.4
		if open >= 0 && (open != depth || text == "-- ") {
			b.WriteByte('\n')
			open = -1
		}
		if open < 0 && depth > 0 {
			b.WriteString(strings.Repeat(">", min(depth, maxQuoteDepth)) + " ")
		}
		if text == "-- " || !strings.HasSuffix(text, " ") { // the signature separator is no soft line break, RFC 3676 4.3
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

package ui

import (
	"strings"

	"github.com/rivo/uniseg"
)

// wrap cuts a line at spaces into lines of at most width columns. All lines but the
// first begin with prefix. A longer word, such as an address to copy, is cut only if its
// script has no spaces. A line with a tab is not cut.
func wrap(line, prefix string, width int) []string {
	if len(prefix) > width/2 {
		prefix = "" // hardly any text would fit beside it
	}
	if width <= 0 || len(line) <= width || strings.Contains(line, "\t") || uniseg.StringWidth(line) <= width {
		return []string{line}
	}
	w := wrapper{prefix: prefix, width: width}
	if rest, ok := strings.CutPrefix(line, prefix); ok {
		w.startLine()
		line = rest
	}
	for word := range strings.SplitAfterSeq(line, " ") {
		if isASCII(word) {
			w.add(word)
			continue
		}
		for state := -1; word != ""; {
			var segment string
			segment, word, _, state = uniseg.FirstLineSegmentInString(word, state)
			w.add(segment)
		}
	}
	return w.end()
}

// wrapper fills lines with words.
type wrapper struct {
	prefix string
	width  int

	lines   []string
	open    strings.Builder // the line that is being filled
	columns int             // of the open line
	start   int             // columns of the open line before its first word
}

// startLine opens a line with the prefix.
func (w *wrapper) startLine() {
	w.open.Reset()
	w.open.WriteString(w.prefix)
	w.columns = uniseg.StringWidth(w.prefix)
	w.start = w.columns
}

// add adds a word with the spaces behind it. Spaces at the end of a line have no width.
func (w *wrapper) add(word string) {
	text := strings.TrimRight(word, " ")
	columns := uniseg.StringWidth(text)
	if w.columns+columns > w.width && w.columns > w.start {
		w.lines = append(w.lines, strings.TrimRight(w.open.String(), " "))
		w.startLine()
	}
	w.open.WriteString(word)
	w.columns += columns + len(word) - len(text)
}

// end returns the lines.
func (w *wrapper) end() []string {
	return append(w.lines, strings.TrimRight(w.open.String(), " "))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/rivo/uniseg"
	"golang.org/x/term"

	"archiverd/internal/safetext"
)

// isTerminal says whether what is written to w is seen at once.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// screen is where a message is printed: at a terminal its lines are wrapped at
// the terminal's width and a few things have colours, anywhere else nothing is
// added to it.
type screen struct {
	w      io.Writer
	width  int // 0: lines are not wrapped
	colour bool
}

// newScreen makes a screen of w, by what out is, to which w leads.
func newScreen(out, w io.Writer) *screen {
	if !isTerminal(out) {
		return &screen{w: w}
	}
	return &screen{
		w:      w,
		width:  columnsOf(out.(*os.File)),
		colour: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb", // no-color.org
	}
}

func (s *screen) paint(code, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s *screen) bold(text string) string { return s.paint("1", text) }

// field prints a header field. Its value may hold anything.
func (s *screen) field(name, value string) {
	name = safetext.Line(name) + ":"
	for i, line := range wrap(name+" "+safetext.Line(value), "    ", s.width) {
		if rest, ok := strings.CutPrefix(line, name); i == 0 && ok {
			line = s.bold(name) + rest
		}
		fmt.Fprintln(s.w, line)
	}
}

// text prints a line of text that is safe already, a quoted one in another colour.
func (s *screen) text(line string) {
	prefix := quotePrefix(line)
	for _, line := range wrap(line, prefix, s.width) {
		if prefix != "" {
			line = s.paint("36", line)
		}
		fmt.Fprintln(s.w, line)
	}
}

// note prints what was wrong with the message.
func (s *screen) note(text string) {
	for _, line := range wrap("note: "+safetext.Line(text), "    ", s.width) {
		fmt.Fprintln(s.w, s.paint("33", line))
	}
}

// quotePrefix returns the marks with which a quoted line begins.
func quotePrefix(line string) string {
	if !strings.HasPrefix(line, ">") {
		return ""
	}
	return line[:len(line)-len(strings.TrimLeft(line, "> "))]
}

// wrap cuts a line into lines of at most width columns, at spaces, and begins
// all but the first with prefix. A word that is longer, such as an address that
// one wants to copy, is cut only if its script has no spaces.
func wrap(line, prefix string, width int) (lines []string) {
	if len(prefix) > width/2 {
		prefix = "" // nothing would fit beside it
	}
	if width <= 0 || len(line) <= width || strings.Contains(line, "\t") || uniseg.StringWidth(line) <= width {
		return []string{line}
	}
	var open strings.Builder // the line that is being filled
	open.WriteString(prefix)
	columns := uniseg.StringWidth(prefix)
	if rest, ok := strings.CutPrefix(line, prefix); ok {
		line = rest
	} else {
		open.Reset()
		columns = 0
	}
	begin := columns
	add := func(word string) {
		bare := strings.TrimRight(word, " ")
		w := uniseg.StringWidth(bare)
		if columns+w > width && columns > begin {
			lines = append(lines, strings.TrimRight(open.String(), " "))
			open.Reset()
			open.WriteString(prefix)
			columns = uniseg.StringWidth(prefix)
			begin = columns
		}
		open.WriteString(word)
		columns += w + len(word) - len(bare)
	}
	for word := range strings.SplitAfterSeq(line, " ") {
		if isASCII(word) {
			add(word)
			continue
		}
		for state := -1; word != ""; {
			var segment string
			segment, word, _, state = uniseg.FirstLineSegmentInString(word, state)
			add(segment)
		}
	}
	return append(lines, strings.TrimRight(open.String(), " "))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

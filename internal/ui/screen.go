package ui

import (
	"fmt"
	"io"
	"strings"

	"archiverd/internal/safetext"
)

// Screen prints a message for reading. At a terminal it wraps lines at the terminal's
// width and uses a few colours; anywhere else it adds nothing to the text.
type Screen struct {
	w      io.Writer
	width  int // 0: lines are not wrapped
	colour Colour
}

// NewScreen returns a Screen that prints to w, in the way that suits out: w may be a
// buffer before out.
func NewScreen(out, w io.Writer) *Screen {
	s := &Screen{w: w, colour: NewColour(out)}
	if f := Terminal(out); f != nil {
		s.width = Width(f)
	}
	return s
}

// Bold returns text in bold.
func (s *Screen) Bold(text string) string { return s.colour.Paint(Bold, text) }

// Field prints a header field. Name and value are made safe to print.
func (s *Screen) Field(name, value string) {
	name = safetext.Line(name) + ":"
	for i, line := range wrap(name+" "+safetext.Line(value), "    ", s.width) {
		if rest, ok := strings.CutPrefix(line, name); i == 0 && ok {
			line = s.Bold(name) + rest
		}
		fmt.Fprintln(s.w, line)
	}
}

// Text prints text that is safe already. A quoted line has another colour.
func (s *Screen) Text(text string) {
	for line := range strings.SplitSeq(text, "\n") {
		prefix := quotePrefix(line)
		for _, line := range wrap(line, prefix, s.width) {
			if prefix != "" {
				line = s.colour.Paint(Cyan, line)
			}
			fmt.Fprintln(s.w, line)
		}
	}
}

// Note prints a fault of the message, which is made safe to print.
func (s *Screen) Note(text string) {
	for _, line := range wrap("note: "+safetext.Line(text), "    ", s.width) {
		fmt.Fprintln(s.w, s.colour.Paint(Yellow, line))
	}
}

// quotePrefix returns the marks with which a quoted line begins.
func quotePrefix(line string) string {
	if !strings.HasPrefix(line, ">") {
		return ""
	}
	return line[:len(line)-len(strings.TrimLeft(line, "> "))]
}

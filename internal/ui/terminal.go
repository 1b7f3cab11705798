package ui

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Terminal returns stream as a file if it is a terminal, else nil. The stream is an
// io.Reader or an io.Writer.
func Terminal(stream any) *os.File {
	f, ok := stream.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return f
}

// IsTerminal reports whether w is a terminal.
func IsTerminal(w io.Writer) bool { return Terminal(w) != nil }

// Width is the number of columns of terminal f, 0 if it is not known.
func Width(f *os.File) int {
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// Colour paints text for a terminal. The zero Colour leaves text as it is.
type Colour struct{ enabled bool }

// The codes that Paint takes (ECMA-48 SGR).
const (
	Bold   = "1"
	Dim    = "2"
	Yellow = "33"
	Cyan   = "36"
)

// NewColour returns a Colour for what is printed to out: it paints at a terminal, unless
// the environment sets NO_COLOR (no-color.org) or TERM=dumb.
func NewColour(out io.Writer) Colour {
	return Colour{IsTerminal(out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// Paint returns text in the given style.
func (c Colour) Paint(code, text string) string {
	if !c.enabled || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

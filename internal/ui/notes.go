package ui

import (
	"fmt"
	"io"
	"strings"

	"archiverd/internal/safetext"
)

// Notes collects the lines below a table: failures and notes. It makes all text safe to
// print.
type Notes struct {
	Indent string // before each line
	text   strings.Builder
}

// NewNotes returns notes that are indented by two spaces, as below a table.
func NewNotes() *Notes { return &Notes{Indent: "  "} }

// Line adds a line.
func (n *Notes) Line(format string, args ...any) {
	n.text.WriteString(n.Indent + safetext.Line(fmt.Sprintf(format, args...)) + "\n")
}

// Mailbox adds "mailbox NAME: …".
func (n *Notes) Mailbox(name, format string, args ...any) {
	n.Line("mailbox %s: %s", name, fmt.Sprintf(format, args...))
}

// Note adds "note: …".
func (n *Notes) Note(format string, args ...any) {
	n.Line("note: %s", fmt.Sprintf(format, args...))
}

// NoteAll adds a note for each text.
func (n *Notes) NoteAll(texts []string) {
	for _, text := range texts {
		n.Note("%s", text)
	}
}

// WriteTo writes the lines to w.
func (n *Notes) WriteTo(w io.Writer) (int64, error) {
	written, err := io.WriteString(w, n.text.String())
	return int64(written), err
}

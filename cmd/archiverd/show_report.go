package main

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"archiverd/internal/message"
	"archiverd/internal/safetext"
	"archiverd/internal/ui"
)

// shownMessage is a message with what the archive or the server knows about it.
type shownMessage struct {
	*message.Message
	received  time.Time // zero: not known
	flags     []string
	details   []message.Field // further lines below the flags
	allFields bool            // print every header field
}

// mainFields are the header fields that are printed without allFields, in this order.
var mainFields = []string{"From", "Sender", "To", "Cc", "Bcc", "Reply-To", "Date", "Subject", "Message-ID"}

// printMessage prints a message for reading.
func printMessage(out io.Writer, m shownMessage) error {
	w := bufio.NewWriter(out)
	s := ui.NewScreen(out, w)
	printHeader(s, m)
	if m.allFields {
		fmt.Fprintln(w)
	}
	if !m.received.IsZero() {
		s.Field("Received", m.received.Format(ui.ZonedLayout))
	}
	s.Field("Flags", strings.Join(m.flags, " "))
	for _, f := range m.details {
		s.Field(f.Name, f.Value)
	}
	fmt.Fprintln(w)
	text := strings.TrimRight(safetext.Text(m.Text), "\n")
	if text == "" {
		text = "(no text)"
	}
	s.Text(text)
	if len(m.Parts) > 1 || len(m.Parts) == 1 && m.Parts[0].Attachment {
		printParts(w, s.Bold("Parts:"), m.Parts)
	}
	if len(m.Problems) > 0 {
		fmt.Fprintln(w)
	}
	for _, p := range m.Problems {
		s.Note(p)
	}
	return w.Flush()
}

func printHeader(s *ui.Screen, m shownMessage) {
	if m.allFields {
		for _, f := range m.Header {
			s.Field(f.Name, f.Value)
		}
		return
	}
	for _, name := range mainFields {
		for _, f := range m.Header {
			if strings.EqualFold(f.Name, name) {
				s.Field(name, f.Value)
			}
		}
	}
}

const (
	maxTypeColumns        = 60
	maxDispositionColumns = 20
)

// messageTypes are the content types of a whole message, which has parts of its own.
var messageTypes = []string{"message/rfc822", "message/global", "message/news"}

// printParts prints a table of the parts: number, type, size, disposition and name.
func printParts(w io.Writer, title string, parts []message.Part) {
	fmt.Fprintf(w, "\n%s\n", title)
	rows := make([][]string, len(parts))
	var widths [4]int
	for i, p := range parts {
		rows[i] = []string{strconv.Itoa(p.Number), safetext.Cut(p.Type, maxTypeColumns), ui.Octets(p.Size), safetext.Cut(p.Disposition, maxDispositionColumns)}
		for j, cell := range rows[i] {
			widths[j] = max(widths[j], len(cell))
		}
	}
	var around []message.Part // the messages that contain a part, the outermost first
	for i, p := range parts {
		for len(around) > 0 && p.Depth <= around[len(around)-1].Depth {
			around = around[:len(around)-1]
		}
		r := rows[i]
		line := fmt.Sprintf("  %*s  %-*s  %*s  %-*s  %s", widths[0], r[0], widths[1], r[1], widths[2], r[2], widths[3], r[3], safetext.Line(p.Name))
		if n := len(around); n > 0 {
			line += fmt.Sprintf("  (in part %d)", around[n-1].Number)
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
		if i+1 < len(parts) && parts[i+1].Depth > p.Depth && slices.Contains(messageTypes, p.Type) {
			around = append(around, p)
		}
	}
}

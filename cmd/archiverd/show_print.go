package main

import (
	"bufio"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"archiverd/internal/message"
	"archiverd/internal/safetext"
)

// showTime is how show writes a time.
const showTime = "2006-01-02 15:04:05 -0700"

// shownFields are the header fields that show prints, in this order.
var shownFields = []string{"From", "Sender", "To", "Cc", "Bcc", "Reply-To", "Date", "Subject", "Message-ID"}

// printMessage prints a message for reading. about are further lines for its head.
func (a *app) printMessage(msg *message.Message, v viewing, received time.Time, flags []string, about ...message.Field) error {
	out := bufio.NewWriter(a.out)
	s := newScreen(a.out, out)
	for _, f := range msg.Header {
		if v.allFields {
			s.field(f.Name, f.Value)
		}
	}
	for _, name := range shownFields {
		for _, f := range msg.Header {
			if !v.allFields && strings.EqualFold(f.Name, name) {
				s.field(name, f.Value)
			}
		}
	}
	if v.allFields {
		fmt.Fprintln(out)
	}
	if !received.IsZero() {
		s.field("Received", received.Format(showTime))
	}
	s.field("Flags", strings.Join(flags, " "))
	for _, f := range about {
		s.field(f.Name, f.Value)
	}
	fmt.Fprintln(out)
	text := strings.TrimRight(safetext.Text(msg.Text), "\n")
	if text == "" {
		text = "(no text)"
	}
	for line := range strings.SplitSeq(text, "\n") {
		s.text(line)
	}
	if len(msg.Parts) > 1 || len(msg.Parts) == 1 && msg.Parts[0].Attachment {
		s.parts(msg.Parts)
	}
	if len(msg.Problems) > 0 {
		fmt.Fprintln(out)
	}
	for _, p := range msg.Problems {
		s.note(p)
	}
	return out.Flush()
}

// parts prints the parts by number: type, size, how it is meant to be shown and
// its name, in columns.
func (s *screen) parts(parts []message.Part) {
	fmt.Fprintf(s.w, "\n%s\n", s.bold("Parts:"))
	rows := make([][]string, len(parts))
	var widths [4]int
	for i, p := range parts {
		rows[i] = []string{strconv.Itoa(p.Number), safetext.Cut(p.Type, 60), humanize.IBytes(uint64(p.Size)), safetext.Cut(p.Disposition, 20)}
		for j, cell := range rows[i] {
			widths[j] = max(widths[j], len(cell))
		}
	}
	var within []message.Part // the messages around a part
	for i, p := range parts {
		for len(within) > 0 && p.Depth <= within[len(within)-1].Depth {
			within = within[:len(within)-1]
		}
		r := rows[i]
		line := fmt.Sprintf("  %*s  %-*s  %*s  %-*s  %s", widths[0], r[0], widths[1], r[1], widths[2], r[2], widths[3], r[3], safetext.Line(p.Name))
		if n := len(within); n > 0 {
			line += fmt.Sprintf("  (in part %d)", within[n-1].Number)
		}
		fmt.Fprintln(s.w, strings.TrimRight(line, " "))
		if i+1 < len(parts) && parts[i+1].Depth > p.Depth && slices.Contains([]string{"message/rfc822", "message/global", "message/news"}, p.Type) {
			within = append(within, p)
		}
	}
}

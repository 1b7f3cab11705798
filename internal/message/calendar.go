package message

import (
	"fmt"
	"strings"
)

// calendarType is the media type of invitations.
const calendarType = "text/calendar"

// Limits for the events of a calendar and the attendees of an event that are shown.
const (
	maxEvents    = 20
	maxAttendees = 50
)

// event has the properties of an event or task that are shown (RFC 5545 3.6.1, 3.6.2).
type event struct {
	summary, begin, end, place, organizer, recurrence, status, description string
	attendees                                                              []string
	moreAttendees                                                          int // attendees
}

// renderCalendar returns the events of a text/calendar (RFC 5545) as text, "" if it has
// none. It reads malformed calendars as far as possible, which a strict parser rejects.
func renderCalendar(s string) string {
	var b strings.Builder
	method, within, events := "", "", 0
	var e event
	for _, line := range unfoldCalendar(s) {
		name, params, value := cutProperty(line)
		switch {
		case name == "METHOD":
			method = strings.ToLower(value)
		case name == "BEGIN" && within == "" && isEvent(value):
			within, e = strings.ToUpper(value), event{}
		case name == "END" && within != "" && strings.EqualFold(value, within):
			if within = ""; events < maxEvents {
				e.write(&b, method)
			}
			events++
		case name == "BEGIN" && within != "":
			within += "/" + strings.ToUpper(value) // a component inside, such as an alarm: its properties are not the event's
			if len(within) > 100 {
				return b.String()
			}
		case name == "END" && strings.Contains(within, "/"):
			within = within[:strings.LastIndexByte(within, '/')]
		case within == "VEVENT", within == "VTODO":
			e.set(name, params, value)
		}
	}
	if within != "" && !strings.Contains(within, "/") && events < maxEvents {
		e.write(&b, method) // its END is missing
	}
	if events > maxEvents {
		fmt.Fprintf(&b, "and %d more\n", events-maxEvents)
	}
	return b.String()
}

// isEvent reports whether a component is shown.
func isEvent(component string) bool {
	return strings.EqualFold(component, "VEVENT") || strings.EqualFold(component, "VTODO")
}

// unfoldCalendar returns the unfolded lines (RFC 5545 3.1).
func unfoldCalendar(s string) (lines []string) {
	var open strings.Builder
	flush := func() {
		if open.Len() > 0 {
			lines = append(lines, open.String())
			open.Reset()
		}
	}
	for line := range strings.Lines(normalizeLineEnds(s)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") {
			open.WriteString(line[1:])
			continue
		}
		flush()
		open.WriteString(line)
	}
	flush()
	return lines
}

// cutProperty splits a line into name, parameters and value. The value follows the first
// colon outside quotes.
func cutProperty(line string) (name string, ps params, value string) {
	quoted := false
	for i := range len(line) {
		switch {
		case line[i] == '"':
			quoted = !quoted
		case line[i] == ':' && !quoted:
			name, ps = parseParams(line[:i])
			return strings.ToUpper(name), ps, strings.TrimSpace(line[i+1:])
		}
	}
	return "", nil, ""
}

// set sets a property.
func (e *event) set(name string, ps params, value string) {
	switch name {
	case "SUMMARY":
		e.summary = unescapeText(value)
	case "DTSTART":
		e.begin = calendarTime(ps, value)
	case "DTEND", "DUE":
		e.end = calendarTime(ps, value)
	case "DURATION":
		e.end = value
	case "LOCATION":
		e.place = unescapeText(value)
	case "RRULE":
		e.recurrence = value
	case "STATUS":
		e.status = strings.ToLower(value)
	case "DESCRIPTION":
		e.description = unescapeText(value)
	case "ORGANIZER":
		e.organizer = calendarAddress(ps, value)
	case "ATTENDEE":
		if len(e.attendees) == maxAttendees {
			e.moreAttendees++
			return
		}
		who := calendarAddress(ps, value)
		if partstat := strings.ToLower(ps["partstat"]); partstat != "" && partstat != "needs-action" {
			who += " (" + partstat + ")"
		}
		e.attendees = append(e.attendees, who)
	}
}

// write writes the event as lines of text. method is that of the calendar, in lower case.
func (e *event) write(b *strings.Builder, method string) {
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	what := "Event"
	switch method { // RFC 5546 1.4
	case "request":
		what = "Invitation"
	case "cancel":
		what = "Cancelled"
	case "reply":
		what = "Reply to the invitation"
	case "counter":
		what = "Other time proposed"
	}
	when := e.begin
	if e.end != "" {
		when += " to " + e.end
	}
	all := strings.Join(e.attendees, ", ")
	if e.moreAttendees > 0 {
		all += fmt.Sprintf(" and %d more", e.moreAttendees)
	}
	for _, f := range []Field{
		{what, e.summary}, {"When", when}, {"Repeats", e.recurrence}, {"Where", e.place},
		{"Organizer", e.organizer}, {"Attendees", all}, {"Status", e.status},
	} {
		if f.Value != "" || f.Name == what {
			fmt.Fprintf(b, "%s: %s\n", f.Name, collapseSpace(f.Value))
		}
	}
	if d := strings.TrimSpace(e.description); d != "" {
		b.WriteString("\n" + d + "\n")
	}
}

// calendarTime formats a DATE or DATE-TIME (RFC 5545 3.3.4, 3.3.5). A malformed value
// stays as it is.
func calendarTime(ps params, v string) string {
	digits := strings.Replace(strings.TrimSuffix(v, "Z"), "T", "", 1)
	if strings.Trim(digits, "0123456789") != "" || len(digits) != 8 && len(digits) != 14 {
		return v
	}
	s := digits[:4] + "-" + digits[4:6] + "-" + digits[6:8]
	if len(digits) == 8 {
		return s
	}
	s += " " + digits[8:10] + ":" + digits[10:12]
	switch zone := ps["tzid"]; {
	case strings.HasSuffix(v, "Z"):
		s += " UTC"
	case zone != "":
		s += " " + zone
	}
	return s
}

// calendarAddress formats a CAL-ADDRESS (RFC 5545 3.3.3) with its name.
func calendarAddress(ps params, v string) string {
	if len(v) > 7 && strings.EqualFold(v[:7], "mailto:") {
		v = v[7:]
	}
	if name := ps["cn"]; name != "" && name != v {
		return name + " <" + v + ">"
	}
	return v
}

// unescapeText decodes the escapes of a TEXT (RFC 5545 3.3.11).
func unescapeText(s string) string {
	return strings.NewReplacer(`\n`, "\n", `\N`, "\n", `\,`, ",", `\;`, ";", `\\`, `\`).Replace(s)
}

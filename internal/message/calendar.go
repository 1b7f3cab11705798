package message

import (
	"fmt"
	"strings"
)

// calendarType is the type of invitations.
const calendarType = "text/calendar"

// The events of a calendar, and the attendees of an event, that are shown.
const (
	maxEvents    = 20
	maxAttendees = 50
)

// event is what a person reads of an event or a task (RFC 5545 3.6.1, 3.6.2).
type event struct {
	summary, begin, end, place, organizer, recurrence, status, description string
	attendees                                                              []string
	moreAttendees                                                          int // attendees
}

// renderCalendar returns the events of a text/calendar (RFC 5545) to read, empty
// if it has none.
func renderCalendar(s string) string {
	var b strings.Builder
	method, within, events := "", "", 0
	var e event
	for _, line := range unfoldCalendar(s) {
		name, params, value := cutProperty(line)
		switch {
		case name == "METHOD":
			method = strings.ToLower(value)
		case name == "BEGIN" && within == "" && (strings.EqualFold(value, "VEVENT") || strings.EqualFold(value, "VTODO")):
			within, e = strings.ToUpper(value), event{}
		case name == "END" && within != "" && strings.EqualFold(value, within):
			if within = ""; events < maxEvents {
				e.write(&b, method)
			}
			events++
		case name == "BEGIN" && within != "":
			within += "/" + strings.ToUpper(value) // an alarm's description is not the event's
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
		e.write(&b, method) // its end was lost
	}
	if events > maxEvents {
		fmt.Fprintf(&b, "and %d more\n", events-maxEvents)
	}
	return b.String()
}

// unfoldCalendar returns the lines (RFC 5545 3.1).
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

// cutProperty cuts a line into name, parameters and value, which begins at the
// first colon outside quotes.
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

// calendarTime returns a DATE or DATE-TIME (RFC 5545 3.3.4, 3.3.5) as people
// write it; what is none, as it is.
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

// calendarAddress returns a CAL-ADDRESS (RFC 5545 3.3.3) with its name.
func calendarAddress(ps params, v string) string {
	if len(v) > 7 && strings.EqualFold(v[:7], "mailto:") {
		v = v[7:]
	}
	if name := ps["cn"]; name != "" && name != v {
		return name + " <" + v + ">"
	}
	return v
}

// unescapeText undoes the escapes of a TEXT (RFC 5545 3.3.11).
func unescapeText(s string) string {
	return strings.NewReplacer(`\n`, "\n", `\N`, "\n", `\,`, ",", `\;`, ";", `\\`, `\`).Replace(s)
}

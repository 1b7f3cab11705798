package source

import (
	"bytes"
	"net/mail"
	"regexp"
	"strings"
	"time"

	"archiverd/internal/message"
)

// MaxHeader is how many octets of a message Date reads at most.
const MaxHeader = 64 << 10

var archivedName = regexp.MustCompile(`^([0-9]{8}T[0-9]{6}Z)\.[0-9]+\.[0-9]+(-[0-9]+)?\.eml$`)

// Date returns the INTERNALDATE for a file with that name and beginning. It is the
// date that the archive wrote into the name, else the date in the header, else the
// time of the last change. It is zero if none of them is a valid INTERNALDATE.
func Date(name string, head []byte, changed, now time.Time) time.Time {
	if m := archivedName.FindStringSubmatch(name); m != nil {
		if t, err := time.Parse("20060102T150405Z", m[1]); err == nil {
			return t
		}
	}
	if t := parseHeaderDate(head, now); !t.IsZero() {
		return t
	}
	return toInternalDate(changed)
}

// parseHeaderDate returns the later of the dates in the topmost Received field and
// in the Date field, with its zone. It ignores dates before 1970 and those more
// than a day in the future, and is zero if none remains.
func parseHeaderDate(head []byte, now time.Time) (date time.Time) {
	m, err := message.ReadHeader(bytes.NewReader(head), message.Options{})
	if err != nil {
		return time.Time{}
	}
	received := m.Get("Received")
	for _, text := range []string{received[strings.LastIndexByte(received, ';')+1:], m.Get("Date")} {
		t, err := mail.ParseDate(strings.TrimSpace(text))
		if err != nil || t.Year() < 1970 || t.After(now.AddDate(0, 0, 1)) {
			continue
		}
		if t.After(date) {
			date = t
		}
	}
	return date
}

// toInternalDate returns a file time as an INTERNALDATE: in UTC, to the second,
// zero if its year has not four digits.
func toInternalDate(t time.Time) time.Time {
	t = t.UTC().Truncate(time.Second)
	if t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}

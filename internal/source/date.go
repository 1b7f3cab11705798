package source

import (
	"bytes"
	"net/mail"
	"regexp"
	"strings"
	"time"

	"archiverd/internal/message"
)

// MaxHeader is how much of a message Date needs to see.
const MaxHeader = 64 << 10

var archivedName = regexp.MustCompile(`^([0-9]{8}T[0-9]{6}Z)\.[0-9]+\.[0-9]+(-[0-9]+)?\.eml$`)

// Date is the INTERNALDATE for a file of that name: the one that the archive
// wrote into the name, else what its header says, else when it was last changed.
// It is zero where that can be no INTERNALDATE.
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

// parseHeaderDate is the later of what the topmost Received field and the Date field
// say, with its zone; zero if neither says anything that can be true.
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

// toInternalDate is a file's time as an INTERNALDATE, in UTC and to the second.
func toInternalDate(t time.Time) time.Time {
	t = t.UTC().Truncate(time.Second)
	if t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}

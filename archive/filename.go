package archive

import (
	"hash/fnv"
	"regexp"
	"strconv"
	"time"
)

// fileName returns the path of a message's file, relative to the mailbox directory. Its
// name sorts by date, and ends in UIDVALIDITY and UID.
func fileName(uidValidity, u uint32, date time.Time) string {
	when := "0000-00/00000000T000000Z"
	if !date.IsZero() {
		when = date.UTC().Format("2006-01/20060102T150405Z")
	}
	return when + "." + strconv.FormatUint(uint64(uidValidity), 10) + "." + strconv.FormatUint(uint64(u), 10) + ".eml"
}

// messageName matches what fileName returns, also with a number before the end.
var messageName = regexp.MustCompile(`^\d{4}-\d{2}/\d{8}T\d{6}Z\.(\d{1,10})\.(\d{1,10})(-\d+)?\.eml$`)

// isMessageName reports whether a message's file may have that path, relative to its
// mailbox's directory.
func isMessageName(rel string) bool { return messageName.MatchString(rel) }

// storableDate returns date, or the zero time if RFC 3339 can't express it both in its
// zone, as the journal has it, and in UTC, as the file name has it.
func storableDate(date time.Time) time.Time {
	if y := date.UTC().Year(); y < 1 || y > 9999 || !hasRFC3339Form(date) {
		return time.Time{}
	}
	return date
}

// pathHash is FNV-1a of a path. If two paths have the same hash, a file gets a number
// at the end of its name although its name is free.
func pathHash(path string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(path))
	return h.Sum64()
}

// sumHead is the beginning of a sum. It saves memory for mailboxes of a million
// messages; before octets are taken for equal by it the file is read.
type sumHead [8]byte

// head is the beginning of the sum.
func (s Sum) head() sumHead { return sumHead(s[:8]) }

package archive

import (
	"hash/fnv"
	"io"
	"strconv"
	"time"
)

// fileName is the place of a message below its mailbox directory.
func fileName(uidValidity, u uint32, date time.Time) string {
	when := "0000-00/00000000T000000Z"
	if !date.IsZero() {
		when = date.UTC().Format("2006-01/20060102T150405Z")
	}
	return when + "." + strconv.FormatUint(uint64(uidValidity), 10) + "." + strconv.FormatUint(uint64(u), 10) + ".eml"
}

// storableDate is date, or the zero time where RFC 3339 can't express it in its zone
// and in UTC.
func storableDate(date time.Time) time.Time {
	if y := date.UTC().Year(); y < 1 || y > 9999 || !hasRFC3339Form(date) {
		return time.Time{}
	}
	return date
}

// pathHash is FNV-1a of a path. Two paths with one hash cost a number behind a name.
func pathHash(path string) uint64 {
	h := fnv.New64a()
	io.WriteString(h, path)
	return h.Sum64()
}

// sumHead is the first octets of a sum. A mailbox may have a million messages, so
// that more is not kept; whoever relies on it reads the file.
type sumHead [8]byte

func (s Sum) head() sumHead { return sumHead(s[:8]) }

package mbox

import (
	"bytes"
	"regexp"
	"strings"
	"sync"
	"time"
)

var fromLine = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^From (?:.* )?(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? +(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +([0-9]{1,2}) +([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?(?: +([-+][0-9]{4}|[A-Z][A-Za-z]{1,4}))?(?: +[A-Z]{3,4})? +([0-9]{4})(?: +([-+][0-9]{4}|[A-Z]{3,4}))?(?: +remote from .*)?\s*$`)
})

// parseFrom parses a From_ line. Zone names are ignored: they are ambiguous.
func parseFrom(line []byte) (date time.Time, ok bool) {
	if !bytes.HasPrefix(line, []byte("From ")) || len(line) > 1000 {
		return date, false
	}
	f := fromLine().FindSubmatch(line)
	if f == nil {
		return date, false
	}
	zone := "+0000"
	for _, z := range [][]byte{f[6], f[8]} {
		if len(z) == 5 && (z[0] == '+' || z[0] == '-') {
			zone = string(z)
		}
	}
	second := string(f[5])
	if second == "" {
		second = "00"
	}
	date, err := time.Parse("Jan 2 15:4:5 2006 -0700", strings.Join([]string{string(f[1]), string(f[2]),
		strings.Join([]string{string(f[3]), string(f[4]), second}, ":"), string(f[7]), zone}, " "))
	if err != nil {
		return time.Time{}, true
	}
	return date.UTC(), true
}

// isBareFrom reports whether a line is a From_ line without sender and date, as
// some programs write it.
func isBareFrom(line []byte) bool {
	text := string(bytes.TrimSpace(line))
	return bytes.HasPrefix(line, []byte("From ")) && (text == "From" || text == "From -")
}

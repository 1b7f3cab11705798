package progress

import (
	"math"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"
)

// Estimate is how much is still to be fetched, and when the archive may be complete. It
// includes the account's limits, and assumes that the server's counters are right and
// that the speed and the mean size of the messages do not change.
type Estimate struct {
	Messages int           `json:"messages"`        // still to be fetched
	Octets   int64         `json:"octets"`          // of those messages
	Speed    int64         `json:"speed"`           // octets per second
	Daily    int64         `json:"daily,omitempty"` // octets a day, if the daily limit decides
	Takes    time.Duration `json:"takes_ns"`        // from now on; at most [MaxTime]
	Done     time.Time     `json:"done"`            // UTC
}

// MaxTime is the longest time that an Estimate counts.
const MaxTime = 10 * 365 * 24 * time.Hour

// String returns how long it takes and why: "about 3 days, at 2.5 GB a day".
func (e *Estimate) String() string { return e.Time() + ", at " + e.Pace() }

// Remaining is String for a run under way: "about 3 days left, at 2.5 GB a day".
func (e *Estimate) Remaining() string { return e.Time() + " left, at " + e.Pace() }

// Pace returns the daily limit if that decides how long it takes, else the speed.
func (e *Estimate) Pace() string {
	if e.Daily > 0 {
		return humanize.Bytes(uint64(e.Daily)) + " a day"
	}
	return humanize.IBytes(uint64(e.Speed)) + "/s"
}

// Time returns how long it takes, in minutes, hours, days or "years".
func (e *Estimate) Time() string {
	about := func(unit time.Duration, word string) string {
		return "about " + english.Plural(int(math.Round(float64(e.Takes)/float64(unit))), word, "")
	}
	switch d := e.Takes; {
	case d >= MaxTime:
		return "years"
	case d >= 36*time.Hour:
		return about(24*time.Hour, "day")
	case d >= 90*time.Minute:
		return about(time.Hour, "hour")
	case d >= 90*time.Second:
		return about(time.Minute, "minute")
	}
	return "about a minute"
}

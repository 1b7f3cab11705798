package ui

import (
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// The layouts of times for people.
const (
	minuteLayout = "2006-01-02 15:04"
	// ZonedLayout has seconds and the offset of the zone.
	ZonedLayout = "2006-01-02 15:04:05 -0700"
)

// Ago returns the time as a person says it: "3 hours ago", "just now", or "never" for
// the zero time.
func Ago(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	if text := humanize.RelTime(t, now, "ago", "from now"); text != "now" {
		return text
	}
	return "just now"
}

// LocalTime returns t in the local zone, to the second.
func LocalTime(t time.Time) string { return t.Local().Format(time.DateTime) }

// LocalMinute returns t in the local zone, to the minute.
func LocalMinute(t time.Time) string { return t.Local().Format(minuteLayout) }

// ZonedTime returns t in the local zone, to the second and with its offset.
func ZonedTime(t time.Time) string { return t.Local().Format(ZonedLayout) }

// Minute returns t in its own zone, to the minute, or as many dashes for the zero time.
func Minute(t time.Time) string {
	if t.IsZero() {
		return strings.Repeat("-", len(minuteLayout))
	}
	return t.Format(minuteLayout)
}

// Elapsed rounds a duration to hundredths of a second, as reports have it.
func Elapsed(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }

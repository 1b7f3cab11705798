package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// parseTime reads the time of a flag, as timesHelp tells; "" is the zero time. A
// date alone is where the day begins.
func parseTime(flag, text string) (time.Time, error) { return flagTime(flag, text, false) }

// parseEnd is parseTime for a time up to which something is meant: a date alone
// is the last second of the day, or now if that is yet to come.
func parseEnd(flag, text string) (time.Time, error) { return flagTime(flag, text, true) }

func flagTime(flag, text string, end bool) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := timeOf(text, time.Now(), end)
	if err != nil {
		return time.Time{}, usage(fmt.Errorf("%s %q: %w", flag, text, err))
	}
	return t, nil
}

var (
	errNoTime   = errors.New(`write a date like 2026-11-01, a time like "2026-11-01 15:04" or 2026-11-01T15:04:05+01:00 (RFC 3339), today, yesterday, now, or how long ago: 6h, 3d, 2w, 1y`)
	errNotYet   = errors.New("that is yet to come")
	agoPattern  = regexp.MustCompile(`^([0-9]{1,6})([hdwy])$`)
	timeLayouts = []string{"2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02T15:04:05"}
)

// timeOf reads a time as a person types it at now, in now's zone. With end, a
// date means the end of the day, and no time is later than now.
func timeOf(text string, now time.Time, end bool) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return past(t, now, end)
	}
	for _, layout := range timeLayouts {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return past(t, now, end)
		}
	}
	if m := agoPattern.FindStringSubmatch(text); m != nil {
		return ago(m[1], m[2], now)
	}
	var day time.Time
	switch strings.ToLower(text) {
	case "now":
		return now, nil
	case "today":
		day = now
	case "yesterday":
		day = now.AddDate(0, 0, -1)
	default:
		var err error
		if day, err = time.ParseInLocation(time.DateOnly, text, now.Location()); err != nil {
			return time.Time{}, errNoTime
		}
	}
	begin := time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, now.Location())
	if !end {
		return begin, nil
	}
	if begin.After(now) {
		return time.Time{}, errNotYet
	}
	last := time.Date(day.Year(), day.Month(), day.Day()+1, 0, 0, 0, 0, now.Location()).Add(-time.Second)
	if last.After(now) {
		return now, nil
	}
	return last, nil
}

// past is t, with end an error if that is later than now.
func past(t, now time.Time, end bool) (time.Time, error) {
	if end && t.After(now) {
		return time.Time{}, errNotYet
	}
	return t, nil
}

// ago is the time of day that now is, so many days, weeks or years ago, or so many
// hours. The year 0 and before are no times.
func ago(digits, unit string, now time.Time) (time.Time, error) {
	n, err := strconv.Atoi(digits)
	if err != nil {
		return time.Time{}, errNoTime
	}
	t := now
	switch unit {
	case "h":
		t = now.Add(-time.Duration(n) * time.Hour)
	case "d":
		t = now.AddDate(0, 0, -n)
	case "w":
		t = now.AddDate(0, 0, -7*n)
	case "y":
		t = now.AddDate(-n, 0, 0)
	}
	if t.Year() < 1 {
		return time.Time{}, errors.New("there was no mail then")
	}
	return t, nil
}

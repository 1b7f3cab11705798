package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// parseTime reads the time of a flag as help/parts/times.txt describes it. A date alone
// is the start of that day. An empty text is the zero time.
func parseTime(flag, text string) (time.Time, error) { return parseFlagTime(flag, text, false) }

// parseEnd is parseTime for a time up to which something is selected. A date alone is
// the last second of that day, or now if the day is not over.
func parseEnd(flag, text string) (time.Time, error) { return parseFlagTime(flag, text, true) }

func parseFlagTime(flag, text string, end bool) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := parseTimeAt(text, time.Now(), end)
	if err != nil {
		return time.Time{}, usage(fmt.Errorf("%s %q: %w", flag, text, err))
	}
	return t, nil
}

var (
	errNoTime   = errors.New(`write a date like 2026-11-01, a time like "2026-11-01 15:04" or 2026-11-01T15:04:05+01:00 (RFC 3339), today, yesterday, now, or how long ago: 6h, 3d, 2w, 1y`)
	errFuture   = errors.New("that is in the future")
	errYearZero = errors.New("that is before the year 1")
	agoPattern  = regexp.MustCompile(`^([0-9]{1,6})([hdwy])$`)
	timeLayouts = []string{"2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02T15:04:05"}
)

// parseTimeAt reads a time as a person types it at now, in now's zone. With end, a date
// is the end of the day, and a time after now is an error.
func parseTimeAt(text string, now time.Time, end bool) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, checkPast(t, now, end)
	}
	for _, layout := range timeLayouts {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, checkPast(t, now, end)
		}
	}
	if m := agoPattern.FindStringSubmatch(text); m != nil {
		return timeAgo(m[1], m[2], now)
	}
	switch strings.ToLower(text) {
	case "now":
		return now, nil
	case "today":
		return dayTime(now, now, end)
	case "yesterday":
		return dayTime(now.AddDate(0, 0, -1), now, end)
	}
	day, err := time.ParseInLocation(time.DateOnly, text, now.Location())
	if err != nil {
		return time.Time{}, errNoTime
	}
	return dayTime(day, now, end)
}

// dayTime is the start of the day that t is in, or with end its last second, but not
// after now.
func dayTime(t, now time.Time, end bool) (time.Time, error) {
	midnight := func(days int) time.Time {
		return time.Date(t.Year(), t.Month(), t.Day()+days, 0, 0, 0, 0, now.Location())
	}
	if !end {
		return midnight(0), nil
	}
	if err := checkPast(midnight(0), now, end); err != nil {
		return time.Time{}, err
	}
	if last := midnight(1).Add(-time.Second); last.Before(now) {
		return last, nil
	}
	return now, nil
}

// checkPast returns an error if t is an end and after now.
func checkPast(t, now time.Time, end bool) error {
	if end && t.After(now) {
		return errFuture
	}
	return nil
}

// timeAgo is now minus so many hours, days, weeks or years. Days keep the time of day,
// also over a change of the clocks.
func timeAgo(digits, unit string, now time.Time) (time.Time, error) {
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
		return time.Time{}, errYearZero
	}
	return t, nil
}

const (
	day     = 24 * time.Hour
	maxDays = 1000 * 365 // of an age
)

// parseAge reads 90d, 12w or 2y (of 365 days), or a duration such as 1000h. It must be a
// day or longer.
func parseAge(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		if d, err = parseDays(text); err != nil {
			return 0, err
		}
	}
	if d < day {
		return 0, fmt.Errorf("%q is less than a day; write at least 1d", text)
	}
	return d, nil
}

// parseDays reads a number with one of the units d, w and y.
func parseDays(text string) (time.Duration, error) {
	units := map[byte]time.Duration{'d': day, 'w': 7 * day, 'y': 365 * day}
	if text == "" {
		text = " "
	}
	digits, unit := text[:len(text)-1], units[text[len(text)-1]]
	n, err := strconv.Atoi(digits)
	if unit == 0 || err != nil || n < 0 || n > maxDays {
		return 0, fmt.Errorf("%q is not an age; write 90d, 12w, 2y or 1000h", strings.TrimSpace(text))
	}
	d := time.Duration(n) * unit
	if d/unit != time.Duration(n) {
		return 0, fmt.Errorf("%q is too long", text)
	}
	return d, nil
}

package main

import (
	"fmt"
	"strconv"
	"time"
)

const day = 24 * time.Hour

// age reads 90d, 12w or 2y (of 365 days), or a duration as 1000h, of at least a day.
func age(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		unit := map[byte]time.Duration{'d': day, 'w': 7 * day, 'y': 365 * day}
		n, u := 0, time.Duration(0)
		if text != "" {
			u = unit[text[len(text)-1]]
			n, err = strconv.Atoi(text[:len(text)-1])
		}
		if u == 0 || err != nil || n < 0 || n > 1000*365 {
			return 0, fmt.Errorf("%q is no age; write 90d, 12w, 2y or 1000h", text)
		}
		d = time.Duration(n) * u
		if d/u != time.Duration(n) {
			return 0, fmt.Errorf("%q is too long", text)
		}
	}
	if d < day {
		return 0, fmt.Errorf("%q is less than a day; write at least 1d", text)
	}
	return d, nil
}

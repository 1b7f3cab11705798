package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// The values of matching.
const (
	MatchingOn  = "on"  // do not download messages that the archive has already
	MatchingOff = "off" // download every message
)

// unset is the value of a share that the file does not set.
const unset = -1

func (d *decoder) matching(dst *string) setter {
	return d.choice([]string{MatchingOn, MatchingOff}, func(s string) { *dst = s })
}

// share makes a setter for a percentage, as a number from 0 to 1.
func (d *decoder) share(dst *float64) setter {
	return d.value("a share from 0% to 100%, e.g. 0.5%", func(s string) error {
		digits, percent := strings.CutSuffix(s, "%")
		n, err := strconv.ParseFloat(digits, 64)
		if !percent || err != nil || n < 0 || n > 100 || !regexp.MustCompile(`^(0|[1-9][0-9]*)(\.[0-9]{1,2})?$`).MatchString(digits) {
			return fmt.Errorf("expected a share from 0%% to 100%%, e.g. 0.5%%, got %q", s)
		}
		*dst = n / 100
		return nil
	})
}

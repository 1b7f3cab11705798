package config

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Sample says how many messages of an account a drill restores. The zero value is
// all.
type Sample struct {
	Messages int     // a number of messages, 0: not set
	Percent  float64 // a share of the account's messages, 0: not set
}

// ParseSample parses a sample as written in the configuration: "100", "5%" or
// "all".
func ParseSample(text string) (Sample, error) {
	wrong := fmt.Errorf(`expected a number of messages from 1 on, e.g. 100, a share of them from 0.01%% to 100%%, e.g. 5%%, or all; got %q`, text)
	if text == "all" {
		return Sample{}, nil
	}
	if share, ok := strings.CutSuffix(text, "%"); ok {
		p, err := strconv.ParseFloat(share, 64)
		if err != nil || p <= 0 || p > 100 || !regexp.MustCompile(`^(0|[1-9][0-9]*)(\.[0-9]{1,2})?$`).MatchString(share) {
			return Sample{}, wrong
		}
		return Sample{Percent: p}, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || strconv.Itoa(n) != text || n < 1 || n > math.MaxInt32 {
		return Sample{}, wrong
	}
	return Sample{Messages: n}, nil
}

// String returns the sample in the form that ParseSample reads.
func (s Sample) String() string {
	switch {
	case s.Messages > 0:
		return strconv.Itoa(s.Messages)
	case s.Percent > 0:
		return strconv.FormatFloat(s.Percent, 'f', -1, 64) + "%"
	}
	return "all"
}

// Of returns how many of n messages the sample has: at least one unless n is 0.
func (s Sample) Of(messages int) int {
	switch {
	case s.Messages > 0:
		return min(s.Messages, messages)
	case s.Percent > 0:
		return min(messages, int(math.Ceil(float64(messages)*s.Percent/100)))
	}
	return messages
}

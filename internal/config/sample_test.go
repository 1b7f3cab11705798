package config

import (
	"strings"
	"testing"
)

func TestSample(t *testing.T) {
	for _, test := range []struct {
		text string
		want Sample
		of   [3]int // of 0, 7 and 1000 messages
	}{
		{"1", Sample{Messages: 1}, [3]int{0, 1, 1}},
		{"100", Sample{Messages: 100}, [3]int{0, 7, 100}},
		{"2147483647", Sample{Messages: 2147483647}, [3]int{0, 7, 1000}},
		{"5%", Sample{Percent: 5}, [3]int{0, 1, 50}},
		{"0.5%", Sample{Percent: .5}, [3]int{0, 1, 5}},
		{"0.01%", Sample{Percent: .01}, [3]int{0, 1, 1}},
		{"33.33%", Sample{Percent: 33.33}, [3]int{0, 3, 334}},
		{"100%", Sample{Percent: 100}, [3]int{0, 7, 1000}},
		{"all", Sample{}, [3]int{0, 7, 1000}},
	} {
		got, err := ParseSample(test.text)
		if err != nil || got != test.want || got.String() != test.text {
			t.Errorf("%s: got %+v (%s), %v, want %+v", test.text, got, got, err, test.want)
		}
		for i, n := range []int{0, 7, 1000} {
			if of := got.Of(n); of != test.of[i] {
				t.Errorf("%s of %d is %d, want %d", test.text, n, of, test.of[i])
			}
		}
	}
	for _, text := range []string{"", "0", "-1", "+1", "007", "1.5", "1e3", "0x10", "2147483648", "99999999999999999999", "0%", "0.00%", "0.001%", "-5%", "100.01%", "101%", "05%", "%", ".5%", "5.%", "NaN%", "Inf%", "1e1%", "5 %", "All", "none", "10 messages", "\x1b"} {
		if s, err := ParseSample(text); err == nil {
			t.Errorf("%q was read as %s", text, s)
		} else if !strings.Contains(err.Error(), "e.g. 100") || hasInvisible(err.Error()) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

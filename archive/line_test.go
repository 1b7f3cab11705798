package archive

import (
	"crypto/sha256"
	"strings"
	"testing"
)

func TestSumText(t *testing.T) {
	var s Sum
	for _, bad := range []string{"", "00", strings.Repeat("0", 63), strings.Repeat("0", 65), strings.Repeat("g", 64), " " + strings.Repeat("0", 63), strings.Repeat("0", 63) + " "} {
		if err := s.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q is taken for a sum", bad)
		}
	}
	want := Sum(sha256.Sum256([]byte("x")))
	if err := s.UnmarshalText([]byte(want.String())); err != nil || s != want {
		t.Errorf("%v reads back as %v, %v", want, s, err)
	}
}

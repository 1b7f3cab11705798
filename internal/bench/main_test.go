package main

import (
	"strings"
	"testing"
)

// TestBench runs the whole measurement, small.
func TestBench(t *testing.T) {
	var out strings.Builder
	if err := bench(t, &out, t.TempDir(), 60, 1, 2); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"60 messages", "written to", "first run", "no change", "100 new", "MiB"} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("the table has no %q:\n%s", text, &out)
		}
	}
}

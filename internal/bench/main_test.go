package main

import (
	"strings"
	"testing"
	"time"
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

// TestBenchRestore runs the measurement of the way back, small.
func TestBenchRestore(t *testing.T) {
	for rtt, texts := range map[time.Duration][]string{
		0:                     {"60 messages", "archiverd restore, 2 connections", "again", "one by one", "doveadm import", "MiB"},
		10 * time.Millisecond: {"10ms round-trip", "one by one"},
	} {
		var out strings.Builder
		if err := benchRestore(t, &out, t.TempDir(), 60, 1, 2, rtt); err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			if !strings.Contains(out.String(), text) {
				t.Errorf("the table has no %q:\n%s", text, &out)
			}
		}
	}
}

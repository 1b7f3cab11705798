package main

import (
	"flag"
	"os"
	"regexp"
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

// TestBenchSearch measures searches, small: with the index and without it the answers
// are the same.
func TestBenchSearch(t *testing.T) {
	var out strings.Builder
	if err := benchSearch(&out, t.TempDir(), 300, 1, nil); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"300 messages", "The index: ", "| query | with the index | without | found |", "| 7 |\n| `ba` |", "| 4 |\n| `-ba` |", "| 20 and more |\n| `--gone ba` |", "| 3 |"} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("the table has no %q:\n%s", text, &out)
		}
	}
}

// TestBenchPeers compares those clients that every machine with Go and Python has.
func TestBenchPeers(t *testing.T) {
	var out strings.Builder
	c := contest{dir: t.TempDir(), corpus: "tiny", rounds: 1, connections: 2, rtts: []time.Duration{5 * time.Millisecond},
		only: regexp.MustCompile("^archiverd|imaplib|durable"), patience: time.Minute, slow: time.Minute}
	if err := benchPeers(t, &out, c); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"100 messages", "round-trip time 5ms", limitName, "limit, durable", "archiverd, 2 connections", "imaplib loop"} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("the table has no %q:\n%s", text, &out)
		}
	}
	if text := out.String(); strings.Contains(text, "failed") {
		t.Errorf("a client failed:\n%s", text)
	}
}

var messages = flag.Int("messages", 5000, "of the mailbox of TestMemory")

// TestMemory: a mailbox of a million messages takes no more than 64 MiB of the
// process's own, and one of fewer no more either. The million, on a quiet machine:
//
//	go test -run TestMemory -timeout 1h ./internal/bench -messages 1000000
func TestMemory(t *testing.T) {
	var out strings.Builder
	peak, err := benchMemory(t, &out, t.TempDir(), *messages, 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + out.String())
	if peak == 0 || peak > 64<<20 {
		t.Errorf("%d octets of its own", peak)
	}
}

// TestMain: the limit is this program, also under test.
func TestMain(m *testing.M) {
	if isLimit() {
		return
	}
	os.Exit(m.Run())
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

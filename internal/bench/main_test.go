package main

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The measurement of sync prints a table with all of its runs.
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

// The answers with an index and without one are the same, and the table has a row for each
// query.
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

// A comparison measures all clients that every machine with Go and Python has.
func TestBenchPeers(t *testing.T) {
	var out strings.Builder
	c := comparison{dir: t.TempDir(), corpus: "tiny", rounds: 1, connections: 2, rtts: []time.Duration{5 * time.Millisecond},
		only: regexp.MustCompile("^archiverd|imaplib|durable"), maxTime: time.Minute, maxRepeatedTime: time.Minute}
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

var messages = flag.Int("messages", 5000, "number of `messages` in the mailbox of TestMemory")

// A mailbox takes at most 64 MiB of private memory, whether it has a few or a million
// messages. The million, on a quiet machine:
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
		t.Errorf("%d octets of private memory", peak)
	}
}

// TestMain: the limit is this program, also in tests.
func TestMain(m *testing.M) {
	if runAsLimit() {
		return
	}
	os.Exit(m.Run())
}

// The measurement of restore prints a table with all ways back.
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

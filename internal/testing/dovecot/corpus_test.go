package dovecot

import (
	"bytes"
	"crypto/sha256"
	"reflect"
	"slices"
	"testing"
)

func TestCorpus(t *testing.T) {
	corpus := Corpus(1, 2000)
	if !reflect.DeepEqual(corpus, Corpus(1, 2000)) {
		t.Error("the same seed gives different messages")
	}
	if reflect.DeepEqual(corpus, Corpus(2, 2000)) {
		t.Error("different seeds give the same messages")
	}
	var sizes []int
	seen := map[[sha256.Size]byte]bool{}
	years, flags := map[int]bool{}, map[string]bool{}
	for _, mailbox := range corpus {
		if empty := mailbox.Name == "Empty"; empty != (len(mailbox.Msgs) == 0) {
			t.Errorf("mailbox %s has %d messages", mailbox.Name, len(mailbox.Msgs))
		}
		for _, m := range mailbox.Msgs {
			sizes = append(sizes, len(m.Body))
			seen[m.SHA256] = true
			years[m.Date.Year()] = true
			for _, f := range m.Flags {
				flags[f] = true
			}
			if bare := bytes.Count(m.Body, []byte("\n")) - bytes.Count(m.Body, []byte("\r\n")); bare != 0 || !bytes.HasSuffix(m.Body, []byte("\r\n")) {
				t.Errorf("%s: a message with %d bare LF, or without CRLF at its end", mailbox.Name, bare)
			}
			if !slices.IsSorted(m.Flags) {
				t.Errorf("flags %q are not in order", m.Flags)
			}
		}
	}
	slices.Sort(sizes)
	if got, want := len(sizes), 2000; got != want {
		t.Fatalf("%d messages, want %d", got, want)
	}
	if least, median, most := sizes[0], sizes[1000], sizes[1999]; least < 700 || median < 4000 || median > 6000 || most < 50_000 || most > 300_000 {
		t.Errorf("sizes: %d, median %d, %d", least, median, most)
	}
	if copies := 2000 - len(seen); copies < 20 || copies > 100 {
		t.Errorf("%d copies", copies)
	}
	if len(years) < 25 || len(flags) != 9 {
		t.Errorf("%d years, %d flags", len(years), len(flags))
	}
}

func TestSplitMbox(t *testing.T) {
	got := splitMbox([]byte("From a\nA: 1\n\nx\n>From y\nFrom b\r\nB: 2\r\n\r\n"))
	want := [][]byte{[]byte("A: 1\n\nx\n>From y\n"), []byte("B: 2\r\n\r\n")}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("split into %q, want %q", got, want)
	}
}

package search

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/archive/history"
)

var messageCount = flag.Int("messages", 0, "number of messages of TestManyMessages; 0 skips it")

// generatedDocument returns the n-th message of a large archive without files: some 60
// words with frequencies as in a natural language.
func generatedDocument(n uint64) *document {
	r := rand.New(rand.NewPCG(n, 1))
	zipf := rand.NewZipf(r, 1.1, 3, 200_000)
	text := func(words int) string {
		var b strings.Builder
		b.WriteByte(' ')
		for range words {
			fmt.Fprintf(&b, "w%d ", zipf.Uint64())
		}
		return b.String()
	}
	d := &document{attachment: n%10 == 0}
	d.words[fromColumn] = fmt.Sprintf(" user%d example com ", r.IntN(2000))
	d.words[toColumn] = " me example org "
	d.words[subjectColumn] = text(6)
	d.words[messageIDColumn] = fmt.Sprintf(" id%d example com ", n)
	d.words[textColumn] = text(50) + fmt.Sprintf("rare%d ", n/7)
	return d
}

// With -messages N, TestManyMessages measures the index of an archive with N messages.
// The journals are real; the messages have no files and are generated when the index
// reads them.
//
//	go test -run ManyMessages -v -timeout 1h ./internal/search -messages 1000000
func TestManyMessages(t *testing.T) {
	if *messageCount == 0 {
		t.Skip("-messages is not set")
	}
	s := newTestArchive(t)
	s.fillWithoutFiles(*messageCount)
	s.indexer.readMessage = func(_ documentReader, _ string, sum archive.Sum) (*document, error) {
		var n uint64
		_, err := fmt.Sscanf(string(sum[:]), "%d", &n)
		return generatedDocument(n), err
	}
	started := time.Now()
	report := s.updateIndex()
	elapsed := time.Since(started)
	st, err := os.Stat(s.indexer.Path)
	if err != nil {
		t.Fatal(err)
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	t.Logf("%d messages indexed in %v, %d MiB, %d octets a message; %d MiB of memory from the system", report.Documents,
		elapsed.Round(time.Millisecond), st.Size()>>20, st.Size()/int64(report.Documents), mem.Sys>>20)
	started = time.Now()
	s.updateIndex()
	t.Logf("update without changes: %v", time.Since(started).Round(time.Millisecond))
	table := "\n| query | median | fastest to slowest | results |\n|---|---|---|---|\n"
	for _, q := range []struct {
		text      string
		selection history.Selection
	}{
		{"rare5", history.Selection{}},
		{"w0", history.Selection{}},
		{"w0 w1 w2", history.Selection{}},
		{`"w0 w1"`, history.Selection{}},
		{"w12*", history.Selection{}},
		{"w*", history.Selection{}},
		{"from:user17", history.Selection{}},
		{"subject:w0 -w1", history.Selection{}},
		{"w0 mailbox:rare", history.Selection{}},
		{"w0 mailbox:lists/go", history.Selection{}},
		{"w0 flag:flagged", history.Selection{}},
		{"w0 before:2018-01-01", history.Selection{}},
		{"w0 has:attachment larger:1kB", history.Selection{}},
		{"w0", history.Selection{At: startTime.AddDate(1, 0, 0)}},
		{"w0", history.Selection{Gone: true}},
		{"flag:flagged", history.Selection{}},
		{"-w0", history.Selection{}},
		{"smaller:1kB", history.Selection{}},
	} {
		table += s.timeSearch(q.text, q.selection)
	}
	t.Log(table)
}

// fillWithoutFiles commits the events of n messages in five mailboxes. The sum of a
// message is its number as text.
func (s *testArchive) fillWithoutFiles(n int) {
	number := 0
	for _, mailbox := range []struct {
		name    string
		percent int
	}{{"INBOX", 50}, {"Archive", 30}, {"Lists/go", 15}, {"Sent", 5}, {"Rare", 0}} {
		count := max(n*mailbox.percent/100, 50)
		interval := 10 * 365 * 24 * time.Hour / time.Duration(count)
		events := []archive.Event{openedEvent(mailbox.name, 1)}
		for i := range count {
			e := archive.Event{Kind: archive.Added, UID: uint32(i + 1), Size: 5000, Flags: []string{`\Seen`},
				InternalDate: startTime.AddDate(-10, 0, 0).Add(time.Duration(i) * interval), Matched: "found"}
			if i%1000 == 0 {
				e.Flags = []string{`\Flagged`, `\Seen`}
			}
			copy(e.Sum[:], fmt.Sprintf("%032d", number))
			e.Path = fmt.Sprintf("2016-01/%d.eml", i)
			events = append(events, e)
			number++
		}
		for part := range slices.Chunk(events, 50_000) {
			s.commitWithoutFiles("alice", mailbox.name, part)
		}
	}
}

// timeSearch returns a row of the table: how long five searches with the index took.
func (s *testArchive) timeSearch(query string, selection history.Selection) string {
	s.t.Helper()
	search := &Search{Archive: s.w.Archive, Query: parse(s.t, query), Selection: selection, Index: s.indexer.Path, Limit: 20}
	var times []time.Duration
	var report *Report
	for range 5 {
		started := time.Now()
		var err error
		report, err = search.Run(context.Background())
		if err != nil || !report.UsedIndex || len(report.Errors) > 0 {
			s.t.Fatalf("%s: %v, %+v", query, err, report)
		}
		times = append(times, time.Since(started).Round(10*time.Microsecond))
	}
	slices.Sort(times)
	more := ""
	if report.HasMore {
		more = " and more"
	}
	options := ""
	if !selection.At.IsZero() {
		options = "--at " + selection.At.Format(time.DateOnly) + " "
	}
	if selection.Gone {
		options += "--gone "
	}
	return fmt.Sprintf("| `%s%s` | %v | %v to %v | %d%s |\n", options, query, times[2], times[0], times[4], len(report.Results), more)
}

// BenchmarkSearchWithoutIndex searches 2000 messages of some 5 KB.
func BenchmarkSearchWithoutIndex(b *testing.B) {
	s := newTestArchive(b)
	g := newGenerator(1)
	var messages []testMessage
	for i := range 2000 {
		messages = append(messages, testMessage{uint32(i + 1), g.day(), nil, g.message() + g.words(600)})
	}
	s.commit("alice", "INBOX", 1, []archive.Event{openedEvent("INBOX", 1)}, messages...)
	b.ResetTimer()
	for b.Loop() {
		if report := s.search("invoice -rechnung", history.Selection{}, 0, false); len(report.Errors) > 0 {
			b.Fatal(report.Errors)
		}
	}
	b.ReportMetric(float64(b.N)*2000/b.Elapsed().Seconds(), "messages/s")
}

// BenchmarkWords splits a text into words.
func BenchmarkWords(b *testing.B) {
	text := newGenerator(1).words(1000)
	f := newWordFolder()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		var words strings.Builder
		f.appendWords(&words, text)
	}
}

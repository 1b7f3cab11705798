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
)

var messageCount = flag.Int("messages", 0, "messages of TestManyMessages; 0: it is left out")

// generatedDocument is the n-th message of a large archive that has no files: some 60 words,
// common and rare as in a language.
func generatedDocument(n uint64) *document {
	r := rand.New(rand.NewPCG(n, 1))
	common := rand.NewZipf(r, 1.1, 3, 200_000)
	text := func(words int) string {
		var b strings.Builder
		b.WriteByte(' ')
		for range words {
			fmt.Fprintf(&b, "w%d ", common.Uint64())
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

// With -messages N: an archive of N messages, whose journals are real and whose
// messages are made up as the index asks for them, and what searches of it take.
//
//	go test -run ManyMessages -v -timeout 1h ./internal/search -messages 1000000
func TestManyMessages(t *testing.T) {
	if *messageCount == 0 {
		return
	}
	s := newTestArchive(t)
	boxes := []string{"INBOX", "Archive", "Lists/go", "Sent", "Rare"}
	shares := []int{50, 30, 15, 5, 0}
	n := 0
	for i, name := range boxes {
		count := max(*messageCount*shares[i]/100, 50)
		events := []archive.Event{openedEvent(name, 1)}
		for u := range count {
			e := archive.Event{Kind: archive.Added, UID: uint32(u + 1), Size: 5000, Flags: []string{`\Seen`},
				InternalDate: startTime.AddDate(-10, 0, 0).Add(time.Duration(u) * 10 * 365 * 24 * time.Hour / time.Duration(count)), Matched: "found"}
			if u%1000 == 0 {
				e.Flags = []string{`\Flagged`, `\Seen`}
			}
			copy(e.Sum[:], fmt.Sprintf("%032d", n))
			e.Path = fmt.Sprintf("2016-01/%d.eml", u)
			events = append(events, e)
			n++
		}
		for part := range slices.Chunk(events, 50_000) {
			s.commitWithoutFiles("alice", name, part)
		}
	}
	s.indexer.readMessage = func(_ documentReader, _ string, sum archive.Sum) (*document, error) {
		var n uint64
		_, err := fmt.Sscanf(string(sum[:]), "%d", &n)
		return generatedDocument(n), err
	}
	began := time.Now()
	done := s.updateIndex()
	took := time.Since(began)
	st, err := os.Stat(s.indexer.Path)
	if err != nil {
		t.Fatal(err)
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	t.Logf("%d messages indexed in %v, %d MiB, %d octets a message; %d MiB of memory from the system", done.Documents, took.Round(time.Millisecond),
		st.Size()>>20, st.Size()/int64(done.Documents), mem.Sys>>20)
	began = time.Now()
	s.updateIndex()
	t.Logf("nothing new: %v", time.Since(began).Round(time.Millisecond))
	table := "\n| query | with the index | least to most | found |\n|---|---|---|---|\n"
	for _, q := range []struct {
		text string
		sel  archive.Selection
	}{
		{"rare5", archive.Selection{}},
		{"w0", archive.Selection{}},
		{"w0 w1 w2", archive.Selection{}},
		{`"w0 w1"`, archive.Selection{}},
		{"w12*", archive.Selection{}},
		{"w*", archive.Selection{}},
		{"from:user17", archive.Selection{}},
		{"subject:w0 -w1", archive.Selection{}},
		{"w0 mailbox:rare", archive.Selection{}},
		{"w0 mailbox:lists/go", archive.Selection{}},
		{"w0 flag:flagged", archive.Selection{}},
		{"w0 before:2018-01-01", archive.Selection{}},
		{"w0 has:attachment larger:1kB", archive.Selection{}},
		{"w0", archive.Selection{At: startTime.AddDate(1, 0, 0)}},
		{"w0", archive.Selection{Gone: true}},
		{"flag:flagged", archive.Selection{}},
		{"-w0", archive.Selection{}},
		{"smaller:1kB", archive.Selection{}},
	} {
		var times []time.Duration
		var found *Report
		for range 5 {
			began := time.Now()
			f, err := (&Search{Archive: s.w.Archive, Query: parse(t, q.text), Selection: q.sel, Index: s.indexer.Path, Limit: 20}).Run(context.Background())
			if err != nil || !f.UsedIndex || len(f.Errors) > 0 {
				t.Fatalf("%s: %v, %+v", q.text, err, f)
			}
			times = append(times, time.Since(began))
			found = f
		}
		slices.Sort(times)
		more := ""
		if found.HasMore {
			more = " and more"
		}
		options := ""
		if !q.sel.At.IsZero() {
			options = "--at " + q.sel.At.Format(time.DateOnly) + " "
		}
		if q.sel.Gone {
			options += "--gone "
		}
		table += fmt.Sprintf("| `%s%s` | %v | %v to %v | %d%s |\n", options, q.text, times[2].Round(10*time.Microsecond),
			times[0].Round(10*time.Microsecond), times[4].Round(10*time.Microsecond), len(found.Results), more)
	}
	t.Log(table)
}

// Reading an archive without an index, a message of 5 KB in six.
func BenchmarkStream(b *testing.B) {
	s := newTestArchive(b)
	a := newGenerator(1)
	var letters []testMessage
	for i := range 2000 {
		letters = append(letters, testMessage{uint32(i + 1), a.day(), nil, a.message() + a.words(600)})
	}
	s.commit("alice", "INBOX", 1, []archive.Event{openedEvent("INBOX", 1)}, letters...)
	b.ResetTimer()
	for b.Loop() {
		if found := s.search("invoice -rechnung", archive.Selection{}, 0, false); len(found.Errors) > 0 {
			b.Fatal(found.Errors)
		}
	}
	b.ReportMetric(float64(b.N)*2000/b.Elapsed().Seconds(), "messages/s")
}

// Making the words of a text.
func BenchmarkWords(b *testing.B) {
	a := newGenerator(1)
	text := a.words(1000)
	f := newWordFolder()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		var out strings.Builder
		f.appendWords(&out, text)
	}
}

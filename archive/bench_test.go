package archive

import (
	"bytes"
	"fmt"
	"testing"
)

// BenchmarkCommit archives 1,000 messages of 8 KiB over 12 months in one batch.
func BenchmarkCommit(b *testing.B) {
	for _, perFile := range []bool{false, true} {
		b.Run(fmt.Sprint("perFile=", perFile), func(b *testing.B) {
			w := openOnly(b, b.TempDir(), Options{PerFile: perFile})
			defer shut(b, w)
			const messages, size = 1000, 8 << 10
			b.SetBytes(messages * size)
			b.ReportAllocs()
			n := uint64(0)
			for i := 0; b.Loop(); i++ {
				m := mailbox(b, w, fmt.Sprint("box", i))
				batch := begin(b, m)
				batch.Record(opened("box", 1))
				for u := range uint32(messages) {
					n++
					e := Event{UID: u + 1, InternalDate: clock.AddDate(0, int(u)%12, 0), Flags: []string{`\Seen`}}
					if err := batch.Add(1, e, size, bytes.NewReader(body(size, n))); err != nil {
						b.Fatal(err)
					}
				}
				w.Commit(nil, batch)
				if batch.Err != nil {
					b.Fatal(batch.Err)
				}
			}
		})
	}
}

// BenchmarkFold folds a journal of 100,000 messages in commits of 1,000.
func BenchmarkFold(b *testing.B) {
	const messages, group = 100_000, 1000
	var text bytes.Buffer
	at := Position{}
	for i := range messages / group {
		var events []Event
		if i == 0 {
			events = append(events, opened("INBOX", 1))
		}
		for j := range group {
			u := uint32(i*group + j + 1)
			events = append(events, Event{Kind: Added, At: clock, UID: u, Path: fileName(1, u, date(int(u))), Size: 4711, InternalDate: date(int(u)), Flags: []string{`\Seen`}})
		}
		lines, to, err := encodeCommit(at, events)
		if err != nil {
			b.Fatal(err)
		}
		text.Write(lines)
		at = to
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		v := &View{}
		in := bytes.NewReader(text.Bytes())
		if _, err := replay(in, Position{}, func(e Event) error { v.Apply(e); return nil }); err != nil {
			b.Fatal(err)
		}
		if got := len(v.Epoch().Messages); got != messages {
			b.Fatalf("%d messages", got)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/messages, "ns/line")
}

// BenchmarkDecode reads one line.
func BenchmarkDecode(b *testing.B) {
	line := []byte(`{"event":"added","at":"2026-11-22T18:30:00Z","uid":123,"path":"2026-11/20261122T183000Z.1700000000.123.eml","size":4711,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","internaldate":"2026-11-22T19:30:00+01:00","flags":["\\Seen","$Forwarded"]}`)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeEvent(line); err != nil {
			b.Fatal(err)
		}
	}
}

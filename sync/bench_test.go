package sync

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"archiverd/internal/imapd"
	"archiverd/internal/session"
	"archiverd/internal/testing/world"
	"archiverd/internal/uid"
	"archiverd/state"
)

// A million UIDs, of which every thousandth is new and every 1500th gone.
func BenchmarkDiff(b *testing.B) {
	var server uid.Set
	var have state.UIDs
	for u := uint32(1); u <= 1_000_000; u++ {
		if u%1500 != 0 {
			server.Add(u)
		}
		if u%1000 != 0 {
			have.Archived.Add(u)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if d := diff(server, have); d.Missing.Len() != 667 || d.Gone.Len() != 333 {
			b.Fatal(d.Missing.Len(), d.Gone.Len())
		}
	}
}

// 10,000 messages of 4 KB: the first run, and one in which nothing is new, from
// a server without CONDSTORE.
func BenchmarkJob(b *testing.B) {
	const messages, size = 10_000, 4 << 10
	s := imapd.New(imapd.Options{})
	addr, err := s.Listen("127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	m, err := s.AddUser("alice", "secret").Mailbox("INBOX")
	if err != nil {
		b.Fatal(err)
	}
	for i := range messages {
		body := fmt.Appendf(nil, "Subject: %d\r\n\r\n", i)
		m.Append(imapd.Message{Body: append(body, bytes.Repeat([]byte("x"), size-len(body))...), InternalDate: time.Unix(int64(1e9+1e5*i), 0)})
	}
	for _, connections := range []int{1, 2} {
		acc := world.Alice(addr)
		acc.Connections = connections
		b.Run(fmt.Sprintf("first/%d", connections), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(messages * size)
			for b.Loop() {
				b.StopTimer()
				h := newTestbed(b)
				b.StartTimer()
				h.measured(acc, messages)
			}
		})
	}
	h := newTestbed(b)
	h.measured(world.Alice(addr), messages)
	b.Run("again", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h.measured(world.Alice(addr), messages)
		}
	})
}

func (h *testbed) measured(acc session.Account, messages int) {
	run, err := (&Job{Account: acc, Policy: h.policy, Committer: h.Committer, Log: h.Log}).Run(h.t.Context())
	if err != nil || run.Sum.Archived != messages {
		h.t.Fatal(err, run.Sum)
	}
}

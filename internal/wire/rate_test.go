package wire

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"archiverd/internal/testing/hostile"

	"golang.org/x/time/rate"
)

// Connections share one rate, and waiting for it is no slowness of the server's.
func TestRateIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInMemory(t, hostile.Options{Mailboxes: inbox(strings.Repeat("x", 100_000))})
		o := options(s)
		o.Rates = []*rate.Limiter{rate.NewLimiter(400_000, 10_000)}
		o.MinRate = MinRate{Octets: 1 << 20, Window: 50 * time.Millisecond}
		start := time.Now()
		results := make(chan error)
		for range 2 {
			c := connect(t, s, o)
			go func() {
				got, err := bodies(t.Context(), c, span(1, 1))
				if err == nil && len(got[1]) != 100_000 {
					t.Error("body is not whole")
				}
				results <- err
			}()
		}
		for range 2 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(start); took < 400*time.Millisecond {
			t.Errorf("200,000 octets in %v", took)
		}
	})
}

// What is appended counts as well, and waiting for the rate is no stall of the
// server's: the wait for its answer begins when all is sent.
func TestRateOfAppend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInMemory(t, hostile.Options{Capabilities: "IMAP4rev1 LITERAL+", Mailboxes: inbox(), Script: answer("APPEND", "TAG OK x\r\n")})
		o := options(s)
		o.Rates = []*rate.Limiter{rate.NewLimiter(400_000, 10_000)}
		conn := connect(t, s, o)
		start := time.Now()
		out, err := conn.Append(t.Context(), "INBOX", []AppendMessage{message(strings.Repeat("x", 100_000)), message(strings.Repeat("y", 100_000))})
		if err != nil || states(out) != "dd" {
			t.Errorf("Append = %s, %v", states(out), err)
		}
		if took := time.Since(start); took < 400*time.Millisecond {
			t.Errorf("200,000 octets in %v", took)
		}
	})
}

// All rates of a connection hold at once, whichever is the lower one.
func TestEachRateHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, rates := range [][]*rate.Limiter{
			{rate.NewLimiter(400_000, 10_000), rate.NewLimiter(1e9, 1<<20)},
			{rate.NewLimiter(1e9, 1<<20), rate.NewLimiter(400_000, 10_000)},
		} {
			s := serveInMemory(t, hostile.Options{Mailboxes: inbox(strings.Repeat("x", 100_000))})
			o := options(s)
			o.Rates = rates
			c := connect(t, s, o)
			start := time.Now()
			if _, err := bodies(t.Context(), c, span(1, 1)); err != nil {
				t.Error(err)
			}
			if took := time.Since(start); took < 200*time.Millisecond {
				t.Errorf("100,000 octets in %v", took)
			}
		}
	})
}

// Every octet from the network is counted, over all connections that share a count.
func TestReceivedIsCounted(t *testing.T) {
	s := serve(t, hostile.Options{TLS: true, Mailboxes: inbox(strings.Repeat("x", 100_000))})
	o := options(s)
	o.Security = TLS
	o.Received = new(atomic.Int64)
	for range 2 {
		c := connect(t, s, o)
		if _, err := bodies(t.Context(), c, span(1, 1)); err != nil {
			t.Error(err)
		}
	}
	if n := o.Received.Load(); n < 200_000 || n > 220_000 {
		t.Errorf("%d octets are counted", n)
	}
}

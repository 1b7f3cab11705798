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

// Connections with the same limiter share its rate. The wait for it does not count against
// Options.MinRate.
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
				got, err := fetchBodies(t.Context(), c, uidRange(1, 1))
				if err == nil && len(got[1]) != 100_000 {
					t.Error("the body is incomplete")
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

// Octets that Append sends count too. The wait for the rate does not count as a wait for
// the server, which starts when all is sent.
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

// A connection obeys all of its limiters, in whatever order they are.
func TestEachRateIsObeyed(t *testing.T) {
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
			if _, err := fetchBodies(t.Context(), c, uidRange(1, 1)); err != nil {
				t.Error(err)
			}
			if took := time.Since(start); took < 200*time.Millisecond {
				t.Errorf("100,000 octets in %v", took)
			}
		}
	})
}

// Options.Received counts every octet from the network, of all connections that share it.
func TestReceivedIsCounted(t *testing.T) {
	s := serve(t, hostile.Options{TLS: true, Mailboxes: inbox(strings.Repeat("x", 100_000))})
	o := options(s)
	o.Security = TLS
	o.Received = new(atomic.Int64)
	for range 2 {
		c := connect(t, s, o)
		if _, err := fetchBodies(t.Context(), c, uidRange(1, 1)); err != nil {
			t.Error(err)
		}
	}
	if n := o.Received.Load(); n < 200_000 || n > 220_000 {
		t.Errorf("%d octets counted", n)
	}
}

package wire

import (
	"io"
	"strings"
	"testing"
	"time"

	"archiverd/internal/hostile"

	"github.com/emersion/go-imap/v2/imapclient"
	"golang.org/x/time/rate"
)

// A command of go-imap's with a literal of its own and a code that it reads.
func TestDoAppends(t *testing.T) {
	var got string
	reply := "* 1 EXISTS\r\nTAG OK [APPENDUID 7 42] x\r\n"
	s := serve(t, hostile.Options{Mailboxes: inbox(), Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name != "APPEND" {
			return false
		}
		got = cmd.Args
		s.Send(strings.ReplaceAll(reply, "TAG", cmd.Tag))
		return true
	}})
	c := connect(t, s, options(s))
	body := strings.Repeat("x\r\n", 3000)
	var uid uint32
	put := func(client *imapclient.Client) error {
		cmd := client.Append("INBOX", int64(len(body)), nil)
		_, writeErr := io.WriteString(cmd, body)
		if err := cmd.Close(); writeErr == nil {
			writeErr = err
		}
		data, err := cmd.Wait()
		if err == nil {
			uid = uint32(data.UID)
			err = writeErr
		}
		return err
	}
	if err := c.Do(t.Context(), "APPEND", put); err != nil || uid != 42 || !strings.HasSuffix(got, "{9000}\r\n"+body) {
		t.Errorf("Do = %v, UID %d, %d octets", err, uid, len(got))
	}
	reply = "TAG NO [OVERQUOTA] full\r\n"
	if err := c.Do(t.Context(), "APPEND", put); Classify(err) != ClassMailbox || err.(*Error).Code != "OVERQUOTA" {
		t.Errorf("Do = %v", err)
	}
	if err := c.Noop(t.Context()); err != nil {
		t.Error(err)
	}
}

// Connections share one rate, and waiting for it is no slowness of the server's.
func TestRateIsShared(t *testing.T) {
	s := serve(t, hostile.Options{Mailboxes: inbox(strings.Repeat("x", 100_000))})
	o := options(s)
	o.Rate = rate.NewLimiter(400_000, 10_000)
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
}

package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"archiverd/internal/testing/dovecot"
	"archiverd/internal/testing/hostile"
)

// Compress in the middle of a session changes no octet of what is fetched, and is sent
// once. The server may compress from the octet behind its OK on, in the same packet.
func TestCompress(t *testing.T) {
	for _, security := range []Security{Plaintext, TLS} {
		big := strings.Repeat("all the same ", 20_000)
		s := serve(t, hostile.Options{TLS: security == TLS, Deflate: true, Mailboxes: inbox("one", big, "three"),
			Script: func(s *hostile.Session, cmd hostile.Command) bool {
				if cmd.Name == "COMPRESS" {
					s.Write("* OK hold on\r\n")
				}
				return false
			}})
		o := options(s)
		o.Security, o.Timeouts = security, Timeouts{}
		c := connect(t, s, o)
		for i := range 3 { // before Compress, after it, after a second one
			got, err := fetchBodies(t.Context(), c, uidRange(1, 3))
			if err != nil || got[1] != "one" || got[2] != big || got[3] != "three" {
				t.Fatalf("%d: %d messages, %v", i, len(got), err)
			}
			if set, err := c.Search(t.Context()); err != nil || set.Len() != 3 {
				t.Fatal(set, err)
			}
			if err := c.Compress(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n := strings.Count(strings.Join(s.Commands(), "\n"), "COMPRESS DEFLATE"); n != 1 {
			t.Errorf("COMPRESS sent %d times", n)
		}
		if err := c.Logout(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// A connection works on without compression if the server refuses COMPRESS.
func TestCompressRefused(t *testing.T) {
	for _, reply := range []string{"NO [COMPRESSIONACTIVE] twice", "BAD what?"} {
		s := serve(t, hostile.Options{Deflate: true, Mailboxes: inbox("one"), Script: func(s *hostile.Session, cmd hostile.Command) bool {
			if cmd.Name == "COMPRESS" {
				s.Send(cmd.Tag + " " + reply + "\r\n")
				return true
			}
			return false
		}})
		o := options(s)
		o.Compress = CompressAlways
		c := connect(t, s, o)
		if got, err := fetchBodies(t.Context(), c, uidRange(1, 1)); err != nil || got[1] != "one" {
			t.Errorf("%s: %v %v", reply, got, err)
		}
	}
}

// Limits count octets after decompression.
func TestCompressBomb(t *testing.T) {
	for name, bomb := range map[string]func(s *hostile.Session, cmd hostile.Command){
		"a line without end": func(s *hostile.Session, _ hostile.Command) { s.Flood(strings.Repeat("x", 64<<10)) },
		"lines without end":  func(s *hostile.Session, _ hostile.Command) { s.Flood(strings.Repeat("* OK x\r\n", 8<<10)) },
		"a literal of 4 GiB": func(s *hostile.Session, _ hostile.Command) {
			s.Send("* 1 FETCH (UID 1 FLAGS {4294967296}\r\n")
			s.Flood(strings.Repeat("x", 64<<10))
		},
		"a search without end": func(s *hostile.Session, _ hostile.Command) {
			s.Write("* SEARCH")
			s.Flood(strings.Repeat(" 1", 32<<10))
		},
		"lists without end": func(s *hostile.Session, _ hostile.Command) {
			s.Write("* 1 FETCH ")
			s.Flood(strings.Repeat("(", 64<<10))
		},
		"a body over the limit": func(s *hostile.Session, _ hostile.Command) {
			s.Send("* 1 FETCH (UID 1 BODY[] {99999999}\r\n")
			s.Flood(strings.Repeat("x", 64<<10))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, hostile.Options{Deflate: true, Mailboxes: inbox("one"), Script: func(s *hostile.Session, cmd hostile.Command) bool {
				if cmd.Name != "UID SEARCH" {
					return false
				}
				bomb(s, cmd)
				return true
			}})
			o := options(s)
			o.Timeouts = Timeouts{}
			o.Compress, o.Limits = CompressAlways, Limits{Message: 1 << 20, Search: 1 << 20, Untagged: 20_000}
			c := connect(t, s, o)
			if _, err := c.Search(t.Context()); !errors.Is(err, ErrLimit) && Classify(err) != ClassProtocol {
				t.Errorf("error is %v", err)
			}
		})
	}
}

// Invalid DEFLATE data, its end, and endless empty blocks break the connection within
// Timeouts.Answer.
func TestCompressInvalidData(t *testing.T) {
	for name, octets := range map[string]string{
		"rubbish":      "\xff\xff\xff\xff\xff",
		"the end":      "\x01\x00\x00\xff\xff",
		"empty blocks": strings.Repeat("\x00\x00\x00\xff\xff", 1<<10),
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, hostile.Options{Capabilities: "IMAP4rev1 AUTH=PLAIN COMPRESS=DEFLATE", Mailboxes: inbox("one"), Script: func(s *hostile.Session, cmd hostile.Command) bool {
				if cmd.Name != "COMPRESS" {
					return false
				}
				s.Send(cmd.Tag + " OK go\r\n")
				if name == "empty blocks" {
					s.Flood(octets)
				} else {
					s.Send(octets)
					s.Stall()
				}
				return true
			}})
			c := connect(t, s, options(s))
			if err := c.Compress(t.Context()); err != nil {
				t.Fatal(err)
			}
			// This needs the real clock: the client is never idle while it reads empty
			// blocks. The short timeouts start here, so that a busy machine fails no
			// step before.
			c.options.Timeouts, c.in.deadline.timeouts = shortTimeouts, shortTimeouts
			if err := c.Noop(t.Context()); Classify(err) != ClassTransient {
				t.Errorf("error is %v", err)
			}
		})
	}
}

// An answer is read as soon as its block has come, without an empty block behind it.
func TestCompressPartialFlush(t *testing.T) {
	s := serve(t, hostile.Options{Capabilities: "IMAP4rev1 AUTH=PLAIN COMPRESS=DEFLATE", Mailboxes: inbox("one"), Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name != "COMPRESS" {
			return false
		}
		s.Send(cmd.Tag + " OK go\r\n")
		answer := "X99 OK done\r\n"
		s.Send("\x00" + string([]byte{byte(len(answer)), 0, ^byte(len(answer)), 0xff}) + answer)
		s.Stall()
		return true
	}})
	c := connect(t, s, options(s))
	if err := c.Compress(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.tag = 98
	if err := c.Noop(t.Context()); err != nil {
		t.Errorf("error is %v", err)
	}
}

// A link is slow only after enough octets and time to measure its speed.
func TestIsSlow(t *testing.T) {
	for _, c := range []struct {
		got  int64
		took time.Duration
		slow bool
	}{
		{0, 0, false},
		{slowLinkMinOctets - 1, time.Hour, false},
		{slowLinkMinOctets, slowLinkMinTime - 1, false},
		{slowLinkMinOctets, slowLinkMinTime, true},
		{slowLinkSpeed, time.Second, false},
		{slowLinkSpeed - 1, time.Second, true},
	} {
		link := throughput{octets: c.got, waited: c.took}
		if got := link.isSlow(); got != c.slow {
			t.Errorf("%d octets in %v: %v", c.got, c.took, got)
		}
	}
}

// IsSlow reports a link that delivers 16 KiB every 30 ms.
func TestSlowLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := strings.Repeat("x", 400<<10)
		s := serveInMemory(t, hostile.Options{Mailboxes: inbox(body, body)})
		o := options(s)
		o.Timeouts = Timeouts{}
		o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := s.Dial(ctx, network, address)
			return slowConn{conn, 30 * time.Millisecond}, err
		}
		conn := connect(t, s, o)
		if _, err := fetchBodies(t.Context(), conn, uidRange(1, 2)); err != nil {
			t.Fatal(err)
		}
		if !conn.IsSlow() {
			t.Errorf("%d octets in %v", conn.in.throughput.octets, conn.in.throughput.waited)
		}
	})
}

// slowConn is a connection that delivers at most 16 KiB at a time, after a pause.
type slowConn struct {
	net.Conn
	pause time.Duration
}

func (d slowConn) Read(p []byte) (int, error) {
	<-time.After(d.pause)
	return d.Conn.Read(p[:min(len(p), 16<<10)])
}

// Compression by Dovecot, over TLS and in the middle of a session, saves at least a tenth
// of the octets and changes none of the messages.
func TestCompressDovecot(t *testing.T) {
	srv := dovecot.StartWith(t, dovecot.Options{Deflate: true})
	u := srv.User(t, "alice")
	var want []string
	client := u.Dial(t)
	for _, m := range dovecot.Corpus(3, 40)[0].Msgs {
		client.Append("INBOX", m)
		want = append(want, string(m.Body))
	}
	var connection countingDialer
	o := Options{Address: srv.Addr, TLS: srv.TLS, Dial: connection.dial}
	c := dialAndLogin(t, o, u.Name, u.Password)
	if !c.HasCapability("COMPRESS=DEFLATE") {
		t.Fatal("this Dovecot does not offer it")
	}
	if _, err := c.Examine(t.Context(), "INBOX", true); err != nil {
		t.Fatal(err)
	}
	var received [2]int64 // without and with compression
	for i := range received {
		before := connection.n
		got := map[uint32]string{}
		err := c.FetchBodies(t.Context(), uidRange(1, uint32(len(want))), func(u uint32, _ int64, body io.Reader) error {
			text, err := io.ReadAll(body)
			got[u] = string(text)
			return err
		})
		if err != nil || len(got) != len(want) {
			t.Fatal(len(got), err)
		}
		for u, text := range got {
			if text != want[u-1] {
				t.Errorf("UID %d: other octets", u)
			}
		}
		received[i] = connection.n - before
		if err := c.Compress(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if received[1] > received[0]*9/10 {
		t.Errorf("%d octets compressed, %d before", received[1], received[0])
	}
	if err := c.Logout(t.Context()); err != nil {
		t.Error(err)
	}
	t.Logf("%d octets, compressed %d", received[0], received[1])
}

// countingDialer is the one connection that it dials; n counts the octets read from it.
type countingDialer struct {
	net.Conn
	n int64
}

func (c *countingDialer) dial(ctx context.Context, network, address string) (_ net.Conn, err error) {
	c.Conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
	return c, err
}

func (c *countingDialer) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.n += int64(n)
	return n, err
}

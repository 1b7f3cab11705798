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

// What comes through compression, switched on in the middle of a session, is what came
// before; also where the server begins to compress in the packet of its OK.
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
		for i := range 3 { // before, after, and asked for again
			got, err := bodies(t.Context(), c, span(1, 3))
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
			t.Errorf("asked %d times", n)
		}
		if err := c.Logout(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// A server that refuses, or says what it can't, is read on as before.
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
		if got, err := bodies(t.Context(), c, span(1, 1)); err != nil || got[1] != "one" {
			t.Errorf("%s: %v %v", reply, got, err)
		}
	}
}

// Whatever is packed, the limits count it as it comes out.
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

// What is no DEFLATE, its end, or blocks of nothing without end are a broken
// connection, within the time for an answer.
func TestCompressRubbish(t *testing.T) {
	for name, octets := range map[string]string{
		"rubbish":           "\xff\xff\xff\xff\xff",
		"the end":           "\x01\x00\x00\xff\xff",
		"blocks of nothing": strings.Repeat("\x00\x00\x00\xff\xff", 1<<10),
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, hostile.Options{Capabilities: "IMAP4rev1 AUTH=PLAIN COMPRESS=DEFLATE", Mailboxes: inbox("one"), Script: func(s *hostile.Session, cmd hostile.Command) bool {
				if cmd.Name != "COMPRESS" {
					return false
				}
				s.Send(cmd.Tag + " OK go\r\n")
				if name == "blocks of nothing" {
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
			// Real time: the client is never idle while it reads blocks of nothing. The
			// short timeouts begin here, so that a busy machine fails no step before.
			c.options.Timeouts, c.in.deadline.timeouts = short, short
			if err := c.Noop(t.Context()); Classify(err) != ClassTransient {
				t.Errorf("error is %v", err)
			}
		})
	}
}

// A server may end what it says for now with a block of text, and nothing behind it.
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

// A link is slow by what comes in the middle of answers, and not by little.
func TestSlow(t *testing.T) {
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

func TestSlowLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := strings.Repeat("x", 400<<10)
		s := serveInMemory(t, hostile.Options{Mailboxes: inbox(body, body)})
		o := options(s)
		o.Timeouts = Timeouts{}
		o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := s.Dial(ctx, network, address)
			return dawdler{conn, 30 * time.Millisecond}, err
		}
		conn := connect(t, s, o)
		if _, err := bodies(t.Context(), conn, span(1, 2)); err != nil {
			t.Fatal(err)
		}
		if !conn.IsSlow() {
			t.Errorf("%d octets in %v", conn.in.throughput.octets, conn.in.throughput.waited)
		}
	})
}

// dawdler is a link that brings 16 KiB at a time, after a pause.
type dawdler struct {
	net.Conn
	pause time.Duration
}

func (d dawdler) Read(p []byte) (int, error) {
	<-time.After(d.pause)
	return d.Conn.Read(p[:min(len(p), 16<<10)])
}

// Dovecot's compression, over TLS, in the middle of a session.
func TestCompressDovecot(t *testing.T) {
	srv := dovecot.StartWith(t, dovecot.Options{Deflate: true})
	u := srv.User(t, "alice")
	var want []string
	client := u.Dial(t)
	for _, m := range dovecot.Corpus(3, 40)[0].Msgs {
		client.Append("INBOX", m)
		want = append(want, string(m.Body))
	}
	var counted counter
	o := Options{Address: srv.Addr, TLS: srv.TLS, Dial: counted.dial}
	c, err := Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login(t.Context(), Auth{Username: u.Name, Password: []byte(u.Password)}); err != nil {
		t.Fatal(err)
	}
	if !c.HasCapability("COMPRESS=DEFLATE") {
		t.Fatal("this Dovecot does not offer it")
	}
	if _, err := c.Examine(t.Context(), "INBOX", true); err != nil {
		t.Fatal(err)
	}
	var took [2]int64
	for i := range took {
		before := counted.n
		got := map[uint32]string{}
		err := c.FetchBodies(t.Context(), span(1, uint32(len(want))), func(u uint32, _ int64, body io.Reader) error {
			text, err := io.ReadAll(body)
			got[u] = string(text)
			return err
		})
		if err != nil || len(got) != len(want) {
			t.Fatal(len(got), err)
		}
		for u, text := range got {
			if text != want[u-1] {
				t.Errorf("UID %d is not what it was", u)
			}
		}
		took[i] = counted.n - before
		if err := c.Compress(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if took[1] > took[0]*9/10 {
		t.Errorf("%d octets compressed, %d before", took[1], took[0])
	}
	if err := c.Logout(t.Context()); err != nil {
		t.Error(err)
	}
	t.Logf("%d octets, compressed %d", took[0], took[1])
}

// counter counts the octets read from its connection.
type counter struct {
	net.Conn
	n int64
}

func (c *counter) dial(ctx context.Context, network, address string) (_ net.Conn, err error) {
	c.Conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
	return c, err
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.n += int64(n)
	return n, err
}

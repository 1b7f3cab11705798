package wire

import (
	"context"
	"errors"
	"io"
	"maps"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"archiverd/internal/testing/hostile"
	"archiverd/internal/uid"
)

// answer makes a script that answers one command with octets of its own, in
// which TAG stands for the tag; without one it hangs up.
func answer(command, text string) func(*hostile.Session, hostile.Command) bool {
	return func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name != command {
			return false
		}
		s.Send(strings.ReplaceAll(text, "TAG", cmd.Tag))
		if !strings.Contains(text, "TAG") {
			s.HangUp()
		}
		return true
	}
}

// Whatever a server sends for bodies ends at once: with what is whole, and with
// the error that says what was wrong.
func TestBodiesFromHostileServers(t *testing.T) {
	const ok = "* 1 FETCH (UID 1 BODY[] {3}\r\none)\r\n"
	one := map[uint32]string{1: "one"}
	for _, c := range []struct {
		name, reply string
		want        map[uint32]string
		class       Class
		then        string // "hangup", "stall"
	}{
		{"NIL", ok + "* 2 FETCH (UID 2 BODY[] NIL)\r\nTAG OK x\r\n", one, 0, ""},
		{"quoted", ok + "* 2 FETCH (UID 2 BODY[] \"hi\")\r\nTAG OK x\r\n", one, 0, ""},
		{"empty", "* 1 FETCH (UID 1 BODY[] {0}\r\n)\r\nTAG OK x\r\n", map[uint32]string{1: ""}, 0, ""},
		{"OK with nothing", "TAG OK [EXPUNGEISSUED] x\r\n", nil, 0, ""},
		{"OK without text", ok + "TAG OK\r\n", one, 0, ""},
		{"UID after the body", ok + "* 2 FETCH (BODY[] {5}\r\nhello UID 2)\r\nTAG OK x\r\n", one, 0, ""},
		{"flags before the body", "* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n" + ok + "TAG OK x\r\n", one, 0, ""},
		{"flags in the body's reply", "* 1 FETCH (FLAGS (foo]bar \"\\\\Deleted\" Gr\xc3\xb6\xc3\x9fe \x85) UID 1 INTERNALDATE NIL BODY[] {3}\r\none FLAGS NIL)\r\nTAG OK x\r\n", one, 0, ""},
		{"unasked, zero and repeated UIDs", ok + "* 1 FETCH (UID 1 BODY[] {3}\r\ntwo)\r\n* 9 FETCH (UID 9 BODY[] {3}\r\nabc)\r\n* 3 FETCH (UID 0 BODY[] {3}\r\nabc)\r\n* 4 FETCH (BODY[] {3}\r\nabc)\r\nTAG OK x\r\n", one, 0, ""},
		{"two UIDs in a reply", "* 1 FETCH (UID 2 UID 1 BODY[] {3}\r\nabc)\r\n" + ok + "TAG OK x\r\n", one, 0, ""},
		{"two bodies in a reply", "* 1 FETCH (UID 1 BODY[] {3}\r\none BODY[] {3}\r\ntwo)\r\nTAG OK x\r\n", nil, ClassProtocol, ""},
		{"body announced too short", ok + "* 2 FETCH (UID 2 BODY[] {3}\r\none and more\r\n)\r\nTAG OK x\r\n", one, ClassProtocol, ""},
		{"body announced too short by a line", ok + "* 2 FETCH (UID 2 BODY[] {3}\r\none\r\n)\r\nTAG OK x\r\n", one, ClassProtocol, ""},
		{"body that ends in the next reply", ok + "* 2 FETCH (UID 2 BODY[] {19}\r\nhello)\r\n* 3 FETCH (UID 3 BODY[] {3}\r\ntwo)\r\nTAG OK x\r\n", one, ClassProtocol, ""},
		{"body that ends in the next body", ok + "* 2 FETCH (UID 2 BODY[] {43}\r\nhello)\r\n* 3 FETCH (UID 3 BODY[] {17}\r\nsome or\r\nother)\r\n)\r\nTAG OK x\r\n", one, ClassProtocol, ""},
		{"another UID behind the body", ok + "* 2 FETCH (UID 2 BODY[] {3}\r\ntwo UID 3)\r\nTAG OK x\r\n", one, ClassProtocol, ""},
		{"cut behind the body", ok + "* 2 FETCH (UID 2 BODY[] {3}\r\ntwo", one, ClassTransient, "hangup"},
		{"other literals around", "* 1 FETCH (X-GM-LABELS ({4}\r\n(\") ) UID 1 BODY[HEADER] {5}\r\nA: b\n BODY[] {3}\r\none RFC822 {2}\r\n)()\r\nTAG OK x\r\n", one, 0, ""},
		{"unknown items", "* 1 FETCH (X-GM-MSGID 12 EMAILID (M1) UID 1 BODY[HEADER.FIELDS (TO)] {5}\r\nTo: b BODY[] {3}\r\none X-GM-LABELS ({1}\r\n\"))\r\nTAG OK x\r\n", one, 0, ""},
		{"unknown replies", "* VANISHED (EARLIER) 1:9\r\n* XLIST () \"/\" x\r\n* XFOO {3}\r\nabc\r\n* 3 EXPUNGE\r\n" + ok + "* 9 EXISTS\r\n* LIST (\r\n* FLAGS (foo]bar)\r\n* CAPABILITY IMAP4rev1 (\r\n* STATUS {2}\r\nab ()\r\nTAG OK x\r\n", one, 0, ""},
		{"literal8", "* 1 FETCH (UID 1 BODY[] ~{3}\r\none)\r\nTAG OK x\r\n", one, 0, ""},
		{"lower case", "* 1 fetch (uid 1 body[] {3}\r\none)\r\nTAG ok x\r\n", one, 0, ""},
		{"code in odd shape", ok + "* OK [CAPABILITY (((] x\r\nTAG OK [APPENDUID x (] x\r\n", one, 0, ""},
		{"negative literal", "* 1 FETCH (UID 1 BODY[] {-5}\r\nTAG OK x\r\n", nil, ClassProtocol, ""},
		{"literal over int64", ok + "* 2 FETCH (UID 2 BODY[] {9223372036854775808}\r\nTAG OK x\r\n", one, ClassProtocol, ""},
		{"literal with plus", "* 1 FETCH (UID 1 BODY[] {5+}\r\nTAG OK x\r\n", nil, ClassProtocol, ""},
		{"truncated, hung up", ok + "* 2 FETCH (UID 2 BODY[] {5}\r\nhe", one, ClassTransient, "hangup"},
		{"truncated, stalled", ok + "* 2 FETCH (UID 2 BODY[] {5}\r\nhe", one, ClassTransient, "stall"},
		{"4 GiB promised", ok + "* 2 FETCH (UID 2 BODY[] {4294967296}\r\nhe", one, ClassTransient, "hangup"},
		{"hung up between messages", ok, one, ClassTransient, "hangup"},
		{"BYE", ok + "* BYE Too many connections\r\n", one, ClassThrottled, "hangup"},
		{"BYE and silence", ok + "* BYE [UNAVAILABLE] later\r\n", one, ClassBusy, "stall"},
		{"NO", ok + "TAG NO [CORRUPTION] bad\r\n", one, ClassMessage, ""},
		{"NO and throttled", ok + "TAG BAD Request is throttled. Suggested Backoff Time: 299950 milliseconds\r\n", one, ClassThrottled, ""},
		{"BAD", ok + "TAG BAD parse error\r\n", one, ClassProtocol, ""},
		{"unknown tag", ok + "T999 OK x\r\n", one, ClassProtocol, ""},
		{"tag of ours", ok + "X9 OK x\r\n", one, ClassProtocol, ""},
		{"unasked continuation", ok + "+ go on\r\nTAG OK x\r\n", one, ClassProtocol, ""},
		{"PREAUTH as an answer", "TAG PREAUTH x\r\n", nil, ClassProtocol, ""},
		{"silence", "* OK still here\r\n", nil, ClassTransient, "stall"},
		{"HTTP", "HTTP/1.1 400 Bad Request\r\n", nil, ClassProtocol, "hangup"},
		{"empty lines", "\r\n\r\n", nil, ClassProtocol, "hangup"},
		{"star", "*\r\n", nil, ClassProtocol, "hangup"},
	} {
		t.Run(c.name, inBubble(func(t *testing.T) {
			s := serveInMemory(t, hostile.Options{Mailboxes: inbox("one", "two"), Script: func(s *hostile.Session, cmd hostile.Command) bool {
				if cmd.Name != "UID FETCH" {
					return false
				}
				s.Send(strings.ReplaceAll(c.reply, "TAG", cmd.Tag))
				switch c.then {
				case "hangup":
					s.HangUp()
				case "stall":
					s.Stall()
				}
				return true
			}})
			conn := connect(t, s, hasty(s))
			start := time.Now()
			got, err := bodies(t.Context(), conn, span(1, 2))
			if took := time.Since(start); took > 4*time.Second {
				t.Errorf("took %v", took)
			}
			if !maps.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if class := Classify(err); class != c.class || (err != nil) != (c.class != 0) {
				t.Errorf("error %v is %v, want %v", err, class, c.class)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("error is not one line: %q", err)
			}
		}))
	}
}

// grown is how many octets are allocated in all while f runs.
func grown(f func()) uint64 {
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&now)
	return now.TotalAlloc - before.TotalAlloc
}

// What would exhaust memory or time ends after little of either.
func TestFloodsAreBounded(t *testing.T) {
	spaces := strings.Repeat(" ", 1000)
	for _, c := range []struct {
		name  string
		flood func(s *hostile.Session)
		class Class
	}{
		{"endless line", func(s *hostile.Session) { s.Flood("* OK " + spaces) }, ClassProtocol},
		{"endless FETCH line", func(s *hostile.Session) { s.Send("* 1 FETCH (UID 1 FLAGS ("); s.Flood("\\Seen ") }, ClassProtocol},
		{"endless replies", func(s *hostile.Session) { s.Flood("* OK x\r\n") }, ClassProtocol},
		{"endless bodies", func(s *hostile.Session) { s.Flood("* 1 FETCH (UID 1 BODY[] {1}\r\nx)\r\n") }, ClassProtocol},
		{"endless unasked bodies", func(s *hostile.Session) { s.Flood("* 1 FETCH (UID 9 BODY[] {1}\r\nx)\r\n") }, ClassProtocol},
		{"endless metadata", func(s *hostile.Session) { s.Flood("* 1 FETCH (UID 1 FLAGS (a))\r\n") }, ClassProtocol},
		{"endless results", func(s *hostile.Session) { s.Flood("* SEARCH 1 3\r\n") }, ClassProtocol},
		{"endless status", func(s *hostile.Session) { s.Flood("* STATUS x (MESSAGES 1)\r\n") }, ClassProtocol},
		{"endless empty literals", func(s *hostile.Session) { s.Send("* 1 FETCH ("); s.Flood("{0}\r\n " + spaces) }, ClassProtocol},
		{"promised literal", func(s *hostile.Session) { s.Send("* 1 FETCH (UID 1 ENVELOPE ({1500000000}\r\n"); s.Flood(spaces) }, ClassProtocol},
		{"literals together", func(s *hostile.Session) {
			s.Send("* 1 FETCH (UID 1 ENVELOPE (")
			s.Flood("{1000}\r\n" + spaces)
		}, ClassProtocol},
		{"nesting", func(s *hostile.Session) {
			s.Send("* 1 FETCH (UID 1 BODYSTRUCTURE " + strings.Repeat("(", 60_000) + "\r\n")
			s.HangUp()
		}, ClassTransient},
		{"endless nesting", func(s *hostile.Session) { s.Send("* 1 FETCH (UID 1 BODYSTRUCTURE "); s.Flood("(((((((((") }, ClassProtocol},
		{"capability loop", func(s *hostile.Session) { s.Send("* CAPABILITY IMAP4rev1 (\r\n"); s.HangUp() }, ClassTransient},
		{"chatter without progress", func(s *hostile.Session) { s.Drip("* OK still here\r\n", time.Millisecond) }, ClassTransient},
		{"a line in drips", func(s *hostile.Session) { s.Send("* "); s.Drip("1", 20*time.Millisecond) }, ClassTransient},
		{"a body in drips", func(s *hostile.Session) {
			s.Send("* 1 FETCH (UID 1 BODY[] {100000}\r\n")
			s.Drip("1", 20*time.Millisecond)
		}, ClassTransient},
	} {
		for _, command := range []string{"Bodies", "Body", "Meta", "Search", "List"} {
			t.Run(c.name+"/"+command, inBubble(func(t *testing.T) {
				armed := false
				s := serveInMemory(t, hostile.Options{Mailboxes: inbox("one"), Script: func(s *hostile.Session, cmd hostile.Command) bool {
					if armed = armed || cmd.Name == "NOOP"; !armed || cmd.Name == "NOOP" {
						return false
					}
					c.flood(s)
					return true
				}})
				o := options(s)
				o.Limits.Untagged = 2000
				o.MinRate = MinRate{Octets: 1000, Window: 200 * time.Millisecond}
				o.Timeouts.Stall = time.Second
				conn := connect(t, s, o)
				if err := conn.Noop(t.Context()); err != nil {
					t.Fatal(err)
				}
				var err error
				start := time.Now()
				used := grown(func() {
					switch command {
					case "Bodies":
						_, err = bodies(t.Context(), conn, uid.Of(1))
					case "Body":
						err = conn.FetchBody(t.Context(), 1, func(_ int64, r io.Reader) error { _, err := io.Copy(io.Discard, r); return err })
					case "Meta":
						err = conn.FetchMetadata(t.Context(), MetadataQuery{Set: uid.Of(1)}, func(Metadata) error { return nil })
					case "Search":
						_, err = conn.Search(t.Context())
					case "List":
						_, err = conn.List(t.Context())
					}
				})
				if got := Classify(err); got != c.class {
					t.Errorf("error %v is %v, want %v", err, got, c.class)
				}
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("took %v", took)
				}
				if used > 32<<20 {
					t.Errorf("allocated %d octets in all", used)
				}
			}))
		}
	}
}

// A flood of search results is read up to the limit, in any order.
func TestSearchResultsAreBounded(t *testing.T) {
	s := serve(t, hostile.Options{Mailboxes: inbox(), Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name != "UID SEARCH" {
			return false
		}
		s.Write("* SEARCH")
		s.Flood(" 4000000000 3 3999999999 1")
		return true
	}})
	conn := connect(t, s, options(s))
	if _, err := conn.Search(t.Context()); Classify(err) != ClassProtocol || !errors.Is(err, ErrLimit) {
		t.Errorf("error %v", err)
	}
}

// A slow fn never trips a deadline: only the network's time counts.
func TestSlowDiskIsNotASlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInMemory(t, hostile.Options{Mailboxes: inbox(strings.Repeat("x", 1<<20), "two")})
		o := options(s)
		o.Timeouts.Idle, o.Timeouts.Answer, o.Timeouts.Stall = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
		o.MinRate = MinRate{Octets: 1 << 20, Window: 50 * time.Millisecond}
		conn := connect(t, s, o)
		n := 0
		err := conn.FetchBodies(t.Context(), span(1, 2), func(_ uint32, _ int64, r io.Reader) error {
			n++
			if _, err := io.ReadFull(r, make([]byte, 3)); err != nil {
				return err
			}
			<-time.After(300 * time.Millisecond) // the disk
			_, err := io.Copy(io.Discard, r)
			return err
		})
		if err != nil || n != 2 {
			t.Errorf("%d bodies, %v", n, err)
		}
	})
}

// Cancelling ends a command wherever it is, with the cause; so does Close.
func TestCancelAnywhere(t *testing.T) {
	cause := errors.New("shutting down")
	for _, security := range []Security{Plaintext, TLS} {
		for _, reply := range []string{
			"", "* 1 FETCH (UID", "* 1 FETCH (UID 1 BODY[] {10}\r\n", "* 1 FETCH (UID 1 BODY[] {10}\r\nabc",
			"* 1 FETCH (UID 1 BODY[] {1}\r\nx", "* 1 FETCH (UID 1 BODY[] {1}\r\nx)\r\n* OK ",
		} {
			for _, with := range []string{"cancel", "Close"} {
				sent := make(chan struct{})
				s := serve(t, hostile.Options{TLS: security == TLS, Mailboxes: inbox("one"), Script: func(s *hostile.Session, cmd hostile.Command) bool {
					if cmd.Name != "UID FETCH" {
						return false
					}
					s.Send(reply)
					close(sent)
					s.Stall()
					return true
				}})
				o := options(s)
				o.Security = security
				o.Timeouts.Idle, o.Timeouts.Answer = time.Minute, time.Minute
				conn := connect(t, s, o)
				ctx, cancel := context.WithCancelCause(t.Context())
				go func() {
					<-sent
					if with == "cancel" {
						cancel(cause)
					} else {
						conn.Close()
					}
				}()
				_, err := bodies(ctx, conn, uid.Of(1))
				if Classify(err) != ClassCanceled || with == "cancel" && !errors.Is(err, cause) {
					t.Errorf("%s after %q: %v", with, reply, err)
				}
				cancel(nil)
			}
		}
	}
}

// An error or panic of fn, and an unread literal, leave nothing hanging.
func TestFnGivesUp(t *testing.T) {
	mine := errors.New("disk full")
	newConn := func() *Conn {
		s := serve(t, hostile.Options{Mailboxes: inbox(strings.Repeat("x", 1<<20), strings.Repeat("y", 1<<20))})
		return connect(t, s, options(s))
	}
	fail := func(uint32, int64, io.Reader) error { return mine }
	conn := newConn()
	if err := conn.FetchBodies(t.Context(), span(1, 2), fail); err != mine {
		t.Errorf("Bodies = %v", err)
	}
	if err := conn.Noop(t.Context()); err != mine {
		t.Errorf("Noop after it = %v", err)
	}
	if err := newConn().FetchBody(t.Context(), 1, func(int64, io.Reader) error { return mine }); err != mine {
		t.Errorf("Body = %v", err)
	}
	if err := newConn().FetchMetadata(t.Context(), MetadataQuery{Set: span(1, 2)}, func(Metadata) error { return mine }); err != mine {
		t.Errorf("Meta = %v", err)
	}
	n := 0
	unread := func(uint32, int64, io.Reader) error { n++; return nil }
	if err := newConn().FetchBodies(t.Context(), span(1, 2), unread); err != nil || n != 2 {
		t.Errorf("unread: %d, %v", n, err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic came through")
			}
		}()
		_ = newConn().FetchBodies(t.Context(), span(1, 2), func(uint32, int64, io.Reader) error { panic("fn") })
	}()
}

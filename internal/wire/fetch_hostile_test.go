package wire

import (
	"context"
	"errors"
	"io"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"archiverd/internal/testing/hostile"
	"archiverd/internal/uid"
)

// bodyOne is an honest reply with the body of UID 1; onlyOne is what is delivered of
// it.
const bodyOne = "* 1 FETCH (UID 1 BODY[] {3}\r\none)\r\n"

var onlyOne = map[uint32]string{1: "one"}

// bodiesCase is a reply to a FETCH of the bodies of UIDs 1 and 2.
type bodiesCase struct {
	name, reply string
	want        map[uint32]string // what is delivered
	class       Class             // of the error; 0: none
	then        string            // what the server does after it: "hangup", "stall" or nothing
}

var bodiesCases = []bodiesCase{
	{"NIL", bodyOne + "* 2 FETCH (UID 2 BODY[] NIL)\r\nTAG OK x\r\n", onlyOne, 0, ""},
	{"quoted", bodyOne + "* 2 FETCH (UID 2 BODY[] \"hi\")\r\nTAG OK x\r\n", onlyOne, 0, ""},
	{"empty", "* 1 FETCH (UID 1 BODY[] {0}\r\n)\r\nTAG OK x\r\n", map[uint32]string{1: ""}, 0, ""},
	{"OK with nothing", "TAG OK [EXPUNGEISSUED] x\r\n", nil, 0, ""},
	{"OK without text", bodyOne + "TAG OK\r\n", onlyOne, 0, ""},
	{"UID after the body", bodyOne + "* 2 FETCH (BODY[] {5}\r\nhello UID 2)\r\nTAG OK x\r\n", onlyOne, 0, ""},
	{"flags before the body", "* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n" + bodyOne + "TAG OK x\r\n", onlyOne, 0, ""},
	{"flags in the body's reply", "* 1 FETCH (FLAGS (foo]bar \"\\\\Deleted\" Gr\xc3\xb6\xc3\x9fe \x85) UID 1 INTERNALDATE NIL BODY[] {3}\r\none FLAGS NIL)\r\nTAG OK x\r\n", onlyOne, 0, ""},
	{"unasked, zero and repeated UIDs", bodyOne + "* 1 FETCH (UID 1 BODY[] {3}\r\ntwo)\r\n* 9 FETCH (UID 9 BODY[] {3}\r\nabc)\r\n* 3 FETCH (UID 0 BODY[] {3}\r\nabc)\r\n* 4 FETCH (BODY[] {3}\r\nabc)\r\nTAG OK x\r\n", onlyOne, 0, ""},
	{"two UIDs in a reply", "* 1 FETCH (UID 2 UID 1 BODY[] {3}\r\nabc)\r\n" + bodyOne + "TAG OK x\r\n", onlyOne, 0, ""},
	{"two bodies in a reply", "* 1 FETCH (UID 1 BODY[] {3}\r\none BODY[] {3}\r\ntwo)\r\nTAG OK x\r\n", nil, ClassProtocol, ""},
	{"body announced too short", bodyOne + "* 2 FETCH (UID 2 BODY[] {3}\r\none and more\r\n)\r\nTAG OK x\r\n", onlyOne, ClassProtocol, ""},
	{"body announced too short by a line", bodyOne + "* 2 FETCH (UID 2 BODY[] {3}\r\none\r\n)\r\nTAG OK x\r\n", onlyOne, ClassProtocol, ""},
	{"body that ends in the next reply", bodyOne + "* 2 FETCH (UID 2 BODY[] {19}\r\nhello)\r\n* 3 FETCH (UID 3 BODY[] {3}\r\ntwo)\r\nTAG OK x\r\n", onlyOne, ClassProtocol, ""},
	{"body that ends in the next body", bodyOne + "* 2 FETCH (UID 2 BODY[] {43}\r\nhello)\r\n* 3 FETCH (UID 3 BODY[] {17}\r\nsome or\r\nother)\r\n)\r\nTAG OK x\r\n", onlyOne, ClassProtocol, ""},
	{"another UID behind the body", bodyOne + "* 2 FETCH (UID 2 BODY[] {3}\r\ntwo UID 3)\r\nTAG OK x\r\n", onlyOne, ClassProtocol, ""},
	{"cut behind the body", bodyOne + "* 2 FETCH (UID 2 BODY[] {3}\r\ntwo", onlyOne, ClassTransient, "hangup"},
	{"other literals around", "* 1 FETCH (X-GM-LABELS ({4}\r\n(\") ) UID 1 BODY[HEADER] {5}\r\nA: b\n BODY[] {3}\r\none RFC822 {2}\r\n)()\r\nTAG OK x\r\n", onlyOne, 0, ""},
	{"unknown items", "* 1 FETCH (X-GM-MSGID 12 EMAILID (M1) UID 1 BODY[HEADER.FIELDS (TO)] {5}\r\nTo: b BODY[] {3}\r\none X-GM-LABELS ({1}\r\n\"))\r\nTAG OK x\r\n", onlyOne, 0, ""},
	{"unknown replies", "* VANISHED (EARLIER) 1:9\r\n* XLIST () \"/\" x\r\n* XFOO {3}\r\nabc\r\n* 3 EXPUNGE\r\n" + bodyOne + "* 9 EXISTS\r\n* LIST (\r\n* FLAGS (foo]bar)\r\n* CAPABILITY IMAP4rev1 (\r\n* STATUS {2}\r\nab ()\r\nTAG OK x\r\n", onlyOne, 0, ""},
	{"literal8", "* 1 FETCH (UID 1 BODY[] ~{3}\r\none)\r\nTAG OK x\r\n", onlyOne, 0, ""},
	{"lower case", "* 1 fetch (uid 1 body[] {3}\r\none)\r\nTAG ok x\r\n", onlyOne, 0, ""},
	{"code in odd shape", bodyOne + "* OK [CAPABILITY (((] x\r\nTAG OK [APPENDUID x (] x\r\n", onlyOne, 0, ""},
	{"negative literal", "* 1 FETCH (UID 1 BODY[] {-5}\r\nTAG OK x\r\n", nil, ClassProtocol, ""},
	{"literal over int64", bodyOne + "* 2 FETCH (UID 2 BODY[] {9223372036854775808}\r\nTAG OK x\r\n", onlyOne, ClassProtocol, ""},
	{"literal with plus", "* 1 FETCH (UID 1 BODY[] {5+}\r\nTAG OK x\r\n", nil, ClassProtocol, ""},
	{"truncated, hung up", bodyOne + "* 2 FETCH (UID 2 BODY[] {5}\r\nhe", onlyOne, ClassTransient, "hangup"},
	{"truncated, stalled", bodyOne + "* 2 FETCH (UID 2 BODY[] {5}\r\nhe", onlyOne, ClassTransient, "stall"},
	{"4 GiB promised", bodyOne + "* 2 FETCH (UID 2 BODY[] {4294967296}\r\nhe", onlyOne, ClassTransient, "hangup"},
	{"hung up between messages", bodyOne, onlyOne, ClassTransient, "hangup"},
	{"BYE", bodyOne + "* BYE Too many connections\r\n", onlyOne, ClassThrottled, "hangup"},
	{"BYE and silence", bodyOne + "* BYE [UNAVAILABLE] later\r\n", onlyOne, ClassBusy, "stall"},
	{"NO", bodyOne + "TAG NO [CORRUPTION] bad\r\n", onlyOne, ClassMessage, ""},
	{"NO and throttled", bodyOne + "TAG BAD Request is throttled. Suggested Backoff Time: 299950 milliseconds\r\n", onlyOne, ClassThrottled, ""},
	{"BAD", bodyOne + "TAG BAD parse error\r\n", onlyOne, ClassProtocol, ""},
	{"unknown tag", bodyOne + "T999 OK x\r\n", onlyOne, ClassProtocol, ""},
	{"tag of ours", bodyOne + "X9 OK x\r\n", onlyOne, ClassProtocol, ""},
	{"unasked continuation", bodyOne + "+ go on\r\nTAG OK x\r\n", onlyOne, ClassProtocol, ""},
	{"PREAUTH as an answer", "TAG PREAUTH x\r\n", nil, ClassProtocol, ""},
	{"silence", "* OK still here\r\n", nil, ClassTransient, "stall"},
	{"HTTP", "HTTP/1.1 400 Bad Request\r\n", nil, ClassProtocol, "hangup"},
	{"empty lines", "\r\n\r\n", nil, ClassProtocol, "hangup"},
	{"star", "*\r\n", nil, ClassProtocol, "hangup"},
}

// FetchBodies ends in bounded time whatever the server sends. It delivers the whole
// bodies among it, and its error has the class of what is wrong.
func TestFetchBodiesFromHostileServers(t *testing.T) {
	for _, c := range bodiesCases {
		t.Run(c.name, withFakeClock(func(t *testing.T) {
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
			conn := connect(t, s, shortOptions(s))
			start := time.Now()
			got, err := fetchBodies(t.Context(), conn, uidRange(1, 2))
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

// floodCase is a server that answers a command without end.
type floodCase struct {
	name  string
	flood func(s *hostile.Session)
	class Class
}

var thousandSpaces = strings.Repeat(" ", 1000)

var floodCases = []floodCase{
	{"endless line", func(s *hostile.Session) { s.Flood("* OK " + thousandSpaces) }, ClassProtocol},
	{"endless FETCH line", func(s *hostile.Session) { s.Send("* 1 FETCH (UID 1 FLAGS ("); s.Flood("\\Seen ") }, ClassProtocol},
	{"endless replies", func(s *hostile.Session) { s.Flood("* OK x\r\n") }, ClassProtocol},
	{"endless bodies", func(s *hostile.Session) { s.Flood("* 1 FETCH (UID 1 BODY[] {1}\r\nx)\r\n") }, ClassProtocol},
	{"endless unasked bodies", func(s *hostile.Session) { s.Flood("* 1 FETCH (UID 9 BODY[] {1}\r\nx)\r\n") }, ClassProtocol},
	{"endless metadata", func(s *hostile.Session) { s.Flood("* 1 FETCH (UID 1 FLAGS (a))\r\n") }, ClassProtocol},
	{"endless results", func(s *hostile.Session) { s.Flood("* SEARCH 1 3\r\n") }, ClassProtocol},
	{"endless status", func(s *hostile.Session) { s.Flood("* STATUS x (MESSAGES 1)\r\n") }, ClassProtocol},
	{"endless empty literals", func(s *hostile.Session) { s.Send("* 1 FETCH ("); s.Flood("{0}\r\n " + thousandSpaces) }, ClassProtocol},
	{"endless empty literals without text", func(s *hostile.Session) { s.Send("* 1 FETCH (UID 1 FLAGS ("); s.Flood("{0}\r\n") }, ClassProtocol},
	{"endless empty bodies in one reply", func(s *hostile.Session) { s.Send("* 1 FETCH (UID 9"); s.Flood(" BODY[] {0}\r\n") }, ClassProtocol},
	{"promised literal", func(s *hostile.Session) {
		s.Send("* 1 FETCH (UID 1 ENVELOPE ({1500000000}\r\n")
		s.Flood(thousandSpaces)
	}, ClassProtocol},
	{"literals together", func(s *hostile.Session) {
		s.Send("* 1 FETCH (UID 1 ENVELOPE (")
		s.Flood("{1000}\r\n" + thousandSpaces)
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
}

// readingCommand is a command whose answer may be a flood.
type readingCommand struct {
	name string
	run  func(context.Context, *Conn) error
}

var readingCommands = []readingCommand{
	{"FetchBodies", func(ctx context.Context, c *Conn) error { _, err := fetchBodies(ctx, c, uid.Of(1)); return err }},
	{"FetchBody", func(ctx context.Context, c *Conn) error {
		return c.FetchBody(ctx, 1, func(_ int64, r io.Reader) error { _, err := io.Copy(io.Discard, r); return err })
	}},
	{"FetchMetadata", func(ctx context.Context, c *Conn) error {
		return c.FetchMetadata(ctx, MetadataQuery{Set: uid.Of(1)}, func(Metadata) error { return nil })
	}},
	{"Search", func(ctx context.Context, c *Conn) error { _, err := c.Search(ctx); return err }},
	{"List", func(ctx context.Context, c *Conn) error { _, err := c.List(ctx); return err }},
}

// Every reading command ends after little time and memory when the server sends
// without end.
func TestFloodsAreBounded(t *testing.T) {
	for _, c := range floodCases {
		for _, command := range readingCommands {
			t.Run(c.name+"/"+command.name, withFakeClock(func(t *testing.T) {
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
				used := allocated(func() { err = command.run(t.Context(), conn) })
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

// Search stops at Limits.Search, in whatever order the results come.
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

// A slow callback never exceeds a deadline or falls below the minimum rate: only the time
// that the client waits for the network counts.
func TestSlowDiskIsNotASlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInMemory(t, hostile.Options{Mailboxes: inbox(strings.Repeat("x", 1<<20), "two")})
		o := options(s)
		o.Timeouts.Idle, o.Timeouts.Answer, o.Timeouts.Stall = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
		o.MinRate = MinRate{Octets: 1 << 20, Window: 50 * time.Millisecond}
		conn := connect(t, s, o)
		n := 0
		err := conn.FetchBodies(t.Context(), uidRange(1, 2), func(_ uint32, _ int64, r io.Reader) error {
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

// A cancelled context ends a FETCH at any point of its answer, with its cause. Close ends
// it too.
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
				_, err := fetchBodies(ctx, conn, uid.Of(1))
				if Classify(err) != ClassCanceled || with == "cancel" && !errors.Is(err, cause) {
					t.Errorf("%s after %q: %v", with, reply, err)
				}
				cancel(nil)
			}
		}
	}
}

// An error of a callback ends the command and the connection, and is returned as it is; a
// panic reaches the caller. A body that the callback does not read is skipped.
func TestCallbackFails(t *testing.T) {
	callbackErr := errors.New("disk full")
	newConn := func() *Conn {
		s := serve(t, hostile.Options{Mailboxes: inbox(strings.Repeat("x", 1<<20), strings.Repeat("y", 1<<20))})
		return connect(t, s, options(s))
	}
	fail := func(uint32, int64, io.Reader) error { return callbackErr }
	conn := newConn()
	if err := conn.FetchBodies(t.Context(), uidRange(1, 2), fail); err != callbackErr {
		t.Errorf("FetchBodies = %v", err)
	}
	if err := conn.Noop(t.Context()); err != callbackErr {
		t.Errorf("Noop after it = %v", err)
	}
	if err := newConn().FetchBody(t.Context(), 1, func(int64, io.Reader) error { return callbackErr }); err != callbackErr {
		t.Errorf("FetchBody = %v", err)
	}
	if err := newConn().FetchMetadata(t.Context(), MetadataQuery{Set: uidRange(1, 2)}, func(Metadata) error { return callbackErr }); err != callbackErr {
		t.Errorf("FetchMetadata = %v", err)
	}
	n := 0
	unread := func(uint32, int64, io.Reader) error { n++; return nil }
	if err := newConn().FetchBodies(t.Context(), uidRange(1, 2), unread); err != nil || n != 2 {
		t.Errorf("unread: %d, %v", n, err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic came through")
			}
		}()
		_ = newConn().FetchBodies(t.Context(), uidRange(1, 2), func(uint32, int64, io.Reader) error { panic("fn") })
	}()
}

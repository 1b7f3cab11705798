package wire

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"archiverd/internal/testing/hostile"
	"archiverd/internal/uid"
)

// heapAfter returns the octets of live memory after f, beside what was live before.
func heapAfter(f func()) int64 {
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.GC()
	runtime.ReadMemStats(&now)
	return int64(now.HeapAlloc) - int64(before.HeapAlloc)
}

// A mailbox whose name has a million octets is an error of that mailbox, and little of
// the name stays in memory.
func TestLongMailboxNamesAreNotKept(t *testing.T) {
	const names = 40
	s := serve(t, hostile.Options{Mailboxes: inbox(), Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name != "LIST" {
			return false
		}
		for i := range names {
			s.Write(fmt.Sprintf("* LIST () \"/\" {1000000}\r\n%06d", i) + strings.Repeat("x", 1_000_000-6) + "\r\n")
			s.Write("* LIST (" + strings.Repeat("\\A ", 20_000) + `) "/" ` + fmt.Sprint("short", i) + "\r\n")
		}
		s.Send(cmd.Tag + " OK x\r\n")
		return true
	}})
	conn := connect(t, s, options(s))
	var list []Mailbox
	var err error
	kept := heapAfter(func() { list, err = conn.List(t.Context()) })
	if err != nil || len(list) != 2*names || kept > 4<<20 {
		t.Fatalf("%d mailboxes in %d octets, %v", len(list), kept, err)
	}
	if m := list[0]; !errors.Is(m.Err, ErrLimit) || m.Selectable() || m.IsRest() || len(m.Name) > 200 || m.Name == list[2].Name {
		t.Errorf("%+v", m)
	}
	if m := list[1]; m.Err != nil || len(m.Attrs) != maxAttrs {
		t.Errorf("%d attributes, %v", len(m.Attrs), m.Err)
	}
	runtime.KeepAlive(list)
}

// A list of more mailboxes than the limit is returned up to the limit, and says how many
// are left out.
func TestMailboxesBeyondTheLimitAreCounted(t *testing.T) {
	for _, capabilities := range []string{"IMAP4rev1", "IMAP4rev1 LIST-STATUS"} {
		o := hostile.Options{Capabilities: capabilities}
		for i := range 25 {
			o.Mailboxes = append(o.Mailboxes, hostile.Mailbox{Name: fmt.Sprint("m", i), UIDValidity: 7})
		}
		s := serve(t, o)
		wo := options(s)
		wo.Limits.Mailboxes = 20
		conn := dialAndLogin(t, wo, "alice", "secret")
		list, err := conn.List(t.Context())
		if err != nil || len(list) != 21 {
			t.Fatalf("%d mailboxes, %v", len(list), err)
		}
		if m := list[20]; !m.IsRest() || m.Selectable() || !errors.Is(m.Err, ErrLimit) || !strings.Contains(m.Err.Error(), "5 mailboxes more than the 20") {
			t.Errorf("%+v", m)
		}
		if m := list[19]; m.Err != nil || m.Status == nil {
			t.Errorf("%+v", m)
		}
	}
}

// Very many, or very long, flags of a message are a problem of its metadata.
func TestFlagsOfAMessageAreBounded(t *testing.T) {
	for _, flags := range []string{
		"{900000}\r\n" + strings.Repeat("x", 900_000),
		strings.Repeat("a ", 20_000),
		strings.Repeat(`"a"`, 20_000),
	} {
		s := serve(t, hostile.Options{Mailboxes: inbox(), Script: answer("UID FETCH", "* 1 FETCH (UID 1 RFC822.SIZE 5 FLAGS ("+flags+"))\r\nTAG OK x\r\n")})
		conn := connect(t, s, options(s))
		got, err := fetchMetadata(t.Context(), conn, MetadataQuery{Set: uid.Of(1)})
		if err != nil || len(got) != 1 || got[0].HasFlags || len(got[0].Flags) > 0 || !strings.Contains(got[0].Problem, "flags") || got[0].Size != 5 {
			t.Errorf("%.20q: %d, %v", flags, len(got), err)
		}
	}
}

// A search result in one line of any length is read in parts: no buffer grows with it.
func TestSearchLineOf30MillionOctets(t *testing.T) {
	const results = 3_000_000
	for _, c := range []struct{ head, separator, tail string }{
		{"* SEARCH ", " ", ""}, {"* SEARCH ", " ", " (MODSEQ 917162500)"}, {"* ESEARCH (TAG \"X2\") UID COUNT 3 ALL ", ",", " MODSEQ 5"},
	} {
		s := serve(t, hostile.Options{Mailboxes: inbox(), Script: func(s *hostile.Session, cmd hostile.Command) bool {
			if cmd.Name != "UID SEARCH" {
				return false
			}
			s.Write(c.head)
			for i := range results {
				if i > 0 {
					s.Write(c.separator)
				}
				s.Write(fmt.Sprint(1_000_000_000 + i))
			}
			s.Send(c.tail + "\r\n" + cmd.Tag + " OK x\r\n")
			return true
		}})
		conn := connect(t, s, options(s))
		set, err := conn.Search(t.Context())
		if err != nil || set.Len() != results || set.String() != fmt.Sprintf("1000000000:%d", 1_000_000_000+results-1) {
			t.Errorf("%q: %d UIDs, %v", c.head, set.Len(), err)
		}
		if n := len(conn.in.buf); n > readBufferSize {
			t.Errorf("%q: buffer of %d octets", c.head, n)
		}
	}
}

// A search result is cut at any place of a line without an effect on what it says.
func TestSearchLineIsCutAnywhere(t *testing.T) {
	for limit := 60; limit < 120; limit++ {
		for reply, want := range map[string]string{
			"* SEARCH 100 200 300 400 500 600 700 800 900 1000 1100 1200 1300 1400 1500 1600 1700 1800 1900 (MODSEQ 917162500)": "100,200,300,400,500,600,700,800,900,1000,1100,1200,1300,1400,1500,1600,1700,1800,1900",
			"* ESEARCH (TAG \"X2\") UID ALL 100,200:205,300,400,500,600,700,800:900,1000,1100,1200,1300,1400 MODSEQ 5":          "100,200:205,300,400,500,600,700,800:900,1000,1100,1200,1300,1400",
		} {
			s := serve(t, hostile.Options{Mailboxes: inbox(), Script: answer("UID SEARCH", reply+"\r\nTAG OK x\r\n")})
			conn := connect(t, s, options(s))
			conn.in.limits.Line = limit
			set, err := conn.Search(t.Context())
			if err != nil || set.String() != want {
				t.Errorf("limit %d: %q, %v", limit, set, err)
			}
		}
	}
}

// A hostile line that begins like a search result, and has no place to be cut, ends the
// connection.
func TestSearchLineWithoutResults(t *testing.T) {
	for _, line := range []string{
		"* SEARCH" + strings.Repeat("1", 200_000), "* SEARCH " + strings.Repeat("1", 200_000), "* SEARCH " + strings.Repeat("(", 200_000), "* SEARCH " + strings.Repeat("1 (MODSEQ ", 20_000),
		"* ESEARCH" + strings.Repeat(" 1", 100_000), "* ESEARCH UID ALL " + strings.Repeat("1", 200_000), "* ESEARCH (" + strings.Repeat(",", 200_000) + " ALL 1",
		"* SEARCH" + strings.Repeat(" 1", 32_760) + " {100000}\r\n" + strings.Repeat("1 ", 50_000),
	} {
		s := serve(t, hostile.Options{Mailboxes: inbox(), Script: answer("UID SEARCH", line+"\r\nTAG OK x\r\n")})
		conn := connect(t, s, options(s))
		if set, err := conn.Search(t.Context()); Classify(err) != ClassProtocol {
			t.Errorf("%.30q: %d UIDs, %v", line, set.Len(), err)
		}
	}
}

// every sends text again and again until the client has gone.
func every(s *hostile.Session, text string, pause time.Duration) {
	for i := range 100_000 {
		<-time.After(pause) // of the bubble's clock
		s.Send(strings.ReplaceAll(text, "N", fmt.Sprint(i)))
	}
}

// A server that says a little now and then keeps no command alive: beyond what its
// replies earn, each has Timeouts.Stall.
func TestDripsEndACommand(t *testing.T) {
	for _, c := range []struct {
		name, text string
		most       time.Duration
		run        readingCommand
	}{
		{"LIST", "* LIST () \"/\" mN\r\n", 17 * time.Minute, readingCommands[4]},
		{"UID SEARCH", "* SEARCH N1\r\n", 17 * time.Minute, readingCommands[3]},
		{"UID FETCH", "* 1 FETCH (UID 1 FLAGS (kN))\r\n", 17 * time.Minute, readingCommands[2]},
	} {
		t.Run(c.name, withFakeClock(func(t *testing.T) {
			s := serveInMemory(t, hostile.Options{Mailboxes: inbox(), Script: func(s *hostile.Session, cmd hostile.Command) bool {
				if cmd.Name != c.name {
					return false
				}
				s.HangUp()
				every(s, c.text, 9*time.Second)
				return true
			}})
			o := options(s)
			o.Timeouts = Timeouts{}
			conn := connect(t, s, o)
			start := time.Now()
			err := c.run.run(t.Context(), conn)
			if took := time.Since(start); took > c.most || !errors.Is(err, ErrTooSlow) {
				t.Errorf("took %v, %v", took, err)
			}
		}))
	}
}

// An APPEND that is never answered ends after five minutes, whatever else the server says.
func TestAppendIsNeverAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInMemory(t, hostile.Options{Mailboxes: inbox(), Script: func(s *hostile.Session, cmd hostile.Command) bool {
			if cmd.Name != "APPEND" {
				return false
			}
			s.HangUp()
			every(s, "* OK still at it\r\n", 9*time.Second)
			return true
		}})
		o := options(s)
		o.Timeouts = Timeouts{}
		conn := connect(t, s, o)
		start := time.Now()
		out, err := conn.Append(t.Context(), "INBOX", []AppendMessage{message("x")})
		if took := time.Since(start); took > 6*time.Minute || !errors.Is(err, ErrTooSlow) || states(out) != "?" {
			t.Errorf("%s after %v, %v", states(out), took, err)
		}
	})
}

// A greeting that comes an octet at a time does not take longer than Timeouts.Greeting.
func TestGreetingInDrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInMemory(t, hostile.Options{Greet: func(s *hostile.Session) bool { s.Drip("* OK hello ", 5*time.Second); return false }})
		o := options(s)
		o.Timeouts = Timeouts{}
		start := time.Now()
		_, err := Dial(t.Context(), o)
		if took := time.Since(start); took > 31*time.Second || Classify(err) != ClassTransient {
			t.Errorf("took %v, %v", took, err)
		}
	})
}

// A large body over a slow line is received whole, although it takes longer than
// Timeouts.Stall: its octets earn the time.
func TestLargeBodyOverASlowLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := strings.Repeat("x", 4<<20)
		s := serveInMemory(t, hostile.Options{Mailboxes: inbox(body), Script: func(s *hostile.Session, cmd hostile.Command) bool {
			if cmd.Name != "UID FETCH" {
				return false
			}
			s.Send(fmt.Sprintf("* 1 FETCH (UID 1 BODY[] {%d}\r\n", len(body)))
			for rest := body; rest != ""; rest = rest[min(2048, len(rest)):] {
				<-time.After(time.Second) // of the bubble's clock
				s.Send(rest[:min(2048, len(rest))])
			}
			s.Send(")\r\n" + cmd.Tag + " OK x\r\n")
			return true
		}})
		o := options(s)
		o.Timeouts = Timeouts{}
		conn := connect(t, s, o)
		start := time.Now()
		if got, err := fetchBodies(t.Context(), conn, uid.Of(1)); err != nil || got[1] != body {
			t.Errorf("%d octets after %v, %v", len(got[1]), time.Since(start), err)
		}
		if took := time.Since(start); took < 16*time.Minute {
			t.Errorf("the test took only %v", took)
		}
	})
}

// Replies of the greatest length that is allowed end a command after some megabytes, not
// after as many as there may be short ones.
func TestLongRepliesAreBoundedTogether(t *testing.T) {
	long := strings.Repeat("k ", 30_000)
	for _, command := range readingCommands {
		for _, line := range []string{"* OK [PERMANENTFLAGS (" + long + ")] x\r\n", "* XNOTHING " + long + "\r\n"} {
			armed, lines := false, 0
			s := serve(t, hostile.Options{Mailboxes: inbox("one"), Script: func(s *hostile.Session, cmd hostile.Command) bool {
				if armed = armed || cmd.Name == "NOOP"; !armed || cmd.Name == "NOOP" {
					return false
				}
				for lines = 0; lines < 20_000 && s.Open != nil; lines++ {
					s.Write(line)
				}
				s.Send(cmd.Tag + " OK x\r\n")
				return true
			}})
			conn := connect(t, s, options(s))
			if err := conn.Noop(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := command.run(t.Context(), conn); !errors.Is(err, ErrLimit) {
				t.Errorf("%s, %.20q: %v", command.name, line, err)
			}
		}
	}
}

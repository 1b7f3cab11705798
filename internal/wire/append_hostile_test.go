package wire

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"archiverd/internal/testing/hostile"
)

// script is a server's part in APPEND: what it says at each literal and at the end
// of each command, in turn; the last goes on. In it TAG stands for the tag; "+" at
// a literal is the honest way; "" says nothing and waits; one with BYE hangs up.
type script struct {
	literals, ends []string
	literal, end   int
	unread         chan struct{} // if set: at a literal, stop reading until it is closed
}

func (x *script) turn(lines []string, n *int) string {
	line := lines[min(*n, len(lines)-1)]
	*n++
	return line
}

func (x *script) options(caps string) hostile.Options {
	o := hostile.Options{Capabilities: "IMAP4rev1 AUTH=PLAIN " + caps, Mailboxes: inbox(), Drop: 1000}
	if x.literals != nil {
		o.Literal = func(s *hostile.Session, sent string, waits bool) bool {
			tag, rest, _ := strings.Cut(sent, " ")
			if !strings.HasPrefix(rest, "APPEND") {
				return true
			}
			if x.unread != nil {
				<-x.unread
			}
			line := x.turn(x.literals, &x.literal)
			if line == "+" {
				return true
			}
			x.say(s, tag, line)
			return !waits
		}
	}
	o.Script = func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name != "APPEND" {
			return false
		}
		x.say(s, cmd.Tag, x.turn(x.ends, &x.end))
		return true
	}
	return o
}

func (x *script) say(s *hostile.Session, tag, line string) {
	if line == "" {
		s.Stall()
		return
	}
	s.Send(strings.ReplaceAll(line, "TAG", tag))
	if strings.Contains(line, "BYE") {
		s.HangUp()
	}
}

// Whatever a server does with APPEND: bounded, the right class, each message with
// what became of it, and a connection that goes on only if both sides are in step.
func TestAppendToHostileServers(t *testing.T) {
	const (
		sync  = ""
		plus  = "LITERAL+"
		multi = "LITERAL+ MULTIAPPEND"
		ok    = "TAG OK x\r\n"
	)
	yes := []string{"+"}
	for _, c := range []struct {
		name, caps     string
		literals, ends []string
		states         string // of three messages
		class          Class  // of the error; 0: none, and the connection goes on
		says           string // what the error, or that of the first message refused, says
	}{
		{"NO", sync, yes, []string{"TAG NO no room\r\n", ok}, "rdd", 0, "no room"},
		{"BAD", plus, yes, []string{ok, "TAG BAD what?\r\n", ok}, "drd", 0, "what?"},
		{"the last", plus, yes, []string{ok, ok, "TAG NO [OVERQUOTA] full\r\n"}, "ddr", 0, "[OVERQUOTA] full"},
		{"NO for all", multi, yes, []string{"TAG NO [TRYCREATE] create it\r\n"}, "rrr", 0, "[TRYCREATE]"},
		{"alert", plus, yes, []string{"* OK [ALERT] nearly full\r\n" + ok, "TAG NO x\r\n", ok}, "drd", 0, "nearly full"},
		{"password", plus, yes, []string{"TAG NO not for secret\r\n", ok}, "rdd", 0, "not for ***"},
		{"unsafe text", plus, yes, []string{"TAG NO \x1b[2Jx\r\n", ok}, "rdd", 0, "x"},

		{"NO instead of +", sync, []string{"TAG NO no room\r\n", "+"}, []string{ok}, "rdd", 0, "no room"},
		{"NO instead of the second +", "MULTIAPPEND", []string{"+", "TAG NO [TOOBIG] x\r\n"}, []string{ok}, "rrr", 0, "[TOOBIG]"},
		{"NO instead of + of a big one", "LITERAL- MULTIAPPEND", []string{"+", "+", "TAG NO x\r\n"}, []string{ok}, "rrr", 0, "NO x"},
		{"early NO, not to be asked", multi, []string{"TAG NO early\r\n", "+", "+"}, []string{"* OK heard\r\n"}, "rrr", 0, "early"},
		{"early NO, one of three", plus, []string{"+", "TAG NO early\r\n", "+"}, []string{ok, "* OK heard\r\n", ok}, "drd", 0, "early"},
		{"OK instead of +", sync, []string{ok}, []string{ok}, "nnn", ClassProtocol, "before it had the message"},
		{"rubbish instead of +", sync, []string{"yes please\r\n"}, []string{ok}, "nnn", ClassProtocol, "out of place"},
		{"another's tag instead of +", sync, []string{"X99 NO x\r\n"}, []string{ok}, "nnn", ClassProtocol, "out of place"},
		{"silence instead of +", sync, []string{""}, []string{ok}, "nnn", ClassTransient, "silent"},
		{"silence instead of the second +", sync, []string{"+", ""}, []string{ok}, "dnn", ClassTransient, "silent"},
		{"BYE instead of +", sync, []string{"* BYE down for the night\r\n"}, []string{ok}, "nnn", ClassBusy, "down for the night"},
		{"hung up instead of +", sync, []string{"* OK BYE\r\n"}, []string{ok}, "nnn", ClassTransient, "connection"},

		{"+ unasked", plus, []string{"+ go on\r\n"}, []string{ok}, "???", ClassProtocol, "out of place"},
		{"+ twice", sync, yes, []string{"+ more\r\n" + ok}, "dnn", ClassProtocol, "before it is offered"},
		{"tagged BYE", plus, yes, []string{"TAG BYE x\r\n"}, "???", ClassProtocol, "answered with BYE"},
		{"answered twice", plus, yes, []string{ok + ok}, "d??", ClassProtocol, "out of place"},
		{"rubbish", plus, yes, []string{ok, "TAG\r\n"}, "d??", ClassProtocol, "out of place"},
		{"silence", plus, yes, []string{ok, ""}, "d??", ClassTransient, "silent"},
		{"silence for all", multi, yes, []string{""}, "???", ClassTransient, "silent"},
		{"BYE", plus, yes, []string{ok, "* BYE [UNAVAILABLE] disk failed\r\n"}, "d??", ClassBusy, "disk failed"},
		{"hung up", plus, yes, []string{ok, "* OK BYE\r\n"}, "d??", ClassTransient, "connection"},
		{"flood", plus, yes, []string{strings.Repeat("* 1 EXISTS\r\n", 2000)}, "???", ClassProtocol, "nobody asked for"},
		{"endless line", plus, yes, []string{strings.Repeat("x", 1<<20)}, "???", ClassProtocol, "line of more than"},
		{"big literal", plus, yes, []string{"* 1 FETCH (X {1000000000}\r\n"}, "???", ClassProtocol, "exceeds the limit"},

		{"chatter", multi, yes, []string{"* 3 EXISTS\r\n* 1 EXPUNGE\r\n* OK hang on\r\n* 2 FETCH (FLAGS ({3}\r\nabc))\r\n* XFOO ((((\r\n" + ok}, "ddd", 0, ""},
		{"odd APPENDUID", multi, yes, []string{"TAG OK [APPENDUID 7 1:4294967295] x\r\n"}, "ddd", 0, ""},
		{"no end of the code", multi, yes, []string{"TAG OK [APPENDUID 7 1:3\r\n"}, "ddd", 0, ""},
	} {
		t.Run(c.name, inBubble(func(t *testing.T) {
			x := script{literals: c.literals, ends: c.ends}
			s := serveInMemory(t, x.options(c.caps))
			o := hasty(s)
			o.Limits.Untagged = 1000
			conn := connect(t, s, o)
			out, err := conn.Append(t.Context(), "INBOX", []AppendMessage{message("one"), message("two"), message(strings.Repeat("3", 5000))})
			if got := states(out); got != c.states || Classify(err) != c.class || (err != nil) != (c.class != 0) {
				t.Errorf("%s, error %v is %v, want %s", got, err, Classify(err), c.states)
			}
			said := err
			for _, o := range out {
				if (o.State == AppendRefused) != (o.Err != nil) || o.UID != 0 {
					t.Errorf("%+v", o)
				}
				if said == nil && o.Err != nil {
					said = o.Err
				}
			}
			if c.says != "" && (said == nil || !strings.Contains(said.Error(), c.says)) || c.says == "" && said != nil {
				t.Errorf("error %v does not say %q", said, c.says)
			}
			if said != nil && (strings.ContainsAny(said.Error(), "\r\n\x1b") || !strings.HasPrefix(said.Error(), "APPEND: ")) {
				t.Errorf("error %q", said)
			}
			if err := conn.Noop(t.Context()); (err == nil) != (c.class == 0) {
				t.Errorf("Noop = %v", err)
			}
		}))
	}
}

// The classes that a caller decides by.
func TestAppendRefusalClasses(t *testing.T) {
	for code, class := range map[string]Class{
		"": ClassMessage, "[TOOBIG]": ClassMessage, "[TRYCREATE]": ClassMailbox, "[OVERQUOTA]": ClassMailbox,
		"[NOPERM]": ClassMailbox, "[UNAVAILABLE]": ClassBusy, "[THROTTLED]": ClassThrottled,
	} {
		s := serve(t, hostile.Options{Mailboxes: inbox(), Script: answer("APPEND", "TAG NO "+code+" x\r\n")})
		conn := connect(t, s, options(s))
		out, err := conn.Append(t.Context(), "INBOX", []AppendMessage{message("x")})
		if err != nil || Classify(out[0].Err) != class || out[0].Err.(*Error).Code != strings.Trim(code, "[]") {
			t.Errorf("%q: %v, %v is %v", code, err, out[0].Err, Classify(out[0].Err))
		}
	}
}

// A server that stops reading in the midst of a message and hangs up: its last
// words are heard though nothing can be written any more.
func TestAppendByeInTheMidst(t *testing.T) {
	for _, security := range []Security{Plaintext, TLS} {
		for words, want := range map[string]string{"* BYE message is too big\r\n": "nn", "TAG NO [TOOBIG] x\r\n* BYE message is too big\r\n": "rn"} {
			o := hostile.Options{TLS: security == TLS, Capabilities: "IMAP4rev1 LITERAL+", Mailboxes: inbox()}
			o.Literal = func(s *hostile.Session, sent string, waits bool) bool {
				tag, _, _ := strings.Cut(sent, " ")
				if strings.Contains(sent, "APPEND") {
					s.Send(strings.ReplaceAll(words, "TAG", tag))
					s.HangUp()
					return false
				}
				return true
			}
			s := serve(t, o)
			opt := options(s)
			opt.Security = security
			conn := connect(t, s, opt)
			out, err := conn.Append(t.Context(), "INBOX", []AppendMessage{{Size: 100 << 20, Body: &endless{100 << 20, io.EOF}}, message("x")})
			if Classify(err) != ClassBusy || !strings.Contains(err.Error(), "too big") || states(out) != want {
				t.Errorf("%v %q: %s, %v", security, words, states(out), err)
			}
		}
	}
}

// A server that takes no octets any more ends in the time for a write.
func TestAppendToDeafServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := script{literals: []string{"+"}, ends: []string{"TAG OK x\r\n"}, unread: make(chan struct{})}
		s := serveInMemory(t, x.options("LITERAL+ MULTIAPPEND"))
		o := options(s)
		o.Timeouts.Write = 200 * time.Millisecond
		conn := connect(t, s, o)
		out, err := conn.Append(t.Context(), "INBOX", []AppendMessage{message("x"), {Size: 100 << 20, Body: &endless{100 << 20, io.EOF}}})
		close(x.unread)
		if Classify(err) != ClassTransient || states(out) != "nn" {
			t.Errorf("%s, %v", states(out), err)
		}
	})
}

// A body that is not what was announced ends the connection: what was complete
// before it counts, itself it does not.
func TestAppendBodyFails(t *testing.T) {
	mine := errors.New("disk failed")
	for _, c := range []struct {
		name string
		body AppendMessage
		is   error
	}{
		{"too short", AppendMessage{Size: 10, Body: strings.NewReader("short")}, io.ErrUnexpectedEOF},
		{"empty", AppendMessage{Size: 10, Body: strings.NewReader("")}, io.ErrUnexpectedEOF},
		{"too long", AppendMessage{Size: 10, Body: strings.NewReader("longer than ten")}, nil},
		{"fails", AppendMessage{Size: 10, Body: &endless{5, mine}}, mine},
		{"fails late", AppendMessage{Size: 1 << 20, Body: &endless{1<<20 - 1, mine}}, mine},
		{"fails in place of its end", AppendMessage{Size: 10, Body: &endless{10, mine}}, mine},
	} {
		for caps, want := range map[string]string{"": "ddnn", "LITERAL+": "ddnn", "LITERAL+ MULTIAPPEND": "nnnn", "MULTIAPPEND": "nnnn"} {
			t.Run(c.name+" "+caps, func(t *testing.T) {
				x := script{literals: []string{"+"}, ends: []string{"TAG OK x\r\n"}}
				s := serve(t, x.options(caps))
				conn := connect(t, s, options(s))
				big := strings.Repeat("x", 100_000)
				body := c.body
				if r, ok := body.Body.(*endless); ok {
					again := *r
					body.Body = &again
				} else {
					body.Body.(*strings.Reader).Seek(0, io.SeekStart)
				}
				out, err := conn.Append(t.Context(), "INBOX", []AppendMessage{message(big), message(big), body, message("x")})
				switch {
				case err == nil, c.is == mine && err != mine, c.is != nil && !errors.Is(err, c.is), Classify(err) != ClassUnknown:
					t.Errorf("error %v", err)
				}
				if got := states(out); got != want && got != "dnnn" { // the second may have waited in the buffer
					t.Errorf("%s, want %s", got, want)
				}
				if conn.Noop(t.Context()) == nil {
					t.Error("the connection goes on")
				}
				conn.Close()
				for _, line := range s.Commands() {
					if strings.HasPrefix(line, "APPEND") && (strings.Contains(caps, "MULTI") || strings.Contains(line, "{10")) && !strings.Contains(line, "{100000") {
						t.Errorf("the server has %q", line)
					}
				}
			})
		}
	}
	s := serve(t, hostile.Options{Mailboxes: inbox()})
	conn := connect(t, s, options(s))
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic came through")
			}
		}()
		_, _ = conn.Append(t.Context(), "INBOX", []AppendMessage{{Size: 10, Body: panicking{}}})
	}()
	if conn.Noop(t.Context()) == nil {
		t.Error("the connection goes on after a panic in a literal")
	}
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("Read") }

// What can't be said is not begun, and costs nothing.
func TestAppendNothingUnsendable(t *testing.T) {
	s := serve(t, hostile.Options{Capabilities: "IMAP4rev1 LITERAL+", Mailboxes: inbox()})
	conn := connect(t, s, options(s))
	good := message("x")
	for name, bad := range map[string]AppendMessage{
		"flag": message("x", `\Seen) {1}`), "line end": message("x", "a\r\nX9 DELETE INBOX"), "Recent": message("x", `\Recent`),
		"size": {Size: -1, Body: strings.NewReader("")}, "no body": {Size: 1},
		"year": {Date: time.Date(12024, 1, 1, 0, 0, 0, 0, time.UTC), Body: strings.NewReader("")},
		"zone": {Date: time.Unix(1e9, 0).In(time.FixedZone("", 400_000)), Body: strings.NewReader("")},
	} {
		out, err := conn.Append(t.Context(), "INBOX", []AppendMessage{good, bad})
		if Classify(err) != ClassMessage || !strings.Contains(err.Error(), "message 2 of 2") || states(out) != "nn" {
			t.Errorf("%s: %s, %v", name, states(out), err)
		}
	}
	if out, err := conn.Append(t.Context(), "a\r\nb", []AppendMessage{good}); Classify(err) != ClassMailbox || states(out) != "n" {
		t.Errorf("name: %s, %v", states(out), err)
	}
	if err := conn.Noop(t.Context()); err != nil {
		t.Error(err)
	}
	for _, line := range s.Commands() {
		if strings.HasPrefix(line, "APPEND") || strings.HasPrefix(line, "DELETE") {
			t.Errorf("sent %q", line)
		}
	}
}

// reading is a body that cancels when it is read.
type reading struct {
	io.Reader
	then func()
}

func (r *reading) Read(p []byte) (int, error) { r.then(); return r.Reader.Read(p) }

// A context that ends before, while sending, while waiting to be asked, and while
// waiting for the answer.
func TestAppendCanceled(t *testing.T) {
	cause := errors.New("shutting down")
	for _, c := range []struct{ at, caps, want string }{
		{"before", "", "nn"}, {"body", "LITERAL+", "nn"}, {"body", "LITERAL+ MULTIAPPEND", "nn"},
		{"literal", "", "nn"}, {"end", "", "?n"}, {"end", "LITERAL+", "??"}, {"end", "LITERAL+ MULTIAPPEND", "??"},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		at := func(point string) {
			if c.at == point {
				cancel(cause)
			}
		}
		o := hostile.Options{Capabilities: "IMAP4rev1 " + c.caps, Mailboxes: inbox()}
		o.Literal = func(s *hostile.Session, sent string, waits bool) bool {
			if strings.Contains(sent, "APPEND") && c.at == "literal" {
				cancel(cause)
				s.Stall()
				return false
			}
			return true
		}
		o.Script = func(s *hostile.Session, cmd hostile.Command) bool {
			if cmd.Name == "APPEND" {
				at("end")
				s.Stall()
				return true
			}
			return false
		}
		s := serve(t, o)
		opt := options(s)
		opt.Timeouts.Answer, opt.Timeouts.Idle = time.Minute, time.Minute
		conn := connect(t, s, opt)
		at("before")
		first := AppendMessage{Size: 1, Body: &reading{strings.NewReader("x"), func() {
			if at("body"); c.at == "body" {
				<-conn.failed.done
			}
		}}}
		out, err := conn.Append(ctx, "INBOX", []AppendMessage{first, message("y")})
		if Classify(err) != ClassCanceled || !errors.Is(err, cause) || states(out) != c.want {
			t.Errorf("%+v: %s, %v", c, states(out), err)
		}
		cancel(nil)
	}
}

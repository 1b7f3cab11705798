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

// appendScript is a server's part in APPEND. In its lines TAG stands for the command's
// tag; "" says nothing and waits; a line with BYE hangs up. The last line of a list is
// repeated.
type appendScript struct {
	literals     []string // at each literal; "+" is the honest continuation
	answers      []string // at the end of each command
	literalsSeen int
	answered     int
	unread       chan struct{} // if set: at a literal, stop reading until it is closed
}

// next returns line n of lines, or the last, and counts n up.
func (x *appendScript) next(lines []string, n *int) string {
	line := lines[min(*n, len(lines)-1)]
	*n++
	return line
}

// options returns the options of a server with these capabilities that follows x.
func (x *appendScript) options(caps string) hostile.Options {
	o := hostile.Options{Capabilities: "IMAP4rev1 AUTH=PLAIN " + caps, Mailboxes: inbox(), Drop: 1000}
	if x.literals != nil {
		o.Literal = x.literal
	}
	o.Script = func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name != "APPEND" {
			return false
		}
		x.send(s, cmd.Tag, x.next(x.answers, &x.answered))
		return true
	}
	return o
}

// literal is called at each literal of the client; see hostile.Options.Literal.
func (x *appendScript) literal(s *hostile.Session, sent string, waits bool) bool {
	tag, rest, _ := strings.Cut(sent, " ")
	if !strings.HasPrefix(rest, "APPEND") {
		return true
	}
	if x.unread != nil {
		<-x.unread
	}
	line := x.next(x.literals, &x.literalsSeen)
	if line == "+" {
		return true
	}
	x.send(s, tag, line)
	return !waits
}

func (x *appendScript) send(s *hostile.Session, tag, line string) {
	if line == "" {
		s.Stall()
		return
	}
	s.Send(strings.ReplaceAll(line, "TAG", tag))
	if strings.Contains(line, "BYE") {
		s.HangUp()
	}
}

const (
	noLiteralExtension = ""
	literalPlus        = "LITERAL+"
	multiAppend        = "LITERAL+ MULTIAPPEND"

	appendOK = "TAG OK x\r\n"
)

var plusAlways = []string{"+"}

// hostileAppendCase is an APPEND of three messages: the third has 5,000 octets, too many
// for LITERAL-.
type hostileAppendCase struct {
	name, caps        string
	literals, answers []string // of an appendScript
	states            string   // of the messages, see states
	class             Class    // of the error; 0: none, and the connection is still usable
	says              string   // what the error, or that of the first message refused, says
}

var hostileAppendCases = []hostileAppendCase{
	{"NO", noLiteralExtension, plusAlways, []string{"TAG NO no room\r\n", appendOK}, "rdd", 0, "no room"},
	{"BAD", literalPlus, plusAlways, []string{appendOK, "TAG BAD what?\r\n", appendOK}, "drd", 0, "what?"},
	{"the last", literalPlus, plusAlways, []string{appendOK, appendOK, "TAG NO [OVERQUOTA] full\r\n"}, "ddr", 0, "[OVERQUOTA] full"},
	{"NO for all", multiAppend, plusAlways, []string{"TAG NO [TRYCREATE] create it\r\n"}, "rrr", 0, "[TRYCREATE]"},
	{"alert", literalPlus, plusAlways, []string{"* OK [ALERT] nearly full\r\n" + appendOK, "TAG NO x\r\n", appendOK}, "drd", 0, "nearly full"},
	{"password", literalPlus, plusAlways, []string{"TAG NO not for secret\r\n", appendOK}, "rdd", 0, "not for ***"},
	{"unsafe text", literalPlus, plusAlways, []string{"TAG NO \x1b[2Jx\r\n", appendOK}, "rdd", 0, "x"},

	{"NO instead of +", noLiteralExtension, []string{"TAG NO no room\r\n", "+"}, []string{appendOK}, "rdd", 0, "no room"},
	{"NO instead of the second +", "MULTIAPPEND", []string{"+", "TAG NO [TOOBIG] x\r\n"}, []string{appendOK}, "rrr", 0, "[TOOBIG]"},
	{"NO instead of + of a big one", "LITERAL- MULTIAPPEND", []string{"+", "+", "TAG NO x\r\n"}, []string{appendOK}, "rrr", 0, "NO x"},
	{"early NO, not to be asked", multiAppend, []string{"TAG NO early\r\n", "+", "+"}, []string{"* OK heard\r\n"}, "rrr", 0, "early"},
	{"early NO, one of three", literalPlus, []string{"+", "TAG NO early\r\n", "+"}, []string{appendOK, "* OK heard\r\n", appendOK}, "drd", 0, "early"},
	{"OK instead of +", noLiteralExtension, []string{appendOK}, []string{appendOK}, "nnn", ClassProtocol, "before it had the message"},
	{"rubbish instead of +", noLiteralExtension, []string{"yes please\r\n"}, []string{appendOK}, "nnn", ClassProtocol, "out of place"},
	{"another's tag instead of +", noLiteralExtension, []string{"X99 NO x\r\n"}, []string{appendOK}, "nnn", ClassProtocol, "out of place"},
	{"silence instead of +", noLiteralExtension, []string{""}, []string{appendOK}, "nnn", ClassTransient, "silent"},
	{"silence instead of the second +", noLiteralExtension, []string{"+", ""}, []string{appendOK}, "dnn", ClassTransient, "silent"},
	{"BYE instead of +", noLiteralExtension, []string{"* BYE down for the night\r\n"}, []string{appendOK}, "nnn", ClassBusy, "down for the night"},
	{"hung up instead of +", noLiteralExtension, []string{"* OK BYE\r\n"}, []string{appendOK}, "nnn", ClassTransient, "connection"},

	{"+ unasked", literalPlus, []string{"+ go on\r\n"}, []string{appendOK}, "???", ClassProtocol, "out of place"},
	{"+ twice", noLiteralExtension, plusAlways, []string{"+ more\r\n" + appendOK}, "dnn", ClassProtocol, "before it is offered"},
	{"tagged BYE", literalPlus, plusAlways, []string{"TAG BYE x\r\n"}, "???", ClassProtocol, "answered with BYE"},
	{"answered twice", literalPlus, plusAlways, []string{appendOK + appendOK}, "d??", ClassProtocol, "out of place"},
	{"rubbish", literalPlus, plusAlways, []string{appendOK, "TAG\r\n"}, "d??", ClassProtocol, "out of place"},
	{"silence", literalPlus, plusAlways, []string{appendOK, ""}, "d??", ClassTransient, "silent"},
	{"silence for all", multiAppend, plusAlways, []string{""}, "???", ClassTransient, "silent"},
	{"BYE", literalPlus, plusAlways, []string{appendOK, "* BYE [UNAVAILABLE] disk failed\r\n"}, "d??", ClassBusy, "disk failed"},
	{"hung up", literalPlus, plusAlways, []string{appendOK, "* OK BYE\r\n"}, "d??", ClassTransient, "connection"},
	{"flood", literalPlus, plusAlways, []string{strings.Repeat("* 1 EXISTS\r\n", 2000)}, "???", ClassProtocol, "nobody asked for"},
	{"endless line", literalPlus, plusAlways, []string{strings.Repeat("x", 1<<20)}, "???", ClassProtocol, "line of more than"},
	{"big literal", literalPlus, plusAlways, []string{"* 1 FETCH (X {1000000000}\r\n"}, "???", ClassProtocol, "exceeds the limit"},

	{"chatter", multiAppend, plusAlways, []string{"* 3 EXISTS\r\n* 1 EXPUNGE\r\n* OK hang on\r\n* 2 FETCH (FLAGS ({3}\r\nabc))\r\n* XFOO ((((\r\n" + appendOK}, "ddd", 0, ""},
	{"odd APPENDUID", multiAppend, plusAlways, []string{"TAG OK [APPENDUID 7 1:4294967295] x\r\n"}, "ddd", 0, ""},
	{"no end of the code", multiAppend, plusAlways, []string{"TAG OK [APPENDUID 7 1:3\r\n"}, "ddd", 0, ""},
}

// APPEND ends in bounded time, whatever the server answers. The error has the right
// class, each message has the state that it is in, and the connection is usable only if
// both sides are in step.
func TestAppendToHostileServers(t *testing.T) {
	for _, c := range hostileAppendCases {
		t.Run(c.name, withFakeClock(func(t *testing.T) {
			x := appendScript{literals: c.literals, answers: c.answers}
			s := serveInMemory(t, x.options(c.caps))
			o := shortOptions(s)
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

// The response code of a refused APPEND decides the class of its error.
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

// A server stops reading in the middle of a message, answers and hangs up. Append reads
// its answer, although it can write nothing more.
func TestAppendHangUpDuringBody(t *testing.T) {
	for _, security := range []Security{Plaintext, TLS} {
		for text, want := range map[string]string{"* BYE message is too big\r\n": "nn", "TAG NO [TOOBIG] x\r\n* BYE message is too big\r\n": "rn"} {
			o := hostile.Options{TLS: security == TLS, Capabilities: "IMAP4rev1 LITERAL+", Mailboxes: inbox()}
			o.Literal = func(s *hostile.Session, sent string, waits bool) bool {
				tag, _, _ := strings.Cut(sent, " ")
				if strings.Contains(sent, "APPEND") {
					s.Send(strings.ReplaceAll(text, "TAG", tag))
					s.HangUp()
					return false
				}
				return true
			}
			s := serve(t, o)
			opt := options(s)
			opt.Security = security
			conn := connect(t, s, opt)
			out, err := conn.Append(t.Context(), "INBOX", []AppendMessage{{Size: 100 << 20, Body: &filler{100 << 20, io.EOF}}, message("x")})
			if Classify(err) != ClassBusy || !strings.Contains(err.Error(), "too big") || states(out) != want {
				t.Errorf("%v %q: %s, %v", security, text, states(out), err)
			}
		}
	}
}

// Append to a server that reads nothing more fails after Timeouts.Write.
func TestAppendToServerThatStopsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := appendScript{literals: []string{"+"}, answers: []string{"TAG OK x\r\n"}, unread: make(chan struct{})}
		s := serveInMemory(t, x.options("LITERAL+ MULTIAPPEND"))
		o := options(s)
		o.Timeouts.Write = 200 * time.Millisecond
		conn := connect(t, s, o)
		out, err := conn.Append(t.Context(), "INBOX", []AppendMessage{message("x"), {Size: 100 << 20, Body: &filler{100 << 20, io.EOF}}})
		close(x.unread)
		if Classify(err) != ClassTransient || states(out) != "nn" {
			t.Errorf("%s, %v", states(out), err)
		}
	})
}

// A body that does not have its announced size, or can not be read, ends the connection.
// The messages that were complete before it are appended, it is not.
func TestAppendBodyFails(t *testing.T) {
	readErr := errors.New("disk failed")
	for _, c := range []struct {
		name string
		body AppendMessage
		is   error
	}{
		{"too short", AppendMessage{Size: 10, Body: strings.NewReader("short")}, io.ErrUnexpectedEOF},
		{"empty", AppendMessage{Size: 10, Body: strings.NewReader("")}, io.ErrUnexpectedEOF},
		{"too long", AppendMessage{Size: 10, Body: strings.NewReader("longer than ten")}, nil},
		{"fails", AppendMessage{Size: 10, Body: &filler{5, readErr}}, readErr},
		{"fails late", AppendMessage{Size: 1 << 20, Body: &filler{1<<20 - 1, readErr}}, readErr},
		{"fails in place of its end", AppendMessage{Size: 10, Body: &filler{10, readErr}}, readErr},
	} {
		for caps, want := range map[string]string{"": "ddnn", "LITERAL+": "ddnn", "LITERAL+ MULTIAPPEND": "nnnn", "MULTIAPPEND": "nnnn"} {
			t.Run(c.name+" "+caps, func(t *testing.T) {
				x := appendScript{literals: []string{"+"}, answers: []string{"TAG OK x\r\n"}}
				s := serve(t, x.options(caps))
				conn := connect(t, s, options(s))
				big := strings.Repeat("x", 100_000)
				body := c.body
				if r, ok := body.Body.(*filler); ok {
					again := *r
					body.Body = &again
				} else {
					body.Body.(*strings.Reader).Seek(0, io.SeekStart)
				}
				out, err := conn.Append(t.Context(), "INBOX", []AppendMessage{message(big), message(big), body, message("x")})
				switch {
				case err == nil, c.is == readErr && err != readErr, c.is != nil && !errors.Is(err, c.is), Classify(err) != ClassUnknown:
					t.Errorf("error %v", err)
				}
				if got := states(out); got != want && got != "dnnn" { // the second may have waited in the buffer
					t.Errorf("%s, want %s", got, want)
				}
				if conn.Noop(t.Context()) == nil {
					t.Error("the connection is still usable")
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
}

// A panic while a body is read ends the connection, and reaches the caller.
func TestAppendBodyPanics(t *testing.T) {
	s := serve(t, hostile.Options{Mailboxes: inbox()})
	conn := connect(t, s, options(s))
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic came through")
			}
		}()
		_, _ = conn.Append(t.Context(), "INBOX", []AppendMessage{{Size: 10, Body: panicReader{}}})
	}()
	if conn.Noop(t.Context()) == nil {
		t.Error("the connection is still usable after a panic in a literal")
	}
}

// panicReader panics when it is read.
type panicReader struct{}

func (panicReader) Read([]byte) (int, error) { panic("Read") }

// Append refuses messages that can not be sent before it sends anything. The connection
// stays usable.
func TestAppendRejectsUnsendable(t *testing.T) {
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

// readHook is a body that calls then whenever it is read.
type readHook struct {
	io.Reader
	then func()
}

func (r *readHook) Read(p []byte) (int, error) { r.then(); return r.Reader.Read(p) }

// A context may end before Append, while it sends, while it waits for a continuation, and
// while it waits for the answer. A message is unknown only if all of it was sent.
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
		first := AppendMessage{Size: 1, Body: &readHook{strings.NewReader("x"), func() {
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

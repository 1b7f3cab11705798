package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"archiverd/internal/testing/hostile"
)

// message returns a message to append, without a date.
func message(body string, flags ...string) AppendMessage {
	return AppendMessage{Flags: flags, Size: int64(len(body)), Body: strings.NewReader(body)}
}

// states returns the states of the messages, a letter each: not sent (n), done (d),
// refused (r), unknown (?).
func states(out []Appended) string {
	var b strings.Builder
	for _, o := range out {
		fmt.Fprintf(&b, "%c", "ndr?"[o.State])
	}
	return b.String()
}

// literalWaits records for each literal of an APPEND whether the client waited for a
// continuation.
type literalWaits struct {
	mu   sync.Mutex
	list []bool
}

func (a *literalWaits) record(_ *hostile.Session, sent string, waits bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if strings.Contains(sent, "APPEND") {
		a.list = append(a.list, waits)
	}
	return true
}

// appendCase is an APPEND of four messages.
type appendCase struct {
	caps  string
	waits []bool // for each message: the client waits for a continuation
	one   bool   // all go in one command, MULTIAPPEND
}

var appendCases = []appendCase{
	{"", []bool{true, true, true, true}, false},
	{"LITERAL-", []bool{false, true, false, false}, false},
	{"LITERAL+", []bool{false, false, false, false}, false},
	{"MULTIAPPEND", []bool{true, true, true, true}, true},
	{"LITERAL- MULTIAPPEND", []bool{false, true, false, false}, true},
	{"LITERAL+ MULTIAPPEND", []bool{false, false, false, false}, true},
	{"LITERAL+ LITERAL- multiappend", []bool{false, false, false, false}, true},
}

// Append sends all messages in the form that the server's capabilities allow, and
// returns the UIDs of APPENDUID: with LITERAL+ or LITERAL- it does not wait for
// continuations, with MULTIAPPEND it sends one command.
func TestAppend(t *testing.T) {
	for _, c := range appendCases {
		t.Run(c.caps, func(t *testing.T) {
			var literals literalWaits
			s := serve(t, hostile.Options{
				Capabilities: "IMAP4rev1 AUTH=PLAIN " + c.caps, Mailboxes: inbox(), Literal: literals.record, Script: answerAppendUID(c.one),
			})
			conn := connect(t, s, options(s))
			msgs := []AppendMessage{message(smallMail, `\Seen`, "$Junk"), message(largeMail), message("NUL \x00, bare \r and\n{5+}\r\n", "x"), message(strings.Repeat("y", 4096))}
			msgs[0].Date = time.Date(2024, 2, 1, 3, 4, 5, 0, time.FixedZone("", -7*3600))
			out, err := conn.Append(t.Context(), `a "b" \c`, msgs)
			if err != nil || states(out) != "dddd" {
				t.Fatalf("Append = %v, %v", out, err)
			}
			want := []uint32{40, 41, 42, 43}
			if c.one {
				want = []uint32{40, 41, 50, 60}
			}
			for i, o := range out {
				if o.UIDValidity != 7 || o.UID != want[i] || o.Err != nil {
					t.Errorf("message %d: %+v, want UID %d", i, o, want[i])
				}
			}
			got := slices.DeleteFunc(s.Commands(), func(line string) bool { return !strings.HasPrefix(line, "APPEND") })
			if commands := c.commands(); !slices.Equal(got, commands) {
				t.Errorf("got  %.300q\nwant %.300q", got, commands)
			}
			if !slices.Equal(literals.list, c.waits) {
				t.Errorf("waited: %v, want %v", literals.list, c.waits)
			}
			if err := conn.Noop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// smallMail and largeMail fit and do not fit in a literal of LITERAL-.
var (
	smallMail = "Subject: small\r\n\r\nx"
	largeMail = strings.Repeat("0123456789abcde\n", 1000)
)

// answerAppendUID returns a script that answers each APPEND with the next UID from 40
// on, or, if one is set, with the UIDs of four messages.
func answerAppendUID(one bool) func(*hostile.Session, hostile.Command) bool {
	next := 40
	return func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name != "APPEND" {
			return false
		}
		uids := fmt.Sprint(next)
		if next++; one {
			uids = "40:41,50,60"
		}
		s.Send("* 3 EXISTS\r\n* 1 RECENT\r\n" + cmd.Tag + " OK [APPENDUID 7 " + uids + "] x\r\n")
		return true
	}
}

// commands returns the commands that TestAppend must send, in the form of
// hostile.Server.Commands: without tags and surrounding space.
func (c appendCase) commands() []string {
	plus := func(i int) string {
		if c.waits[i] {
			return ""
		}
		return "+"
	}
	parts := []string{
		fmt.Sprintf(` (\Seen $Junk) " 1-Feb-2024 03:04:05 -0700" {19%s}`+"\r\n%s", plus(0), smallMail),
		fmt.Sprintf(" {16000%s}\r\n%s", plus(1), largeMail),
		fmt.Sprintf(" (x) {24%s}\r\nNUL \x00, bare \r and\n{5+}\r\n", plus(2)),
		fmt.Sprintf(" {4096%s}\r\n%s", plus(3), strings.Repeat("y", 4096)),
	}
	if c.one {
		parts = []string{strings.Join(parts, "")}
	}
	for i, p := range parts {
		parts[i] = strings.TrimSpace(`APPEND "a \"b\" \\c"` + p)
	}
	return parts
}

// A server may refuse the part of a command before a literal: an unusual flag, or a line
// that is too long. Append then waits for the continuation even with LITERAL+, because
// such a server reads the literal as commands.
func TestAppendHeadThatMayBeRefused(t *testing.T) {
	var notes literalWaits
	s := serve(t, hostile.Options{Capabilities: "IMAP4rev1 LITERAL+ MULTIAPPEND", Mailboxes: inbox(), Literal: notes.record, Script: answer("APPEND", "TAG OK x\r\n")})
	conn := connect(t, s, options(s))
	out, err := conn.Append(t.Context(), "INBOX", []AppendMessage{message("a", `\seen`, "x"), message("b", `\Seen`, `\XFoo`), message("c"), message("d", manyFlags(5000)...)})
	if err != nil || states(out) != "dddd" || !slices.Equal(notes.list, []bool{false, true, false, true}) {
		t.Errorf("Append = %s, waited %v, %v", states(out), notes.list, err)
	}
}

// manyFlags returns keywords that have octets together.
func manyFlags(octets int) (flags []string) {
	for i := range octets / 10 {
		flags = append(flags, fmt.Sprintf("k%08d", i))
	}
	return flags
}

// An empty message cancels a whole MULTIAPPEND (RFC 3502): Append sends it in a command
// of its own.
func TestAppendEmptyMessageHasItsOwnCommand(t *testing.T) {
	n := 0
	s := serve(t, hostile.Options{
		Capabilities: "IMAP4rev1 LITERAL+ MULTIAPPEND", Mailboxes: inbox(),
		Script: func(s *hostile.Session, cmd hostile.Command) bool {
			if cmd.Name != "APPEND" {
				return false
			}
			if n++; strings.Contains(cmd.Args, "{0+}") {
				s.Send(cmd.Tag + " NO can't save a message of no octets\r\n")
			} else {
				s.Send(cmd.Tag + " OK x\r\n")
			}
			return true
		},
	})
	conn := connect(t, s, options(s))
	out, err := conn.Append(t.Context(), "INBOX", []AppendMessage{message("a"), message("b"), message(""), message(""), message("c")})
	if err != nil || states(out) != "ddrrd" || n != 4 {
		t.Errorf("Append = %s in %d commands, %v", states(out), n, err)
	}
	if out, err := conn.Append(t.Context(), "INBOX", nil); err != nil || len(out) != 0 || n != 4 {
		t.Errorf("nothing: %v, %v", out, err)
	}
}

// Append sends commands before the answers to those before them have come: at most 64, or
// 4 MiB. Answers may come in any order.
func TestAppendIsPipelined(t *testing.T) {
	for _, c := range []struct{ messages, octets, unanswered int }{{150, 10, 64}, {10, 1 << 20, 4}, {3, 5 << 20, 1}} {
		var tags []string
		n := 0
		s := serve(t, hostile.Options{
			Capabilities: "IMAP4rev1 LITERAL+", Mailboxes: inbox(), Drop: 1,
			Script: func(s *hostile.Session, cmd hostile.Command) bool {
				if cmd.Name != "APPEND" {
					return false
				}
				tags = append(tags, cmd.Tag)
				if n++; len(tags) == c.unanswered || n == c.messages {
					for i := range tags { // the last first
						kind := "OK"
						if tag := tags[len(tags)-1-i]; strings.HasSuffix(tag, "5") {
							kind = "NO"
						}
						s.Send(tags[len(tags)-1-i] + " " + kind + " x\r\n")
					}
					tags = nil
				}
				return true
			},
		})
		conn := connect(t, s, options(s))
		conn.tag = 1000
		var msgs []AppendMessage
		want := ""
		for i := range c.messages {
			msgs = append(msgs, message(strings.Repeat("x", c.octets)))
			if i%10 == 4 { // X1005
				want += "r"
			} else {
				want += "d"
			}
		}
		if out, err := conn.Append(t.Context(), "INBOX", msgs); err != nil || states(out) != want {
			t.Errorf("%+v: %s, %v", c, states(out), err)
		}
	}
}

// A server that sends much for each command does not lead to a deadlock, in which both
// sides only write.
func TestAppendToTalkativeServer(t *testing.T) {
	chatter := strings.Repeat("* 3 EXISTS\r\n", 200)
	s := serve(t, hostile.Options{Capabilities: "IMAP4rev1 LITERAL+", Mailboxes: inbox(), Script: answer("APPEND", chatter+"TAG OK x\r\n")})
	conn := connect(t, s, options(s))
	var msgs []AppendMessage
	for range 500 {
		msgs = append(msgs, message(strings.Repeat("x", 5000)))
	}
	if out, err := conn.Append(t.Context(), "INBOX", msgs); err != nil || states(out) != strings.Repeat("d", 500) {
		t.Errorf("Append = %s, %v", states(out), err)
	}
}

// appendUIDs accepts only a response code that has a UID for each message.
func TestAppendUIDs(t *testing.T) {
	for _, c := range []struct {
		args string
		n    int
		want string
	}{
		{"7 42", 1, "7 [42]"}, {"7 42:44", 3, "7 [42 43 44]"}, {"7 1,3:4,4294967295", 4, "7 [1 3 4 4294967295]"},
		{"7 42", 2, "0 []"}, {"7 42:44", 2, "0 []"}, {"7 1:4294967295", 3, "0 []"}, {"7 1:4294967296", 3, "0 []"},
		{"7 44:42", 3, "0 []"}, {"7 43,42", 2, "0 []"}, {"7 42,42", 2, "0 []"}, {"7 0", 1, "0 []"}, {"7 *", 1, "0 []"},
		{"0 42", 1, "0 []"}, {"4294967296 42", 1, "0 []"}, {"7", 1, "0 []"}, {"", 1, "0 []"}, {"7 ,", 1, "0 []"}, {"x y", 1, "0 []"},
	} {
		validity, uids := appendUIDs(c.args, c.n)
		if got := fmt.Sprint(validity, uids); got != c.want {
			t.Errorf("%q for %d: %s, want %s", c.args, c.n, got, c.want)
		}
	}
}

// ValidFlag accepts what a client may send as a flag: an atom, with or without a
// backslash, and not \Recent.
func TestValidFlag(t *testing.T) {
	for flag, want := range map[string]bool{
		`\Seen`: true, "$Junk": true, "NonJunk": true, `\XFoo`: true, "a/b": true, "x:y": true, "[x": true,
		"": false, `\`: false, `\*`: false, `\Recent`: false, `\recent`: false, "a b": false, "a]": false, "(a": false,
		"a)": false, "{1}": false, "Größe": false, "a\r\n": false, "a\x00": false, `\\Seen`: false, `a"`: false, "%": false,
	} {
		if got := ValidFlag(flag); got != want {
			t.Errorf("ValidFlag(%q) = %v", flag, got)
		}
	}
}

// filler is a reader of n octets and then err.
type filler struct {
	n   int64
	err error
}

func (e *filler) Read(p []byte) (int, error) {
	if e.n == 0 {
		return 0, e.err
	}
	n := min(int64(len(p)), e.n)
	for i := range p[:n] {
		p[i] = 'x'
	}
	e.n -= n
	return int(n), nil
}

// Append of 200 MB allocates less than 1 MiB.
func TestAppendNeedsLittleMemory(t *testing.T) {
	const size = 200 << 20
	for _, caps := range []string{"", "LITERAL+ MULTIAPPEND"} {
		s := serve(t, hostile.Options{Capabilities: "IMAP4rev1 " + caps, Mailboxes: inbox(), Drop: 1, Script: answer("APPEND", "TAG OK x\r\n")})
		conn := connect(t, s, options(s))
		octets := allocated(func() {
			out, err := conn.Append(t.Context(), "INBOX", []AppendMessage{{Size: size, Body: &filler{size, io.EOF}}})
			if err != nil || states(out) != "d" {
				t.Errorf("Append = %v, %v", out, err)
			}
		})
		if octets > 1<<20 {
			t.Errorf("%s: %d octets allocated", caps, octets)
		}
	}
}

// breakingConn is a connection whose writes fail after a number of them, once it is armed.
type breakingConn struct {
	net.Conn
	mu           sync.Mutex
	armed        bool
	writesLeft   int    // writes that still work
	written      []byte // octets that the server has
	failedOctets int    // octets of the write that failed; any of them may have been sent
}

func (b *breakingConn) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.armed {
		if b.writesLeft--; b.writesLeft < 0 {
			b.failedOctets = len(p)
			b.Close()
			return 0, errors.New("cable is cut")
		}
		b.written = append(b.written, p...)
	}
	return b.Conn.Write(p)
}

// The connection breaks at any write. A message is not sent if the server can not have
// its whole command, and unknown if it may have it.
func TestAppendBrokenWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		head := len("X2 APPEND \"INBOX\" {65000+}\r\n")
		for _, size := range []int{1, appendBufferSize - head - 3, appendBufferSize - head - 2, appendBufferSize - head - 1, appendBufferSize - head, appendBufferSize - head + 1, 3 * appendBufferSize} {
			for left := range 6 {
				s := serveInMemory(t, hostile.Options{Capabilities: "IMAP4rev1 LITERAL+", Mailboxes: inbox(), Script: func(s *hostile.Session, cmd hostile.Command) bool {
					return cmd.Name == "APPEND" // no answer
				}})
				o := shortOptions(s)
				var wire *breakingConn
				o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					raw, err := s.Dial(ctx, network, address)
					wire = &breakingConn{Conn: raw, writesLeft: left}
					return wire, err
				}
				conn := connect(t, s, o)
				conn.tag = 1
				wire.armed = true
				body := strings.Repeat("x", size)
				out, err := conn.Append(t.Context(), "INBOX", []AppendMessage{message(body), message(body)})
				if Classify(err) != ClassTransient {
					t.Fatalf("size %d, %d writes: %v", size, left, err)
				}
				whole := []byte{}
				for i := range 2 {
					whole = fmt.Appendf(whole, "X%d APPEND \"INBOX\" {%d+}\r\n%s\r\n", i+2, size, body)
					want := AppendNotSent
					if len(wire.written)+wire.failedOctets >= len(whole) {
						want = AppendUnknown
					}
					if out[i].State != want {
						t.Errorf("size %d, %d writes: message %d is %d with %d and %d octets of %d", size, left, i, out[i].State, len(wire.written), wire.failedOctets, len(whole))
					}
				}
				if !bytes.HasPrefix(whole, wire.written) {
					t.Errorf("size %d, %d writes: other octets", size, left)
				}
				if wire.failedOctets == 0 { // all was written
					break
				}
			}
		}
	})
}

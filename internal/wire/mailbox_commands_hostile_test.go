package wire

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"archiverd/internal/testing/hostile"
	"archiverd/internal/uid"
)

// connectSelected returns a connection that has INBOX open for writing; the test closes
// it.
func connectSelected(t *testing.T, s *hostile.Server, o Options) *Conn {
	t.Helper()
	conn := connect(t, s, o)
	if e, err := conn.Select(t.Context(), "INBOX"); err != nil || e.ReadOnly {
		t.Fatalf("Select = %+v, %v", e, err)
	}
	return conn
}

// simpleCommand is a command with one answer.
type simpleCommand struct {
	line  string // as sent, without the tag
	need  string // replies without which an OK is an error
	no    Class  // of a NO
	bad   Class  // of a BAD
	sends func(context.Context, *Conn) error
}

var simpleCommands = []simpleCommand{
	{`CREATE "a \"b\""`, "", ClassMailbox, ClassMailbox, func(ctx context.Context, c *Conn) error { return c.Create(ctx, `a "b"`) }},
	{`DELETE "x"`, "", ClassMailbox, ClassMailbox, func(ctx context.Context, c *Conn) error { return c.Delete(ctx, "x") }},
	{`RENAME "x" "y"`, "", ClassMailbox, ClassMailbox, func(ctx context.Context, c *Conn) error { return c.Rename(ctx, "x", "y") }},
	{`SUBSCRIBE "x"`, "", ClassMailbox, ClassMailbox, func(ctx context.Context, c *Conn) error { return c.Subscribe(ctx, "x") }},
	{`UNSUBSCRIBE "x"`, "", ClassMailbox, ClassMailbox, func(ctx context.Context, c *Conn) error { return c.Unsubscribe(ctx, "x") }},
	{`SELECT "x"`, "* 1 EXISTS\r\n", ClassMailbox, ClassMailbox, func(ctx context.Context, c *Conn) error { _, err := c.Select(ctx, "x"); return err }},
	{`STATUS "x" (MESSAGES UIDNEXT UIDVALIDITY)`, "* STATUS x (MESSAGES 1)\r\n", ClassMailbox, ClassMailbox, func(ctx context.Context, c *Conn) error { _, err := c.Status(ctx, "x"); return err }},
	{`UID STORE 1:3 +FLAGS.SILENT (\Seen $x)`, "* 1 FETCH (FLAGS ())\r\n", ClassMailbox, ClassMailbox, func(ctx context.Context, c *Conn) error {
		return c.Store(ctx, uidRange(1, 3), "+FLAGS", []string{`\Seen`, "$x"})
	}},
	{`UID STORE 7 FLAGS.SILENT ()`, "", ClassMailbox, ClassMailbox, func(ctx context.Context, c *Conn) error { return c.Store(ctx, uid.Of(7), "FLAGS", nil) }},
	{`UID EXPUNGE 1:3,9`, "* 1 EXPUNGE\r\n", ClassMailbox, ClassMailbox, func(ctx context.Context, c *Conn) error { return c.Expunge(ctx, uid.Of(1, 2, 3, 9)) }},
	{`UID FETCH 1:3 (UID BODY.PEEK[HEADER])`, "", ClassMessage, ClassProtocol, func(ctx context.Context, c *Conn) error {
		return c.FetchHeaders(ctx, uidRange(1, 3), func(uint32, []byte) error { return nil })
	}},
	{`UID SEARCH FROM "bob"`, "* SEARCH 1\r\n", ClassMailbox, ClassMailbox, func(ctx context.Context, c *Conn) error {
		_, err := c.SearchKeys(ctx, []string{"FROM", "bob"})
		return err
	}},
	{`NAMESPACE`, "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n", ClassProtocol, ClassProtocol, func(ctx context.Context, c *Conn) error { _, err := c.Namespace(ctx); return err }},
	{`GETQUOTAROOT "x"`, "* QUOTAROOT x\r\n", ClassMailbox, ClassMailbox, func(ctx context.Context, c *Conn) error { _, err := c.Quota(ctx, "x"); return err }},
	{`STATUS "x" (APPENDLIMIT)`, "* STATUS x (APPENDLIMIT NIL)\r\n", ClassMailbox, ClassMailbox, func(ctx context.Context, c *Conn) error { _, err := c.AppendLimit(ctx, "x"); return err }},
	{`CAPABILITY`, "* CAPABILITY IMAP4rev1 UIDPLUS QUOTA NAMESPACE APPENDLIMIT\r\n", ClassProtocol, ClassProtocol, func(ctx context.Context, c *Conn) error { _, err := c.Capabilities(ctx); return err }},
}

// simpleAnswerCase is a server's answer to a simple command.
type simpleAnswerCase struct {
	name, reply string
	class       Class // of the error; 0: none
	usable      bool  // the connection, afterwards
}

// answerCases returns the answers that a server may give to cmd.
func (cmd simpleCommand) answerCases() []simpleAnswerCase {
	return []simpleAnswerCase{
		{"OK", cmd.need + "TAG OK x\r\n", 0, true},
		{"chatter", "* 3 EXISTS\r\n* OK [ALERT] x\r\n* XFOO ((((\r\n* 9 FETCH (FLAGS ({3}\r\nabc))\r\n" + cmd.need + "TAG OK x\r\n", 0, true},
		{"NO", "TAG NO x\r\n", cmd.no, true},
		{"NO, gone", "TAG NO [NONEXISTENT] x\r\n", ClassMailbox, true},
		{"BAD", "TAG BAD x\r\n", cmd.bad, true},
		{"busy", "TAG NO [INUSE] x\r\n", ClassBusy, true},
		{"BYE", "* BYE [UNAVAILABLE] x\r\n", ClassBusy, false},
		{"hung up", "* OK x\r\n", ClassTransient, false},
		{"+", "+ go on\r\nTAG OK x\r\n", ClassProtocol, false},
		{"rubbish", "what?\r\nTAG OK x\r\n", ClassProtocol, false},
		{"tagged BYE", "TAG BYE x\r\n", ClassProtocol, true},
		{"another's", "X99 OK x\r\n", ClassProtocol, false},
		{"flood", strings.Repeat("* 1 RECENT\r\n", 300) + "TAG OK x\r\n", ClassProtocol, false},
		{"endless line", strings.Repeat("x", 1<<17), ClassProtocol, false},
		{"big literal", "* XFOO {1000000000}\r\n", ClassProtocol, false},
		{"silence", "", ClassTransient, false},
	}
}

// A simple command ends in bounded time, whatever the server answers. Its error has the
// right class, and the connection is usable only after an answer in its place.
func TestSimpleCommandsToHostileServers(t *testing.T) {
	for _, cmd := range simpleCommands {
		for _, c := range cmd.answerCases() {
			t.Run(cmd.line+" "+c.name, withFakeClock(func(t *testing.T) { testSimpleCommand(t, cmd, c) }))
		}
	}
}

func testSimpleCommand(t *testing.T, cmd simpleCommand, c simpleAnswerCase) {
	s := serveInMemory(t, hostile.Options{
		Capabilities: "IMAP4rev1 AUTH=PLAIN UIDPLUS QUOTA NAMESPACE APPENDLIMIT", Mailboxes: inbox(),
		Script: func(s *hostile.Session, sent hostile.Command) bool {
			if strings.TrimSpace(sent.Name+" "+sent.Args) != cmd.line {
				return false
			}
			if c.reply == "" {
				s.Stall()
				return true
			}
			return answer(sent.Name, c.reply)(s, sent)
		},
	})
	o := options(s)
	o.Limits.Untagged = 100
	o.Timeouts.Answer, o.Timeouts.Idle = 100*time.Millisecond, 100*time.Millisecond
	conn := connectSelected(t, s, o)
	err := cmd.sends(t.Context(), conn)
	if Classify(err) != c.class || (err != nil) != (c.class != 0) {
		t.Errorf("error %v is %v, want %v", err, Classify(err), c.class)
	}
	verb, _, _ := strings.Cut(cmd.line, " ")
	if err != nil && (!strings.HasPrefix(err.Error(), verb) || strings.ContainsAny(err.Error(), "\r\n")) {
		t.Errorf("error %q", err)
	}
	if err := conn.Noop(t.Context()); (err == nil) != c.usable {
		t.Errorf("Noop = %v", err)
	}
	if !slices.Contains(s.Commands(), cmd.line) {
		t.Errorf("sent %q", s.Commands())
	}
}

// A cancelled context ends a simple command while the server works, with its cause.
func TestSimpleCommandsCanceled(t *testing.T) {
	cause := errors.New("shutting down")
	for _, cmd := range simpleCommands {
		ctx, cancel := context.WithCancelCause(t.Context())
		s := serve(t, hostile.Options{
			Capabilities: "IMAP4rev1 AUTH=PLAIN UIDPLUS QUOTA NAMESPACE APPENDLIMIT", Mailboxes: inbox(),
			Script: func(s *hostile.Session, sent hostile.Command) bool {
				if strings.TrimSpace(sent.Name+" "+sent.Args) != cmd.line {
					return false
				}
				cancel(cause)
				s.Stall()
				return true
			},
		})
		o := options(s)
		o.Timeouts.Answer, o.Timeouts.Idle = time.Minute, time.Minute
		conn := connectSelected(t, s, o)
		if err := cmd.sends(ctx, conn); Classify(err) != ClassCanceled || !errors.Is(err, cause) {
			t.Errorf("%s: %v", cmd.line, err)
		}
	}
}

// A name, flag, set or key that can not be sent is refused before anything is sent. A
// command for no messages sends nothing.
func TestUnsendableIsRejected(t *testing.T) {
	s := serve(t, hostile.Options{Capabilities: "IMAP4rev1 AUTH=PLAIN QUOTA APPENDLIMIT", Mailboxes: inbox()})
	conn := connectSelected(t, s, options(s))
	before := len(s.Commands())
	const bad = "a\r\nX9 DELETE INBOX"
	_, selectErr := conn.Select(t.Context(), bad)
	_, statusErr := conn.Status(t.Context(), bad)
	_, quotaErr := conn.Quota(t.Context(), bad)
	_, limitErr := conn.AppendLimit(t.Context(), bad)
	_, searchErr := conn.SearchKeys(t.Context(), []string{"FROM", bad})
	_, octetsErr := conn.SearchKeys(t.Context(), []string{"FROM", "\xff"})
	for i, err := range []error{
		conn.Create(t.Context(), bad), conn.Delete(t.Context(), bad), conn.Rename(t.Context(), "x", bad), conn.Rename(t.Context(), bad, "x"),
		conn.Subscribe(t.Context(), bad), conn.Unsubscribe(t.Context(), bad), selectErr, statusErr, quotaErr, limitErr, searchErr, octetsErr,
	} {
		if Classify(err) != ClassMailbox || strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("%d: %v", i, err)
		}
	}
	for _, flag := range []string{bad, "a b", `\Recent`, "", "x)"} {
		if err := conn.Store(t.Context(), uid.Of(1), "FLAGS", []string{"ok", flag}); Classify(err) != ClassMessage {
			t.Errorf("flag %q: %v", flag, err)
		}
	}
	if err := conn.Store(t.Context(), uid.Of(1), "FLAGS.SILENT", nil); Classify(err) != ClassMessage {
		t.Errorf("op: %v", err)
	}
	if err := conn.Expunge(t.Context(), uid.Of(1)); !errors.Is(err, ErrNoUIDPlus) || Classify(err) != ClassMailbox {
		t.Errorf("Expunge = %v", err)
	}
	if sent := s.Commands()[before:]; len(sent) > 0 {
		t.Errorf("sent %q", sent)
	}
	if _, err := conn.Examine(t.Context(), "INBOX", false); err != nil {
		t.Error(err)
	}
	if err := conn.Store(t.Context(), uid.Of(1), "FLAGS", nil); Classify(err) != ClassMailbox || !strings.Contains(err.Error(), "reading only") {
		t.Errorf("Store after EXAMINE = %v", err)
	}
	if sent := s.Commands(); !strings.HasPrefix(sent[len(sent)-1], "EXAMINE") {
		t.Errorf("sent %q", sent)
	}
	if _, err := conn.Select(t.Context(), "INBOX"); err != nil {
		t.Error(err)
	}
	// An empty set needs no command.
	if err := errors.Join(conn.Store(t.Context(), uid.Set{}, "FLAGS", nil), conn.FetchHeaders(t.Context(), uid.Set{}, nil), conn.Noop(t.Context())); err != nil {
		t.Error(err)
	}
}

// An OK with MESSAGELIMIT, which covers only some of the messages, is an error (RFC 9738).
func TestPartialOKIsAnError(t *testing.T) {
	s := serve(t, hostile.Options{Capabilities: "IMAP4rev1 AUTH=PLAIN UIDPLUS", Mailboxes: inbox(), Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name != "UID STORE" && cmd.Name != "UID EXPUNGE" {
			return false
		}
		s.Send(cmd.Tag + " OK [MESSAGELIMIT 1000 7] x\r\n")
		return true
	}})
	conn := connectSelected(t, s, options(s))
	for _, err := range []error{conn.Store(t.Context(), uid.Of(1), "+FLAGS", []string{"x"}), conn.Expunge(t.Context(), uid.Of(1))} {
		if Classify(err) != ClassProtocol || !strings.Contains(err.Error(), "beyond its limit") {
			t.Error(err)
		}
	}
}

// Select reads the state of the mailbox and its permanent flags. An unreadable flag costs
// only itself.
func TestSelect(t *testing.T) {
	for _, c := range []struct{ reply, want string }{
		{"* FLAGS (x)\r\n* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 9]\r\n* OK [PERMANENTFLAGS (\\seen $Junk \\*)] x\r\nTAG OK [READ-WRITE] x\r\n", `3 9 7 false [$Junk \Seen] true true`},
		{"* OK [PERMANENTFLAGS ()] x\r\nTAG OK [read-only] x\r\n", `0 0 0 true [] true false`},
		{"* OK [PERMANENTFLAGS (foo]bar \\Seen \\Recent \\*)] x\r\nTAG OK x\r\n", `0 0 0 false [\Seen] true true`},
		{"* OK [PERMANENTFLAGS (\\Seen \"x (] x\r\nTAG OK x\r\n", `0 0 0 false [] false false`},
		{"* OK [PERMANENTFLAGS \\Seen] x\r\nTAG OK x\r\n", `0 0 0 false [] false false`},
		{"* 8 EXISTS\r\n* OK [PERMANENTFLAGS (x)]\r\n* OK [CLOSED] x\r\n* 2 EXISTS\r\nTAG OK x\r\n", `2 0 0 false [] false false`},
		{"TAG OK x\r\n", `0 0 0 false [] false false`},
	} {
		s := serve(t, hostile.Options{Mailboxes: inbox(), Script: answer("SELECT", c.reply)})
		conn := connect(t, s, options(s))
		e, err := conn.Select(t.Context(), "x")
		got := fmt.Sprint(e.Messages, e.UIDNext, e.UIDValidity, e.ReadOnly, e.PermanentFlags, e.HasPermanentFlags, e.AllowsNewKeywords)
		if err != nil || got != c.want {
			t.Errorf("%q: %s, %v", c.reply, got, err)
		}
	}
}

// Namespace returns the first personal namespace. Where the server has none, or none that
// can be read, LIST states the delimiter.
func TestNamespace(t *testing.T) {
	for _, c := range []struct{ caps, namespace, list, prefix, delimiter string }{
		{"NAMESPACE", `(("INBOX." ".")) (("user." ".")) NIL`, "", "INBOX.", "."},
		{"NAMESPACE", `(("" "/" "X-PARAM" ("FLAG1"))("other" "/")) NIL NIL`, "", "", "/"},
		{"NAMESPACE", `(("&AOk-/" "/")) NIL NIL`, "", "é/", "/"},
		{"NAMESPACE", `(("R&D/" "/")) NIL NIL`, "", "R&D/", "/"},
		{"NAMESPACE", "(({6}\r\nINBOX. \".\")) NIL NIL", "", "INBOX.", "."},
		{"NAMESPACE", `(("" NIL)) NIL NIL`, "", "", ""},
		{"NAMESPACE", `NIL NIL NIL`, `(\Noselect) "/" ""`, "", "/"},
		{"NAMESPACE", `((`, `() "." ""`, "", "."},
		{"NAMESPACE", `((NIL ".")) NIL NIL`, `() "." ""`, "", "."},
		{"", "", `(\Noselect) "\\" ""`, "", `\`},
		{"", "", `(\Noselect) NIL ""`, "", ""},
	} {
		s := serve(t, hostile.Options{Capabilities: "IMAP4rev1 AUTH=PLAIN " + c.caps, Mailboxes: inbox(), Script: func(s *hostile.Session, cmd hostile.Command) bool {
			switch {
			case cmd.Name == "NAMESPACE":
				s.Send("* NAMESPACE " + c.namespace + "\r\n")
			case cmd.Name == "LIST" && c.list != "":
				s.Send("* LIST " + c.list + "\r\n")
			default:
				return false
			}
			s.Send(cmd.Tag + " OK x\r\n")
			return true
		}})
		conn := connect(t, s, options(s))
		if n, err := conn.Namespace(t.Context()); err != nil || n != (Namespace{c.prefix, c.delimiter}) {
			t.Errorf("%q %q: %+v, %v", c.namespace, c.list, n, err)
		}
	}
	s := serve(t, hostile.Options{Mailboxes: inbox(), Script: answer("LIST", "TAG OK x\r\n")})
	if n, err := connect(t, s, options(s)).Namespace(t.Context()); Classify(err) != ClassProtocol {
		t.Errorf("no reply: %+v, %v", n, err)
	}
}

// Quota returns the storage quota with the least space, in octets, and none that can not
// be read.
func TestQuota(t *testing.T) {
	for _, c := range []struct {
		reply string
		want  Quota
	}{
		{"* QUOTAROOT x \"\"\r\n* QUOTA \"\" (STORAGE 10 512)\r\n", Quota{10 << 10, 512 << 10}},
		{"* QUOTAROOT x a b\r\n* QUOTA a (MESSAGE 9 10 STORAGE 10 512)\r\n* QUOTA b (storage 500 600)\r\n* QUOTA c (STORAGE 1 0)\r\n", Quota{500 << 10, 600 << 10}},
		{"* QUOTA \"a (b\" (STORAGE 20 10)\r\n* QUOTA x (STORAGE 0 1)\r\n", Quota{20 << 10, 10 << 10}},
		{"* QUOTA x (STORAGE 9223372036854775807 9223372036854775807)\r\n", Quota{1<<63 - 1<<10, 1<<63 - 1<<10}},
		{"* QUOTA x (STORAGE -1 10)\r\n* QUOTA x (STORAGE 1)\r\n* QUOTA x (STORAGE a b)\r\n* QUOTA x STORAGE 1 2\r\n* QUOTA x (\r\n* QUOTA\r\n", Quota{}},
		{"* QUOTAROOT x\r\n", Quota{}},
	} {
		s := serve(t, hostile.Options{Capabilities: "IMAP4rev1 AUTH=PLAIN QUOTA", Mailboxes: inbox(), Script: answer("GETQUOTAROOT", c.reply+"TAG OK x\r\n")})
		conn := connect(t, s, options(s))
		if q, err := conn.Quota(t.Context(), "x"); err != nil || q != c.want {
			t.Errorf("%q: %+v, %v", c.reply, q, err)
		}
	}
	s := serve(t, hostile.Options{Mailboxes: inbox()})
	if q, err := connect(t, s, options(s)).Quota(t.Context(), "x"); err != nil || q != (Quota{}) {
		t.Errorf("without QUOTA: %+v, %v", q, err)
	}
}

// AppendLimit returns the limit of the capability, or of STATUS where the capability names
// none.
func TestAppendLimit(t *testing.T) {
	for _, c := range []struct {
		caps, reply string
		want        int64
	}{
		{"APPENDLIMIT=35651584", "", 35651584},
		{"APPENDLIMIT=x", "", 0}, {"APPENDLIMIT=-1", "", 0}, {"", "", 0},
		{"APPENDLIMIT", "* STATUS x (APPENDLIMIT 257890)\r\n", 257890},
		{"APPENDLIMIT", "* STATUS x (APPENDLIMIT NIL)\r\n", 0},
		{"APPENDLIMIT", "* STATUS y (APPENDLIMIT 5)\r\n", 0},
		{"APPENDLIMIT", "* STATUS x (MESSAGES 3\r\n", 0},
	} {
		s := serve(t, hostile.Options{Capabilities: "IMAP4rev1 AUTH=PLAIN " + c.caps, Mailboxes: inbox(), Script: answer("STATUS", c.reply+"TAG OK x\r\n")})
		conn := connect(t, s, options(s))
		if n, err := conn.AppendLimit(t.Context(), "x"); err != nil || n != c.want {
			t.Errorf("%s %q: %d, %v", c.caps, c.reply, n, err)
		}
	}
}

// Capabilities returns the names in upper case, sorted. IMAP4rev2 is hidden from go-imap.
func TestCapabilities(t *testing.T) {
	for _, c := range []struct{ reply, want string }{
		{"* CAPABILITY imap4rev1 UIDPLUS IMAP4rev2 \x1b[m AUTH=PLAIN (\r\nTAG OK x\r\n", "[AUTH=PLAIN IMAP4REV1 IMAP4REV2 UIDPLUS]"},
		{"TAG OK [CAPABILITY X] x\r\n", "[X]"},
	} {
		first := true
		s := serve(t, hostile.Options{Mailboxes: inbox(), Script: func(s *hostile.Session, cmd hostile.Command) bool {
			if cmd.Name != "CAPABILITY" || !first {
				return false
			}
			return answer("CAPABILITY", c.reply)(s, cmd)
		}})
		conn := connect(t, s, options(s))
		caps, err := conn.Capabilities(t.Context())
		if got := fmt.Sprint(caps); err != nil || got != c.want {
			t.Errorf("%q: %s, %v", c.reply, got, err)
		}
		if conn.HasCapability("IMAP4rev2") {
			t.Error("go-imap would send raw UTF-8")
		}
	}
}

// FetchHeaders delivers the first header of each message of the set, and nothing of
// replies that can not be read or are about others. An error of its function ends the
// connection, and so does a header over the limit.
func TestFetchHeaders(t *testing.T) {
	for _, c := range []struct{ reply, want string }{
		{"* 1 FETCH (UID 1 BODY[HEADER] {8}\r\nA: b\r\n\r\n)\r\n* 2 FETCH (BODY[HEADER] \"x\" UID 2)\r\n", `1 "A: b\r\n\r\n" 2 "x" `},
		{"* 1 FETCH (UID 1 BODY[HEADER] {1}\r\na)\r\n* 1 FETCH (UID 1 BODY[HEADER] {1}\r\nb)\r\n", `1 "a" `},
		{"* 1 FETCH (UID 9 BODY[HEADER] {1}\r\na)\r\n* 1 FETCH (BODY[HEADER] {1}\r\nb)\r\n", ``},
		{"* 1 FETCH (UID 1 BODY[HEADER] NIL)\r\n* 1 FETCH (UID 1 FLAGS ())\r\n* 1 FETCH (UID 1 BODY[HEADER] {1}\r\nb)\r\n", `1 "b" `},
		{"* 1 FETCH (UID 1 UID 2 BODY[HEADER] {1}\r\na)\r\n* 1 FETCH (UID 1 FLAGS (\"x BODY[HEADER] {1}\r\nb)\r\n", ``},
		{"* 1 FETCH (UID 1 BODY[] {3}\r\nall)\r\n* 1 FETCH (UID 1 BODY[HEADER.FIELDS (TO)] {1}\r\na)\r\n", ``},
	} {
		s := serve(t, hostile.Options{Mailboxes: inbox(), Script: answer("UID FETCH", c.reply+"TAG OK x\r\n")})
		conn := connect(t, s, options(s))
		got := ""
		err := conn.FetchHeaders(t.Context(), uidRange(1, 3), func(u uint32, header []byte) error {
			got += fmt.Sprintf("%d %q ", u, header)
			return nil
		})
		if err != nil || got != c.want {
			t.Errorf("%q: %s, %v", c.reply, got, err)
		}
	}
	callbackErr := errors.New("enough")
	s := serve(t, hostile.Options{Mailboxes: inbox(), Script: answer("UID FETCH", "* 1 FETCH (UID 1 BODY[HEADER] {1}\r\na)\r\nTAG OK x\r\n")})
	conn := connect(t, s, options(s))
	if err := conn.FetchHeaders(t.Context(), uidRange(1, 3), func(uint32, []byte) error { return callbackErr }); err != callbackErr || conn.Noop(t.Context()) != callbackErr {
		t.Errorf("FetchHeaders = %v", err)
	}
	s = serve(t, hostile.Options{Mailboxes: inbox(), Script: answer("UID FETCH", "* 1 FETCH (UID 1 BODY[HEADER] {2000000}\r\n")})
	conn = connect(t, s, options(s))
	if err := conn.FetchHeaders(t.Context(), uidRange(1, 3), nil); !errors.Is(err, ErrLimit) {
		t.Errorf("a header of 2 MB: %v", err)
	}
}

package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"archiverd/internal/testing/hostile"
	"archiverd/internal/uid"
)

// FetchBody reads a body in any form that RFC 9051 allows, and more forms than FetchBodies
// reads. Its error says why there is no body.
func TestFetchBody(t *testing.T) {
	for _, c := range []struct {
		name, reply, want string
		class             Class
		is                error
	}{
		{"plain", "* 1 FETCH (UID 5 BODY[] {3}\r\none)\r\nTAG OK x\r\n", "one", 0, nil},
		{"UID behind", "* 1 FETCH (BODY[] {3}\r\none FLAGS (\\Seen) UID 5)\r\nTAG OK x\r\n", "one", 0, nil},
		{"quoted", "* 1 FETCH (UID 5 BODY[] \"a\\\\b\\\"\")\r\nTAG OK x\r\n", `a\b"`, 0, nil},
		{"quoted, empty", "* 1 FETCH (UID 5 BODY[] \"\")\r\nTAG OK x\r\n", "", 0, nil},
		{"flags first", "* 1 FETCH (UID 5 FLAGS ())\r\n* 1 FETCH (UID 5 BODY[] {3}\r\none)\r\nTAG OK x\r\n", "one", 0, nil},
		{"UID in another reply", "* 1 FETCH (BODY[] {3}\r\none)\r\n* 1 FETCH (UID 5 FLAGS ())\r\nTAG OK x\r\n", "one", 0, nil},
		{"another message first", "* 2 FETCH (UID 6 BODY[] {3}\r\nsix)\r\n* 1 FETCH (UID 5 BODY[] {3}\r\none)\r\nTAG OK x\r\n", "one", 0, nil},
		{"poisoned flags and dates", "* 1 FETCH (FLAGS (foo]bar a\"b \"c) INTERNALDATE 00-Jan-0000 RFC822.SIZE -1 UID 5 BODY[] {3}\r\none)\r\nTAG OK x\r\n", "one", 0, nil},
		{"literal8", "* 1 FETCH (UID 5 BODY[] ~{3}\r\none)\r\nTAG OK x\r\n", "one", 0, nil},
		{"looks like replies", "* 1 FETCH (UID 5 BODY[] {16}\r\n)\r\nTAG OK x {9}\r\n)\r\nTAG OK x\r\n", ")\r\nX3 OK x {9}\r\n", 0, nil},
		{"NIL", "* 1 FETCH (UID 5 BODY[] NIL)\r\nTAG OK x\r\n", "", ClassMessage, ErrNoBody},
		{"nothing", "TAG OK x\r\n", "", ClassMessage, ErrNotSent},
		{"another message only", "* 2 FETCH (UID 6 BODY[] {3}\r\nsix)\r\nTAG OK x\r\n", "", ClassMessage, ErrNotSent},
		{"no UID", "* 1 FETCH (BODY[] {3}\r\none)\r\nTAG OK x\r\n", "one", ClassMessage, ErrNotSent},
		{"another's UID behind", "* 1 FETCH (BODY[] {3}\r\none UID 6)\r\nTAG OK x\r\n", "one", ClassMessage, ErrNotSent},
		{"expunged between", "* 1 FETCH (BODY[] {3}\r\none)\r\n* 1 EXPUNGE\r\n* 1 FETCH (UID 5)\r\nTAG OK x\r\n", "one", ClassMessage, ErrNotSent},
		{"NO", "TAG NO [PARSE] can't\r\n", "", ClassMessage, nil},
		{"BAD", "TAG BAD can't\r\n", "", ClassMessage, nil},
		{"cut off", "* 1 FETCH (UID 5 BODY[] {30}\r\none)\r\nTAG OK x\r\n", "one)\r\nX3 OK x\r\n", ClassTransient, nil},
	} {
		t.Run(c.name, withFakeClock(func(t *testing.T) {
			s := serveInMemory(t, hostile.Options{Mailboxes: inbox(), Script: answer("UID FETCH", c.reply)})
			conn := connect(t, s, shortOptions(s))
			conn.tag = 2
			var got bytes.Buffer
			err := conn.FetchBody(t.Context(), 5, func(size int64, r io.Reader) error {
				n, err := got.ReadFrom(r)
				if (n == size) != (err == nil) {
					t.Errorf("%d of %d octets, %v", n, size, err)
				}
				return err
			})
			if got.String() != c.want {
				t.Errorf("got %q, want %q", got.String(), c.want)
			}
			if Classify(err) != c.class || (err != nil) != (c.class != 0) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("error %v is %v", err, Classify(err))
			}
		}))
	}
}

// An unreadable flag, date or size is reported in Metadata.Problem and costs nothing else
// of the message. A reply without a valid UID is ignored.
func TestMetadataWithUnreadableItems(t *testing.T) {
	for _, c := range []struct{ items, want string }{
		{`UID 5 FLAGS (\seen $Junk \Recent $Junk \XFoo) INTERNALDATE " 1-Feb-2024 03:04:05 +0100" RFC822.SIZE 12`, `5 [$Junk \Seen \XFoo] 2024-02-01T03:04:05+01:00 12 0 ""`},
		{`FLAGS (foo]bar "\\Deleted" } [x a/b 100 [Gmail\ ) UID 5`, `5 [100 [Gmail\ [x \Deleted a/b foo]bar }] - - 0 ""`},
		{"UID 5 FLAGS (Gr\xc3\xb6\xc3\x9fe caf\xe9 \x1b[m ok)", `5 [Größe ok] - - 0 "unreadable FLAGS"`},
		{`UID 5 FLAGS NIL INTERNALDATE NIL RFC822.SIZE -1`, `5 - - - 0 "unreadable FLAGS, unreadable INTERNALDATE, unreadable RFC822.SIZE"`},
		{`UID 5 INTERNALDATE "00-Jan-0000 00:00:00 +0000" RFC822.SIZE 1099511627775`, `5 - - 1099511627775 0 "unreadable INTERNALDATE"`},
		{`UID 5 RFC822.SIZE 9223372036854775807`, `5 - - - 0 "unreadable RFC822.SIZE"`},
		{`UID 5 INTERNALDATE "01-Jan-0001 00:00:00 +0000" RFC822.SIZE 9223372036854775808`, `5 - - - 0 "unreadable INTERNALDATE, unreadable RFC822.SIZE"`},
		{`UID 5 INTERNALDATE "1-jan-2020 00:00:00 GMT" MODSEQ (99)`, `5 - 2020-01-01T00:00:00Z - 99 ""`},
		{`UID 5 INTERNALDATE "01-Jan-2020 00:00:60 +0000"`, `5 - - - 0 "unreadable INTERNALDATE"`},
		{"UID 5 INTERNALDATE {26}\r\n01-Jan-2020 00:00:00 +0000 FLAGS ({5}\r\n\\Seen)", `5 [\Seen] 2020-01-01T00:00:00Z - 0 ""`},
		{`UID 5 RFC822.SIZE 3 ENVELOPE ("unbalanced (((( "x) FLAGS (\Seen`, `5 [\Seen] - 3 0 "reply is cut off or malformed"`},
		{`UID 5 BODYSTRUCTURE ` + strings.Repeat("(", 100) + strings.Repeat(")", 100) + ` RFC822.SIZE 3`, `5 - - - 0 "reply is cut off or malformed"`},
		{`X-GM-LABELS ("\\Inbox" foo) X-GM-MSGID 1278455344230334865 EMAILID (M1) UID 5 RFC822.SIZE 3`, `5 - - 3 0 ""`},
		{`FLAGS(\Seen) UID 5`, `5 [\Seen] - - 0 ""`},
		{`FLAGS (\Seen)`, ``}, {`UID 0 FLAGS ()`, ``}, {`UID 4294967296 FLAGS ()`, ``}, {`UID x`, ``}, {`UID`, ``}, {``, ``}, {`((`, ``},
	} {
		t.Run("", func(t *testing.T) {
			s := serve(t, hostile.Options{Mailboxes: inbox(), Script: answer("UID FETCH", "* 3 FETCH ("+c.items+")\r\nTAG OK x\r\n")})
			conn := connect(t, s, options(s))
			got := ""
			err := conn.FetchMetadata(t.Context(), MetadataQuery{Set: uid.Of(5)}, func(m Metadata) error {
				flags, date, size := "-", "-", "-"
				if m.HasFlags {
					flags = fmt.Sprint(m.Flags)
				}
				if !m.InternalDate.IsZero() {
					date = m.InternalDate.Format("2006-01-02T15:04:05Z07:00")
				}
				if m.HasSize {
					size = fmt.Sprint(m.Size)
				}
				got += fmt.Sprintf("%d %s %s %s %d %q", m.UID, flags, date, size, m.ModSeq, m.Problem)
				return nil
			})
			if err != nil || got != c.want {
				t.Errorf("%q:\n got %s, %v\nwant %s", c.items, got, err, c.want)
			}
		})
	}
}

// Search returns the UIDs of all SEARCH or ESEARCH replies. An unreadable or incomplete
// result is an error: messages that it lacks would count as deleted.
func TestSearchResults(t *testing.T) {
	for _, c := range []struct {
		reply, want string
		class       Class
	}{
		{"* SEARCH 3 1 2\r\n* SEARCH 9\r\nTAG OK x\r\n", "1:3,9", 0},
		{"* SEARCH\r\nTAG OK x\r\n", "", 0},
		{"* search 5 (MODSEQ 917162500)\r\nTAG OK x\r\n", "5", 0},
		{"* ESEARCH (TAG \"X2\") UID ALL 1:4294967295\r\nTAG OK x\r\n", "1:4294967295", 0},
		{"* ESEARCH (TAG \"X2\") UID\r\nTAG OK x\r\n", "", 0},
		{"* ESEARCH (TAG \"X2\") UID COUNT 2 ALL 9,3:1 MODSEQ 5\r\nTAG OK x\r\n", "1:3,9", 0},
		{"* ESEARCH UID ALL 1:*\r\nTAG OK x\r\n", "", ClassProtocol},
		{"* ESEARCH (TAG \"X2\") ALL 1:3\r\nTAG OK x\r\n", "", ClassProtocol},
		{"* ESEARCH (TAG \"X2\" UID ALL 1:3\r\nTAG OK x\r\n", "", ClassProtocol},
		{"* SEARCH 5 0 7\r\nTAG OK x\r\n", "", ClassProtocol},
		{"* SEARCH 5 x\r\nTAG OK x\r\n", "", ClassProtocol},
		{"* SEARCH 4294967296\r\nTAG OK x\r\n", "", ClassProtocol},
		{"* SEARCH 1 (\r\nTAG OK x\r\n", "", ClassProtocol},
		{"TAG OK x\r\n", "", ClassProtocol},
		{"* SEARCH 1\r\nTAG OK [MESSAGELIMIT 1000 7] x\r\n", "", ClassProtocol},
		{"* SEARCH 1\r\nTAG NO x\r\n", "", ClassMailbox},
		{"* SEARCH 1\r\n* BYE x\r\n", "", ClassBusy},
	} {
		s := serve(t, hostile.Options{Mailboxes: inbox(), Script: answer("UID SEARCH", c.reply)})
		conn := connect(t, s, options(s))
		set, err := conn.Search(t.Context())
		if set.String() != c.want || Classify(err) != c.class || (err != nil) != (c.class != 0) {
			t.Errorf("%q: %q, %v", c.reply, set, err)
		}
	}
}

// Search reads the long line that a server without ESEARCH sends for many scattered UIDs,
// and releases the buffer for it.
func TestLongSearchLine(t *testing.T) {
	var line strings.Builder
	for u := 2; u < 400_000; u += 2 {
		fmt.Fprintf(&line, " %d", u)
	}
	s := serve(t, hostile.Options{Mailboxes: inbox(), Script: answer("UID SEARCH", "* SEARCH"+line.String()+"\r\nTAG OK x\r\n")})
	conn := connect(t, s, options(s))
	set, err := conn.Search(t.Context())
	if err != nil || set.Len() != 199_999 || set.Max() != 399_998 {
		t.Errorf("%d UIDs up to %d, %v", set.Len(), set.Max(), err)
	}
	if err := conn.Noop(t.Context()); err != nil || len(conn.in.buf) > 4<<20 {
		t.Errorf("Noop: %v, buffer %d", err, len(conn.in.buf))
	}
}

// A mailbox whose name can not be decoded is listed under the octets that the server
// sends, and costs no other mailbox.
func TestListWithUnreadableNames(t *testing.T) {
	for _, c := range []struct{ reply, wire, name, delimiter string }{
		{`(\HasNoChildren) "/" "INBOX"`, "INBOX", "INBOX", "/"},
		{`() "." Entw&APw-rfe`, "Entw&APw-rfe", "Entwürfe", "."},
		{`() "/" "&2D3eCg- x"`, "&2D3eCg- x", "😊 x", "/"},
		{`() "/" "Tom &- Jerry"`, "Tom &- Jerry", "Tom & Jerry", "/"},
		{`() "/" "R&D"`, "R&D", "", "/"},
		{`() "/" &AGE-`, "&AGE-", "", "/"},
		{`() "/" &ACY-`, "&ACY-", "", "/"},
		{`() "/" "&AOk-&AOk-"`, "&AOk-&AOk-", "", "/"},
		{`() "/" &AOl-`, "&AOl-", "", "/"},
		{`() "/" &2AA-`, "&2AA-", "", "/"},
		{`() "/" "&AOk=-"`, "&AOk=-", "", "/"},
		{`() "/" "&AOk"`, "&AOk", "", "/"},
		{`() "|" "&BBAEMQQyACYEMwQ0BDU-"`, "&BBAEMQQyACYEMwQ0BDU-", "", "|"},
		{"() \"/\" \"Entw\xfcrfe\"", "Entw\xfcrfe", "", "/"},
		{"() \"/\" \"Entwürfe\"", "Entwürfe", "", "/"},
		{"() \"/\" \"tab\there\x7f\"", "tab\there\x7f", "", "/"},
		{`() "/" Sent Items`, "Sent Items", "Sent Items", "/"},
		{`() NIL "a/b"`, "a/b", "a/b", ""},
		{`() "//" two`, "two", "two", "//"},
		{`() "" none`, "none", "none", ""},
		{`() "\\" "a\\b\"c"`, `a\b"c`, `a\b"c`, `\`},
		{"() \"/\" {7}\r\nlit (x)", "lit (x)", "lit (x)", "/"},
		{`(\Noselect) "/" "[Gmail]" ("CHILDINFO" ("SUBSCRIBED"))`, "[Gmail]", "[Gmail]", "/"},
		{`(\X "y" () "/" broken`, `(\X "y" () "/" broken`, "", ""},
		{`() "/" "open`, `"open`, `"open`, "/"},
		{``, unreadableName, "", ""},
	} {
		t.Run("", func(t *testing.T) {
			text := "* LIST () \"/\" first\r\n* LIST " + c.reply + "\r\n* LSUB () \"/\" no\r\n* LIST () \"/\" last\r\n* LIST () \"/\" \"\"\r\n* LIST () \"/\" last\r\nTAG OK x\r\n"
			s := serve(t, hostile.Options{Mailboxes: inbox(), Script: answer("LIST", text)})
			conn := connect(t, s, options(s))
			list, err := conn.List(t.Context())
			if err != nil || len(list) != 3 || list[0].Name != "first" || list[2].Name != "last" {
				t.Fatalf("List = %+v, %v", list, err)
			}
			m := list[1]
			if m.Wire != c.wire || m.Delimiter != c.delimiter {
				t.Errorf("Wire = %q, Delimiter = %q", m.Wire, m.Delimiter)
			}
			if m.Raw != (c.name == "") || m.Raw && m.Name != c.wire || !m.Raw && m.Name != c.name {
				t.Errorf("Name = %q, Raw = %v, want %q", m.Name, m.Raw, c.name)
			}
		})
	}
}

// List returns the status of each mailbox, or the error of its STATUS. It sends STATUS for
// each where the server has no LIST-STATUS, or refuses it.
func TestStatusOfEachMailbox(t *testing.T) {
	names := []string{"INBOX", "gone", "odd name", "silent"}
	for _, extended := range []bool{false, true} {
		o := hostile.Options{Mailboxes: inbox()}
		if extended {
			o.Capabilities = "IMAP4rev1 LIST-STATUS"
		}
		o.Script = func(s *hostile.Session, cmd hostile.Command) bool {
			switch {
			case cmd.Name == "LIST" && strings.Contains(cmd.Args, "RETURN"):
				s.Send("* LIST () \"/\" ignored\r\n" + cmd.Tag + " BAD what?\r\n")
			case cmd.Name == "LIST":
				for _, n := range names {
					s.Send("* LIST () \"/\" \"" + n + "\"\r\n")
				}
				s.Send(cmd.Tag + " OK x\r\n")
			case cmd.Name == "STATUS" && strings.Contains(cmd.Args, "INBOX"):
				s.Send("* STATUS inbox (MESSAGES 3 UIDNEXT 4294967296 UIDVALIDITY 8 SIZE (x) HIGHESTMODSEQ 5)\r\n" + cmd.Tag + " OK x\r\n")
			case cmd.Name == "STATUS" && strings.Contains(cmd.Args, "gone"):
				s.Send(cmd.Tag + " NO [NONEXISTENT] x\r\n")
			case cmd.Name == "STATUS" && strings.Contains(cmd.Args, "odd"):
				s.Send("* STATUS odd name (MESSAGES 1)\r\n" + cmd.Tag + " OK x\r\n")
			case cmd.Name == "STATUS":
				s.Send(cmd.Tag + " OK x\r\n")
			default:
				return false
			}
			return true
		}
		s := serve(t, o)
		conn := connect(t, s, options(s))
		list, err := conn.List(t.Context())
		if err != nil || len(list) != 4 {
			t.Fatalf("List = %+v, %v", list, err)
		}
		if s := list[0].Status; s == nil || s.Messages != 3 || s.UIDValidity != 8 || s.HighestModSeq != 5 {
			t.Errorf("INBOX: %+v, %v", s, list[0].StatusErr)
		}
		if got := Classify(list[1].StatusErr); got != ClassMailbox || list[1].Status != nil {
			t.Errorf("gone: %v", list[1].StatusErr)
		}
		if s := list[2].Status; s == nil || s.Messages != 1 {
			t.Errorf("odd name: %+v", s)
		}
		if list[3].Status != nil || list[3].StatusErr == nil {
			t.Errorf("silent: %+v", list[3])
		}
	}
}

// List stops at the limit of mailboxes.
func TestListIsBounded(t *testing.T) {
	s := serve(t, hostile.Options{Mailboxes: inbox(), Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name == "LIST" {
			s.Flood("* LIST () \"/\" x\r\n")
		}
		return false
	}})
	conn := connect(t, s, options(s))
	if _, err := conn.List(t.Context()); Classify(err) != ClassProtocol || !errors.Is(err, ErrLimit) {
		t.Errorf("error %v", err)
	}
}

// Examine reads the state of the mailbox. Invalid numbers, and what the server says of the
// mailbox before, do not count.
func TestExamine(t *testing.T) {
	for _, c := range []struct {
		reply string
		want  Examined
		class Class
	}{
		{"* FLAGS (foo]bar)\r\n* 3 EXISTS\r\n* OK [uidvalidity 7] x\r\n* OK [UIDNEXT 9]\r\n* OK [PERMANENTFLAGS ()] x\r\nTAG OK [READ-ONLY] x\r\n", Examined{Status: Status{3, 9, 7, 0}, ReadOnly: true}, 0},
		{"* OK [UIDVALIDITY 1]\r\n* 8 EXISTS\r\n* OK [CLOSED] x\r\n* 2 EXISTS\r\n* OK [NOMODSEQ]\r\n* NO [UIDNOTSTICKY] x\r\nTAG OK [READ-WRITE] x\r\n", Examined{Status: Status{Messages: 2}, NoModSeq: true, UIDNotSticky: true}, 0},
		{"* OK [UIDVALIDITY 4294967296] x\r\nTAG OK x\r\n", Examined{}, 0},
		{"* 3 EXISTS\r\nTAG NO [NOPERM] x\r\n", Examined{}, ClassMailbox},
		{"TAG NO [UNAVAILABLE] x\r\n", Examined{}, ClassBusy},
		{"TAG BAD x\r\n", Examined{}, ClassMailbox},
	} {
		s := serve(t, hostile.Options{Mailboxes: inbox(), Script: func(s *hostile.Session, cmd hostile.Command) bool {
			return strings.HasPrefix(cmd.Args, `"x`) && answer("EXAMINE", c.reply)(s, cmd)
		}})
		conn := connect(t, s, options(s))
		got, err := conn.Examine(t.Context(), "x", false)
		if got != c.want || Classify(err) != c.class || (err != nil) != (c.class != 0) {
			t.Errorf("%q: %+v, %v", c.reply, got, err)
		}
	}
	s := serve(t, hostile.Options{Mailboxes: inbox()})
	conn := connect(t, s, options(s))
	if _, err := conn.Examine(t.Context(), "a\r\nX9 DELETE INBOX", false); Classify(err) != ClassMailbox {
		t.Errorf("a line end in a name: %v", err)
	}
	if sent := s.Commands(); slices.ContainsFunc(sent, func(l string) bool { return strings.Contains(l, "DELETE") }) {
		t.Errorf("sent %q", sent)
	}
}

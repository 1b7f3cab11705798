package wire

import (
	"slices"
	"strings"
	"testing"

	"archiverd/internal/testing/hostile"
)

// SearchKeys quotes the values of keys, and sends those that are not ASCII as UTF-8 literals.
func TestSearchKeys(t *testing.T) {
	for _, c := range []struct {
		keys []string
		want string
	}{
		{nil, "ALL"},
		{[]string{"from", "bob smith", "SINCE", "1-Jan-2026"}, `from "bob smith" SINCE 1-Jan-2026`},
		{[]string{"FROM", "SEEN", "UNSEEN", "UID", "1:5,9:*"}, `FROM "SEEN" UNSEEN UID 1:5,9:*`},
		{[]string{"HEADER", "Message-ID", "<a@b>", "NOT", "DELETED"}, `HEADER "Message-ID" "<a@b>" NOT DELETED`},
		{[]string{"OR", "(", "FROM", "a", "SEEN", ")", "(SUBJECT", "(x)", ")"}, `OR ( FROM "a" SEEN ) (SUBJECT "(x)" )`},
		{[]string{"TEXT", "", "KEYWORD", "$Junk", "LARGER", "5"}, `TEXT "" KEYWORD $Junk LARGER 5`},
		{[]string{"X-GM-RAW", `has:attachment "x\y"`}, `X-GM-RAW "has:attachment \"x\\y\""`},
		{[]string{"BODY", "{5}", "{5}"}, `BODY "{5}" "{5}"`},
		{[]string{"SUBJECT", "größer", "TO", "é"}, "CHARSET UTF-8 SUBJECT {8}\r\ngrößer TO {2}\r\né"},
		{[]string{"HEADER", "X", "ü", "SEEN"}, "CHARSET UTF-8 HEADER \"X\" {2}\r\nü SEEN"},
	} {
		for caps, head := range map[string]string{"LITERAL+": "UID SEARCH ", "ESEARCH": "UID SEARCH RETURN (ALL) "} {
			s := serve(t, hostile.Options{Capabilities: "IMAP4rev1 AUTH=PLAIN " + caps, Mailboxes: inbox("x", "y")})
			conn := connect(t, s, options(s))
			set, err := conn.SearchKeys(t.Context(), c.keys)
			if err != nil || set.String() != "1:2" {
				t.Errorf("%q: %q, %v", c.keys, set, err)
			}
			if got := s.Commands(); !slices.Contains(got, head+c.want) {
				t.Errorf("%q: sent %q", c.keys, got[len(got)-1])
			}
		}
	}
}

// A server may refuse a search at any of its literals; the connection stays usable.
func TestSearchKeysRefused(t *testing.T) {
	for _, c := range []struct {
		at, reply string
		class     Class
		usable    bool
	}{
		{"SUBJECT {2}", "TAG NO [BADCHARSET] x\r\n", ClassMailbox, true},
		{"TO {3}", "TAG BAD x\r\n", ClassMailbox, true},
		{"TO {3}", "* SEARCH 1\r\nTAG OK x\r\n", ClassProtocol, false},
		{"TO {3}", "* BYE x\r\n", ClassBusy, false},
		{"TO {3}", "nonsense\r\n", ClassProtocol, false},
	} {
		s := serve(t, hostile.Options{Mailboxes: inbox(), Literal: func(s *hostile.Session, sent string, waits bool) bool {
			if !waits {
				t.Errorf("sent before the continuation: %q", sent)
			}
			if !strings.HasSuffix(sent, c.at) {
				return true
			}
			tag, _, _ := strings.Cut(sent, " ")
			s.Send(strings.ReplaceAll(c.reply, "TAG", tag))
			if !strings.Contains(c.reply, "TAG") {
				s.HangUp()
			}
			return false
		}})
		conn := connect(t, s, options(s))
		set, err := conn.SearchKeys(t.Context(), []string{"SUBJECT", "ö", "TO", "äx"})
		if Classify(err) != c.class || !set.Empty() {
			t.Errorf("%q: %q, %v", c.reply, set, err)
		}
		if err := conn.Noop(t.Context()); (err == nil) != c.usable {
			t.Errorf("%q: Noop = %v", c.reply, err)
		}
	}
}

package sync

import (
	"fmt"
	"strings"
	"testing"

	"archiverd/internal/session"
	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
)

// replies returns a fault that answers one command with text, in INBOX or while no
// mailbox is open.
func replies(command, text string) func() lie {
	return func() lie {
		return func(s *hostile.Session, cmd hostile.Command) bool {
			if cmd.Name != command || s.Open != nil && !inbox(s) {
				return false
			}
			s.Send(strings.ReplaceAll(text, "TAG", cmd.Tag))
			return true
		}
	}
}

// examines returns a fault that answers EXAMINE of INBOX with text.
func examines(text string) func() lie {
	return func() lie {
		return func(s *hostile.Session, cmd hostile.Command) bool {
			if cmd.Name != "EXAMINE" || !strings.Contains(cmd.Args, "INBOX") {
				return false
			}
			s.Open = nil
			s.Send(strings.ReplaceAll(text, "TAG", cmd.Tag))
			return true
		}
	}
}

// ends returns a fault that answers a command in INBOX with end, which ends the
// connection or lets it stall.
func ends(command string, end func(*hostile.Session)) func() lie {
	return func() lie {
		return func(s *hostile.Session, cmd hostile.Command) bool {
			if cmd.Name != command || !inbox(s) {
				return false
			}
			end(s)
			return true
		}
	}
}

func uids(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, " %d", i+1)
	}
	return b.String()
}

// TestMailboxes: a fault of one mailbox is that mailbox's error; all others are archived.
func TestMailboxes(t *testing.T) {
	bad := func(text string) map[string]string { return map[string]string{"INBOX": text} }
	extended := func(o *hostile.Options, _ *session.Account) { o.Capabilities += " ESEARCH" }
	for _, c := range []trap{
		{name: "EXAMINE is refused", lie: examines("TAG NO [NOPERM] not yours\r\n"), errors: bad("[NOPERM] not yours")},
		{name: "EXAMINE is refused as a login would be", lie: examines("TAG NO [AUTHORIZATIONFAILED] not yours\r\n"), errors: bad("[AUTHORIZATIONFAILED] not yours")},
		{name: "EXAMINE is BAD", lie: examines("TAG BAD no\r\n"), errors: bad("BAD no")},
		{name: "the mailbox is gone since LIST", lie: examines("TAG NO [NONEXISTENT] no such mailbox\r\n"), errors: bad("NONEXISTENT")},
		{name: "in use", lie: examines("TAG NO [INUSE] later\r\n"), errors: bad("[INUSE] later")},
		{name: "no UIDVALIDITY", lie: examines("* 9 EXISTS\r\nTAG OK [READ-ONLY] done\r\n"), errors: bad("no UIDVALIDITY")},
		{name: "UIDVALIDITY 0", lie: examines("* 9 EXISTS\r\n* OK [UIDVALIDITY 0] x\r\nTAG OK done\r\n"), errors: bad("no UIDVALIDITY")},
		{name: "UIDVALIDITY is no number", lie: examines("* 9 EXISTS\r\n* OK [UIDVALIDITY x] x\r\nTAG OK done\r\n"), errors: bad("no UIDVALIDITY")},
		{name: "SEARCH is refused", lie: replies("UID SEARCH", "TAG NO no\r\n"), errors: bad("NO no")},
		{name: "SEARCH with 0", lie: replies("UID SEARCH", "* SEARCH 5 0 7\r\nTAG OK done\r\n"), errors: bad("no UID")},
		{name: "SEARCH with garbage", lie: replies("UID SEARCH", "* SEARCH 1 x 3\r\nTAG OK done\r\n"), errors: bad("no UID")},
		{name: "SEARCH without an answer", lie: replies("UID SEARCH", "TAG OK done\r\n"), errors: bad("without a search result")},
		{name: "SEARCH of nothing, with EXISTS saying otherwise", lie: replies("UID SEARCH", "* SEARCH\r\nTAG OK done\r\n"), errors: bad("lists 0 messages of a mailbox that has 9")},
		{name: "SEARCH of some, with EXISTS saying otherwise", lie: replies("UID SEARCH", "* SEARCH 1 2 3\r\nTAG OK done\r\n"), errors: bad("lists 3 messages of a mailbox that has 9")},
		{name: "SEARCH with MESSAGELIMIT", lie: replies("UID SEARCH", "* SEARCH 1 2\r\nTAG OK [MESSAGELIMIT 2] done\r\n"), errors: bad("MESSAGELIMIT")},
		{name: "ESEARCH of all UIDs that there are", lie: replies("UID SEARCH", "* ESEARCH (TAG \"TAG\") UID ALL 1:4294967295\r\nTAG OK done\r\n"), adjust: extended, errors: bad("lists 4,294,967,295 messages")},
		{name: "a million UIDs that EXISTS knows nothing of", lie: replies("UID SEARCH", "* SEARCH"+uids(1_000_000)+"\r\nTAG OK done\r\n"), errors: bad("lists 1,000,000 messages")},
		{name: "SEARCH without end", lie: ends("UID SEARCH", func(s *hostile.Session) { s.Send("* SEARCH"); s.Flood(" 12345") }), errors: bad("exceeds the limit")},
		{name: "silence to SEARCH", lie: ends("UID SEARCH", (*hostile.Session).Stall), errors: bad("silent")},
		{name: "BYE to SEARCH", lie: ends("UID SEARCH", func(s *hostile.Session) { s.Send("* BYE Internal error\r\n"); s.HangUp() }), errors: bad("Internal error")},
		{name: "the connection dies at EXAMINE", lie: func() lie {
			return func(s *hostile.Session, cmd hostile.Command) bool {
				if cmd.Name != "EXAMINE" || !strings.Contains(cmd.Args, "INBOX") {
					return false
				}
				s.HangUp()
				return true
			}
		}, errors: bad("closed the connection")},
	} {
		t.Run(c.name, c.spring)
	}
}

// TestMillionPhantoms: EXISTS and SEARCH agree on a million messages that do not exist.
// The run ends after some of them, and reports how many are missing.
func TestMillionPhantoms(t *testing.T) {
	h := newTestbed(t)
	boxes := world.ThreeMailboxes()
	phantoms := uids(1_000_000)
	s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
		switch {
		case cmd.Name == "EXAMINE" && strings.Contains(cmd.Args, "INBOX"):
			s.Open = &boxes[0]
			s.Send("* 1000000 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n" + cmd.Tag + " OK done\r\n")
			return true
		case cmd.Name == "UID SEARCH" && inbox(s):
			s.Send("* SEARCH" + phantoms + "\r\n" + cmd.Tag + " OK done\r\n")
			return true
		}
		return false
	}})
	run, err := h.run(world.Alice(s.Address()))
	if err != nil {
		t.Fatal(err)
	}
	l := of(t, run, "INBOX")
	if l.Server != 1_000_000 || l.Archived != 9 || l.Failed < maxFailedInRow || l.Failed > 3*maxFailedInRow || !strings.Contains(l.Error, "in a row could not be fetched") {
		t.Errorf("%d of %d archived, %d failed, error %q", l.Archived, l.Server, l.Failed, l.Error)
	}
	for _, m := range boxes {
		h.Holds(m)
	}
	h.completes(boxes)
}

// TestPoisonedMetadata: unreadable metadata costs no message. What cannot be read is left
// out.
func TestPoisonedMetadata(t *testing.T) {
	size := fmt.Sprint(len(world.NewMessage("INBOX", 5).Body))
	for _, c := range []struct {
		name, reply string
		want        world.Message // but for the body
	}{
		{"flags", `* SEQ FETCH (UID 5 FLAGS (foo]bar "\\Deleted" Größe ` + "\x01" + `) INTERNALDATE "17-Jul-1996 02:44:25 -0700" RFC822.SIZE ` + size + `)`, world.Message{Flags: `Größe \Deleted foo]bar`, Date: "17-Jul-1996 02:44:25 -0700"}},
		{"NIL for all", `* SEQ FETCH (UID 5 FLAGS NIL INTERNALDATE NIL RFC822.SIZE NIL)`, world.Message{Date: "01-Jan-0001 00:00:00 +0000"}},
		{"dates", `* SEQ FETCH (UID 5 FLAGS () INTERNALDATE "00-Jan-0000 00:00:60 GMT" RFC822.SIZE -1)`, world.Message{Date: "01-Jan-0001 00:00:00 +0000"}},
		{"size", `* SEQ FETCH (UID 5 FLAGS () INTERNALDATE "17-Jul-1996 02:44:25 -0700" RFC822.SIZE 99999999999999999999)`, world.Message{Date: "17-Jul-1996 02:44:25 -0700"}},
		{"deep nesting", `* SEQ FETCH (UID 5 BODYSTRUCTURE ` + strings.Repeat("(", 30000) + `)`, world.Message{Date: "01-Jan-0001 00:00:00 +0000"}},
		{"nothing", ``, world.Message{Date: "01-Jan-0001 00:00:00 +0000"}},
		{"NO", `TAG NO no metadata`, world.Message{Date: "01-Jan-0001 00:00:00 +0000"}},
		{"BAD, and the connection dies", `DIE`, world.Message{Date: "01-Jan-0001 00:00:00 +0000"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newTestbed(t)
			boxes := world.ThreeMailboxes()
			e := says(c.reply + "\r\n")
			if c.reply == "DIE" {
				e = dies("* BAD nonsense\r\n")
			}
			s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: poisonMeta(e, 5)()})
			h.clean(world.Alice(s.Address()))
			for _, m := range boxes[1:] {
				h.Holds(m)
			}
			want := world.MessagesOf(boxes[0])
			c.want.Body = want[5].Body
			want[5] = c.want
			world.Equal(t, "INBOX", h.Listed("INBOX"), want)
		})
	}
}

// TestPoisonedNames: each mailbox is archived in a directory of its own, whatever LIST
// calls it.
func TestPoisonedNames(t *testing.T) {
	names := []string{
		"INBOX", "R&D", "&AGE-", "&ACY-", "&AOk-&AOk-", "&2D0-", "&AOk", "&AOk=-", "&-", "&BBAEMQQyACYEMwQ0BDU-",
		"Entw\xfcrfe", "Entwürfe", "Entw&APw-rfe", "a\tb", "\x7f", "Sent Items", "../../etc/passwd", "/", "//", "a//b", ".", "..", "tmp", "journal.jsonl",
		"2024-01", "con", `a"b\c`, "foo", "Foo", "FOO/bar", "foo/bar", "*", "%", "()", "NIL", "{3}", strings.Repeat("n", 300), strings.Repeat("n", 301), " ", "x ", "x",
		"Stra\u00dfe", "STRASSE", "e\u0301", "\u00e9", "\u202eevil", "\x1b[2J",
	}
	var boxes []hostile.Mailbox
	for i, n := range names {
		boxes = append(boxes, world.NewMailbox(n, uint32(i+1), 2))
	}
	h := newTestbed(t)
	s := world.Serve(t, hostile.Options{Mailboxes: boxes})
	acc := world.Alice(s.Address())
	acc.Connections = 4
	run := h.clean(acc)
	if run.Sum.Archived != 2*len(names) {
		t.Errorf("archived %d of %d:\n%s", run.Sum.Archived, 2*len(names), show(run))
	}
	folded := map[string]string{}
	for _, b := range h.Mailboxes() {
		v := h.View(b)
		if v.Epoch() == nil || len(v.Epoch().Messages) != 2 {
			t.Errorf("%s has no messages", b.Dir)
			continue
		}
		// on a file system that folds case too
		if other, ok := folded[strings.ToLower(b.Dir)]; ok {
			t.Errorf("%q and %q may be one directory", b.Dir, other)
		}
		folded[strings.ToLower(b.Dir)] = b.Dir
		if ep := v.Epoch(); ep.UIDValidity == 0 || int(ep.UIDValidity) > len(names) {
			t.Errorf("%s has UIDVALIDITY %d", b.Dir, ep.UIDValidity)
		} else if want := world.MessagesOf(boxes[ep.UIDValidity-1]); true {
			for u, m := range ep.Messages {
				if int(m.Size) != len(want[u].Body) {
					t.Errorf("%s: UID %d has %d octets, want %d", b.Dir, u, m.Size, len(want[u].Body))
				}
			}
		}
	}
	if len(folded) != len(names) {
		t.Errorf("%d places for %d mailboxes", len(folded), len(names))
	}
	s = world.Serve(t, hostile.Options{Mailboxes: boxes})
	run = h.clean(world.Alice(s.Address()))
	if s.TotalSent() > 0 || len(run.Warnings) > 0 {
		t.Errorf("a second run fetched %d bodies and warns %q", s.TotalSent(), run.Warnings)
	}
}

// TestOddList: malformed replies to LIST cost no mailbox.
func TestOddList(t *testing.T) {
	h := newTestbed(t)
	boxes := []hostile.Mailbox{world.NewMailbox("INBOX", 7, 3), world.NewMailbox("Sent Items", 8, 3), world.NewMailbox("x", 9, 3)}
	s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name != "LIST" {
			return false
		}
		s.Send("* LIST (\\HasNoChildren) \"/\" INBOX\r\n* LIST () \"..\" Sent Items\r\n* LIST () NIL {1}\r\nx\r\n* LIST () \"/\" \"\"\r\n" +
			"* LIST (\\Noselect) \"/\" nothing\r\n* LIST (\\NonExistent) \"/\" no\r\n* LIST () \"/\" INBOX\r\n* LIST (((\r\n* STATUS \"x\" (MESSAGES x)\r\n" + cmd.Tag + " OK done\r\n")
		return true
	}})
	run, err := h.run(world.Alice(s.Address()))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range boxes {
		h.Holds(m)
	}
	for _, name := range []string{"nothing", "no"} {
		if l := of(t, run, name); l.Skipped == "" || l.Error != "" {
			t.Errorf("%+v", l)
		}
	}
	if l := of(t, run, "((("); l.Error == "" {
		t.Errorf("nothing is said of the line that can't be read: %+v", l)
	}
}

// TestOddStatus: a STATUS that fails, is wrong or is left out costs no mailbox.
func TestOddStatus(t *testing.T) {
	for _, c := range []struct{ name, reply string }{
		{"NO", "TAG NO no\r\n"},
		{"BAD", "TAG BAD no\r\n"},
		{"OK and nothing", "TAG OK done\r\n"},
		{"zeros", "* STATUS INBOX (MESSAGES 0 UIDNEXT 0 UIDVALIDITY 0 HIGHESTMODSEQ 0)\r\nTAG OK done\r\n"},
		{"too much", "* STATUS INBOX (MESSAGES 4294967295 UIDNEXT 4294967295 UIDVALIDITY 7 HIGHESTMODSEQ 9223372036854775807)\r\nTAG OK done\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newTestbed(t)
			boxes := world.ThreeMailboxes()
			s := world.Serve(t, hostile.Options{Mailboxes: boxes, Capabilities: "IMAP4rev1 CONDSTORE", Script: replies("STATUS", c.reply)()})
			for range 2 {
				h.clean(world.Alice(s.Address()))
			}
			for _, m := range boxes {
				h.Holds(m)
			}
			if s.TotalSent() != count(boxes) {
				t.Errorf("two runs fetched %d bodies of %d", s.TotalSent(), count(boxes))
			}
		})
	}
}

// TestEmptyList: an empty answer to LIST is an error; no mailbox counts as vanished.
func TestEmptyList(t *testing.T) {
	h := newTestbed(t)
	boxes := world.ThreeMailboxes()
	h.completes(boxes)
	s := world.Serve(t, hostile.Options{})
	run, err := h.run(world.Alice(s.Address()))
	if err == nil || !strings.Contains(err.Error(), "no mailbox at all") {
		t.Errorf("error is %v", err)
	}
	for _, b := range h.Mailboxes() {
		if v := h.View(b); !v.Vanished.IsZero() {
			t.Errorf("%s is taken for vanished", b.Dir)
		}
	}
	if len(run.Mailboxes) > 0 {
		t.Errorf("ledger is\n%s", show(run))
	}
	h.completes(boxes)
}

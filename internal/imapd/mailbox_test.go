package imapd

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// TestNames: names are sent in modified UTF-7 and are equal afterwards (RFC 3501 5.1.3).
func TestNames(t *testing.T) {
	r := start(t, Options{})
	c := r.login(t, nil)
	names := []string{"Entwürfe", "Проекты/日本語", "R&D", "Q&A: done?", "a&b&-c", "🦉", `quo"te\back`, "per%cent", "with space", "lower/inbox"}
	for _, n := range names {
		if err := c.Create(n, nil).Wait(); err != nil {
			t.Errorf("CREATE %q: %v", n, err)
		}
		r.append(t, c, n, []byte("x"), nil)
		if got := open(t, c, n, true).NumMessages; got != 1 {
			t.Errorf("%q holds %d messages", n, got)
		}
	}
	list, err := c.List("", "*", nil).Collect()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range list {
		got = append(got, l.Mailbox)
	}
	want := slices.Sorted(slices.Values(append(names, "INBOX", "lower", "Проекты")))
	if !slices.Equal(got, want) || !slices.Equal(r.user.Names(), want) {
		t.Errorf("LIST gives %q\nNames %q\nwant %q", got, r.user.Names(), want)
	}

	var refused *imap.Error
	for _, n := range []string{"inBox", "R&D", "a//b", "/a", ""} {
		if err := c.Create(n, nil).Wait(); !errors.As(err, &refused) {
			t.Errorf("CREATE %q: %v, want NO", n, err)
		}
	}
}

func TestDelimiter(t *testing.T) {
	r := start(t, Options{Delimiter: '.'})
	r.create(t, "a.b.c/d")
	if got := r.user.Names(); !slices.Equal(got, []string{"INBOX", "a", "a.b", "a.b.c/d"}) {
		t.Errorf("mailboxes %q", got)
	}
	c := r.login(t, nil)
	ns, err := c.Namespace().Wait()
	if err != nil || len(ns.Personal) != 1 || ns.Personal[0].Delim != '.' {
		t.Errorf("NAMESPACE %+v, %v", ns, err)
	}
	list, err := c.List("", "a.%", nil).Collect()
	if err != nil || len(list) != 1 || list[0].Mailbox != "a.b" || list[0].Delim != '.' {
		t.Errorf("LIST a.%%: %v, %v", list, err)
	}
}

// dialListed dials a server whose user has mailboxes of all kinds, and returns a function
// that sends a command and returns the untagged lines of the reply and its status.
func dialListed(t *testing.T) (ask func(command string) string) {
	t.Helper()
	s := New(Options{UIDValidity: 100})
	t.Cleanup(func() { s.Close() })
	u := s.AddUser(name, password)
	for n, attrs := range map[string][]imap.MailboxAttr{
		"Sent": {imap.MailboxAttrSent}, "Lists": {imap.MailboxAttrNoSelect}, "Entwürfe": {imap.MailboxAttrDrafts},
	} {
		if _, err := u.Create(n, attrs...); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := u.Create("Lists/nuts"); err != nil {
		t.Fatal(err)
	}
	m, err := u.Mailbox("Inbox")
	if err != nil {
		t.Fatal(err)
	}
	m.Append(Message{Body: []byte("12345"), Flags: []string{`\Deleted`}})
	m.Append(Message{Body: []byte("678"), Flags: []string{`\Seen`}})
	addr, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	lines := bufio.NewScanner(conn)
	return func(command string) string {
		fmt.Fprintf(conn, "t %s\r\n", command)
		var out []string
		for lines.Scan() {
			if line := lines.Text(); strings.HasPrefix(line, "t ") {
				return strings.Join(append(out, line[2:4]), "\n")
			} else if !strings.HasPrefix(line, "* OK [CAPABILITY") {
				out = append(out, strings.TrimPrefix(line, "* "))
			}
		}
		t.Fatal(lines.Err())
		return ""
	}
}

// TestListOnTheWire compares the octets of LIST and STATUS replies.
func TestListOnTheWire(t *testing.T) {
	ask := dialListed(t)
	for _, c := range []struct{ command, want string }{
		{fmt.Sprintf("LOGIN %s %q", name, password), "OK"},
		{`LIST "" ""`, `LIST (\Noselect) "/" ""` + "\nOK"},
		{`LIST "" %`, `LIST (\Drafts \HasNoChildren) "/" "Entw&APw-rfe"
LIST (\HasNoChildren) "/" INBOX
LIST (\Noselect \HasChildren) "/" "Lists"
LIST (\Sent \HasNoChildren) "/" "Sent"
OK`},
		{`LIST "" inbox RETURN (STATUS (MESSAGES UIDNEXT UIDVALIDITY UNSEEN DELETED SIZE DELETED-STORAGE RECENT))`,
			`LIST (\HasNoChildren) "/" INBOX
STATUS INBOX (MESSAGES 2 UIDNEXT 3 UIDVALIDITY 100 UNSEEN 1 DELETED 1 SIZE 8 DELETED-STORAGE 5 RECENT 0)
OK`},
		{`LIST (SPECIAL-USE) "" *`, `LIST (\Drafts \HasNoChildren) "/" "Entw&APw-rfe"` + "\n" + `LIST (\Sent \HasNoChildren) "/" "Sent"` + "\nOK"},
		{`LIST "Lists/" *`, `LIST (\HasNoChildren) "/" "Lists/nuts"` + "\nOK"},
		{`LIST "" (Sent Lists)`, `LIST (\Noselect \HasChildren) "/" "Lists"` + "\n" + `LIST (\Sent \HasNoChildren) "/" "Sent"` + "\nOK"},
		{`LIST (SUBSCRIBED RECURSIVEMATCH) "" *`, "NO"},
		{`SUBSCRIBE Sent`, "OK"},
		{`LSUB "" *`, `LSUB (\Sent \Subscribed \HasNoChildren) "/" "Sent"` + "\nOK"},
		{`UNSUBSCRIBE Sent`, "OK"},
		{`LSUB "" *`, "OK"},
		{`SUBSCRIBE none`, "NO"},
		{`STATUS Lists (MESSAGES)`, "NO"},
		{`STATUS none (MESSAGES)`, "NO"},
		{`EXAMINE Lists`, "NO"},
		{`CREATE x/y (USE (\Junk))`, "OK"},
		{`LIST "" x*`, `LIST (\HasChildren) "/" "x"` + "\n" + `LIST (\Junk \HasNoChildren) "/" "x/y"` + "\nOK"},
		{`DELETE x`, "NO"},
		{`DELETE x/y`, "OK"},
		{`DELETE x`, "OK"},
		{`DELETE INBOX`, "NO"},
	} {
		if got := ask(c.command); got != c.want {
			t.Errorf("%s:\n%s\nwant:\n%s", c.command, got, c.want)
		}
	}
}

func TestRename(t *testing.T) {
	r := start(t, Options{UIDValidity: 1})
	b := r.create(t, "a/b")
	b.Append(Message{UID: 5, Body: []byte("b")})
	r.inbox(t).Append(Message{UID: 9})
	r.create(t, "INBOX/child")
	r.create(t, "ab")
	c := r.login(t, nil)
	for _, n := range [][2]string{{"a", "z/y"}, {"INBOX", "old"}} {
		if err := c.Rename(n[0], n[1], nil).Wait(); err != nil {
			t.Errorf("RENAME %s: %v", n, err)
		}
	}
	if got, want := r.user.Names(), []string{"INBOX", "INBOX/child", "ab", "old", "z", "z/y", "z/y/b"}; !slices.Equal(got, want) {
		t.Errorf("mailboxes %q, want %q", got, want)
	}
	if data := open(t, c, "z/y/b", true); data.UIDValidity != b.UIDValidity() || data.UIDNext != 6 || data.NumMessages != 1 {
		t.Errorf("the renamed mailbox has UIDVALIDITY %d, UIDNEXT %d, %d messages", data.UIDValidity, data.UIDNext, data.NumMessages)
	}
	if data := open(t, c, "INBOX", true); data.UIDValidity == 1 || data.NumMessages != 0 {
		t.Errorf("INBOX has UIDVALIDITY %d, %d messages", data.UIDValidity, data.NumMessages)
	}
	for _, n := range [][2]string{{"none", "x"}, {"ab", "old"}, {"z", "z/y/x"}, {"ab", "inbox"}, {"ab", "x//y"}} {
		var refused *imap.Error
		if err := c.Rename(n[0], n[1], nil).Wait(); !errors.As(err, &refused) {
			t.Errorf("RENAME %s: %v, want NO", n, err)
		}
	}
	for name, want := range map[string]error{"none": ErrNotFound, "z": ErrChildren, "inbox": ErrName} {
		if err := r.user.Delete(name); !errors.Is(err, want) {
			t.Errorf("Delete %s: %v, want %v", name, err, want)
		}
	}
	if _, err := r.user.Create("ab"); !errors.Is(err, ErrExists) {
		t.Errorf("Create: %v, want ErrExists", err)
	}
}

package wire

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"archiverd/internal/testing/hostile"
	"archiverd/internal/uid"
)

// fetchWithIDs returns the metadata of UID 5 with its object IDs.
func fetchWithIDs(t *testing.T, c *Conn) (Metadata, error) {
	t.Helper()
	var out Metadata
	err := c.FetchMetadata(t.Context(), MetadataQuery{Set: uid.Of(5), IDs: true}, func(m Metadata) error { out = m; return nil })
	return out, err
}

// The object IDs and labels that a server has are fetched with the other metadata, in the
// same command.
func TestObjectIDs(t *testing.T) {
	for caps, want := range map[string]struct {
		items, id string
		labels    []string
	}{
		"":                     {"RFC822.SIZE)", "", nil},
		" OBJECTID":            {"RFC822.SIZE EMAILID)", "12-M_a", nil},
		" X-GM-EXT-1":          {"RFC822.SIZE X-GM-MSGID X-GM-LABELS)", "12", []string{"Größe & mehr", `\Inbox`, `\Sent`, "x"}},
		" OBJECTID X-GM-EXT-1": {"RFC822.SIZE EMAILID X-GM-LABELS)", "12-M_a", []string{"Größe & mehr", `\Inbox`, `\Sent`, "x"}},
	} {
		id := "12"
		if strings.Contains(caps, "OBJECTID") {
			id = "12-M_a"
		}
		s := serve(t, hostile.Options{Capabilities: "IMAP4rev1 AUTH=PLAIN" + caps, Mailboxes: []hostile.Mailbox{{Name: "INBOX", UIDValidity: 1, Messages: []hostile.Message{
			{UID: 5, Date: "17-Jul-1996 02:44:25 -0700", Body: []byte("x"), ID: id, Labels: `"\\Sent" \Inbox "Gr&APYA3w-e &- mehr" x x`},
		}}}})
		c := connect(t, s, options(s))
		m, err := fetchWithIDs(t, c)
		if err != nil || m.EmailID != want.id || !slices.Equal(m.Labels, want.labels) || (m.Labels == nil) != (want.labels == nil) || m.Problem != "" || m.Size != 1 {
			t.Errorf("%q: %+v, %v", caps, m, err)
		}
		commands := s.Commands()
		if last := commands[len(commands)-1]; !strings.HasSuffix(last, want.items) {
			t.Errorf("%q: the command is %s", caps, last)
		}
	}
}

// An unreadable EMAILID or X-GM-MSGID is ignored. Unreadable labels are reported in
// Metadata.Problem.
func TestUnreadableObjectIDs(t *testing.T) {
	long := strings.Repeat("x", 60000)
	for _, c := range []struct{ items, id, labels, problem string }{
		{"EMAILID (a)", "a", "-", ""},
		{"EMAILID (\"a\")", "a", "-", ""},
		{"EMAILID a", "", "-", ""},
		{"EMAILID NIL", "", "-", ""},
		{"EMAILID ()", "", "-", ""},
		{"EMAILID ((a))", "", "-", ""},
		{"EMAILID (a/b)", "", "-", ""},
		{"EMAILID (" + strings.Repeat("a", 256) + ")", "", "-", ""},
		{"X-GM-MSGID 18446744073709551615", "18446744073709551615", "-", ""},
		{"X-GM-MSGID 184467440737095516150", "", "-", ""},
		{"X-GM-MSGID -1", "", "-", ""},
		{"X-GM-MSGID NIL", "", "-", ""},
		{"X-GM-MSGID (1)", "", "-", ""},
		{"X-GM-MSGID 1 EMAILID (b)", "b", "-", ""},
		{"X-GM-LABELS ()", "", "[]", ""},
		{"X-GM-LABELS NIL", "", "-", "X-GM-LABELS"},
		{"X-GM-LABELS (a (b))", "", "-", "X-GM-LABELS"},
		{"X-GM-LABELS (\"a\x01b\")", "", "-", "X-GM-LABELS"},
		{"X-GM-LABELS (\"\")", "", "-", "X-GM-LABELS"},
		{"X-GM-LABELS (&ab {3}\r\na\"c)", "", `["&ab" "a\"c"]`, ""},
		{"X-GM-LABELS ({60000}\r\n" + long + " {60000}\r\n" + long + ")", "", "-", "X-GM-LABELS"},
	} {
		s := serve(t, hostile.Options{Capabilities: "IMAP4rev1 AUTH=PLAIN OBJECTID", Mailboxes: inbox(), Script: func(s *hostile.Session, cmd hostile.Command) bool {
			if cmd.Name != "UID FETCH" {
				return false
			}
			s.Send("* 1 FETCH (UID 5 " + c.items + " RFC822.SIZE 7)\r\n" + cmd.Tag + " OK done\r\n")
			return true
		}})
		m, err := fetchWithIDs(t, connect(t, s, options(s)))
		labels := "-"
		if m.Labels != nil {
			labels = fmt.Sprintf("%q", m.Labels)
		}
		if err != nil || m.EmailID != c.id || labels != c.labels || m.Size != 7 || (m.Problem != "") != (c.problem != "") || !strings.Contains(m.Problem, c.problem) {
			t.Errorf("%.60s: %+v, %v", c.items, m, err)
		}
	}
}

// A server that refuses the object IDs that it announces is sent the command again without
// them, and is not asked for them later.
func TestRefusedObjectIDs(t *testing.T) {
	for _, refusal := range []string{"BAD unknown item", "NO not here"} {
		var asked atomic.Int64
		s := serve(t, hostile.Options{Capabilities: "IMAP4rev1 AUTH=PLAIN OBJECTID", Mailboxes: inbox("1", "2", "3", "4", "5"), Script: func(s *hostile.Session, cmd hostile.Command) bool {
			if !strings.Contains(cmd.Args, "EMAILID") {
				return false
			}
			asked.Add(1)
			s.Send(cmd.Tag + " " + refusal + "\r\n")
			return true
		}})
		c := connect(t, s, options(s))
		for range 2 {
			if m, err := fetchWithIDs(t, c); err != nil || !m.HasSize {
				t.Errorf("%s: %+v, %v", refusal, m, err)
			}
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("%s: asked for EMAILID %d times", refusal, n)
		}
	}
}

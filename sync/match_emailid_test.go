package sync

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"archiverd/archive"
	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
)

// TestLabelServer: in the first run of a server with labels, All Mail and the labels are
// fetched at the same time; each message is downloaded once, and matched by its EMAILID
// without its header.
func TestLabelServer(t *testing.T) {
	for capability, connections := range map[string]int{"X-GM-EXT-1": 4, "OBJECTID": 1, "OBJECTID X-GM-EXT-1": 2} {
		h := newTestbed(t)
		all := world.NewMailbox("[Gmail]/All Mail", 11, 200)
		inbox, label := world.NewMailbox("INBOX", 12, 0), world.NewMailbox("Größe", 13, 0)
		label.Name = "Gr&APYA3w-e"
		for i := range all.Messages {
			m := &all.Messages[i]
			m.ID, m.Labels = fmt.Sprint(1000+i), `"\\Inbox" "Gr&APYA3w-e"`
			copied := *m
			copied.UID = uint32(1000 - i)
			if i%2 == 0 {
				inbox.Messages = append([]hostile.Message{copied}, inbox.Messages...)
			}
			if i%3 == 0 {
				label.Messages = append([]hostile.Message{copied}, label.Messages...)
			}
		}
		boxes := []hostile.Mailbox{all, inbox, label}
		s := world.Serve(t, hostile.Options{Capabilities: "IMAP4rev1 AUTH=PLAIN LIST-STATUS " + capability, Mailboxes: boxes})
		acc := world.Alice(s.Address())
		acc.Connections = connections
		run := h.clean(acc)
		if n := s.TotalSent(); n < 200 || n > 205 || len(headers(s)) > 0 {
			t.Errorf("%s: %d bodies for 200 messages; headers %q", capability, n, headers(s))
		}
		if run.Sum.Matched < 160 {
			t.Errorf("%s: %+v", capability, run.Sum)
		}
		h.Holds(all)
		h.Holds(inbox)
		label.Name = "Größe"
		h.Holds(label)
		b, _ := h.Mailbox("INBOX")
		if _, err := h.Committer.Archive.Replay(b, archive.Position{}, func(e archive.Event) error {
			if e.Kind == archive.Added {
				if labels := slices.Equal(e.Labels, []string{"Größe", `\Inbox`}); e.EmailID == "" || labels != strings.Contains(capability, "GM") || e.Matched != "" && e.Matched != "emailid" {
					t.Errorf("%s: %+v", capability, e)
				}
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
}

// TestIDOfAnotherServer: an EMAILID of another server is not compared: the header decides.
func TestIDOfAnotherServer(t *testing.T) {
	h := newTestbed(t)
	was := mails("INBOX", 7, "Message-ID: <1>\r\n\r\n1111"+large, "Message-ID: <2>\r\n\r\n2222"+large)
	is := mails("INBOX", 8, "Message-ID: <3>\r\n\r\n3333"+large, "Message-ID: <2>\r\n\r\n2222"+large, "Message-ID: <2>\r\n\r\n2222"+large)
	for _, m := range []hostile.Mailbox{was, is} {
		for i := range m.Messages {
			m.Messages[i].ID = fmt.Sprint("M", i)
		}
	}
	s := world.Serve(t, hostile.Options{Capabilities: "IMAP4rev1 AUTH=PLAIN OBJECTID", Mailboxes: []hostile.Mailbox{was}})
	h.clean(world.Alice(s.Address()))
	s = world.Serve(t, hostile.Options{Capabilities: "IMAP4rev1 AUTH=PLAIN OBJECTID", Mailboxes: []hostile.Mailbox{is}})
	run := h.clean(world.Alice(s.Address()))
	if s.TotalSent() != 2 || run.Sum.Matched != 1 || len(headers(s)) != 1 {
		t.Errorf("%d bodies fetched, %d matched, headers %q", s.TotalSent(), run.Sum.Matched, headers(s))
	}
	h.Holds(is)
}

// TestIDTellsTwinsApart: by EMAILID, messages with one header and several contents are told
// apart, and messages with a malformed header are matched.
func TestIDTellsTwinsApart(t *testing.T) {
	h := newTestbed(t)
	twins := mails("INBOX", 7, "A: 1\r\n\r\n1111\r\n", "A: 1\r\n\r\n2222\r\n", "A 1\r\n\r\n 3333\r\n")
	for i := range twins.Messages {
		twins.Messages[i].ID = fmt.Sprint("M", i)
	}
	other := twins
	other.Name, other.UIDValidity = "Other", 9
	s := world.Serve(t, hostile.Options{Capabilities: "IMAP4rev1 AUTH=PLAIN OBJECTID LIST-STATUS", Mailboxes: []hostile.Mailbox{twins}})
	h.clean(named(s))
	s = world.Serve(t, hostile.Options{Capabilities: "IMAP4rev1 AUTH=PLAIN OBJECTID LIST-STATUS", Mailboxes: []hostile.Mailbox{twins, other}})
	run := h.clean(named(s))
	if s.TotalSent() != 1 || run.Sum.Matched != 2 {
		t.Errorf("%d bodies fetched, %d matched", s.TotalSent(), run.Sum.Matched)
	}
	h.Holds(other)
}

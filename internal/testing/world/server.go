package world

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"archiverd/internal/session"
	"archiverd/internal/testing/hostile"
)

// Server is a hostile server that counts the bodies it sends.
type Server struct {
	*hostile.Server

	mu   sync.Mutex
	sent map[string]int // by "mailbox UID"
}

// Serve starts a server until the test ends. No command that it was sent may change
// anything.
func Serve(t testing.TB, o hostile.Options) *Server {
	t.Helper()
	s := &Server{sent: map[string]int{}}
	script := o.Script
	o.Script = func(session *hostile.Session, cmd hostile.Command) bool {
		if script != nil && script(session, cmd) {
			return true
		}
		return s.sendBodies(session, cmd)
	}
	if o.Capabilities == "" {
		o.Capabilities = "IMAP4rev1 AUTH=PLAIN SASL-IR LIST-STATUS CONDSTORE"
	}
	var err error
	if s.Server, err = hostile.New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		ReadsOnly(t, s.Commands())
	})
	return s
}

// Alice returns the account of alice at the server.
func (s *Server) Alice() session.Account {
	a := Alice(s.Address())
	a.Wire.Dial = s.Dial
	return a
}

// ReadsOnly fails the test if one of the commands could change anything.
func ReadsOnly(t testing.TB, commands []string) {
	t.Helper()
	for _, c := range commands {
		name, args, _ := strings.Cut(c, " ")
		if name == "UID" {
			var second string
			second, args, _ = strings.Cut(args, " ")
			name += " " + second
		}
		switch name {
		case "CAPABILITY", "LOGIN", "AUTHENTICATE", "LIST", "STATUS", "EXAMINE", "UID SEARCH", "NOOP", "COMPRESS", "LOGOUT":
		case "UID FETCH":
			if strings.Contains(strings.ReplaceAll(args, "BODY.PEEK[", ""), "[") || strings.Contains(args, "RFC822 ") || strings.Contains(args, "RFC822)") {
				t.Errorf("a FETCH that sets \\Seen: %q", c)
			}
		default:
			t.Errorf("a command that may change something: %q", c)
		}
	}
}

// sendBodies answers a FETCH of bodies truthfully and counts them.
func (s *Server) sendBodies(session *hostile.Session, cmd hostile.Command) bool {
	if session.Open == nil || !WantsBodies(cmd) {
		return false
	}
	for i, m := range session.Open.Messages {
		if Requests(cmd, m.UID) {
			s.CountBody(session.Open.Name, m.UID)
			session.Fetched(i, "UID BODY[]")
		}
	}
	session.Send(cmd.Tag + " OK done\r\n")
	return true
}

// CountBody counts a body that a script has sent.
func (s *Server) CountBody(mailbox string, u uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent[fmt.Sprintf("%s %d", mailbox, u)]++
}

// Sent returns how often each body was sent, by "mailbox UID".
func (s *Server) Sent() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.sent)
}

// TotalSent returns how many bodies were sent.
func (s *Server) TotalSent() int {
	n := 0
	for _, k := range s.Sent() {
		n += k
	}
	return n
}

// WantsBodies reports whether a command fetches bodies.
func WantsBodies(cmd hostile.Command) bool {
	return cmd.Name == "UID FETCH" && strings.Contains(cmd.Args, "BODY.PEEK[]")
}

// WantsMetadata reports whether a command fetches flags.
func WantsMetadata(cmd hostile.Command) bool {
	return cmd.Name == "UID FETCH" && strings.Contains(cmd.Args, "FLAGS")
}

// Requests reports whether the sequence set of a FETCH has a UID.
func Requests(cmd hostile.Command, u uint32) bool {
	set, _, _ := strings.Cut(cmd.Args, " ")
	for part := range strings.SplitSeq(set, ",") {
		var first, last uint32
		if n, _ := fmt.Sscanf(part, "%d:%d", &first, &last); n == 1 {
			last = first
		}
		if first <= u && u <= last {
			return true
		}
	}
	return false
}

// NewMailbox makes a mailbox of n messages with the UIDs 1 to n.
func NewMailbox(name string, uidValidity uint32, n int) hostile.Mailbox {
	m := hostile.Mailbox{Name: name, Attrs: `\HasNoChildren`, UIDValidity: uidValidity, HighestModSeq: uint64(10 + n)}
	for i := range n {
		m.Messages = append(m.Messages, NewMessage(name, uint32(i+1)))
	}
	return m
}

// NewMessage makes a message that differs from that of any other mailbox and UID,
// also in its date.
func NewMessage(mailbox string, u uint32) hostile.Message {
	at := time.Date(2024, time.Month(1+u%12), int(1+u%28), 12, 0, int(u%60), 0, time.FixedZone("", 3600*int(u%5)))
	at = at.Add(time.Duration(crc32.ChecksumIEEE([]byte(mailbox))%1e7) * time.Minute)
	text := fmt.Sprintf("Message-ID: <%d.%x@example.com>\r\nSubject: %s %d\r\n\r\n", u, crc32.ChecksumIEEE([]byte(mailbox)), mailbox, u)
	return hostile.Message{
		UID: u, Flags: []string{`\Seen`, `\Flagged $Junk`, ``, `Keyword \Answered`}[u%4], Date: at.Format(dateLayout),
		Body: append([]byte(text), bytes.Repeat([]byte{'a' + byte(u%26)}, int(u%7)*50)...), ModSeq: uint64(u),
	}
}

// ThreeMailboxes are the mailboxes of most tests.
func ThreeMailboxes() []hostile.Mailbox {
	return []hostile.Mailbox{NewMailbox("INBOX", 7, 9), NewMailbox("Lists/Go", 8, 5), NewMailbox("Archiv", 9, 3)}
}

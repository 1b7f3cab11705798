package sync

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"strings"
	gosync "sync"
	"testing"
	"time"

	"archiverd/internal/session"
	"archiverd/internal/testing/hostile"
)

// server is a hostile server that counts the bodies it sends.
type server struct {
	*hostile.Server
	mu   gosync.Mutex
	sent map[string]int // by "mailbox uid"
}

// lie is a script; see hostile.Options.
type lie = func(s *hostile.Session, cmd hostile.Command) bool

// serve starts a server. When the test ends, all that it was ever sent must
// have been of commands that change nothing.
func serve(t testing.TB, o hostile.Options) *server {
	t.Helper()
	s := &server{sent: map[string]int{}}
	script := o.Script
	o.Script = func(session *hostile.Session, cmd hostile.Command) bool {
		if script != nil && script(session, cmd) {
			return true
		}
		return s.bodies(session, cmd)
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
		readsOnly(t, s.Commands())
	})
	return s
}

// alice is the account at the server.
func (s *server) alice() session.Account {
	acc := alice(s.Address())
	acc.Wire.Dial = s.Dial
	return acc
}

// readsOnly fails on a command that could change anything.
func readsOnly(t testing.TB, commands []string) {
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

// bodies answers a FETCH of bodies truthfully, and counts.
func (s *server) bodies(session *hostile.Session, cmd hostile.Command) bool {
	if session.Open == nil || !wantsBodies(cmd) {
		return false
	}
	for i, m := range session.Open.Messages {
		if asked(cmd, m.UID) {
			s.count(session.Open.Name, m.UID)
			session.Fetched(i, "UID BODY[]")
		}
	}
	session.Send(cmd.Tag + " OK done\r\n")
	return true
}

func (s *server) count(mailbox string, u uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent[fmt.Sprintf("%s %d", mailbox, u)]++
}

// total is how many bodies were sent.
func (s *server) total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, k := range s.sent {
		n += k
	}
	return n
}

func wantsBodies(cmd hostile.Command) bool {
	return cmd.Name == "UID FETCH" && strings.Contains(cmd.Args, "BODY.PEEK[]")
}

func wantsMeta(cmd hostile.Command) bool {
	return cmd.Name == "UID FETCH" && strings.Contains(cmd.Args, "FLAGS")
}

// asked says whether a FETCH asks for the UID.
func asked(cmd hostile.Command, u uint32) bool {
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

// mail makes a mailbox of n messages, UIDs from 1 on.
func mail(name string, uidValidity uint32, n int) hostile.Mailbox {
	m := hostile.Mailbox{Name: name, Attrs: `\HasNoChildren`, UIDValidity: uidValidity, HighestModSeq: uint64(10 + n)}
	for i := range n {
		m.Messages = append(m.Messages, message(name, uint32(i+1)))
	}
	return m
}

// message is one that no other mailbox and UID have.
func message(mailbox string, u uint32) hostile.Message {
	at := time.Date(2024, time.Month(1+u%12), int(1+u%28), 12, 0, int(u%60), 0, time.FixedZone("", 3600*int(u%5)))
	at = at.Add(time.Duration(crc32.ChecksumIEEE([]byte(mailbox))%1e7) * time.Minute) // nor the date of another one's
	text := fmt.Sprintf("Subject: %s %d\r\n\r\n", mailbox, u)
	return hostile.Message{
		UID: u, Flags: []string{`\Seen`, `\Flagged $Junk`, ``, `Keyword \Answered`}[u%4], Date: at.Format(dateLayout),
		Body: append([]byte(text), bytes.Repeat([]byte{'a' + byte(u%26)}, int(u%7)*50)...), ModSeq: uint64(u),
	}
}

// three are the mailboxes of most tests.
func three() []hostile.Mailbox {
	return []hostile.Mailbox{mail("INBOX", 7, 9), mail("Lists/Go", 8, 5), mail("Archiv", 9, 3)}
}

func count(boxes []hostile.Mailbox) int {
	n := 0
	for _, m := range boxes {
		n += len(m.Messages)
	}
	return n
}

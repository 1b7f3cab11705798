package wire

import (
	"strings"
	"testing"

	"archiverd/internal/testing/hostile"
)

// replaceAnswer returns a script that sends text, in which TAG stands for the tag, when
// the command name comes. The server answers itself as well if text has no TAG. Commands
// for the mailbox "first" are left alone.
func replaceAnswer(name, text string) func(*hostile.Session, hostile.Command) bool {
	return func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name != name || strings.Contains(cmd.Args, `"first"`) {
			return false
		}
		s.Send(strings.ReplaceAll(text, "TAG", cmd.Tag))
		return strings.Contains(text, "TAG")
	}
}

// strayMetadata is a reply about a message that INBOX does not have.
const strayMetadata = "* 1 FETCH (UID 99 FLAGS () INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" RFC822.SIZE 5)\r\n"

// openCase is an answer to the commands of Open, which are sent in one write.
type openCase struct {
	name     string
	script   func(*hostile.Session, hostile.Command) bool
	class    Class  // of the error
	uids     string // found
	metadata int    // number of messages with metadata
	answered bool   // Opened.AllAnswered
}

var openCases = []openCase{
	{"honest", nil, 0, "1:3", 3, true},
	{"no such mailbox, and the one before stays open", replaceAnswer("EXAMINE", "TAG NO [NONEXISTENT] no\r\n"), ClassMailbox, "", 0, false},
	{"messages and a list of the mailbox before", replaceAnswer("EXAMINE", strayMetadata+"* SEARCH 77\r\n"), 0, "1:3", 3, true},
	{"the search is refused", replaceAnswer("UID SEARCH", "TAG NO no\r\n"), ClassMailbox, "", 0, false},
	{"the search has no result", replaceAnswer("UID SEARCH", "TAG OK done\r\n"), ClassProtocol, "", 0, false},
	{"the search is cut short", replaceAnswer("UID SEARCH", "* SEARCH 1\r\nTAG OK [MESSAGELIMIT 1] done\r\n"), ClassProtocol, "", 0, false},
	{"metadata is refused", replaceAnswer("UID FETCH", "TAG BAD the set is invalid\r\n"), 0, "1:3", 0, false},
	{"metadata is refused for now", replaceAnswer("UID FETCH", "TAG NO [UNAVAILABLE] later\r\n"), ClassBusy, "", 0, false},
	{"hangs up in the middle", func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name == "UID FETCH" {
			s.Send("* 1 FETCH (UID 1 ")
			s.HangUp()
		}
		return cmd.Name == "UID FETCH"
	}, ClassTransient, "", 0, false},
	{"answers in another order", replaceAnswer("UID SEARCH", "X9 OK done\r\nTAG OK\r\n"), ClassProtocol, "", 0, false},
}

// Open returns what the server says of the mailbox that it opens, and nothing that
// belongs to the one before. A command that the server refuses leaves the connection
// usable.
func TestOpen(t *testing.T) {
	for _, c := range openCases {
		t.Run(c.name, func(t *testing.T) {
			boxes := append(inbox("a", "bb", "ccc"), hostile.Mailbox{Name: "first", UIDValidity: 3})
			s := serve(t, hostile.Options{Mailboxes: boxes, Script: c.script})
			o := options(s)
			o.Timeouts = Timeouts{}
			conn := dialAndLogin(t, o, "alice", "secret")
			if _, err := conn.Examine(t.Context(), "first", false); err != nil {
				t.Fatal(err)
			}
			delivered := 0
			opened, err := conn.Open(t.Context(), OpenQuery{Wire: "INBOX", Search: true, Metadata: []MetadataQuery{{Set: uidRange(1, 1<<32-1)}}}, func(m Metadata) error {
				if m.UID == 99 || !m.HasSize {
					t.Errorf("metadata %+v", m)
				}
				delivered++
				return nil
			})
			if Classify(err) != c.class {
				t.Fatalf("error is %v of class %v, want %v", err, Classify(err), c.class)
			}
			if err != nil {
				return
			}
			if opened.UIDs.String() != c.uids || opened.UIDValidity != 7 || opened.Messages != 3 || delivered != c.metadata || opened.AllAnswered != c.answered {
				t.Errorf("Open = %+v, metadata of %d messages", opened, delivered)
			}
			if _, err := conn.Search(t.Context()); err != nil {
				t.Errorf("the connection is not usable: %v", err)
			}
		})
	}
}

// LogoutNoWait sends LOGOUT and does not wait for an answer. The connection takes no more
// commands.
func TestLogoutNoWait(t *testing.T) {
	for _, security := range []Security{Plaintext, TLS} {
		loggedOut := make(chan bool, 1)
		s := serve(t, hostile.Options{TLS: security == TLS, Mailboxes: inbox("a"), Script: func(s *hostile.Session, cmd hostile.Command) bool {
			if cmd.Name == "LOGOUT" {
				loggedOut <- true
				s.Stall()
			}
			return false
		}})
		o := options(s)
		o.Security, o.Timeouts = security, Timeouts{}
		c := connect(t, s, o)
		if err := c.LogoutNoWait(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-loggedOut
		if _, err := c.Search(t.Context()); err == nil {
			t.Error("a command after LogoutNoWait succeeds")
		}
	}
}

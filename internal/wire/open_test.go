package wire

import (
	"strings"
	"testing"

	"archiverd/internal/testing/hostile"
)

// What a server makes of a flight of commands, and what of that is believed.
func TestLook(t *testing.T) {
	const stray = "* 1 FETCH (UID 99 FLAGS () INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" RFC822.SIZE 5)\r\n"
	instead := func(name, text string) func(*hostile.Session, hostile.Command) bool {
		return func(s *hostile.Session, cmd hostile.Command) bool {
			if cmd.Name != name || strings.Contains(cmd.Args, `"first"`) {
				return false
			}
			s.Send(strings.ReplaceAll(text, "TAG", cmd.Tag))
			return strings.Contains(text, "TAG")
		}
	}
	for _, c := range []struct {
		name   string
		script func(*hostile.Session, hostile.Command) bool
		class  Class  // of the error
		uids   string // found
		metas  int
		told   bool
	}{
		{"honest", nil, 0, "1:3", 3, true},
		{"no such mailbox, and the one before stays open", instead("EXAMINE", "TAG NO [NONEXISTENT] no\r\n"), ClassMailbox, "", 0, false},
		{"messages and a list of the mailbox before", instead("EXAMINE", stray+"* SEARCH 77\r\n"), 0, "1:3", 3, true},
		{"the search is refused", instead("UID SEARCH", "TAG NO no\r\n"), ClassMailbox, "", 0, false},
		{"the search has no result", instead("UID SEARCH", "TAG OK done\r\n"), ClassProtocol, "", 0, false},
		{"the search is cut short", instead("UID SEARCH", "* SEARCH 1\r\nTAG OK [MESSAGELIMIT 1] done\r\n"), ClassProtocol, "", 0, false},
		{"metadata is refused", instead("UID FETCH", "TAG BAD the set is invalid\r\n"), 0, "1:3", 0, false},
		{"metadata is refused for now", instead("UID FETCH", "TAG NO [UNAVAILABLE] later\r\n"), ClassBusy, "", 0, false},
		{"hangs up in the middle", func(s *hostile.Session, cmd hostile.Command) bool {
			if cmd.Name == "UID FETCH" {
				s.Send("* 1 FETCH (UID 1 ")
				s.HangUp()
			}
			return cmd.Name == "UID FETCH"
		}, ClassTransient, "", 0, false},
		{"answers in another order", instead("UID SEARCH", "X9 OK done\r\nTAG OK\r\n"), ClassProtocol, "", 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			boxes := append(inbox("a", "bb", "ccc"), hostile.Mailbox{Name: "first", UIDValidity: 3})
			s := serve(t, hostile.Options{Mailboxes: boxes, Script: c.script})
			o := options(s)
			o.Timeouts = Timeouts{}
			conn, err := Dial(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.Login(t.Context(), Auth{Username: "alice", Password: []byte("secret")}); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Examine(t.Context(), "first", false); err != nil {
				t.Fatal(err)
			}
			metas := 0
			looked, err := conn.Open(t.Context(), OpenQuery{Wire: "INBOX", Search: true, Metadata: []MetadataQuery{{Set: span(1, 1<<32-1)}}}, func(m Metadata) error {
				if m.UID == 99 || !m.HasSize {
					t.Errorf("meta %+v", m)
				}
				metas++
				return nil
			})
			if Classify(err) != c.class {
				t.Fatalf("error is %v of class %v, want %v", err, Classify(err), c.class)
			}
			if err != nil {
				return
			}
			if looked.UIDs.String() != c.uids || looked.UIDValidity != 7 || looked.Messages != 3 || metas != c.metas || looked.AllAnswered != c.told {
				t.Errorf("looked is %+v, %d metas", looked, metas)
			}
			if _, err := conn.Search(t.Context()); err != nil {
				t.Errorf("the connection is not as good as before: %v", err)
			}
		})
	}
}

// Leave says LOGOUT and waits for nothing, whatever the server does.
func TestLeave(t *testing.T) {
	for _, secure := range []Security{Plaintext, TLS} {
		left := make(chan bool, 1)
		s := serve(t, hostile.Options{TLS: secure == TLS, Mailboxes: inbox("a"), Script: func(s *hostile.Session, cmd hostile.Command) bool {
			if cmd.Name == "LOGOUT" {
				left <- true
				s.Stall()
			}
			return false
		}})
		o := options(s)
		o.Security, o.Timeouts = secure, Timeouts{}
		c := connect(t, s, o)
		if err := c.LogoutNoWait(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-left
		if _, err := c.Search(t.Context()); err == nil {
			t.Error("a command after it is no error")
		}
	}
}

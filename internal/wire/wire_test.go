package wire

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"archiverd/internal/testing/hostile"
	"archiverd/internal/uid"
)

// honestCase is a way to connect and to log in.
type honestCase struct {
	name     string
	server   hostile.Options
	security Security
	auth     Auth // Username is set by the test; a Password of nil is "secret"
}

var honestCases = []honestCase{
	{"plaintext", hostile.Options{}, Plaintext, Auth{}},
	{"TLS", hostile.Options{TLS: true, Capabilities: "IMAP4rev1 IMAP4rev2 SASL-IR AUTH=PLAIN ESEARCH LIST-STATUS SPECIAL-USE CONDSTORE LITERAL+"}, TLS, Auth{}},
	{"STARTTLS", hostile.Options{StartTLS: true, Capabilities: "IMAP4rev1"}, StartTLS, Auth{Mechanism: "login"}},
	{"password in a literal", hostile.Options{Password: "pässwörd", Capabilities: "IMAP4rev1"}, Plaintext, Auth{Password: []byte("pässwörd")}},
	{"AUTHENTICATE LOGIN", hostile.Options{TLS: true, Capabilities: "IMAP4rev1 LOGINDISABLED AUTH=LOGIN"}, TLS, Auth{}},
}

// bigBody is larger than all buffers of a connection.
var bigBody = strings.Repeat("0123456789abcde\n", 20_000)

// honestBodies are the messages of an honest server's INBOX by UID. One looks like
// the end of a reply and an answer.
var honestBodies = map[uint32]string{1: "one\r\n", 2: "", 3: bigBody, 4: "\x00 bare\nLF\r\n)\r\nT1 OK no\r\n", 5: "five"}

// Every reading command returns what an honest server has, however the client
// connects and logs in. No command selects a mailbox for writing or sets \Seen.
func TestHonestServer(t *testing.T) {
	for _, c := range honestCases {
		t.Run(c.name, func(t *testing.T) {
			c.server.Mailboxes = append(inbox(honestBodies[1], honestBodies[2], honestBodies[3], honestBodies[4], honestBodies[5]),
				hostile.Mailbox{Name: "Entw&APw-rfe", Attrs: `\Drafts`, UIDValidity: 9, UIDNext: 5},
				hostile.Mailbox{Name: `a "b" \c`, Attrs: `\Noselect`})
			s := serve(t, c.server)
			o := options(s)
			o.Security = c.security
			conn, err := Dial(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			c.auth.Username = "alice"
			if c.auth.Password == nil {
				c.auth.Password = []byte("secret")
			}
			if err := conn.Login(t.Context(), c.auth); err != nil {
				t.Fatal(err)
			}
			if conn.HasCapability("IMAP4rev2") || !conn.HasCapability("imap4rev1") {
				t.Error("capabilities are wrong")
			}
			checkHonestList(t, conn)
			e, err := conn.Examine(t.Context(), "INBOX", true)
			if err != nil || !e.ReadOnly || e.UIDValidity != 7 || e.UIDNext != 6 || e.Messages != 5 || e.HighestModSeq != 40 {
				t.Errorf("Examine = %+v, %v", e, err)
			}
			set, err := conn.Search(t.Context())
			if err != nil || set.String() != "1:5" {
				t.Errorf("Search = %q, %v", set, err)
			}
			checkHonestMetadata(t, conn, set)
			checkHonestBodies(t, conn, set)
			if err := conn.Noop(t.Context()); err != nil {
				t.Error(err)
			}
			if err := conn.Logout(t.Context()); err != nil {
				t.Error(err)
			}
			if got := Classify(conn.Noop(t.Context())); got != ClassCanceled {
				t.Errorf("after Logout: %v", got)
			}
			for _, line := range s.Commands() {
				if strings.HasPrefix(line, "SELECT") || strings.Contains(line, "BODY[]") || strings.HasPrefix(line, "CAPABILITY") && c.name == "TLS" {
					t.Errorf("sent %q", line)
				}
			}
		})
	}
}

func checkHonestList(t *testing.T, conn *Conn) {
	t.Helper()
	list, err := conn.List(t.Context())
	if err != nil || len(list) != 3 {
		t.Fatalf("List = %v, %v", list, err)
	}
	if m := list[0]; m.Name != "INBOX" || m.Delimiter != "/" || m.Status == nil || m.Status.Messages != 5 || m.Status.UIDNext != 6 || m.Status.UIDValidity != 7 {
		t.Errorf("INBOX = %+v, %+v", m, m.Status)
	}
	if m := list[1]; m.Name != "Entwürfe" || m.Wire != "Entw&APw-rfe" || m.Raw || m.Status == nil || m.Status.UIDNext != 5 {
		t.Errorf("Entwürfe = %+v, %+v", m, m.Status)
	}
	if m := list[2]; m.Name != `a "b" \c` || m.Status != nil || m.StatusErr != nil {
		t.Errorf(`\Noselect = %+v`, m)
	}
}

func checkHonestMetadata(t *testing.T, conn *Conn, set uid.Set) {
	t.Helper()
	got, err := fetchMetadata(t.Context(), conn, MetadataQuery{Set: set})
	if err != nil || len(got) != 5 || got[2].Size != int64(len(bigBody)) || !got[0].HasFlags || got[0].Flags[0] != `\Seen` ||
		got[0].InternalDate.Format(time.RFC3339) != "1996-07-17T02:44:25-07:00" || got[0].Problem != "" {
		t.Errorf("FetchMetadata = %+v, %v", got, err)
	}
	got, err = fetchMetadata(t.Context(), conn, MetadataQuery{Set: set, FlagsOnly: true, ChangedSince: 3})
	if err != nil || len(got) != 2 || got[1].UID != 5 || got[1].ModSeq != 5 {
		t.Errorf("FetchMetadata with CHANGEDSINCE = %+v, %v", got, err)
	}
}

func checkHonestBodies(t *testing.T, conn *Conn, set uid.Set) {
	t.Helper()
	if got, err := fetchBodies(t.Context(), conn, set); err != nil || !maps.Equal(got, honestBodies) {
		t.Errorf("FetchBodies: %d bodies, %v", len(got), err)
	}
	for u, body := range honestBodies {
		var got bytes.Buffer
		err := conn.FetchBody(t.Context(), u, func(size int64, r io.Reader) error {
			_, err := got.ReadFrom(r)
			return err
		})
		if err != nil || got.String() != body {
			t.Errorf("FetchBody(%d): %d octets, %v", u, got.Len(), err)
		}
	}
}

// A set too long for one command is sent in several commands, one after the other.
func TestLongSetIsSplit(t *testing.T) {
	mailbox := hostile.Mailbox{Name: "INBOX", UIDValidity: 1}
	var set uid.Set
	for i := range uint32(3000) {
		u := 1_000_000 + 2*i
		mailbox.Messages = append(mailbox.Messages, hostile.Message{UID: u, Date: "x", Body: fmt.Appendf(nil, "%d", u)})
		set.Add(u)
	}
	s := serve(t, hostile.Options{Mailboxes: []hostile.Mailbox{mailbox}})
	c := connect(t, s, options(s))
	got, err := fetchBodies(t.Context(), c, set)
	if err != nil || len(got) != 3000 || got[1_000_002] != "1000002" {
		t.Fatalf("%d bodies, %v", len(got), err)
	}
	if got, err := fetchMetadata(t.Context(), c, MetadataQuery{Set: set}); err != nil || len(got) != 3000 {
		t.Errorf("metadata of %d messages, %v", len(got), err)
	}
	fetches := slices.DeleteFunc(s.Commands(), func(line string) bool { return !strings.HasPrefix(line, "UID FETCH") })
	if len(fetches) < 6 {
		t.Errorf("%d commands", len(fetches))
	}
	for _, line := range fetches {
		if len(line) > 8100 {
			t.Errorf("a command of %d octets", len(line))
		}
	}
}

package wire

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"archiverd/internal/testing/dovecot"
	"archiverd/internal/uid"
	"archiverd/internal/utf7"
)

// The commands on mailboxes and messages do on Dovecot what their names say; a second
// client reads the result.
func TestMailboxCommandsOnDovecot(t *testing.T) {
	server := dovecot.Start(t)
	user := server.User(t, "manage")
	witness := user.Dial(t)
	c := dialAndLogin(t, Options{Address: server.Addr, TLS: server.TLS}, user.Name, user.Password)
	if caps, err := c.Capabilities(t.Context()); err != nil || !slices.Contains(caps, "UIDPLUS") || !slices.IsSorted(caps) {
		t.Errorf("Capabilities = %q, %v", caps, err)
	}
	if n, err := c.Namespace(t.Context()); err != nil || n != (Namespace{"", "/"}) {
		t.Errorf("Namespace = %+v, %v", n, err)
	}
	name := "Prüfung/anders"
	wireName := utf7.Encode(name)
	renameMailbox(t, c, witness, utf7.Encode("Prüfung/日本 & \"mehr\""), wireName)
	out, err := c.Append(t.Context(), wireName, []AppendMessage{
		message("Subject: eins\r\nFrom: bob smith <b@x>\r\n\r\ntext\r\n", "$Old"), message("Subject: =?utf-8?q?gr=C3=B6=C3=9Fer?=\r\n\r\ntext\r\n"), message("Subject: three\r\n\r\ntext\r\n"),
	})
	if err != nil || states(out) != "ddd" {
		t.Fatalf("Append = %+v, %v", out, err)
	}
	if s, err := c.Status(t.Context(), wireName); err != nil || s.Messages != 3 || s.UIDNext != 4 || s.UIDValidity != out[0].UIDValidity {
		t.Errorf("Status = %+v, %v", s, err)
	}
	if e, err := c.Select(t.Context(), wireName); err != nil || e.ReadOnly || e.Messages != 3 {
		t.Fatalf("Select = %+v, %v", e, err)
	}
	searchMessages(t, c)
	headers := make(map[uint32]string)
	err = c.FetchHeaders(t.Context(), uid.Of(1, 3, 9), func(u uint32, header []byte) error { headers[u] = string(header); return nil })
	if err != nil || len(headers) != 2 || headers[3] != "Subject: three\r\n\r\n" {
		t.Errorf("FetchHeaders = %v, %v", headers, err)
	}
	changeMessages(t, c, witness, name)
	if _, err := c.Examine(t.Context(), wireName, false); err != nil {
		t.Error(err)
	}
	if err := c.Store(t.Context(), uid.Of(1), "+FLAGS", []string{`\Seen`}); Classify(err) != ClassMailbox {
		t.Errorf("Store in a mailbox that was opened for reading = %v", err)
	}
	if _, err := c.Examine(t.Context(), "INBOX", false); err != nil {
		t.Error(err)
	}
	if err := errors.Join(c.Unsubscribe(t.Context(), wireName), c.Delete(t.Context(), wireName), c.Noop(t.Context())); err != nil {
		t.Error(err)
	}
	if _, err := c.Select(t.Context(), wireName); Classify(err) != ClassMailbox {
		t.Errorf("Select of none = %v", err)
	}
}

// renameMailbox creates a mailbox, renames it and subscribes to the new name.
func renameMailbox(t *testing.T, c *Conn, witness *dovecot.Client, before, after string) {
	t.Helper()
	if err := errors.Join(c.Create(t.Context(), before), c.Subscribe(t.Context(), before), c.Rename(t.Context(), before, after), c.Subscribe(t.Context(), after), c.Unsubscribe(t.Context(), before)); err != nil {
		t.Fatal(err)
	}
	if subscribed := strings.Join(witness.Do(`LSUB "" "*"`), "\n"); !strings.Contains(subscribed, after) || strings.Contains(subscribed, "mehr") {
		t.Errorf("subscribed: %s", subscribed)
	}
	var refusal *Error
	if err := c.Create(t.Context(), after); !errors.As(err, &refusal) || refusal.Code != "ALREADYEXISTS" || refusal.Class != ClassMailbox {
		t.Errorf("Create again = %v", err)
	}
	if _, err := c.Status(t.Context(), before); !errors.As(err, &refusal) || refusal.Class != ClassMailbox {
		t.Errorf("Status of none = %v", err)
	}
}

// searchMessages searches the three messages of TestMailboxCommandsOnDovecot.
func searchMessages(t *testing.T, c *Conn) {
	t.Helper()
	for _, search := range []struct {
		keys []string
		want string
	}{
		{[]string{"FROM", "bob smith"}, "1"}, {[]string{"SUBJECT", "größer"}, "2"}, {[]string{"NOT", "SUBJECT", "größer", "BODY", "text"}, "1,3"},
		{[]string{"OR", "(", "SUBJECT", "three", ")", "KEYWORD", "$Old"}, "1,3"}, {[]string{"SINCE", "1-Jan-2099"}, ""}, {nil, "1:3"},
	} {
		if set, err := c.SearchKeys(t.Context(), search.keys); err != nil || set.String() != search.want {
			t.Errorf("SearchKeys(%q) = %q, %v", search.keys, set, err)
		}
	}
	if _, err := c.SearchKeys(t.Context(), []string{"NOSUCHKEY"}); Classify(err) != ClassMailbox {
		t.Errorf("SearchKeys = %v", err)
	}
}

// changeMessages changes flags and expunges UID 3 of 1 to 3: UID 2 has \Deleted too, but
// is not in the set.
func changeMessages(t *testing.T, c *Conn, witness *dovecot.Client, name string) {
	t.Helper()
	err := errors.Join(
		c.Store(t.Context(), uidRange(1, 2), "+FLAGS", []string{`\Seen`, "new-one"}), c.Store(t.Context(), uid.Of(1), "-FLAGS", []string{"$Old", `\Seen`}),
		c.Store(t.Context(), uid.Of(3, 77), "FLAGS", []string{`\Deleted`, `\Flagged`}), c.Store(t.Context(), uid.Of(2), "+FLAGS", []string{`\Deleted`}),
		c.Expunge(t.Context(), uid.Of(1, 3)),
	)
	if err != nil {
		t.Error(err)
	}
	got := witness.Read(name)
	if len(got) != 2 || !slices.Equal(got[0].Flags, []string{"new-one"}) || !slices.Equal(got[1].Flags, []string{`\Deleted`, `\Seen`, "new-one"}) {
		t.Errorf("the witness has %+v", got)
	}
}

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

// The commands that change things, on a real server, with a witness.
func TestManageDovecot(t *testing.T) {
	server := dovecot.Start(t)
	user := server.User(t, "manage")
	witness := user.Dial(t)
	c, err := Dial(t.Context(), Options{Address: server.Addr, TLS: server.TLS})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login(t.Context(), Auth{Username: user.Name, Password: []byte(user.Password)}); err != nil {
		t.Fatal(err)
	}
	if caps, err := c.Capabilities(t.Context()); err != nil || !slices.Contains(caps, "UIDPLUS") || !slices.IsSorted(caps) {
		t.Errorf("Capabilities = %q, %v", caps, err)
	}
	if n, err := c.Namespace(t.Context()); err != nil || n != (Namespace{"", "/"}) {
		t.Errorf("Namespace = %+v, %v", n, err)
	}
	a, b := utf7.Encode("Prüfung/日本 & \"mehr\""), utf7.Encode("Prüfung/anders")
	if err := errors.Join(c.Create(t.Context(), a), c.Subscribe(t.Context(), a), c.Rename(t.Context(), a, b), c.Subscribe(t.Context(), b), c.Unsubscribe(t.Context(), a)); err != nil {
		t.Fatal(err)
	}
	if subscribed := strings.Join(witness.Do(`LSUB "" "*"`), "\n"); !strings.Contains(subscribed, b) || strings.Contains(subscribed, "mehr") {
		t.Errorf("subscribed: %s", subscribed)
	}
	var refusal *Error
	if err := c.Create(t.Context(), b); !errors.As(err, &refusal) || refusal.Code != "ALREADYEXISTS" || refusal.Class != ClassMailbox {
		t.Errorf("Create again = %v", err)
	}
	if _, err := c.Status(t.Context(), a); !errors.As(err, &refusal) || refusal.Class != ClassMailbox {
		t.Errorf("Status of none = %v", err)
	}
	out, err := c.Append(t.Context(), b, []AppendMessage{
		message("Subject: eins\r\nFrom: bob smith <b@x>\r\n\r\ntext\r\n", "$Old"), message("Subject: =?utf-8?q?gr=C3=B6=C3=9Fer?=\r\n\r\ntext\r\n"), message("Subject: three\r\n\r\ntext\r\n"),
	})
	if err != nil || states(out) != "ddd" {
		t.Fatalf("Append = %+v, %v", out, err)
	}
	if s, err := c.Status(t.Context(), b); err != nil || s.Messages != 3 || s.UIDNext != 4 || s.UIDValidity != out[0].UIDValidity {
		t.Errorf("Status = %+v, %v", s, err)
	}
	if e, err := c.Select(t.Context(), b); err != nil || e.ReadOnly || e.Messages != 3 {
		t.Fatalf("Select = %+v, %v", e, err)
	}
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
	headers := make(map[uint32]string)
	err = c.FetchHeaders(t.Context(), uid.Of(1, 3, 9), func(u uint32, header []byte) error { headers[u] = string(header); return nil })
	if err != nil || len(headers) != 2 || headers[3] != "Subject: three\r\n\r\n" {
		t.Errorf("Headers = %v, %v", headers, err)
	}
	err = errors.Join(
		c.Store(t.Context(), span(1, 2), "+FLAGS", []string{`\Seen`, "new-one"}), c.Store(t.Context(), uid.Of(1), "-FLAGS", []string{"$Old", `\Seen`}),
		c.Store(t.Context(), uid.Of(3, 77), "FLAGS", []string{`\Deleted`, `\Flagged`}), c.Store(t.Context(), uid.Of(2), "+FLAGS", []string{`\Deleted`}),
		c.Expunge(t.Context(), uid.Of(1, 3)),
	)
	if err != nil {
		t.Error(err)
	}
	got := witness.Read("Prüfung/anders")
	if len(got) != 2 || !slices.Equal(got[0].Flags, []string{"new-one"}) || !slices.Equal(got[1].Flags, []string{`\Deleted`, `\Seen`, "new-one"}) {
		t.Errorf("the witness has %+v", got)
	}
	if _, err := c.Examine(t.Context(), b, false); err != nil {
		t.Error(err)
	}
	if err := c.Store(t.Context(), uid.Of(1), "+FLAGS", []string{`\Seen`}); Classify(err) != ClassMailbox {
		t.Errorf("Store in a mailbox that was opened for reading = %v", err)
	}
	if _, err := c.Examine(t.Context(), "INBOX", false); err != nil {
		t.Error(err)
	}
	if err := errors.Join(c.Unsubscribe(t.Context(), b), c.Delete(t.Context(), b), c.Noop(t.Context())); err != nil {
		t.Error(err)
	}
	if _, err := c.Select(t.Context(), b); Classify(err) != ClassMailbox {
		t.Errorf("Select of none = %v", err)
	}
}

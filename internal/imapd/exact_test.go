package imapd

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"archiverd/internal/demomail"
)

func TestDemoMail(t *testing.T) {
	r := start(t, Options{})
	mailboxes, err := demomail.Mailboxes()
	if err != nil {
		t.Fatal(err)
	}
	items, err := demomail.Load()
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string][]demomail.Item)
	for _, b := range mailboxes {
		if b.Name != inbox {
			attrs := make([]imap.MailboxAttr, len(b.Attrs))
			for i, a := range b.Attrs {
				attrs[i] = imap.MailboxAttr(a)
			}
			r.create(t, b.Name, attrs...)
		}
	}
	for _, it := range items {
		m, err := r.user.Mailbox(it.Mailbox)
		if err != nil {
			t.Fatal(err)
		}
		m.Append(Message{Flags: it.Flags, InternalDate: it.InternalDate, Body: it.Body})
		want[it.Mailbox] = append(want[it.Mailbox], it)
	}
	c := r.login(t, nil)
	list, err := c.List("", "*", &imap.ListOptions{ReturnStatus: &imap.StatusOptions{NumMessages: true}}).Collect()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != len(mailboxes) {
		t.Errorf("LIST shows %d mailboxes, want %d", len(list), len(mailboxes))
	}
	found := 0
	for _, l := range list {
		if slices.Contains(l.Attrs, imap.MailboxAttrNoSelect) {
			if l.Status != nil {
				t.Errorf("%s: STATUS of what holds no messages", l.Mailbox)
			}
			continue
		}
		found += len(want[l.Mailbox])
		if n := *l.Status.NumMessages; int(n) != len(want[l.Mailbox]) {
			t.Errorf("%s: STATUS says %d messages, want %d", l.Mailbox, n, len(want[l.Mailbox]))
		}
		open(t, c, l.Mailbox, true)
		for i, got := range fetch(t, c, allUIDs, all) {
			compare(t, got, want[l.Mailbox][i])
		}
	}
	if found != len(items) {
		t.Errorf("%d messages fetched, want %d", found, len(items))
	}
}

func compare(t *testing.T, got *imapclient.FetchMessageBuffer, want demomail.Item) {
	t.Helper()
	if body := got.FindBodySection(peek); !bytes.Equal(body, want.Body) || got.RFC822Size != int64(len(want.Body)) {
		t.Errorf("%s: %d octets of size %d, differing from the %d of the file", want.File, len(body), got.RFC822Size, len(want.Body))
	}
	if flags := fromFlags(got.Flags); !slices.Equal(flags, want.Flags) {
		t.Errorf("%s: flags %q, want %q", want.File, flags, want.Flags)
	}
	if a, b := got.InternalDate.Format(time.RFC3339), want.InternalDate.Format(time.RFC3339); a != b {
		t.Errorf("%s: INTERNALDATE %s, want %s", want.File, a, b)
	}
}

// TestRealMail: valid and invalid mail has the same octets after Append and APPEND.
func TestRealMail(t *testing.T) {
	dir := os.Getenv("ARCHIVERD_TEST_MAIL")
	if dir == "" {
		t.Skip("ARCHIVERD_TEST_MAIL is not set")
	}
	var bodies [][]byte
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".eml") {
			return err
		}
		body, err := os.ReadFile(path)
		bodies = append(bodies, body)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if len(bodies) == 0 {
		t.Fatalf("no .eml in %s", dir)
	}
	r := start(t, Options{})
	appended := r.create(t, "appended")
	c := r.login(t, nil)
	for _, body := range bodies {
		r.inbox(t).Append(Message{Body: body})
		r.append(t, c, "appended", body, nil)
	}
	for i, m := range appended.Messages() {
		if got, err := io.ReadAll(m.Reader()); err != nil || !bytes.Equal(got, bodies[i]) {
			t.Errorf("message %d: stored otherwise than appended: %v", i, err)
		}
	}
	for _, mailbox := range []string{"INBOX", "appended"} {
		open(t, c, mailbox, true)
		got := fetch(t, c, allUIDs, all)
		if len(got) != len(bodies) {
			t.Fatalf("%s: %d messages fetched, want %d", mailbox, len(got), len(bodies))
		}
		for i, g := range got {
			if body := g.FindBodySection(peek); !bytes.Equal(body, bodies[i]) || g.RFC822Size != int64(len(bodies[i])) {
				t.Errorf("%s: message %d: %d octets of size %d, differing from the %d put in", mailbox, i, len(body), g.RFC822Size, len(bodies[i]))
			}
		}
	}
	t.Logf("%d messages", len(bodies))
}

func TestAppendIsExact(t *testing.T) {
	r := start(t, Options{UIDValidity: 77})
	c := r.login(t, nil)
	date := time.Date(2026, 2, 3, 4, 5, 6, 0, time.FixedZone("", -(9*3600+1800)))
	for i, body := range [][]byte{
		[]byte("Subject: x\r\n\r\ny\r\n"), []byte("bare\nLF\n"), {0, 0xff, '\r', 0}, {},
		bytes.Repeat([]byte("in memory\x00"), maxInMemory/10), bytes.Repeat([]byte("in the file\n"), maxInMemory),
	} {
		got := r.append(t, c, "inbox", body, &imap.AppendOptions{Flags: []imap.Flag{`\Seen`, "KeyWord"}, Time: date})
		if got.UID != imap.UID(i+1) || got.UIDValidity != 77 {
			t.Errorf("APPENDUID %d %d, want 77 %d", got.UIDValidity, got.UID, i+1)
		}
		open(t, c, "INBOX", true)
		compare(t, fetch(t, c, imap.UIDSetNum(got.UID), all)[0], demomail.Item{
			File: "appended", Flags: []string{`\Seen`, "KeyWord"}, InternalDate: date, Body: body,
		})
	}
}

func TestAppendRefused(t *testing.T) {
	r := start(t, Options{AppendLimit: 100})
	for _, c := range []struct {
		mailbox string
		size    int
		code    imap.ResponseCode
	}{{"none", 10, imap.ResponseCodeTryCreate}, {"INBOX", 101, imap.ResponseCodeTooBig}} {
		client := r.login(t, nil)
		cmd := client.Append(c.mailbox, int64(c.size), nil)
		_, err := cmd.Write(make([]byte, c.size))
		if err == nil {
			err = cmd.Close()
		}
		if _, wait := cmd.Wait(); wait != nil {
			err = wait
		}
		var refused *imap.Error
		if !errors.As(err, &refused) || refused.Code != c.code {
			t.Errorf("APPEND of %d octets to %s: %v, want %s", c.size, c.mailbox, err, c.code)
		}
	}
	if n := len(r.inbox(t).Messages()); n != 0 {
		t.Errorf("%d messages stored", n)
	}
}

// TestAppendCutOff: an APPEND whose client disconnects in the middle adds nothing.
func TestAppendCutOff(t *testing.T) {
	r := start(t, Options{})
	for _, size := range []int64{maxInMemory, maxInMemory * 4} {
		c := r.login(t, nil)
		cmd := c.Append("INBOX", size, nil)
		if _, err := cmd.Write(make([]byte, size-1)); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	m := r.inbox(t)
	if err := r.Close(); err != nil { // waits for the sessions
		t.Fatal(err)
	}
	if n := len(m.Messages()); n != 0 {
		t.Errorf("%d messages stored", n)
	}
}

// zeros is a message too large for memory.
type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

func TestLargeMessage(t *testing.T) {
	const size = 48 << 20
	r := start(t, Options{})
	r.inbox(t).Append(Message{Large: io.NewSectionReader(zeros{}, 0, size)})
	c := r.login(t, nil)
	open(t, c, "INBOX", true)
	want := sha256.New()
	io.Copy(want, io.NewSectionReader(zeros{}, 0, size))
	cmd, literal := body(t, c)
	got := sha256.New()
	octets, err := io.Copy(got, literal)
	if err := errors.Join(err, cmd.Close()); err != nil {
		t.Fatal(err)
	}
	if octets != size || !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		t.Errorf("%d octets, want %d of zero", octets, size)
	}
	if bodies, sent := r.Sent(); bodies != 1 || sent != size {
		t.Errorf("Sent() = %d, %d, want 1, %d", bodies, sent, size)
	}
}

func TestSections(t *testing.T) {
	header := imap.PartSpecifierHeader
	const mail = "Subject: a\r\n b\r\nX-One: 1\r\nsubject : c\r\n\r\nbody\r\n\r\nmore"
	for _, c := range []struct {
		name, mail string
		section    imap.FetchItemBodySection
		want       string
	}{
		{"all", mail, imap.FetchItemBodySection{}, mail},
		{"header", mail, imap.FetchItemBodySection{Specifier: header}, mail[:strings.Index(mail, "body")]},
		{"text", mail, imap.FetchItemBodySection{Specifier: imap.PartSpecifierText}, "body\r\n\r\nmore"},
		{"fields", mail, imap.FetchItemBodySection{Specifier: header, HeaderFields: []string{"SUBJECT"}}, "Subject: a\r\n b\r\nsubject : c\r\n\r\n"},
		{"other fields", mail, imap.FetchItemBodySection{Specifier: header, HeaderFieldsNot: []string{"Subject"}}, "X-One: 1\r\n\r\n"},
		{"no such field", mail, imap.FetchItemBodySection{Specifier: header, HeaderFields: []string{"To"}}, "\r\n"},
		{"piece", mail, imap.FetchItemBodySection{Partial: &imap.SectionPartial{Offset: 9, Size: 5}}, "a\r\n b"},
		{"piece over the end", "abc", imap.FetchItemBodySection{Partial: &imap.SectionPartial{Offset: 2, Size: 1 << 62}}, "c"},
		{"piece behind the end", "abc", imap.FetchItemBodySection{Partial: &imap.SectionPartial{Offset: 4, Size: 1}}, ""},
		{"header in LF", "A: b\n\nc\n", imap.FetchItemBodySection{Specifier: header}, "A: b\n\n"},
		{"no empty line", "A: b\r\nC", imap.FetchItemBodySection{Specifier: header}, "A: b\r\nC"},
		{"no empty line, text", "A: b\r\nC", imap.FetchItemBodySection{Specifier: imap.PartSpecifierText}, ""},
		{"no header", "\r\nC", imap.FetchItemBodySection{Specifier: header}, "\r\n"},
		{"nothing", "", imap.FetchItemBodySection{Specifier: header}, ""},
		{"long line", strings.Repeat("x", 4096) + "\n\ny", imap.FetchItemBodySection{Specifier: imap.PartSpecifierText}, "y"},
	} {
		sr, err := section(Message{Body: []byte(c.mail)}.Reader(), &c.section)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(sr); err != nil || string(got) != c.want {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
		}
	}

	// Once through a client: the reply repeats the names of the fields.
	r := start(t, Options{})
	r.inbox(t).Append(Message{Body: []byte(mail)})
	c := r.login(t, nil)
	open(t, c, "INBOX", true)
	ask := &imap.FetchItemBodySection{Specifier: header, HeaderFields: []string{"X-One"}, Peek: true, Partial: &imap.SectionPartial{Size: 8}}
	got := fetch(t, c, allUIDs, &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{ask}})
	if body := got[0].FindBodySection(ask); string(body) != "X-One: 1" {
		t.Errorf("BODY.PEEK[HEADER.FIELDS (X-One)]<0.8> = %q", body)
	}
	for _, o := range []*imap.FetchOptions{
		{Envelope: true}, {BodyStructure: &imap.FetchItemBodyStructure{}},
		{BodySection: []*imap.FetchItemBodySection{{Part: []int{1}}}},
	} {
		var refused *imap.Error
		if _, err := c.Fetch(allUIDs, o).Collect(); !errors.As(err, &refused) || refused.Type != imap.StatusResponseTypeNo {
			t.Errorf("FETCH of what is not supported: %v, want NO", err)
		}
	}
}

// TestUnreadableMessage: a file that can't be read ends the connection, so that the
// client does not take a part for the message.
func TestUnreadableMessage(t *testing.T) {
	r := start(t, Options{})
	r.inbox(t).Append(Message{Large: io.NewSectionReader(bytes.NewReader(make([]byte, 5000)), 0, 6000)})
	c := r.login(t, nil)
	open(t, c, "INBOX", true)
	cmd, literal := body(t, c)
	if n, _ := io.Copy(io.Discard, literal); n > 5000 || literal.Size() != 6000 {
		t.Errorf("%d octets of %d, want at most 5000 of 6000", n, literal.Size())
	}
	<-c.Closed() // the client may not touch a literal that was cut off while it still reads itself
	if err := cmd.Close(); err == nil {
		t.Error("FETCH of a message that ends too early succeeds")
	}
}

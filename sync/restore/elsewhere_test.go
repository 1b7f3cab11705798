package restore

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"archiverd/internal/testing/cyrus"
	"archiverd/internal/testing/dovecot"
	"archiverd/internal/testing/world"
	"archiverd/sync"
)

// letters are messages that have header fields of their own each.
func letters(n int) []dovecot.Msg {
	var out []dovecot.Msg
	for i := range n {
		out = append(out, dovecot.Msg{Date: day(i), Body: fmt.Appendf(nil, "Message-ID: <%d@x>\r\nDate: today\r\nFrom: a@x\r\nSubject: %d\r\n\r\nletter\r\n", i, i)})
	}
	return out
}

// archivedBox is a testbed whose archive has one mailbox, Box, with the messages.
func archivedBox(t *testing.T, msgs []dovecot.Msg) *testbed {
	t.Helper()
	h := newTestbed(t)
	u, from := world.NewIMAPD(t)
	world.Fill(t, u, []dovecot.Mailbox{{Name: "Box", Msgs: msgs}})
	h.policy.Select = func(name, _ string, _ []string) (bool, string) { return name == "Box", "" }
	h.clean(from)
	h.policy = sync.Policy{}
	return h
}

// A message that comes from elsewhere while a restore is cut off, and is like one
// that has not been sent yet, is not taken for it.
func TestRestoreLikeOneFromElsewhere(t *testing.T) {
	h := archivedBox(t, letters(3))
	s := dovecot.Start(t)
	user := s.User(t, "alice")
	witness := user.Dial(t)
	witness.Create("Box")
	like := letters(3)[2]
	like.Body = append(like.Body, "but another\r\n"...)
	announced := regexp.MustCompile(`CAPABILITY IMAP4rev1[^\]\r]*`)
	var cut atomic.Bool
	m := &meddler{server: func(line []byte) []byte {
		if bytes.Contains(line, []byte("OK [APPENDUID")) && cut.CompareAndSwap(false, true) {
			witness.Append("Box", like)
			return nil
		}
		line = regexp.MustCompile(`\[APPENDUID[^\]]*\] `).ReplaceAll(line, nil)
		return announced.ReplaceAll(line, []byte("CAPABILITY IMAP4rev1 AUTH=PLAIN"))
	}}
	meddle(t, s.PlainAddr, m)
	out := restored(t, h.restoreOf(plain(world.Login("", user.Name, user.Password, nil), m.Addr)))
	if !out.OK() || out.Sum.Appended != 3 || out.Sum.Changed != 0 || !cut.Load() {
		t.Errorf("%s", showRestored(out))
	}
	if got := witness.Read("Box"); len(got) != 4 {
		t.Errorf("the server has %d messages, want the 3 and the other one", len(got))
	}
}

// A server that says OK and leaves messages out of its answers makes no duplicates:
// it is asked again, and if it does so always nothing is appended.
func TestRestoreLeftOut(t *testing.T) {
	h := archivedBox(t, letters(5))
	s := dovecot.Start(t)
	user := s.User(t, "alice")
	user.Dial(t).Load([]dovecot.Mailbox{{Name: "Box", Msgs: letters(5)}})
	for _, what := range []string{"BODY.PEEK[HEADER]", "RFC822.SIZE"} {
		for _, often := range []int32{maxListings - 1, 1000} {
			var left atomic.Int32
			left.Store(often)
			m := &meddler{client: func(line []byte) []byte {
				if bytes.Contains(line, []byte(what)) && left.Add(-1) >= 0 {
					return bytes.Replace(line, []byte("FETCH 1:5 "), []byte("FETCH 1:4 "), 1)
				}
				return line
			}}
			meddle(t, s.PlainAddr, m)
			out := restored(t, h.restoreOf(plain(world.Login("", user.Name, user.Password, nil), m.Addr)))
			if left.Load() == often {
				t.Fatalf("%s was not asked for", what)
			}
			if always := often > maxListings; out.Sum.Appended != 0 || out.OK() == always || always != strings.Contains(out.Sum.Error, "leaves messages out") {
				t.Errorf("%s, %d times:\n%s", what, often, showRestored(out))
			}
		}
	}
	if got := user.Dial(t).Read("Box"); len(got) != 5 {
		t.Errorf("the server has %d messages, want 5", len(got))
	}
}

// What the last look finds is counted once, also when the connection is lost in
// it: one message that is gone again by then, and dates that the server made others.
func TestRestoreCheckedTwice(t *testing.T) {
	msgs := letters(5)
	for i := range msgs {
		msgs[i].Date = time.Date(2101, 1, 1+i, 0, 0, 0, 0, time.UTC) // which Dovecot makes today
	}
	h := archivedBox(t, msgs)
	s := dovecot.Start(t)
	user := s.User(t, "alice")
	witness := user.Dial(t)
	var noops, metas atomic.Int32
	m := &meddler{client: func(line []byte) []byte {
		switch {
		case bytes.Contains(line, []byte(" NOOP")) && noops.Add(1) == 1:
			witness.Expunge("Box", 2)
		case bytes.Contains(line, []byte("RFC822.SIZE")) && metas.Add(1) == 1:
			return nil
		}
		return line
	}}
	meddle(t, s.PlainAddr, m)
	out := restored(t, h.restoreOf(plain(world.Login("", user.Name, user.Password, nil), m.Addr)))
	if out.OK() || out.Sum.Appended != 4 || out.Sum.Unsent != 1 || out.Sum.Changed != 4 || len(out.Mailboxes[0].Problems) != 5 || metas.Load() < 2 {
		t.Errorf("%d listings\n%s", metas.Load(), showRestored(out))
	}
	if got := witness.Read("Box"); len(got) != 4 {
		t.Errorf("the server has %d messages, want 4", len(got))
	}
}

// A restore that was killed with a message on its way may still be having it stored
// when the next one looks.
func TestRestoreAfterOneKilled(t *testing.T) {
	msgs := letters(4)
	h := archivedBox(t, msgs)
	s := dovecot.Start(t)
	user := s.User(t, "alice")
	user.Dial(t).Load([]dovecot.Mailbox{{Name: "Box", Msgs: msgs[:3]}})
	late, err := net.Dial("tcp", s.PlainAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	body := bytes.TrimSuffix(msgs[3].Body, []byte("\r\n"))
	fmt.Fprintf(late, "1 LOGIN %q %q\r\n2 APPEND Box %q {%d+}\r\n%s", user.Name, user.Password, msgs[3].Date.Format("_2-Jan-2006 15:04:05 -0700"), len(msgs[3].Body), body)
	var once atomic.Bool
	m := &meddler{server: func(line []byte) []byte {
		if bytes.Contains(line, []byte("SEARCH")) && bytes.HasPrefix(line, []byte("* ")) && once.CompareAndSwap(false, true) {
			fmt.Fprint(late, "\r\n\r\n")
			for buf, all := make([]byte, 4096), ""; !strings.Contains(all, "2 OK"); {
				n, err := late.Read(buf)
				if err != nil {
					t.Errorf("the first restore: %v after %q", err, all)
					break
				}
				all += string(buf[:n])
			}
		}
		return line
	}}
	meddle(t, s.PlainAddr, m)
	to := plain(world.Login("", user.Name, user.Password, nil), m.Addr)
	to.Retry.FirstWait = time.Hour // the time in which it looks again
	r := h.restoreOf(to)
	r.sleep = func(context.Context, time.Duration) error { return nil }
	out := restored(t, r)
	if !out.OK() || out.Sum.Present != 4 || out.Sum.Appended != 0 || !once.Load() {
		t.Errorf("%s", showRestored(out))
	}
}

// Cyrus says in words that its quota is used up.
func TestRestoreOverCyrusQuota(t *testing.T) {
	var msgs []dovecot.Msg
	for i := range 12 {
		msgs = append(msgs, dovecot.Msg{Date: day(i), Body: fmt.Appendf(nil, "Subject: %d\r\n\r\n%s", i, strings.Repeat(strings.Repeat("x", 70)+"\r\n", 400))})
	}
	h := archivedBox(t, msgs)
	s := cyrus.StartWith(t, cyrus.Options{Settings: map[string]string{"autocreate_quota": "100"}}) // KiB
	user := s.User(t, "alice")
	r := h.restoreOf(world.Login(s.Addr, user.Name, user.Password, s.TLS))
	out, err := r.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "quota is used up") || out.Sum.Refused != 0 || out.Sum.Appended == 0 || out.Sum.Appended+out.Sum.Unsent != 12 {
		t.Errorf("%v\n%s", err, showRestored(out))
	}
}

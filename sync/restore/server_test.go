package restore

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/internal/imapd"
	"archiverd/internal/session"
	"archiverd/internal/testing/dovecot"
	"archiverd/internal/testing/world"
)

// Whatever a server announces or does not, the result is the same.
func TestRestoreCapabilities(t *testing.T) {
	h := newTestbed(t)
	u, from := world.NewIMAPD(t)
	world.Fill(t, u, append(dovecot.Corpus(8, 150), dovecot.Mailbox{Name: "Twins", Msgs: twins(30)}))
	h.clean(from)
	for _, caps := range []string{"", "LITERAL+ MULTIAPPEND", "LITERAL+ UIDPLUS", "LITERAL- MULTIAPPEND ESEARCH", "MULTIAPPEND NAMESPACE", "UIDPLUS"} {
		s := dovecot.Start(t)
		user := s.User(t, "alice")
		announced := regexp.MustCompile(`CAPABILITY IMAP4rev1[^\]\r]*`)
		m := &meddler{server: func(line []byte) []byte {
			return announced.ReplaceAll(line, []byte("CAPABILITY IMAP4rev1 AUTH=PLAIN "+caps))
		}}
		meddle(t, s.PlainAddr, m)
		if out := roundTrip(t, h, plain(world.Login("", user.Name, user.Password, nil), m.Addr)); !out.OK() || out.Sum.Changed != 0 {
			t.Errorf("%q:\n%s", caps, showRestored(out))
		}
	}
}

// A quota that is too small is seen before, and in the midst of a restore; what
// fits is there, and said to be.
func TestRestoreOverQuota(t *testing.T) {
	h := newTestbed(t)
	u, from := world.NewIMAPD(t)
	var msgs []dovecot.Msg
	for i := range 30 {
		msgs = append(msgs, dovecot.Msg{Date: day(i), Body: fmt.Appendf(nil, "Subject: %d\r\n\r\n%s\r\n", i, strings.Repeat("x", 50000))})
	}
	world.Fill(t, u, []dovecot.Mailbox{{Name: "A", Msgs: msgs[:15]}, {Name: "B", Msgs: msgs[15:]}})
	h.clean(from)
	s := dovecot.StartWith(t, dovecot.Options{Quota: 1 << 20})
	user := s.User(t, "alice")
	to := world.Login(s.Addr, user.Name, user.Password, s.TLS)
	to.Connections = 1 // Dovecot looks at the quota where a transaction begins: two at once may both fit
	r := h.restoreOf(to)
	plan, err := r.Plan(t.Context())
	if err != nil || plan.Free != 1<<20 || plan.Sum.Octets <= plan.Free {
		t.Errorf("plan %+v, %v", plan, err)
	}
	out, err := r.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "quota") || out.OK() || out.Sum.Unsent == 0 || out.Sum.Appended < 15 || out.Sum.Refused != 0 {
		t.Errorf("%v\n%s", err, showRestored(out))
	}
	if out.Sum.Selected != out.Sum.Appended+out.Sum.Unsent {
		t.Errorf("does not add up:\n%s", showRestored(out))
	}
}

// A server that can't keep a keyword gets the message without it.
func TestRestoreRefusedKeywords(t *testing.T) {
	h := newTestbed(t)
	u, from := world.NewIMAPD(t)
	long := "k" + strings.Repeat("x", 200)
	world.Fill(t, u, []dovecot.Mailbox{{Name: "INBOX", Msgs: []dovecot.Msg{
		{Body: []byte("Subject: 1\r\n\r\none\r\n"), Date: day(1), Flags: []string{`\Seen`, "ok"}},
		{Body: []byte("Subject: 2\r\n\r\ntwo\r\n"), Date: day(2), Flags: []string{`\Flagged`, long}},
		{Body: []byte("Subject: 3\r\n\r\nthree\r\n"), Date: day(3), Flags: []string{"ok"}},
	}}})
	h.clean(from)
	s := dovecot.Start(t)
	user := s.User(t, "alice")
	out := restored(t, h.restoreOf(world.Login(s.Addr, user.Name, user.Password, s.TLS)))
	if !out.OK() || out.Sum.Appended != 3 || out.Sum.Changed != 1 || !strings.Contains(showRestored(out), "refused it with its keywords") {
		t.Errorf("%s", showRestored(out))
	}
	got := user.Dial(t).Read("INBOX")
	if len(got) != 3 || !slices.Equal(got[1].Flags, []string{`\Flagged`}) || !got[1].Date.Equal(day(2)) {
		t.Errorf("the server has %+v", got)
	}
}

// Flags are put back on messages that are there, and on nothing else.
func TestRestoreFlagsOnly(t *testing.T) {
	h := newTestbed(t)
	u, from := world.NewIMAPD(t)
	world.Fill(t, u, dovecot.Corpus(9, 200))
	h.clean(from)
	inbox, err := u.Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	var changed int
	for i, m := range inbox.Messages() {
		switch {
		case i%3 == 0:
			inbox.SetFlags(m.UID, "$Other", `\Answered`)
			changed++
		case i == 1:
			inbox.Expunge(m.UID)
		}
	}
	if err := u.Delete("Trash"); err != nil {
		t.Fatal(err)
	}
	r := h.restoreOf(from)
	r.FlagsOnly = true
	plan, err := r.Plan(t.Context())
	if err != nil || plan.Sum.Flags != changed || plan.Sum.Octets != 0 {
		t.Errorf("plan %+v, %v", plan.Sum, err)
	}
	before := len(inbox.Messages())
	out := restored(t, r)
	absent := 1
	h.each(func(mailbox, _ string, _ *archive.Message) {
		if mailbox == "Trash" {
			absent++
		}
	})
	if !out.OK() || out.Sum.Flags != changed || out.Sum.Appended != 0 || out.Sum.NotFound != absent || len(inbox.Messages()) != before {
		t.Errorf("%d changed, %d absent:\n%s", changed, absent, showRestored(out))
	}
	if _, err := u.Mailbox("Trash"); err == nil {
		t.Error("a mailbox was made")
	}
	for _, m := range inbox.Messages() {
		if slices.Contains(m.Flags, "$Other") {
			t.Errorf("UID %d has still the flags %q", m.UID, m.Flags)
		}
	}
}

// A restore that is interrupted says so, and what is left is done by the next.
func TestRestoreInterrupted(t *testing.T) {
	h := newTestbed(t)
	u, from := world.NewIMAPD(t)
	world.Fill(t, u, dovecot.Corpus(10, 600))
	h.clean(from)
	s := dovecot.Start(t)
	user := s.User(t, "alice")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var appends atomic.Int32
	m := &meddler{server: func(line []byte) []byte {
		if bytes.Contains(line, []byte(" OK [APPENDUID")) && appends.Add(1) == 3 {
			cancel()
		}
		return line
	}}
	meddle(t, s.PlainAddr, m)
	to := plain(world.Login("", user.Name, user.Password, nil), m.Addr)
	out, err := h.restoreOf(to).Run(ctx)
	if err == nil || !strings.Contains(err.Error(), "interrupted") || out.OK() || out.Sum.Unsent == 0 || out.Sum.Selected != out.Sum.Appended+out.Sum.Unsent {
		t.Errorf("%v\n%s", err, showRestored(out))
	}
	there := out.Sum.Appended
	out = restored(t, h.restoreOf(to))
	if !out.OK() || out.Sum.Present < there || out.Sum.Present+out.Sum.Appended != 600 {
		t.Errorf("%d were there:\n%s", there, showRestored(out))
	}
	h2 := newTestbed(t)
	h2.clean(world.Login(s.Addr, user.Name, user.Password, s.TLS))
	equalContents(t, h2.contents(), h.contents())
}

// A server that says OK and has nothing is found out.
func TestRestoreVanishes(t *testing.T) {
	h := newTestbed(t)
	u, from := world.NewIMAPD(t)
	world.Fill(t, u, []dovecot.Mailbox{{Name: "INBOX", Msgs: twins(20)}})
	h.clean(from)
	plainServer := imapd.New(imapd.Options{})
	defer plainServer.Close()
	v := plainServer.AddUser("alice", "secret")
	address, err := plainServer.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	inbox, err := v.Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	var once atomic.Bool
	m := &meddler{server: func(line []byte) []byte {
		if bytes.Contains(line, []byte(" OK [APPENDUID")) && once.CompareAndSwap(false, true) {
			inbox.Expunge(inbox.Messages()[0].UID)
		}
		return line
	}}
	meddle(t, address, m)
	out := restored(t, h.restoreOf(plain(world.Login("", "alice", "secret", nil), m.Addr)))
	if out.OK() || out.Sum.Unsent != 1 || out.Sum.Appended != 19 || !strings.Contains(showRestored(out), "does not have it") {
		t.Errorf("%s", showRestored(out))
	}
}

// The mailbox is made anew in the midst of a restore: what had been appended is
// appended again.
func TestRestoreUIDValidityChanges(t *testing.T) {
	h := newTestbed(t)
	u, from := world.NewIMAPD(t)
	world.Fill(t, u, []dovecot.Mailbox{{Name: "Box", Msgs: twins(250)}})
	h.clean(from)
	s := dovecot.Start(t)
	user := s.User(t, "alice")
	witness := user.Dial(t)
	var once atomic.Bool
	m := &meddler{server: func(line []byte) []byte {
		if bytes.Contains(line, []byte(" OK [APPENDUID")) && once.CompareAndSwap(false, true) {
			witness.Delete("Box")
			witness.Create("Box")
			return nil
		}
		return line
	}}
	meddle(t, s.PlainAddr, m)
	out := restored(t, h.restoreOf(plain(world.Login("", user.Name, user.Password, nil), m.Addr)))
	if !out.OK() || out.Sum.Appended != 250 || len(witness.Read("Box")) != 250 {
		t.Errorf("%s", showRestored(out))
	}
}

// What is damaged in the archive is not restored, and named.
func TestRestoreDamaged(t *testing.T) {
	h := newTestbed(t)
	u, from := world.NewIMAPD(t)
	world.Fill(t, u, []dovecot.Mailbox{{Name: "INBOX", Msgs: twins(5)}})
	h.clean(from)
	r := h.restoreOf(session.Account{})
	items, err := r.Sources[0].Load()
	if err != nil {
		t.Fatal(err)
	}
	good := items[2].Sum
	items[2].Sum[0]++ // as if the file were another
	_, to := world.NewIMAPD(t)
	r.Account = to
	out := restored(t, r)
	if out.OK() || out.Sum.Refused != 1 || out.Sum.Appended != 4 || !strings.Contains(showRestored(out), "archiverd verify") {
		t.Errorf("%s", showRestored(out))
	}
	items[2].Sum = good
	if out := restored(t, r); out.Sum.Appended != 1 || out.Sum.Present != 4 {
		t.Errorf("%s", showRestored(out))
	}
}

// What a mailbox can't be is said of it, and the others are restored.
func TestRestoreMailboxRefused(t *testing.T) {
	u, to := world.NewIMAPD(t)
	now := time.Now()
	if _, err := u.Create("Kept"); err != nil {
		t.Fatal(err)
	}
	r := &Job{Account: to, Log: newTestbed(t).Log, Open: openFile}
	r.Sources = []Source{
		fileSource(t, "Good", "Subject: 1\r\n\r\na"), fileSource(t, "Same", "Subject: 2\r\n\r\nb"), fileSource(t, "Same", "Subject: 3\r\n\r\nc"),
		fileSource(t, "a\nb", "Subject: 4\r\n\r\nd"),
	}
	out := restored(t, r)
	text := showRestored(out)
	if out.OK() || out.Sum.Appended != 2 || !strings.Contains(text, "would go to Same as well") || !strings.Contains(text, "--map") {
		t.Errorf("%s", text)
	}
	if out.Started.Before(now.Add(-time.Minute)) || out.Ended.Before(out.Started) {
		t.Errorf("from %v to %v", out.Started, out.Ended)
	}
}

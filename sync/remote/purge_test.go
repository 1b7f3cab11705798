package remote

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"archiverd/internal/imapd"
	"archiverd/internal/testing/dovecot"
	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
	"archiverd/internal/wire"
)

// TestPurge deletes exactly the messages that are old, long in the archive and
// proven; the archive keeps them and has them as gone.
func TestPurge(t *testing.T) {
	w := newWard(t)
	w.old.Append(imapd.Message{InternalDate: time.Now(), Body: []byte("A: young\r\n\r\n")})
	w.old.Append(imapd.Message{InternalDate: longAgo, Flags: []string{`\FLAGGED`}, Body: []byte("A: flagged\r\n\r\n")})
	w.old.Append(imapd.Message{InternalDate: longAgo, Flags: []string{`\Deleted`}, Body: []byte("A: flagged deleted\r\n\r\n")})
	w.clean(w.acc)
	kept := files(t, w.Dir)

	r := w.remote()
	for _, c := range []struct {
		now     func() time.Time
		o       Purge
		chosen  int
		young   int
		fresh   int
		flagged int
	}{
		{time.Now, Purge{OlderThan: month}, 0, 1, 6, 1}, // a moment in the archive
		{later, Purge{OlderThan: 20 * 12 * month}, 0, 8, 0, 0},
		{later, Purge{OlderThan: 14 * month}, 0, 1, 6, 1}, // a year in the archive
		{later, Purge{OlderThan: month, Flagged: true}, 8, 0, 0, 0},
		{later, Purge{OlderThan: month}, 7, 0, 0, 1},
		{func() time.Time { return time.Now().Add(month / 2) }, Purge{OlderThan: month / 3}, 7, 0, 0, 1},
	} {
		r.Now = c.now
		plan, err := r.PlanPurge(t.Context(), nil, c.o)
		if err != nil {
			t.Fatal(err)
		}
		if len(plan) != 2 || plan[0].Mailbox != "INBOX" {
			t.Fatalf("plan is %+v", plan)
		}
		p := plan[1]
		if !p.OK() || p.Messages != 8 || p.Chosen != c.chosen || p.TooYoung != c.young || p.NewInArchive != c.fresh || p.Flagged != c.flagged {
			t.Errorf("%+v: got %+v", c, p)
		}
	}
	r.Now = func() time.Time { return time.Now().Add(month) }
	r.Policy.Select = func(name, _ string, _ []string) (bool, string) { return name != "INBOX", "" }
	plan, err := r.PlanPurge(t.Context(), nil, Purge{OlderThan: month - time.Hour})
	if err != nil || len(plan) != 1 {
		t.Fatalf("%v, %d mailboxes", err, len(plan))
	}
	if n := len(w.old.Messages()); n != 8 {
		t.Fatalf("planning has left %d messages", n)
	}
	plan, err = r.PlanPurge(t.Context(), []string{"Old", "Old"}, Purge{OlderThan: month - time.Hour})
	if err != nil || len(plan) != 1 {
		t.Fatalf("%v, %d mailboxes", err, len(plan))
	}
	w.before("NOOP", func() { w.old.SetFlags(2, `\Seen`, `\Flagged`); w.old.Expunge(4) })
	if err := r.Purge(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
	if p := plan[0]; p.Gone != p.Chosen-2 || p.Changed != 2 || p.Error != "" {
		t.Errorf("got %+v", p)
	}
	w.has(2, 7)
	run := w.clean(w.acc)
	if l := of(t, run, "Old"); l.Archived != 2 || l.Gone != 6 {
		t.Errorf("the sync after it: %+v", l)
	}
	_, v := w.Mailbox("Old")
	for u, m := range v.Epoch().Messages {
		if m.Listed() != (u == 2 || u == 7) {
			t.Errorf("UID %d: here is %v", u, m.Listed())
		}
	}
	now := files(t, w.Dir)
	maps.DeleteFunc(now, func(p string, _ int64) bool { return !strings.HasSuffix(p, ".eml") })
	maps.DeleteFunc(kept, func(p string, _ int64) bool { return !strings.HasSuffix(p, ".eml") })
	if !maps.Equal(now, kept) {
		t.Error("the files of the archive are not what they were")
	}
}

// TestPurgeFetchesAll compares all octets of each message, in one FETCH: the header
// alone does not prove what is behind it.
func TestPurgeFetchesAll(t *testing.T) {
	w := newWard(t)
	before, _ := w.server.Sent()
	r := w.remote()
	plan, err := r.PlanPurge(t.Context(), []string{"Old"}, Purge{OlderThan: month})
	if err != nil || plan[0].Chosen != oldMessages {
		t.Fatalf("%v, %+v", err, plan)
	}
	if after, _ := w.server.Sent(); after-before != oldMessages {
		t.Errorf("it fetched %d bodies, want %d", after-before, oldMessages)
	}
	if got := w.commands("UID FETCH 1:5 (UID BODY.PEEK[])"); len(got) == 0 {
		t.Errorf("it sent %q", w.commands("BODY.PEEK[]"))
	}
}

// TestPurgeStops leaves a purge that is interrupted in order: whole batches are
// gone, no message is left flagged.
func TestPurgeStops(t *testing.T) {
	w := newWard(t)
	for i := range 2*maxPurgeBatch + 100 {
		w.old.Append(imapd.Message{InternalDate: longAgo, Body: fmt.Appendf(nil, "A: %d\r\n\r\n", i)})
	}
	w.clean(w.acc)
	all := len(w.old.Messages())
	r := w.remote()
	plan, err := r.PlanPurge(t.Context(), []string{"Old"}, Purge{OlderThan: month})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	w.before("STORE", stop)
	if err := r.Purge(ctx, plan); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	left := w.old.Messages()
	if p := plan[0]; p.Chosen != all || p.Gone != maxPurgeBatch || len(left) != all-maxPurgeBatch {
		t.Errorf("%d of %d chosen are gone, %d left", p.Gone, p.Chosen, len(left))
	}
	for _, m := range left {
		if slices.Contains(m.Flags, `\Deleted`) {
			t.Fatalf("UID %d is left flagged \\Deleted", m.UID)
		}
	}
	if plan, err = r.PlanPurge(t.Context(), []string{"Old"}, Purge{OlderThan: month}); err != nil {
		t.Fatal(err)
	}
	if err := r.Purge(t.Context(), plan); err != nil || plan[0].Gone != len(left) {
		t.Errorf("%v, %+v", err, plan[0])
	}
	w.has()
	if n := len(w.commands("UID STORE")); n != 3 {
		t.Errorf("%d STOREs, want 3 of up to %d UIDs", n, maxPurgeBatch)
	}
}

// TestPurgeRefused takes \Deleted back where the server does not expunge, and does
// without it where there is no UID EXPUNGE or it would not help.
func TestPurgeRefused(t *testing.T) {
	boxes := []hostile.Mailbox{{Name: "Old", UIDValidity: 7, Messages: []hostile.Message{
		{UID: 1, Date: "01-Mar-2020 12:00:00 +0000", Body: []byte("A: b\r\n\r\nc\r\n")},
		{UID: 2, Date: "01-Mar-2020 12:00:00 +0000", Flags: `\Deleted`, Body: []byte("A: c\r\n\r\nc\r\n")},
	}}}
	for _, c := range []struct {
		name, capabilities, permanent, expunge, want string
		stores                                       []string
	}{
		{"no UIDPLUS", "IMAP4rev1 AUTH=PLAIN", `\Deleted`, "", "no UIDPLUS", nil},
		{"read-only", "IMAP4rev1 AUTH=PLAIN UIDPLUS", "READ-ONLY", "", "for reading only", nil},
		{"nobody may delete", "IMAP4rev1 AUTH=PLAIN UIDPLUS", `\Seen`, "", "lets nobody delete", nil},
		{"UIDVALIDITY has changed", "IMAP4rev1 AUTH=PLAIN UIDPLUS", "UIDVALIDITY", "", "has changed a moment ago", nil},
		{"EXPUNGE is refused", "IMAP4rev1 AUTH=PLAIN UIDPLUS", `\Deleted`, "NO not now", "not now",
			[]string{`UID STORE 1:2 +FLAGS.SILENT (\Deleted)`, `UID STORE 1 -FLAGS.SILENT (\Deleted)`}},
		{"EXPUNGE does nothing", "IMAP4rev1 AUTH=PLAIN UIDPLUS", `\Deleted`, "OK done", "still has UIDs 1:2",
			[]string{`UID STORE 1:2 +FLAGS.SILENT (\Deleted)`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &ward{testbed: newTestbed(t), on: map[string]func(){}}
			s, err := hostile.New(hostile.Options{Mailboxes: boxes, Capabilities: c.capabilities, Script: func(s *hostile.Session, cmd hostile.Command) bool {
				switch cmd.Name {
				case "SELECT":
					answer, flags, validity := "READ-WRITE", c.permanent, 7
					switch c.permanent {
					case "READ-ONLY":
						answer = c.permanent
					case "UIDVALIDITY":
						validity, flags = 8, `\Deleted`
					}
					s.Open = &boxes[0]
					s.Send(fmt.Sprintf("* 2 EXISTS\r\n* OK [UIDVALIDITY %d] .\r\n* OK [PERMANENTFLAGS (%s)] .\r\n%s OK [%s] opened\r\n", validity, flags, cmd.Tag, answer))
				case "UID STORE":
					s.Send(cmd.Tag + " OK done\r\n")
				case "UID EXPUNGE":
					s.Send(cmd.Tag + " " + c.expunge + "\r\n")
				default:
					return false
				}
				return true
			}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			w.acc = w.tapped(world.Alice(s.Address()))
			w.clean(w.acc)
			r := w.remote()
			before := len(w.commands("UID FETCH 1:2 (UID BODY.PEEK[])"))
			plan, err := r.PlanPurge(t.Context(), nil, Purge{OlderThan: month})
			if err == nil {
				if n := len(w.commands("UID FETCH 1:2 (UID BODY.PEEK[])")) - before; n != 1 || plan[0].Chosen != 2 {
					t.Errorf("%d times the bodies were fetched to prove %+v", n, plan[0])
				}
				if err := r.Purge(t.Context(), plan); err != nil {
					t.Fatal(err)
				}
				err = errors.New(plan[0].Error)
				if plan[0].Gone != 0 {
					t.Errorf("got %+v", plan[0])
				}
			} else if !errors.Is(err, ErrRefused) {
				t.Errorf("got %v", err)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if got := w.commands("UID STORE"); !slices.Equal(got, c.stores) {
				t.Errorf("it sent %q, want %q", got, c.stores)
			}
		})
	}
}

// TestRemoteDovecot does all of it at a real server.
func TestRemoteDovecot(t *testing.T) {
	srv := dovecot.Start(t)
	u := srv.User(t, "alice")
	c := u.Dial(t)
	w := &ward{testbed: newTestbed(t), on: map[string]func(){}}
	var msgs []dovecot.Msg
	for i := range 620 {
		msgs = append(msgs, dovecot.Msg{Flags: []string{`\Seen`, "$Junk"}, Date: longAgo, Body: oldBody(i, "text")})
	}
	msgs = append(msgs, dovecot.Msg{Date: longAgo, Flags: []string{`\Flagged`}, Body: []byte("A: dear \r\n\r\nunread\r\n")}, dovecot.Msg{Date: longAgo, Body: []byte("no header\r\n")})
	c.Create("Entwürfe")
	c.Append("Entwürfe", msgs...)
	w.acc = w.tapped(world.Alice(srv.PlainAddr))
	w.acc.Auth = func(context.Context) (wire.Auth, error) {
		return wire.Auth{Username: u.Name, Password: []byte(u.Password)}, nil
	}
	w.clean(w.acc)
	r := w.remote()

	plan, err := r.PlanPurge(t.Context(), []string{"Entwürfe"}, Purge{OlderThan: 360 * 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if p := plan[0]; !p.OK() || p.Chosen != 621 || p.Flagged != 1 {
		t.Fatalf("plan is %+v", p)
	}
	if err := r.Purge(t.Context(), plan); err != nil || plan[0].Gone != 621 || plan[0].Error != "" {
		t.Fatalf("%v, %+v", err, plan[0])
	}
	left := c.Read("Entwürfe")
	if len(left) != 1 || left[0].UID != 621 {
		t.Fatalf("the server has %d messages", len(left))
	}
	var buf strings.Builder
	if _, err := r.Fetch(t.Context(), "Entwürfe", 621, &buf); err != nil || buf.String() != "A: dear \r\n\r\nunread\r\n" {
		t.Errorf("%v, %q", err, buf.String())
	}
	if again := c.Read("Entwürfe"); slices.Contains(again[0].Flags, `\Seen`) {
		t.Error("showing a message has made it read")
	}
	found, more, err := r.Search(t.Context(), "Entwürfe", []string{"UNSEEN", "TEXT", "unread"}, 10)
	if err != nil || more != 0 || len(found) != 1 || found[0].UID != 621 || found[0].Size != 20 {
		t.Errorf("%v, %d more, %+v", err, more, found)
	}
	if err := r.Rename(t.Context(), "Entwürfe", "Alt/Entwürfe & mehr"); err != nil {
		t.Fatal(err)
	}
	if err := r.Delete(t.Context(), "Alt/Entwürfe & mehr", agree); !errors.Is(err, ErrRefused) {
		t.Errorf("a mailbox that the archive has under another name: %v", err)
	}
	w.clean(w.acc)
	if err := r.Delete(t.Context(), "Alt/Entwürfe & mehr", agree); err != nil {
		t.Error(err)
	}
	if got := c.Do(`LSUB "" "*"`); len(got) != 0 {
		t.Errorf("subscribed: %q", got)
	}
	w.clean(w.acc)
}

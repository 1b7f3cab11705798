package remote

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/internal/imapd"
	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
)

// unprovenCases are all ways in which a message at the server can be one that the archive
// is not proven to have.
var unprovenCases = []struct {
	name   string
	spoil  func(w *ward)
	uid    uint32 // the message that is not proven; 0: none of them is
	whole  bool   // a purge leaves the whole mailbox alone
	reason string
}{
	{"missing in the archive", func(w *ward) {
		w.old.Append(imapd.Message{Flags: []string{`\Seen`}, InternalDate: longAgo, Body: []byte("A: new\r\n\r\n")})
	}, 6, false, "not in the archive: run `archiverd sync alice` first"},
	{"could not be archived", func(w *ward) {
		w.old.Append(imapd.Message{InternalDate: longAgo, Body: []byte("A: new\r\n\r\n")})
		w.record(archive.Event{Kind: archive.Failed, UID: 6, Reason: "server sent NIL"})
	}, 6, false, "could not be archived (server sent NIL): run `archiverd sync alice` first"},
	{"file missing", func(w *ward) { w.spoil(w.file(3), func([]byte) []byte { return nil }) },
		3, true, "file is missing: run `archiverd verify alice`"},
	{"file damaged", func(w *ward) {
		w.spoil(w.file(3), func(data []byte) []byte { data[len(data)-4] ^= 1; return data })
	}, 3, true, "file is damaged: run `archiverd verify alice`"},
	{"file cut", func(w *ward) {
		w.spoil(w.file(3), func(data []byte) []byte { return data[:len(data)-1] })
	}, 3, true, "file is damaged"},
	{"flags changed since", func(w *ward) { w.old.SetFlags(3, `\Seen`, "$Later") },
		3, false, `its flags are "$Later \\Seen" at the server and "\\Seen" in the archive, changed since: run`},
	{"other header under the UID", func(w *ward) {
		w.serve(func(i int) []byte {
			body := oldBody(i, "text")
			if i == 2 {
				body = bytes.Replace(body, []byte("old"), []byte("new"), 1)
			}
			return body
		})
	}, 3, false, "octets at the server are not those in the archive"},
	{"other body under the UID", func(w *ward) {
		w.serve(func(i int) []byte { return oldBody(i, map[bool]string{true: "longer text", false: "text"}[i == 2]) })
	}, 3, false, "the server announces 107 octets, and the archive has 100: this is another message"},
	{"other body of the same size under the UID", func(w *ward) {
		w.serve(func(i int) []byte { return oldBody(i, map[bool]string{true: "TEXT", false: "text"}[i == 2]) })
	}, 3, false, "octets at the server are not those in the archive"},
	{"empty", func(w *ward) {
		w.old.Append(imapd.Message{InternalDate: longAgo, Body: []byte{}})
		w.clean(w.acc)
	}, 6, false, "it is empty, and an empty message proves nothing"},
	{"without a header", func(w *ward) {
		w.old.Append(imapd.Message{InternalDate: longAgo, Body: []byte("\r\nno header\r\n")})
		w.clean(w.acc)
	}, 6, false, "it has no header"},
	{"other INTERNALDATE", func(w *ward) {
		e := w.added(3)
		e.InternalDate = e.InternalDate.Add(time.Second)
		w.record(e)
	}, 3, false, "its INTERNALDATE is 2020-03-01 14:00:00 +0200 +0200 at the server and 2020-03-01 14:00:01"},
	{"matched without fetching, and another body of the same size", func(w *ward) {
		e := w.added(3)
		e.Matched = "header"
		w.record(e)
		w.serve(func(i int) []byte { return oldBody(i, map[bool]string{true: "TEXT", false: "text"}[i == 2]) })
	}, 3, false, "octets at the server are not those in the archive"},
	{"other UIDVALIDITY", func(w *ward) { w.old.Renumber(0) }, 0, true, "UIDVALIDITY is"},
	{"gone in the journal", func(w *ward) { w.record(gone(3)) }, 3, false, "has it as gone from the server: run"},
	{"mailbox gone in the journal", func(w *ward) { w.record(archive.Event{Kind: archive.Vanished}) }, 0, true, "no longer on the server: run"},
	{"corrupt journal", func(w *ward) {
		b, _ := w.Mailbox("Old")
		w.spoil(w.Dir+"/"+b.Dir+"/journal.jsonl", func(data []byte) []byte {
			return bytes.Replace(data, []byte(`"uid":3`), []byte(`"uid":9`), 1)
		})
	}, 0, true, "the seal does not fit what stands before it; put this file back from a backup"},
	{"written by a newer archiverd", func(w *ward) {
		b, _ := w.Mailbox("Old")
		w.spoil(w.Dir+"/"+b.Dir+"/journal.jsonl", func(data []byte) []byte {
			line := `{"event":"merged","at":"2031-01-01T00:00:00Z"}` + "\n"
			last := data[len(data)-len(`0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}`)-1:][:64]
			sum := sha256.Sum256([]byte(string(last) + line))
			return fmt.Appendf(data, "%s{\"event\":\"sealed\",\"seal\":\"%x\"}\n", line, sum)
		})
	}, 0, true, "a newer archiverd has written to it"},
}

// TestDeleteRefuses deletes no mailbox in which one message is not proven to be
// in the archive.
func TestDeleteRefuses(t *testing.T) {
	for _, c := range unprovenCases {
		t.Run(c.name, func(t *testing.T) {
			w := newWard(t)
			c.spoil(w)
			before := w.old.Messages()
			err := w.remote().Delete(t.Context(), "Old", func(int) error { t.Error("it asks"); return nil })
			var refused *RefusedError
			if !errors.As(err, &refused) || !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.reason) {
				t.Fatalf("got %v, want %q", err, c.reason)
			}
			for _, u := range refused.Unproven {
				if u.Mailbox != "Old" || c.uid != 0 && u.UID != c.uid {
					t.Errorf("unproven is %v", u)
				}
			}
			if want := map[bool]int{true: len(before), false: 1}[c.uid == 0]; len(refused.Unproven) != want {
				t.Errorf("%d are unproven, want %d", len(refused.Unproven), want)
			}
			intact(t, w, before)
		})
	}
}

// intact checks that the server has all it had.
func intact(t *testing.T, w *ward, before []imapd.Message) {
	t.Helper()
	if _, err := w.user.Mailbox("Old"); err != nil {
		t.Fatalf("the mailbox: %v", err)
	}
	if now := w.old.Messages(); !slices.EqualFunc(now, before, func(a, b imapd.Message) bool {
		return a.UID == b.UID && slices.Equal(a.Flags, b.Flags) && bytes.Equal(a.Body, b.Body)
	}) {
		t.Errorf("the server has %d messages, before %d, or others", len(now), len(before))
	}
}

// TestPurgeRefuses leaves each message at the server that is not proven to be in
// the archive, and the whole mailbox where its archive is in doubt.
func TestPurgeRefuses(t *testing.T) {
	for _, c := range unprovenCases {
		t.Run(c.name, func(t *testing.T) {
			w := newWard(t)
			c.spoil(w)
			before := w.old.Messages()
			r := w.remote()
			plan, err := r.PlanPurge(t.Context(), []string{"Old"}, Purge{OlderThan: month})
			if err != nil {
				t.Fatal(err)
			}
			intact(t, w, before)
			if err := r.Purge(t.Context(), plan); err != nil {
				t.Fatal(err)
			}
			p := plan[0]
			if p.OK() || len(p.Unproven) == 0 || !strings.Contains(p.Unproven[0].Reason, c.reason) {
				t.Fatalf("got %+v, want %q", p, c.reason)
			}
			if p.Messages != p.Chosen+p.TooYoung+p.NewInArchive+p.Flagged+p.HeldForDamage+len(p.Unproven) || p.Gone != p.Chosen {
				t.Errorf("it does not add up: %+v", p)
			}
			if c.whole {
				intact(t, w, before)
				return
			}
			w.has(c.uid)
		})
	}
}

// TestDeleteLooksAgain refuses what has changed since the messages were proven.
func TestDeleteLooksAgain(t *testing.T) {
	for _, c := range []struct {
		name   string
		at     string
		change func(w *ward)
		reason string
	}{
		{"a message arrives while a person is asked", "NOOP", func(w *ward) {
			w.old.Append(imapd.Message{Body: []byte("A: b\r\n\r\n")})
		}, "UIDs 7 arrived a moment ago: run `archiverd sync alice` first"},
		{"a message arrives after the second search", "STATUS", func(w *ward) {
			w.old.Append(imapd.Message{Body: []byte("A: b\r\n\r\n")})
		}, "changed a moment ago (6 messages"},
		{"a message vanishes after the second search", "STATUS", func(w *ward) { w.old.Expunge(2) }, "changed a moment ago (4 messages"},
		{"one arrives and one goes", "STATUS", func(w *ward) {
			w.old.Append(imapd.Message{Body: []byte("A: b\r\n\r\n")})
			w.old.Expunge(2)
		}, "changed a moment ago (5 messages"},
		{"a message is flagged", "NOOP", func(w *ward) { w.old.SetFlags(2, `\Flagged`, `\Seen`) }, "UID 2: its flags are"},
		{"a message vanishes", "NOOP", func(w *ward) { w.old.Expunge(2) }, "UIDs 2 vanished a moment ago"},
		{"the mailbox is renumbered", "STATUS", func(w *ward) { w.old.Renumber(0) }, "changed a moment ago (5 messages, UIDVALIDITY"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWard(t)
			w.old.Append(imapd.Message{}) // so that UIDNEXT is the same when its messages are renumbered
			w.old.Expunge(oldMessages + 1)
			w.clean(w.acc)
			var before []imapd.Message
			asked := 0
			err := w.remote().Delete(t.Context(), "Old", func(n int) error {
				asked = n
				w.before(c.at, func() { c.change(w); before = w.old.Messages() })
				return nil
			})
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.reason) {
				t.Errorf("got %v, want %q", err, c.reason)
			}
			if asked != oldMessages {
				t.Errorf("a person was asked about %d messages, want %d", asked, oldMessages)
			}
			intact(t, w, before)
		})
	}
}

// TestDeleteNeverThese refuses mailboxes whatever is in them, and deletes nothing
// that a person does not agree to.
func TestDeleteNeverThese(t *testing.T) {
	w := newWard(t)
	if _, err := w.user.Create("Old/2019/Spring"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"INBOX": "a server needs its INBOX", "inbox": "a server needs its INBOX",
		"Old": `2 mailboxes below it: "Old/2019", "Old/2019/Spring"`, "Nope": "no mailbox of that name",
	} {
		if err := w.remote().Delete(t.Context(), name, agree); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	if err := w.user.Delete("Old/2019/Spring"); err != nil {
		t.Fatal(err)
	}
	if err := w.user.Delete("Old/2019"); err != nil {
		t.Fatal(err)
	}
	no := errors.New("no")
	if err := w.remote().Delete(t.Context(), "Old", func(int) error { return no }); !errors.Is(err, no) {
		t.Errorf("declined: %v", err)
	}
	w.has(1, 2, 3, 4, 5)

	s, err := hostile.New(hostile.Options{Mailboxes: []hostile.Mailbox{{Name: "Old", UIDValidity: 8}}, Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name == "SELECT" {
			s.Send("* 0 EXISTS\r\n* OK [UIDVALIDITY 8] .\r\n* OK [UIDNEXT 1] .\r\n" + cmd.Tag + " OK [READ-ONLY] opened\r\n")
			return true
		}
		return false
	}})
	if err != nil {
		t.Fatal(err)
	}
	r := &Client{Account: world.Alice(s.Address()), Archive: w.remote().Archive}
	if err := r.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.Delete(t.Context(), "Old", agree); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "for reading only") {
		t.Errorf("read-only: %v", err)
	}
	if err := errors.Join(r.Close(t.Context()), s.Close()); err != nil {
		t.Error(err)
	}
}

// TestDelete deletes what is proven, and what is empty.
func TestDelete(t *testing.T) {
	w := newWard(t)
	if err := w.remote().Delete(t.Context(), "Old", agree); err != nil {
		t.Fatal(err)
	}
	if err := w.remote().Create(t.Context(), "Empty"); err != nil {
		t.Fatal(err)
	}
	if err := w.remote().Delete(t.Context(), "Empty", agree); err != nil { // it is not in the archive
		t.Fatal(err)
	}
	if got := w.user.Names(); !slices.Equal(got, []string{"INBOX"}) {
		t.Errorf("the server has %q", got)
	}
	if n := len(w.Listed("Old")); n != oldMessages {
		t.Errorf("the archive has %d messages", n)
	}
	w.clean(w.acc)
	if _, v := w.Mailbox("Old"); v.Vanished.IsZero() {
		t.Error("the archive does not have the mailbox as gone")
	}
}

// TestDeleteIsUpToDate takes messages that came after an earlier refusal once they
// are archived. All octets are fetched for the proof.
func TestDeleteIsUpToDate(t *testing.T) {
	w := newWard(t)
	w.old.Append(imapd.Message{Body: []byte("bare\nlines\n")})
	if err := w.remote().Delete(t.Context(), "Old", agree); !errors.Is(err, ErrRefused) {
		t.Fatal(err)
	}
	w.clean(w.acc)
	before, _ := w.server.Sent()
	if err := w.remote().Delete(t.Context(), "Old", agree); err != nil {
		t.Fatal(err)
	}
	if after, _ := w.server.Sent(); after-before != oldMessages+1 {
		t.Errorf("%d bodies were fetched", after-before)
	}
}

// TestEmptyProvesNothing deletes no message whose octets the server no longer hands
// over, though the archive has as little of it: "" equals "".
func TestEmptyProvesNothing(t *testing.T) {
	for name, c := range map[string]struct{ archived, size, fetched, reason string }{
		"empty here and there":          {"", "64", "", "the server announces 64 octets, and the archive has 0"},
		"empty, and said to be":         {"", "0", "", "an empty message proves nothing"},
		"size is not told":              {"A: b\r\n\r\nc\r\n", "", "A: b\r\n\r\nc\r\n", "does not say its size"},
		"archived, and empty there now": {"A: b\r\n\r\nc\r\n", "11", "", "octets at the server are not those"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &ward{testbed: newTestbed(t), on: map[string]func(){}}
			boxes := []hostile.Mailbox{{Name: "Old", UIDValidity: 7, Messages: []hostile.Message{{UID: 1, Date: "01-Mar-2020 12:00:00 +0000", Body: []byte(c.archived)}}}}
			var lies atomic.Bool
			s, err := hostile.New(hostile.Options{Mailboxes: boxes, Capabilities: "IMAP4rev1 AUTH=PLAIN UIDPLUS", Script: func(s *hostile.Session, cmd hostile.Command) bool {
				switch {
				case !lies.Load() || cmd.Name != "UID FETCH":
					return false
				case strings.Contains(cmd.Args, "RFC822.SIZE"):
					size := ""
					if c.size != "" {
						size = " RFC822.SIZE " + c.size
					}
					s.Send(fmt.Sprintf("* 1 FETCH (UID 1 FLAGS () INTERNALDATE \"01-Mar-2020 12:00:00 +0000\"%s)\r\n", size))
				default:
					s.Send(fmt.Sprintf("* 1 FETCH (UID 1 BODY[] {%d}\r\n%s)\r\n", len(c.fetched), c.fetched))
				}
				s.Send(cmd.Tag + " OK done\r\n")
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
			lies.Store(true)
			plan, err := w.remote().PlanPurge(t.Context(), nil, Purge{OlderThan: month})
			if err != nil {
				t.Fatal(err)
			}
			if p := plan[0]; p.Chosen != 0 || len(p.Unproven) != 1 || !strings.Contains(p.Unproven[0].Reason, c.reason) {
				t.Errorf("got %+v, want %q", p, c.reason)
			}
		})
	}
}

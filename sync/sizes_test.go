package sync

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	gosync "sync"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
	"archiverd/state"
)

// bodies answers FETCHes of bodies with what change makes of them; nth counts, from 1, how
// often that message was asked for.
func bodies(change func(u uint32, body []byte, nth int) []byte) lie {
	var mu gosync.Mutex
	nth := map[string]int{}
	return func(s *hostile.Session, cmd hostile.Command) bool {
		if !world.WantsBodies(cmd) {
			return false
		}
		for i, m := range s.Open.Messages {
			if !world.Requests(cmd, m.UID) {
				continue
			}
			mu.Lock()
			key := fmt.Sprint(s.Open.Name, m.UID)
			nth[key]++
			body := change(m.UID, m.Body, nth[key])
			mu.Unlock()
			s.Write(fmt.Sprintf("* %d FETCH (UID %d BODY[] {%d}\r\n%s)\r\n", i+1, m.UID, len(body), body))
		}
		s.Send(cmd.Tag + " OK done\r\n")
		return true
	}
}

// both lies in two ways.
func both(a, b lie) lie {
	return func(s *hostile.Session, cmd hostile.Command) bool { return a(s, cmd) || b(s, cmd) }
}

// letter is a message whose header and body have lines of their own.
func letter(u uint32) hostile.Message {
	m := world.NewMessage("INBOX", u)
	m.Body = fmt.Appendf(nil, "From: a@example.org\r\nSubject: letter %d\r\nMessage-ID: <%d@example.org>\r\n\r\n", u, u)
	for line := range 3 + u*u%41 {
		m.Body = fmt.Appendf(m.Body, "%d. %s\r\n", line, strings.Repeat("word ", int(u*7+line)%17))
	}
	return m
}

// lettersBox is INBOX with n letters.
func lettersBox(n int) hostile.Mailbox {
	box := world.NewMailbox("INBOX", 7, n)
	for i := range box.Messages {
		box.Messages[i] = letter(uint32(i + 1))
	}
	return box
}

// runAt does a run on a day from 1 on against a server with the box and a script.
func (h *testbed) runAt(day int, box hostile.Mailbox, script lie) (state.Run, *world.Server) {
	h.t.Helper()
	h.SetClock(time.Date(2030, 1, day, 12, 0, 0, 0, time.UTC))
	s := world.Serve(h.t, hostile.Options{Mailboxes: []hostile.Mailbox{box}, Script: script})
	acc := world.Alice(s.Address())
	acc.Connections = 1
	run, err := h.runWith(h.t.Context(), &Job{Account: acc, Policy: h.policy, Committer: h.Committer, Log: h.Log, Now: h.Now})
	if err != nil {
		h.t.Fatal(err)
	}
	return run, s
}

// asked is how many bodies a server was asked for.
func asked(s *world.Server) (n int) {
	for _, c := range s.Commands() {
		if strings.Contains(c, "BODY.PEEK[]") {
			n++
		}
	}
	return n
}

// TestBodyIsNotWhatWasAnnounced: a body that comes empty, cut to its header, cut within it
// or short, once or as often as it is asked for, is not archived. The failure has both
// numbers. Once the server sends all of it, all is archived, in one run.
func TestBodyIsNotWhatWasAnnounced(t *testing.T) {
	headerOf := func(body []byte) []byte { return body[:bytes.Index(body, []byte("\r\n\r\n"))+4] }
	for name, c := range map[string]struct {
		change func(u uint32, body []byte) []byte
		reason string
		kept   bool
	}{
		"empty":                   {func(uint32, []byte) []byte { return nil }, "sent an empty body, and announced %[2]d", false},
		"cut to its header":       {func(_ uint32, b []byte) []byte { return headerOf(b) }, "sent %[1]d octets, which are the header alone, and announced %[2]d", false},
		"cut within its header":   {func(_ uint32, b []byte) []byte { return b[:len(headerOf(b))-3] }, "sent %[1]d octets without the end of the header, and announced %[2]d", false},
		"cut in the middle":       {func(_ uint32, b []byte) []byte { return b[:(len(b)+len(headerOf(b)))/2] }, "sent %[1]d octets, and announced %[2]d", true},
		"cut by a few octets":     {func(u uint32, b []byte) []byte { return b[:len(b)-int(u)-1] }, "sent %[1]d octets, and announced %[2]d", true},
		"an error in their place": {func(u uint32, b []byte) []byte { return fmt.Appendf(nil, "error %d", u) }, "without the end of the header", false},
	} {
		for _, bad := range [][]uint32{{5}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}} {
			t.Run(fmt.Sprintf("%s, %d of 12", name, len(bad)), func(t *testing.T) {
				h := newDatedTestbed(t)
				box := lettersBox(12)
				cut := bodies(func(u uint32, body []byte, _ int) []byte {
					if slices.Contains(bad, u) {
						return c.change(u, body)
					}
					return body
				})
				for day := range 2 {
					run, _ := h.runAt(1+day, box, cut)
					l := of(t, run, "INBOX")
					if run.OK() || l.Failed != len(bad) || l.Archived != 12-len(bad) || l.Awaiting != 0 {
						t.Fatalf("%+v", l)
					}
					for _, u := range bad {
						body := box.Messages[u-1].Body
						if want := fmt.Sprintf(c.reason, len(c.change(u, body)), len(body)); strings.Contains(c.reason, "%") && !strings.HasSuffix(l.Failures[u], want+octetsIfLast(want)) || !strings.Contains(l.Failures[u], strings.Split(want, "%!")[0]) {
							t.Errorf("UID %d failed for %q, want %q", u, l.Failures[u], want)
						}
					}
					h.Holds(box, bad...)
				}
				if kept := h.kept("INBOX"); (len(kept) == len(bad)) != c.kept || len(kept) > 0 && !c.kept {
					t.Errorf("kept are the octets of %d messages", len(kept))
				}
				run, s := h.runAt(3, box, nil)
				if !run.OK() || s.TotalSent() != len(bad) {
					t.Errorf("%d bodies were fetched\n%s", s.TotalSent(), show(run))
				}
				h.Holds(box)
			})
		}
	}
}

// octetsIfLast is what follows a number at the end of a reason.
func octetsIfLast(want string) string {
	if strings.Contains(want, "empty") {
		return " octets"
	}
	return ""
}

// kept returns the octets that are kept of failed messages, by UID: the last ones.
func (h *testbed) kept(mailbox string) map[uint32]string {
	h.t.Helper()
	dir, _ := h.Mailbox(mailbox)
	out := map[uint32]string{}
	if _, err := h.Committer.Archive.Replay(dir, archive.Position{}, func(e archive.Event) error {
		if e.Kind == archive.Failed && e.HasFile() {
			f, err := h.Committer.Archive.OpenFile(dir.Dir + "/" + e.Path)
			if err != nil {
				return err
			}
			defer f.Close()
			var b bytes.Buffer
			_, err = b.ReadFrom(f)
			out[e.UID] = b.String()
			return err
		}
		return nil
	}); err != nil {
		h.t.Error(err)
	}
	return out
}

// TestSizesDifferByOnePattern: from a server that counts in another way a message is
// archived with the size announced, asked for again on other days, and at rest when the
// same octets came in three runs on three days; also if the state database is lost
// between them. Nothing is downloaded in a second run of a day, or after that.
func TestSizesDifferByOnePattern(t *testing.T) {
	lines := func(b []byte) int { return bytes.Count(b, []byte("\n")) }
	box := lettersBox(40)
	for name, announce := range map[string]func(u uint32, b []byte) int{
		"17 more":                  func(_ uint32, b []byte) int { return len(b) + 17 },
		"2 fewer":                  func(_ uint32, b []byte) int { return len(b) - 2 },
		"LF for CRLF":              func(_ uint32, b []byte) int { return len(b) - lines(b) },
		"CRLF twice":               func(_ uint32, b []byte) int { return len(b) + lines(b) },
		"an estimate, both ways":   func(u uint32, b []byte) int { return len(b) + int(u*u*13%200) - 120 },
		"0 of every message":       func(uint32, []byte) int { return 0 },
		"all but one right (more)": nil,
	} {
		if announce == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			h := newDatedTestbed(t)
			sizes := sized(func(u uint32, _ int) int { return announce(u, box.Messages[u-1].Body) })
			exact := 0
			for i, m := range box.Messages {
				if announce(uint32(i+1), m.Body) == len(m.Body) {
					exact++
				}
			}
			run, _ := h.runAt(1, box, sizes)
			if l := of(t, run, "INBOX"); !run.OK() || l.Awaiting != 40-exact || l.Added != 40 {
				t.Fatalf("%+v", l)
			}
			h.Holds(box)
			if run, s := h.runAt(1, box, sizes); s.TotalSent() != 0 || !run.OK() {
				t.Errorf("%d bodies were fetched on the same day", s.TotalSent())
			}
			total, day := 0, 2
			for ; day < 20; day++ {
				if day%2 == 0 {
					if _, err := h.Committer.State.Rebuild(); err != nil {
						t.Fatal(err)
					}
				}
				run, s := h.runAt(day, box, sizes)
				l := of(t, run, "INBOX")
				if n := s.TotalSent(); n > minAgainMessages || l.Again != n || l.Added != 0 || !run.OK() {
					t.Fatalf("day %d: %d bodies were fetched, %+v", day, n, l)
				}
				if total += s.TotalSent(); l.Awaiting == 0 {
					break
				}
			}
			if want := 2 * (40 - exact); total != want {
				t.Errorf("%d bodies were fetched again up to day %d, want %d", total, day, want)
			}
			if _, s := h.runAt(day+1, box, sizes); s.TotalSent() != 0 {
				t.Errorf("%d bodies were fetched after all agree", s.TotalSent())
			}
			h.Holds(box)
		})
	}
}

// TestSizeAgreesLater: when the server has mended its sizes, what was archived is at rest
// without a download; when it has mended the octets, by one.
func TestSizeAgreesLater(t *testing.T) {
	wrong := func(_ uint32, n int) int { return n + 17 }
	t.Run("sizes", func(t *testing.T) {
		h, box := newDatedTestbed(t), lettersBox(9)
		h.runAt(1, box, sized(wrong))
		run, s := h.runAt(2, box, nil)
		if l := of(t, run, "INBOX"); l.Awaiting != 0 || s.TotalSent() != 0 || asked(s) != 0 {
			t.Errorf("%d bodies were fetched, %+v", s.TotalSent(), l)
		}
		h.Holds(box)
	})
	t.Run("octets", func(t *testing.T) {
		h, box := newDatedTestbed(t), lettersBox(9)
		run, _ := h.runAt(1, box, bodies(func(_ uint32, b []byte, _ int) []byte { return b[:len(b)-2] }))
		if l := of(t, run, "INBOX"); l.Awaiting != 9 || !run.OK() {
			t.Fatalf("%+v", l)
		}
		run, s := h.runAt(2, box, nil)
		if l := of(t, run, "INBOX"); l.Awaiting != 0 || l.Again != 9 || l.AgainOctets != 0 || s.TotalSent() != 9 {
			t.Errorf("%d bodies were fetched, %+v", s.TotalSent(), l)
		}
		h.Holds(box)
		if _, s := h.runAt(3, box, nil); s.TotalSent() != 0 {
			t.Errorf("%d bodies were fetched", s.TotalSent())
		}
	})
}

// TestOneNewMessageOfSuchAServer: what is known of a server's sizes is known in later runs
// and processes, so that a single new message is archived.
func TestOneNewMessageOfSuchAServer(t *testing.T) {
	wrong := sized(func(_ uint32, n int) int { return n + 17 })
	h := newDatedTestbed(t)
	h.runAt(1, lettersBox(5), wrong)
	if _, err := h.Committer.State.Rebuild(); err != nil {
		t.Fatal(err)
	}
	run, s := h.runAt(1, lettersBox(6), wrong)
	if l := of(t, run, "INBOX"); !run.OK() || l.Added != 1 || l.Awaiting != 6 || s.TotalSent() != 1 {
		t.Errorf("%d bodies were fetched, %+v", s.TotalSent(), l)
	}
	// a size that is wrong in another way is not one of these
	run, _ = h.runAt(1, lettersBox(7), sized(func(u uint32, n int) int { return n + 17 + int(u)/7*100 }))
	if l := of(t, run, "INBOX"); l.Failed != 1 || l.Failures[7] == "" {
		t.Errorf("%+v", l)
	}
}

// TestOtherOctetsAtEachFetch: messages that come with other octets at each fetch are not
// archived as good, whether five of 60 do it or all. What came last is kept and told.
func TestOtherOctetsAtEachFetch(t *testing.T) {
	for _, n := range []int{5, 60} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			h, box := newDatedTestbed(t), lettersBox(60)
			count := 0
			script := bodies(func(u uint32, b []byte, _ int) []byte {
				if int(u) > n {
					return b
				}
				count++
				return append(slices.Clone(b), strings.Repeat("x", 1+count*count%97)+fmt.Sprint(count)...)
			})
			var bad []uint32
			for u := range n {
				bad = append(bad, uint32(u+1))
			}
			run, _ := h.runAt(1, box, script)
			l := of(t, run, "INBOX")
			if l.Failed != n || l.Awaiting != 0 || !strings.Contains(l.Failures[1], "other octets each time") {
				t.Fatalf("%+v", l)
			}
			h.Holds(box, bad...)
			if kept := h.kept("INBOX"); len(kept) != n || !strings.HasPrefix(kept[1], string(box.Messages[0].Body)) {
				t.Errorf("kept are the octets of %d messages", len(kept))
			}
			before := count
			run, _ = h.runAt(1, box, script)
			if l := of(t, run, "INBOX"); l.Failed != n || l.Again == 0 || count-before > 3*minAgainMessages {
				t.Errorf("%d bodies were fetched again, %+v", count-before, l)
			}
			run, s := h.runAt(2, box, nil)
			if l := of(t, run, "INBOX"); !run.OK() || s.TotalSent() != n {
				t.Errorf("%d bodies were fetched, %+v", s.TotalSent(), l)
			}
			h.Holds(box)
		})
	}
}

// TestOtherOctetsOfOneSize: messages whose octets are others at each fetch, and always as
// many more than announced, await agreement for ever; what came last is archived, once a
// day at most, and more and more rarely.
func TestOtherOctetsOfOneSize(t *testing.T) {
	h, box := newDatedTestbed(t), lettersBox(9)
	count := 0
	last := map[uint32]string{}
	script := bodies(func(u uint32, b []byte, _ int) []byte {
		count++
		last[u] = fmt.Sprintf("%s%08d", b, count)
		return []byte(last[u])
	})
	for day := 1; day < 60; day++ {
		before := count
		run, _ := h.runAt(day, box, script)
		if l := of(t, run, "INBOX"); !run.OK() || l.Awaiting != 9 || l.Archived != 9 {
			t.Fatalf("day %d: %+v", day, l)
		}
		for u, msg := range h.Listed("INBOX") {
			if count-before == 9 && msg.Body != last[u] {
				t.Errorf("day %d: UID %d is not what came last", day, u)
			}
		}
	}
	if count > 9*12 {
		t.Errorf("%d bodies were fetched in 59 days", count)
	}
	run, s := h.runAt(400, box, nil)
	if l := of(t, run, "INBOX"); l.Awaiting != 0 || s.TotalSent() != 9 {
		t.Errorf("%d bodies were fetched, %+v", s.TotalSent(), l)
	}
	h.Holds(box)
}

// TestHeaderAloneOfSuchAServer: a message without a body is archived from a server whose
// sizes are known to differ from other messages, and from no other.
func TestHeaderAloneOfSuchAServer(t *testing.T) {
	box := lettersBox(6)
	box.Messages[5].Body = []byte("From: a@example.org\r\nSubject: no body\r\n\r\n")
	h := newDatedTestbed(t)
	run, _ := h.runAt(1, box, sized(func(_ uint32, n int) int { return n + 17 }))
	if l := of(t, run, "INBOX"); !run.OK() || l.Awaiting != 6 {
		t.Errorf("%+v", l)
	}
	h.Holds(box)
	for i := range 5 {
		box.Messages[i].Body = fmt.Appendf(nil, "Subject: %d\r\n\r\n", i)
	}
	h = newDatedTestbed(t)
	run, _ = h.runAt(1, box, sized(func(_ uint32, n int) int { return n + 17 }))
	if l := of(t, run, "INBOX"); l.Failed != 6 {
		t.Errorf("%+v", l)
	}
}

// TestServerLiesAboutAllSizes: a server whose sizes are wrong without any pattern costs each
// later run a small share of a download, and the ledger tells it.
func TestServerLiesAboutAllSizes(t *testing.T) {
	h, box := newDatedTestbed(t), lettersBox(300)
	lies := 0
	script := func() lie {
		lies++
		return sized(func(u uint32, n int) int { return n + 1 + int(u)*7 + lies*1000 })
	}
	run, _ := h.runAt(1, box, script())
	if l := of(t, run, "INBOX"); l.Failed != 300 {
		t.Fatalf("%+v", l)
	}
	for day := 1; day < 4; day++ {
		run, s := h.runAt(day, box, script())
		l := of(t, run, "INBOX")
		if n := s.TotalSent(); n == 0 || n > 3*300/againShare || l.Failed != 300 || l.Again == 0 || l.AgainOctets == 0 {
			t.Errorf("day %d: %d bodies were fetched, %+v", day, n, l)
		}
	}
}

// TestNoticeInPlaceOfMessage: what Exchange sends for a message that it can't convert is
// kept, and the message failed; it is asked for again until it comes. A mail that talks
// about such a notice is a mail.
func TestNoticeInPlaceOfMessage(t *testing.T) {
	notice := func(u uint32) []byte {
		return fmt.Appendf(nil, "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\nFrom: Microsoft Exchange Server 2010\r\n"+
			"To: Alice <alice@example.org>\r\nSubject: Retrieval using the IMAP4 protocol failed for the following\r\n message: %d\r\n\r\n"+
			"The server couldn=E2=80=99t retrieve the following message:\r\n\r\nSubject: \"Party\"\r\n\r\nThe message hasn't been deleted.\r\n", u)
	}
	h, box := newDatedTestbed(t), lettersBox(6)
	box.Messages[5].Body = append([]byte("Subject: Fwd: Retrieval using the IMAP4 protocol failed\r\n"), notice(9)...)
	box.Messages[4].Body = []byte("Subject: Retrieval using the IMAP4 protocol failed for the following message: 3\r\n\r\nWhat does this mean?\r\n")
	script := func() lie {
		return both(sized(func(u uint32, n int) int {
			if u == 2 {
				return len(notice(2)) // an exact size does not make it a message
			}
			return n
		}), bodies(func(u uint32, b []byte, _ int) []byte {
			if u == 2 || u == 3 {
				return notice(u)
			}
			return b
		}))
	}
	for day := range 3 {
		run, _ := h.runAt(1+day, box, script())
		l := of(t, run, "INBOX")
		if l.Failed != 2 || !strings.Contains(l.Failures[2], "a notice in its place") || !strings.Contains(l.Failures[3], "Exchange") {
			t.Fatalf("%+v", l)
		}
		h.Holds(box, 2, 3)
	}
	if kept := h.kept("INBOX"); !maps.Equal(kept, map[uint32]string{2: string(notice(2)), 3: string(notice(3))}) {
		t.Errorf("kept are %v", kept)
	}
	run, s := h.runAt(4, box, nil)
	if !run.OK() || s.TotalSent() != 2 {
		t.Errorf("%d bodies were fetched\n%s", s.TotalSent(), show(run))
	}
	h.Holds(box)
}

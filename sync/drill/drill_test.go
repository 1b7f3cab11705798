package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/internal/imapd"
	"archiverd/internal/testing/dovecot"
	"archiverd/sync/restore"
)

// TestDrillOfOddMail rehearses what servers and programs like to get wrong: all is
// equal.
func TestDrillOfOddMail(t *testing.T) {
	s := newStock(t)
	bodies := [][]byte{nil, []byte("\x00"), []byte("\n"), []byte("\r"), []byte("no header"), []byte("A: b\n\nbare\n"),
		[]byte("A: b\r\n\r\n\x00\xff\r\n)\r\nX1 OK done\r\n"), []byte("From x\nA: b\n"), []byte("A: ü\xff\r\n\r\n"), slices.Repeat([]byte("0123456789\n"), 30_000)}
	for _, f := range dovecot.Mail(t) {
		bodies = append(bodies, f.Data)
	}
	flags := [][]string{nil, {`\Seen`}, {`\Answered`, `\Deleted`, `\Draft`, `\Flagged`, `\Seen`}, {"$Forwarded", "$MDNSent", "Junk", "NonJunk"},
		{"CamelCase", "lower", "UPPER"}, {"a.b-c_d+e!&'|~#", "$label1", "0"}, {`\Odd`}, {"no(flag", `\Seen`}, {"kéyword"}}
	zones := []int{0, 60, -90, 345, 780, -720, 14 * 60, 23*60 + 59, -23*60 - 59}
	var inbox []restore.Item
	for i, b := range bodies {
		inbox = append(inbox, s.item(b, zoned(zones[i%len(zones)]), flags[i%len(flags)]...))
	}
	twice := s.item(bodies[5], zoned(0), `\Seen`)
	inbox = append(inbox, twice, s.item(bodies[5], zoned(0), `\Seen`), s.item(bodies[5], zoned(60), `\Seen`), s.item(letterOf(1), time.Time{}),
		s.item(letterOf(2), time.Unix(0, 0).UTC()), s.item(letterOf(3), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)))
	s.mailbox(slash("INBOX"), inbox...)
	n := 100
	add := func(name archive.Name) {
		n++
		s.mailbox(name, s.item(letterOf(n), zoned(n), "$x"), s.item(letterOf(n), zoned(n), "$y"))
	}
	for _, name := range []string{"Sent", "a/b/c", "a/b", "Entwürfe", "Проекты/日本語", "Space & Ampersand", " lead and trail ", `"quoted" \ back`,
		"percent % and * star", "inbox2", "INBOX/child", "InBoX/other", "a.b", "&", "&-", "~tilde", "#hash", "x\ty", "\x01\x7f", "😀", "e\u0301", "é", "a/INBOX", strings.Repeat("long", 50)} {
		add(slash(name))
	}
	add(archive.Name{Mailbox: "with/slash.and.dots", Delimiter: "."})
	add(archive.Name{Mailbox: "a.b", Delimiter: "."})
	add(archive.Name{Mailbox: "flat/name.of|all^delimiters~", Delimiter: ""})
	add(archive.Name{Mailbox: `back\slash`, Delimiter: `\`})
	add(archive.Name{Mailbox: "two::letters::deep", Delimiter: "::"})
	add(archive.Name{Mailbox: "raw&\xff", Delimiter: "/", Raw: true})
	add(slash("empty//level"))
	add(slash("new\nline"))
	d := s.equal()
	if d.Archived != d.Messages || d.Messages != len(inbox)+2*32 || d.Mailboxes != 33 {
		t.Errorf("%d of %d messages of %d mailboxes", d.Messages, d.Archived, d.Mailboxes)
	}
	var octets int64
	for _, items := range s.names {
		for _, it := range items {
			octets += it.Size
		}
	}
	if d.Octets != octets && len(s.names) == d.Mailboxes {
		t.Errorf("%d octets came back, want %d", d.Octets, octets)
	}
	for _, text := range []string{`"raw&\xff" was rehearsed as`, `"empty//level" was`, `"new\nline" was`, `"no(flag"`} {
		if !slices.ContainsFunc(d.Notes, func(n string) bool { return strings.Contains(n, text) }) {
			t.Errorf("no note says %s: %q", text, d.Notes)
		}
	}
	t.Logf("%d messages", d.Messages)
}

// TestDrillInPortions: what is the same in several portions is no difference, and
// each portion has a server of its own.
func TestDrillInPortions(t *testing.T) {
	s := newStock(t)
	same := s.item(letterOf(0), zoned(0), `\Seen`)
	var items []restore.Item
	for i := range 2*maxChunk + 500 {
		it := same
		it.ID = fmt.Sprintf("copy%d.eml", i)
		if err := os.Link(filepath.Join(s.dir, same.ID), filepath.Join(s.dir, it.ID)); err != nil {
			t.Fatal(err)
		}
		items = append(items, it)
	}
	s.mailbox(slash("INBOX"), items...)
	s.mailbox(slash("Other"), s.item(letterOf(0), zoned(0), `\Seen`))
	s.mailbox(slash("Empty"))
	servers := 0
	scratch := s.drill.Scratch
	s.drill.Scratch = func(d string) (Server, error) { servers++; return scratch(d) }
	if d := s.equal(); d.Messages != len(items)+1 || d.Mailboxes != 2 || servers != 3 {
		t.Errorf("%d messages of %d mailboxes, %d servers", d.Messages, d.Mailboxes, servers)
	}
}

// TestDrillNamesDifferences meddles with the server between restoring and reading:
// each meddling is found, and named by the message's ID.
func TestDrillNamesDifferences(t *testing.T) {
	for name, test := range map[string]struct {
		meddle func(s *stock, u *imapd.User)
		in     []string // of each difference, "ID-index of the mailbox: what"
		equal  int      // of 6
	}{
		"nothing":   {func(*stock, *imapd.User) {}, nil, 6},
		"lost":      {func(s *stock, u *imapd.User) { m := s.box(u, "A"); m.Expunge(s.of(m, letterOf(2)).UID) }, []string{"A 2 missing"}, 5},
		"lost twin": {func(s *stock, u *imapd.User) { m := s.box(u, "B"); m.Expunge(s.of(m, letterOf(4)).UID) }, []string{"B 4 missing"}, 5},
		"flag lost": {func(s *stock, u *imapd.User) { m := s.box(u, "A"); m.SetFlags(s.of(m, letterOf(1)).UID, "Key") }, []string{"A 1 flags"}, 5},
		"flag more": {func(s *stock, u *imapd.User) { m := s.box(u, "A"); m.SetFlags(s.of(m, letterOf(2)).UID, `\Deleted`) }, []string{"A 2 flags"}, 5},
		"keyword garbled": {func(s *stock, u *imapd.User) {
			m := s.box(u, "A")
			m.SetFlags(s.of(m, letterOf(1)).UID, `\Seen`, "Key1")
		},
			[]string{"A 1 flags"}, 5},
		"twice": {func(s *stock, u *imapd.User) {
			m := s.box(u, "A")
			msg := s.of(m, letterOf(1))
			msg.UID = 0
			m.Append(msg)
		}, []string{"A 1 extra"}, 6},
		"foreign": {func(s *stock, u *imapd.User) {
			s.box(u, "A").Append(imapd.Message{Body: letterOf(99), InternalDate: zoned(7)})
		}, []string{"A - extra"}, 6},
		"octets": {func(s *stock, u *imapd.User) {
			m := s.box(u, "A")
			msg := s.of(m, letterOf(3))
			m.Expunge(msg.UID)
			msg.Body = append(slices.Clone(letterOf(3)), ' ')
			msg.UID = 0
			m.Append(msg)
		}, []string{"A 3 octets"}, 5},
		"line ends": {func(s *stock, u *imapd.User) { // which a server of our own never changes
			m := s.box(u, "A")
			msg := s.of(m, letterOf(3))
			m.Expunge(msg.UID)
			msg.Body = []byte(strings.ReplaceAll(string(letterOf(3)), "\r\n", "\n"))
			msg.UID = 0
			m.Append(msg)
		}, []string{"A 3 octets"}, 5},
		"date": {func(s *stock, u *imapd.User) {
			m := s.box(u, "A")
			msg := s.of(m, letterOf(3))
			m.Expunge(msg.UID)
			msg.UID, msg.InternalDate = 0, msg.InternalDate.Add(time.Second)
			m.Append(msg)
		}, []string{"A 3 internaldate"}, 5},
		"zone and flags": {func(s *stock, u *imapd.User) {
			m := s.box(u, "A")
			msg := s.of(m, letterOf(1))
			m.Expunge(msg.UID)
			msg.UID, msg.InternalDate, msg.Flags = 0, msg.InternalDate.UTC(), nil
			m.Append(msg)
		}, []string{"A 1 flags,internaldate"}, 5},
		"swapped flags of twins": {func(s *stock, u *imapd.User) {
			m := s.box(u, "B")
			for _, msg := range m.Messages() {
				m.SetFlags(msg.UID, "one", "two")
			}
		}, []string{"B 4 flags", "B 5 flags"}, 4},
		"renamed": {func(s *stock, u *imapd.User) {
			if err := u.Rename("A", "A2"); err != nil {
				s.t.Error(err)
			}
		}, []string{"A 1 missing", "A 2 missing", "A 3 missing", "A2 - extra", "A2 - extra", "A2 - extra"}, 3},
		"in another mailbox": {func(s *stock, u *imapd.User) {
			m := s.box(u, "A")
			msg := s.of(m, letterOf(1))
			m.Expunge(msg.UID)
			msg.UID = 0
			s.box(u, "B").Append(msg)
		}, []string{"A 1 missing", "B - extra"}, 5},
		"all gone": {func(s *stock, u *imapd.User) {
			if err := errors.Join(u.Delete("A"), u.Delete("B")); err != nil {
				s.t.Error(err)
			}
		}, []string{"A 1 missing", "A 2 missing", "A 3 missing", "B 4 missing", "B 5 missing"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStock(t)
			s.mailbox(slash("A"), s.item(letterOf(1), zoned(60), `\Seen`, "Key"), s.item(letterOf(2), zoned(0)), s.item(letterOf(3), zoned(-60), "Key"))
			s.mailbox(slash("B"), s.item(letterOf(4), zoned(0), "one"), s.item(letterOf(4), zoned(0), "two"))
			s.mailbox(slash("INBOX"), s.item(letterOf(6), zoned(0)))
			ids := map[string]int{}
			for _, items := range s.names {
				for _, it := range items {
					var n int
					fmt.Sscanf(it.ID, "%d", &n)
					ids[it.ID] = n
				}
			}
			s.meddle = func(u *imapd.User) { test.meddle(s, u) }
			d := s.run()
			var got []string
			for _, x := range d.Differences {
				who := "-"
				if x.ID != "" {
					who = fmt.Sprint(ids[x.ID])
				}
				got = append(got, x.Mailbox+" "+who+" "+strings.Join(x.In, ","))
				if x.What == "" || x.Changed {
					t.Errorf("%+v", x)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, test.in) || d.Equal != test.equal || d.Differing != len(test.in) || d.OK() != (len(test.in) == 0) {
				t.Errorf("%d equal, differences %q, want %d, %q\n%s", d.Equal, got, test.equal, test.in, showDrill(d))
			}
		})
	}
}

// TestDrillFindsDamage: what is not in the archive as its journal says is a failure
// of the drill, and the rest is compared all the same.
func TestDrillFindsDamage(t *testing.T) {
	s := newStock(t)
	good, changed, gone, short := s.item(letterOf(1), zoned(0)), s.item(letterOf(2), zoned(0)), s.item(letterOf(3), zoned(0)), s.item(letterOf(4), zoned(0))
	s.mailbox(slash("INBOX"), good, changed, gone, short)
	s.mailbox(slash("Torn"), s.item(letterOf(5), zoned(0)))
	s.drill.Sources[1].Err = errors.New("journal is corrupt in line 7")
	s.mailbox(slash("Unreadable"), s.item(letterOf(6), zoned(0)))
	s.drill.Sources[2].Load = func() ([]restore.Item, error) { return nil, errors.New("input/output error") }
	for id, body := range map[string][]byte{changed.ID: letterOf(7), short.ID: letterOf(4)[:20]} {
		if err := os.WriteFile(filepath.Join(s.dir, id), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(s.dir, gone.ID)); err != nil {
		t.Fatal(err)
	}
	d := s.run()
	if d.OK() || d.Equal != 2 || d.Differing != 5 {
		t.Errorf("%d equal, %d differ", d.Equal, d.Differing)
	}
	for _, want := range []struct{ id, in, text string }{
		{changed.ID, "missing", "damaged"}, {short.ID, "missing", "damaged"}, {gone.ID, "missing", "archiverd verify"},
		{"", "error", "line 7"}, {"", "error", "input/output"},
	} {
		if !slices.ContainsFunc(d.Differences, func(x Difference) bool {
			return x.ID == want.id && x.In[0] == want.in && strings.Contains(x.What, want.text)
		}) {
			t.Errorf("no difference %v:\n%s", want, showDrill(d))
		}
	}
}

func TestDrillManyDifferences(t *testing.T) {
	s := newStock(t)
	var items []restore.Item
	for i := range 300 {
		items = append(items, s.item(letterOf(i), zoned(0)))
	}
	s.mailbox(slash("A"), items...)
	s.meddle = func(u *imapd.User) {
		if err := u.Delete("A"); err != nil {
			t.Error(err)
		}
	}
	if d := s.run(); d.Differing != 300 || len(d.Differences) != 100 || d.Equal != 0 {
		t.Errorf("%d differ, %d are named", d.Differing, len(d.Differences))
	}
}

// TestDrillSample: at least one message of each mailbox, and others each time.
func TestDrillSample(t *testing.T) {
	s := newStock(t)
	for i := range 8 {
		var items []restore.Item
		for n := range 1 + 10*i {
			items = append(items, s.item(letterOf(1000*i+n), zoned(0)))
		}
		s.mailbox(slash(fmt.Sprintf("M%d", i)), items...)
	}
	seen := map[string]bool{}
	open := s.drill.Open
	s.drill.Open = func(id string) (*os.File, error) { seen[id] = true; return open(id) }
	for range 3 {
		s.drill.Sample, s.drill.Named = func(n int) int { return n / 10 }, "10%"
		if d := s.equal(); d.Messages != 28 || d.Mailboxes != 8 || d.Archived != 288 || d.Sample != "10%" {
			t.Errorf("%d messages of %d mailboxes, of %d", d.Messages, d.Mailboxes, d.Archived)
		}
	}
	if len(seen) <= 28 {
		t.Errorf("three samples are of the same %d messages", len(seen))
	}
	s.drill.Sample = func(int) int { return 3 }
	if d := s.equal(); d.Messages != 3 || d.Mailboxes != 3 {
		t.Errorf("%d messages of %d mailboxes", d.Messages, d.Mailboxes)
	}
	s.drill.Sources = nil
	if d := s.equal(); d.Messages != 0 || d.Archived != 0 {
		t.Errorf("%+v", d)
	}
}

func TestAllot(t *testing.T) {
	for _, sizes := range [][]int{nil, {0}, {1}, {5}, {0, 3, 0}, {1, 1, 1, 1}, {1000000, 1, 1}, {7, 70, 700, 7000}, {1 << 40, 1 << 41, 3}} {
		total, filled := 0, 0
		for _, size := range sizes {
			total += size
			filled += min(size, 1)
		}
		for _, n := range []int{0, 1, 2, 3, 10, 99, 500, total / 2, total - 1, total, total + 1} {
			if n < 0 {
				continue
			}
			sum, of := 0, 0
			shares := shareOut(n, sizes)
			for i, share := range shares {
				if share < 0 || share > sizes[i] {
					t.Fatalf("%d of %v: %v", n, sizes, shares)
				}
				sum += share
				of += min(share, 1)
			}
			if sum != min(n, total) || of != min(n, filled) {
				t.Errorf("%d of %v: %v", n, sizes, shares)
			}
		}
	}
	if got := shareOut(100, []int{7, 70, 700, 7000}); got[3] < 85 || got[2] < 8 || got[2] > 13 {
		t.Errorf("shares are not by size: %v", got)
	}
}

func TestDrillInterrupted(t *testing.T) {
	s := newStock(t)
	s.mailbox(slash("INBOX"), s.item(letterOf(1), zoned(0)))
	ctx, cancel := context.WithCancel(t.Context())
	s.meddle = func(*imapd.User) { cancel() }
	d, err := s.drill.Run(ctx)
	if !errors.Is(err, ErrInterrupted) || d.OK() {
		t.Errorf("%v, %+v", err, d)
	}
	s.meddle = nil
	s.drill.Scratch = func(string) (Server, error) { return Server{}, errors.New("no port is free") }
	if d, err := s.drill.Run(t.Context()); err == nil || !strings.Contains(d.Error, "no port is free") || d.OK() {
		t.Errorf("%v, %+v", err, d)
	}
}

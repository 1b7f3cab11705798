package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"archiverd/internal/testing/dovecot"
	"archiverd/state"
)

// loadReal fills an account with the corpus and with all real mail there is,
// and returns the names of the mailboxes.
func loadReal(t *testing.T, c *dovecot.Client, messages int) []string {
	t.Helper()
	corpus := dovecot.Corpus(1, messages)
	c.Load(corpus)
	var names []string
	for _, m := range corpus {
		names = append(names, m.Name)
	}
	files := dovecot.Mail(t)
	if files == nil {
		return names
	}
	const name = `Real/Mail aus aller Welt "日本語"`
	c.Create(name)
	var msgs []dovecot.Msg
	for i, f := range files {
		if len(f.Data) > 0 { // Dovecot takes no empty message
			msgs = append(msgs, dovecot.Msg{Body: f.Data, Date: time.Date(2001, 2, 3, 4, 5, i, 0, time.UTC)})
		}
	}
	c.Append(name, msgs...)
	return append(names, name)
}

// same checks that the archive has of each mailbox what the server has, by what
// list prints and by the files themselves. It returns how many messages that is,
// and how many of them are the first with their octets.
func same(t *testing.T, s *site, c *dovecot.Client, account string, names []string) (messages, distinct int) {
	t.Helper()
	sums := map[string]bool{}
	for _, name := range names {
		var list []listedMessage
		s.run("list", "--json", account, name).want(0).decode(&list)
		got := map[uint32]listedMessage{}
		for _, l := range list {
			got[l.UID] = l
		}
		want := c.Read(name)
		if len(got) != len(want) || len(list) != len(want) {
			t.Errorf("%s: %d messages in the archive, want %d", name, len(list), len(want))
		}
		for _, w := range want {
			g := got[w.UID]
			sum := sha256.Sum256(read(t, filepath.Join(s.archive, g.ID)))
			if sum != w.SHA256 || g.SHA256 != fmt.Sprintf("%x", w.SHA256) || g.Size != w.Size {
				t.Fatalf("%s UID %d: %d octets with SHA-256 %x (listed: %s), want %d with %x", name, w.UID, g.Size, sum, g.SHA256, w.Size, w.SHA256)
			}
			slices.Sort(g.Flags)
			if !g.InternalDate.Equal(w.Date) || !slices.Equal(g.Flags, w.Flags) {
				t.Fatalf("%s UID %d: %v %q, want %v %q", name, w.UID, g.InternalDate, g.Flags, w.Date, w.Flags)
			}
			sums[g.SHA256] = true
			messages++
		}
	}
	return messages, len(sums)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// files counts the message files of an archive, and the inodes that they are.
func files(t *testing.T, dir string) (names, inodes int) {
	t.Helper()
	seen := map[uint64]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".eml") {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		names++
		seen[info.Sys().(*syscall.Stat_t).Ino] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names, len(seen)
}

// ledgers are a run's, by mailbox.
func ledgers(r state.Run) map[string]state.Ledger {
	out := map[string]state.Ledger{}
	for _, l := range r.Mailboxes {
		out[l.Mailbox] = l
	}
	return out
}

// counts are the numbers of a ledger that a test foresees.
type counts struct{ server, archived, added, linked, flags, gone int }

func countsOf(l state.Ledger) counts {
	return counts{l.Server, l.Archived, l.Added, l.Linked, l.FlagsChanged, l.Gone}
}

// readOnly are the commands of a client that changes nothing.
var readOnly = []string{"CAPABILITY", "AUTHENTICATE", "LOGIN", "ID", "ENABLE", "NOOP", "LIST", "STATUS", "EXAMINE", "UNSELECT", "CLOSE", "LOGOUT", "UID SEARCH", "UID FETCH"}

// silent checks that nothing was said that changes the server or marks mail as read.
func silent(t *testing.T, p *proxy) {
	t.Helper()
	for _, cmd := range p.commands() {
		upper := strings.ToUpper(cmd)
		if !slices.ContainsFunc(readOnly, func(verb string) bool { return upper == verb || strings.HasPrefix(upper, verb+" ") }) ||
			strings.Contains(strings.ReplaceAll(upper, "BODY.PEEK[", ""), "BODY[") || strings.Contains(upper, " RFC822 ") {
			t.Errorf("archiverd says %q", cmd)
		}
	}
}

// TestMailboxBecomesArchive is the main job: a real server's mail, all of it,
// exact, once; then what changes, and nothing else.
func TestMailboxBecomesArchive(t *testing.T) {
	t.Parallel()
	srv := dovecot.Start(t)
	u := srv.User(t, "alice")
	c := u.Dial(t)
	invented := 5000
	if testing.Short() {
		invented = 1500
	}
	names := loadReal(t, c, invented)
	before := map[string][]dovecot.Msg{}
	for _, n := range names {
		before[n] = c.Read(n)
	}
	s := newSite(t)
	tap := newProxy(t, srv.PlainAddr)
	s.configure("accounts:\n", s.plain(tap.Addr, u))

	first := s.sync()
	messages, distinct := same(t, s, c, "alice", names)
	if got, want := countsOf(first.Sum), (counts{server: messages, archived: messages, added: messages, linked: messages - distinct}); got != want {
		t.Errorf("the first sync counts %+v, want %+v", got, want)
	}
	if got, inodes := files(t, s.archive); got != messages || inodes != distinct {
		t.Errorf("%d files that are %d inodes, want %d and %d", got, inodes, messages, distinct)
	}
	for _, n := range names {
		for i, m := range c.Read(n) {
			if !slices.Equal(m.Flags, before[n][i].Flags) {
				t.Fatalf("%s UID %d: the server's flags were %q and are %q", n, m.UID, before[n][i].Flags, m.Flags)
			}
		}
	}
	silent(t, tap)

	tap.forget()
	if got, want := countsOf(s.sync().Sum), (counts{server: messages, archived: messages}); got != want {
		t.Errorf("a sync without changes counts %+v, want %+v", got, want)
	}
	if n := len(tap.commands()); tap.asked() > 0 || n > 10 {
		t.Errorf("a sync without changes says %q", tap.commands())
	}

	names = changes(t, s, c, names, before, ledgers(first), invented)
	silent(t, tap)
	if messages, _ := same(t, s, c, "alice", names); messages == 0 {
		t.Error("nothing was compared")
	}

	for what, lose := range map[string]func(){
		"rebuild": func() { s.run("rebuild").want(0) },
		"deleting the state database": func() {
			if err := os.Remove(filepath.Join(s.archive, "state.db")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		lose()
		tap.forget()
		if got := s.sync().Sum; got.Added != 0 || got.Octets != 0 || got.FlagsChanged != 0 || got.Gone != 0 || tap.asked() != 0 {
			t.Errorf("after %s a sync counts %+v and asks for bodies %d times", what, got, tap.asked())
		}
		same(t, s, c, "alice", names)
	}
}

// TestFlakyNetwork loses connection after connection in the middle of the one
// new message: what comes in the end comes with its date and flags.
func TestFlakyNetwork(t *testing.T) {
	t.Parallel()
	srv := dovecot.Start(t)
	u := srv.User(t, "alice")
	c := u.Dial(t)
	c.Append("INBOX", dovecot.Msg{Body: []byte("Subject: new\r\n\r\n" + strings.Repeat("text\r\n", 1000)),
		Flags: []string{`\Flagged`}, Date: time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)})
	for cuts := 1; cuts <= 2; cuts++ {
		s := newSite(t)
		tap := newProxy(t, srv.PlainAddr)
		tap.cut(cuts)
		s.configure("accounts:\n", s.plain(tap.Addr, u))
		if got := s.sync().Sum.Archived; got != 1 {
			t.Errorf("after %d cuts %d messages are archived, want 1", cuts, got)
		}
		same(t, s, c, "alice", []string{"INBOX"})
	}
}

// changes does to the account whatever a day may bring, syncs, and checks each
// number of the ledger. It returns the names of the mailboxes that there are now.
func changes(t *testing.T, s *site, c *dovecot.Client, names []string, before map[string][]dovecot.Msg, first map[string]state.Ledger, invented int) []string {
	t.Helper()
	const renumbered, deleted, made, flagged, shrunk = "Archive/2024/Q1", "Trash", "Neu/Ünter", "Archive", "Lists/go"
	want := map[string]counts{}
	for _, n := range names {
		have := len(before[n])
		want[n] = counts{server: have, archived: have}
	}
	body := func(text string) dovecot.Msg {
		return dovecot.Msg{Body: []byte("Subject: " + text + "\r\n\r\n" + text + "\r\n"), Flags: []string{`\Flagged`}, Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	}
	// New mail.
	for _, n := range []string{"INBOX", "Проекты/日本語", "Empty"} {
		for i := range 20 {
			c.Append(n, body(n+string(rune('a'+i))))
		}
		want[n] = counts{server: want[n].server + 20, archived: want[n].archived + 20, added: 20}
	}
	// Flags: of seven messages, and of one that they do not change.
	var uids []uint32
	for _, m := range before[flagged] {
		if has := slices.Contains(m.Flags, `\Flagged`); has && len(uids) == 0 || !has && len(uids) > 0 && len(uids) < 8 {
			uids = append(uids, m.UID)
		}
	}
	c.Store(flagged, `+FLAGS (\Flagged)`, uids...)
	w := want[flagged]
	w.flags = 7
	want[flagged] = w
	// Six messages vanish, and three arrive.
	uids = nil
	for _, m := range before[shrunk][:6] {
		uids = append(uids, m.UID)
	}
	c.Expunge(shrunk, uids...)
	c.Append(shrunk, body("x"), body("y"), body("z"))
	w = want[shrunk]
	want[shrunk] = counts{server: w.server - 3, archived: w.archived - 3, added: 3, gone: 6}
	// A mailbox comes, with two messages that are somewhere else already.
	c.Create(made)
	c.Append(made, body("INBOXa"), body("INBOXb"), body("only here"))
	want[made] = counts{server: 3, archived: 3, added: 3, linked: 2}
	// A mailbox goes.
	c.Delete(deleted)
	want[deleted] = counts{}
	// Another gets a new UIDVALIDITY, with the same messages.
	var again []dovecot.Msg
	for _, m := range dovecot.Corpus(1, invented) {
		if m.Name == renumbered {
			again = m.Msgs
		}
	}
	c.Delete(renumbered)
	c.Create(renumbered)
	c.Append(renumbered, again...)
	w = want[renumbered]
	want[renumbered] = counts{server: w.server, archived: w.server, added: w.server, linked: w.server}

	run := s.sync()
	got := ledgers(run)
	for n, w := range want {
		if g := countsOf(got[n]); g != w {
			t.Errorf("%s: the ledger counts %+v, want %+v", n, g, w)
		}
		if n == deleted != got[n].Vanished {
			t.Errorf("%s: vanished is %v", n, got[n].Vanished)
		}
	}
	if len(run.Warnings) == 0 {
		t.Errorf("no word about the mailbox that vanished: %+v", run)
	}
	var boxes []listedMailbox
	s.run("list", "--json").want(0).decode(&boxes)
	for _, b := range boxes {
		if b.Mailbox == deleted && (b.Vanished.IsZero() || b.Gone != first[deleted].Archived) {
			t.Errorf("the deleted mailbox is listed as %+v", b)
		}
		if b.Mailbox == renumbered && (b.Messages != w.server || b.Gone != 0) {
			t.Errorf("the renumbered mailbox is listed as %+v, want %d messages and none gone", b, w.server)
		}
	}
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == deleted })
	return append(names, made)
}

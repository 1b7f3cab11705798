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

// loadReal fills an account with the corpus and with all real mail that is
// available, and returns the names of the mailboxes.
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

// compareWithServer checks that the archive has of each mailbox what the server has,
// from list and from the files. It returns the number of messages, and of different
// octets among them.
func compareWithServer(t *testing.T, s *site, c *dovecot.Client, account string, names []string) (messages, distinct int) {
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

// files returns the number of message files of an archive, and of their inodes.
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

// ledgers returns the ledgers of a run by mailbox.
func ledgers(r state.Run) map[string]state.Ledger {
	out := map[string]state.Ledger{}
	for _, l := range r.Mailboxes {
		out[l.Mailbox] = l
	}
	return out
}

// counts are the numbers of a ledger that a test knows beforehand.
type counts struct{ server, archived, added, linked, flags, gone int }

func countsOf(l state.Ledger) counts {
	return counts{l.Server, l.Archived, l.Added, l.Linked, l.FlagsChanged, l.Gone}
}

// readOnly are the commands that neither change a mailbox nor set \Seen.
var readOnly = []string{"CAPABILITY", "AUTHENTICATE", "LOGIN", "ID", "ENABLE", "NOOP", "LIST", "STATUS", "EXAMINE", "UNSELECT", "CLOSE", "LOGOUT", "UID SEARCH", "UID FETCH"}

// checkReadOnly checks that every command is one of readOnly, and that no fetch sets
// \Seen.
func checkReadOnly(t *testing.T, p *proxy) {
	t.Helper()
	for _, cmd := range p.commands() {
		upper := strings.ToUpper(cmd)
		if !slices.ContainsFunc(readOnly, func(verb string) bool { return upper == verb || strings.HasPrefix(upper, verb+" ") }) ||
			strings.Contains(strings.ReplaceAll(upper, "BODY.PEEK[", ""), "BODY[") || strings.Contains(upper, " RFC822 ") {
			t.Errorf("archiverd says %q", cmd)
		}
	}
}

// checkServerFlags checks that the server's messages have the flags that they had
// before, by mailbox.
func checkServerFlags(t *testing.T, c *dovecot.Client, before map[string][]dovecot.Msg) {
	t.Helper()
	for name, messages := range before {
		for i, m := range c.Read(name) {
			if !slices.Equal(m.Flags, messages[i].Flags) {
				t.Fatalf("%s UID %d: the server's flags were %q and are %q", name, m.UID, messages[i].Flags, m.Flags)
			}
		}
	}
}

// TestMailboxBecomesArchive is the main job: all mail of a server is archived, octet
// for octet, once. Later syncs archive only what has changed.
func TestMailboxBecomesArchive(t *testing.T) {
	t.Parallel()
	generated := 5000 // messages, besides the real mail
	if testing.Short() {
		generated = 1500
	}
	srv := dovecot.Start(t)
	u := srv.User(t, "alice")
	c := u.Dial(t)
	names := loadReal(t, c, generated)
	before := map[string][]dovecot.Msg{}
	for _, n := range names {
		before[n] = c.Read(n)
	}
	s := newSite(t)
	tap := newProxy(t, srv.PlainAddr)
	s.configure("accounts:\n", s.plain(tap.Addr, u))

	first := s.sync()
	messages, distinct := compareWithServer(t, s, c, "alice", names)
	if got, want := countsOf(first.Sum), (counts{server: messages, archived: messages, added: messages, linked: messages - distinct}); got != want {
		t.Errorf("the first sync counts %+v, want %+v", got, want)
	}
	if got, inodes := files(t, s.archive); got != messages || inodes != distinct {
		t.Errorf("%d files that are %d inodes, want %d and %d", got, inodes, messages, distinct)
	}
	checkServerFlags(t, c, before)
	checkReadOnly(t, tap)

	tap.reset()
	if got, want := countsOf(s.sync().Sum), (counts{server: messages, archived: messages}); got != want {
		t.Errorf("a sync without changes counts %+v, want %+v", got, want)
	}
	if n := len(tap.commands()); tap.bodyFetches() > 0 || n > 10 {
		t.Errorf("a sync without changes says %q", tap.commands())
	}

	names = changeAccount(t, s, c, generated, names, before, ledgers(first))
	checkReadOnly(t, tap)
	if messages, _ := compareWithServer(t, s, c, "alice", names); messages == 0 {
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
		tap.reset()
		if got := s.sync().Sum; got.Added != 0 || got.Octets != 0 || got.FlagsChanged != 0 || got.Gone != 0 || tap.bodyFetches() != 0 {
			t.Errorf("after %s a sync counts %+v and asks for bodies %d times", what, got, tap.bodyFetches())
		}
		compareWithServer(t, s, c, "alice", names)
	}
}

// TestFlakyNetwork loses one connection after another in the middle of the only new
// message: in the end the archive has it with its date and flags.
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
		compareWithServer(t, s, c, "alice", []string{"INBOX"})
	}
}

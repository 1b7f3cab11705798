package sync

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"archiverd/archive"
	"archiverd/internal/session"
	"archiverd/internal/testing/cyrus"
	"archiverd/internal/testing/dovecot"
	"archiverd/internal/testing/world"
)

// lettersFrom are n letters that no other call has with another number.
func lettersFrom(first, n int) []dovecot.Msg {
	return letters(first + n)[first:]
}

// keepsAll fails if the journal of a mailbox says that a message is gone or failed.
func (h *testbed) keepsAll(mailbox string) {
	h.t.Helper()
	if n := h.lines(mailbox); n[archive.Gone]+n[archive.Failed] > 0 {
		h.t.Errorf("%s: events are %v", mailbox, n)
	}
}

// asAlice is the account of a user of a real server, in the archive that of alice.
func asAlice(acc session.Account) session.Account {
	acc.Name = "alice"
	return acc
}

// TestMoveToEqualUIDValidityAtDovecot: the account moves to other mailboxes of a real Dovecot
// that have the UIDVALIDITY of the first ones. Each message is archived, with its flags.
func TestMoveToEqualUIDValidityAtDovecot(t *testing.T) {
	s := dovecot.Start(t)
	for _, n := range []int{6, 9, 20} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			h := newTestbed(t)
			old, next := s.User(t, fmt.Sprint("old", n)), s.User(t, fmt.Sprint("next", n))
			for i, u := range []*dovecot.User{old, next} {
				messages := lettersFrom(0, 9)
				if i == 1 {
					messages = lettersFrom(100, n)
				}
				for k := range messages {
					messages[k].Flags = []string{[]string{`\Seen`, `\Flagged`, `\Answered`}[(k+i)%3]}
				}
				c := u.Dial(t)
				c.Append("INBOX", messages...)
				u.SetUIDValidity(t, "INBOX", 1)
			}
			account := func(u *dovecot.User) session.Account {
				return asAlice(world.Login(s.Addr, u.Name, u.Password, s.TLS))
			}
			h.clean(account(old))
			h.asIs(old.Dial(t), "INBOX")
			run := h.clean(account(next))
			h.asIs(next.Dial(t), "INBOX")
			h.keepsAll("INBOX")
			if _, v := h.Mailbox("INBOX"); run.Sum.Added != n || len(v.Epochs) != 2 || v.Epochs[0].UIDValidity != 1 || v.Epochs[1].UIDValidity != 1 {
				t.Errorf("%+v, %d epochs", run.Sum, len(v.Epochs))
			}
			run = h.clean(account(next))
			if !of(t, run, "INBOX").Unchanged {
				t.Errorf("%s", show(run))
			}
		})
	}
}

// TestSwapAtDovecot: two mailboxes of one UIDVALIDITY are swapped by RENAME.
func TestSwapAtDovecot(t *testing.T) {
	h := newTestbed(t)
	s := dovecot.Start(t)
	u := s.User(t, "alice")
	c := u.Dial(t)
	for i, name := range []string{"One", "Two"} {
		c.Create(name)
		c.Append(name, lettersFrom(100*i, 40)...)
		u.SetUIDValidity(t, name, 7)
	}
	acc := world.Login(s.Addr, u.Name, u.Password, s.TLS)
	h.clean(acc)
	c = u.Dial(t)
	c.Rename("One", "Three")
	c.Rename("Two", "One")
	c.Rename("Three", "Two")
	h.policy.Reopen = 1 // their counters are equal: they are found when they are opened all the same
	run := h.clean(acc)
	for _, name := range []string{"One", "Two"} {
		h.asIs(c, name)
		h.keepsAll(name)
		if _, v := h.Mailbox(name); len(v.Epochs) != 2 || v.Epoch().UIDValidity != 7 {
			t.Errorf("%s has %d epochs", name, len(v.Epochs))
		}
	}
	if run.Sum.Matched < 70 {
		t.Errorf("%+v", run.Sum)
	}
}

// TestRestoreFromBackupAtDovecot: a Maildir is put back as it was some messages ago, and gets
// others since, whose UIDs other messages had.
func TestRestoreFromBackupAtDovecot(t *testing.T) {
	h := newTestbed(t)
	s := dovecot.StartWith(t, dovecot.Options{Format: "maildir"})
	u := s.User(t, "alice")
	u.Dial(t).Append("INBOX", lettersFrom(0, 20)...)
	acc := world.Login(s.Addr, u.Name, u.Password, s.TLS)
	h.clean(acc)
	backup := filepath.Join(t.TempDir(), "backup")
	if err := os.CopyFS(backup, os.DirFS(u.Store())); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(u.Store(), func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(u.Store(), path)
		if err != nil {
			return err
		}
		return os.Chtimes(filepath.Join(backup, rel), info.ModTime(), info.ModTime())
	})
	if err != nil {
		t.Fatal(err)
	}
	u.Dial(t).Append("INBOX", lettersFrom(20, 5)...)
	h.clean(acc)
	if err := os.RemoveAll(u.Store()); err != nil {
		t.Fatal(err)
	}
	u.Fill(t, backup)
	u.Dial(t).Append("INBOX", lettersFrom(200, 3)...)
	run := h.clean(acc)
	h.asIs(u.Dial(t), "INBOX")
	h.keepsAll("INBOX")
	if run.Sum.Octets > 23*400 || run.Sum.Matched < 15 {
		t.Errorf("%+v", run.Sum)
	}
}

// TestReplacedMailboxesAtCyrus: at a real Cyrus two mailboxes are swapped by RENAME, and the
// account moves to another user's mailboxes.
func TestReplacedMailboxesAtCyrus(t *testing.T) {
	h := newTestbed(t)
	s := cyrus.Start(t)
	for i, name := range []string{"old", "next"} {
		u := s.User(t, name)
		c := u.Dial(t)
		for k, box := range []string{"INBOX", "One", "Two"} {
			if box != "INBOX" {
				c.Create(box)
			}
			c.Append(box, lettersFrom(1000*i+100*k, []int{9, 20}[i])...)
		}
	}
	account := func(u *cyrus.User) session.Account {
		return asAlice(world.Login(s.Addr, u.Name, u.Password, s.TLS))
	}
	old, next := s.User(t, "old"), s.User(t, "next")
	h.clean(account(old))
	c := old.Dial(t)
	c.Rename("One", "Three")
	c.Rename("Two", "One")
	c.Rename("Three", "Two")
	run := h.clean(account(old))
	for _, name := range []string{"INBOX", "One", "Two"} {
		h.asIs(c, name)
	}
	if run.Sum.Matched < 10 {
		t.Errorf("%+v", run.Sum)
	}
	h.clean(account(next))
	for _, name := range []string{"INBOX", "One", "Two"} {
		h.asIs(next.Dial(t), name)
		h.keepsAll(name)
	}
}

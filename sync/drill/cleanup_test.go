package drill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/internal/session"
	"archiverd/internal/testing/dovecot"
	"archiverd/internal/wire"
	"archiverd/sync/restore"
)

// scratchAccount is an account with mail of its own at a real Dovecot, and what it
// had before the drill.
type scratchAccount struct {
	t      *testing.T
	c      *dovecot.Client
	to     session.Account
	before []string
	logins int
	third  func() // called at the third login, which is that of reading back: looking, restoring, reading
}

func newScratchAccount(t *testing.T, o dovecot.Options) *scratchAccount {
	t.Helper()
	srv := dovecot.StartWith(t, o)
	u := srv.User(t, "scratch")
	a := &scratchAccount{t: t, c: u.Dial(t)}
	a.c.Append("INBOX", dovecot.Msg{Body: letterOf(900), Flags: []string{`\Seen`}})
	for _, name := range []string{"Keep", "Keep/below", "drill", "drill/2026-11-2", "drill/2026-11-22-other"} {
		a.c.Create(name)
		a.c.Append(name, dovecot.Msg{Body: letterOf(901)}, dovecot.Msg{Body: letterOf(902), Flags: []string{"$Label"}})
	}
	a.c.Do(`SUBSCRIBE Keep`)
	a.to = scratchAt(srv, u)
	auth := a.to.Auth
	a.to.Auth = func(ctx context.Context) (wire.Auth, error) {
		if a.logins++; a.logins == 3 && a.third != nil {
			a.third()
		}
		return auth(ctx)
	}
	a.before = a.all()
	return a
}

// scratchAt is the account as a drill takes it.
func scratchAt(srv *dovecot.Server, u *dovecot.User) session.Account {
	return session.Account{
		Name: u.Name,
		Wire: wire.Options{Address: srv.Addr, TLS: srv.TLS},
		Auth: func(context.Context) (wire.Auth, error) {
			return wire.Auth{Username: u.Name, Password: []byte(u.Password)}, nil
		},
		Retry: session.Retry{FirstWait: 20 * time.Millisecond, MaxWait: 100 * time.Millisecond},
	}
}

// all is what the account has: mailboxes, subscriptions, messages.
func (a *scratchAccount) all() []string {
	a.t.Helper()
	all := a.c.Do(`LSUB "" *`)
	for _, n := range a.c.Do(`LIST "" *`) {
		name := strings.Trim(n[strings.LastIndex(n, `"/" `)+4:], `"`)
		all = append(all, name)
		if !strings.Contains(n, `\Noselect`) {
			for _, m := range a.c.Read(name) {
				all = append(all, fmt.Sprintf("%s %d %v %v %x", name, m.UID, m.Flags, m.Date, m.SHA256))
			}
		}
	}
	slices.Sort(all)
	return all
}

// untouched checks that the account has what it had, and nothing more but what
// contains one of the texts.
func (a *scratchAccount) untouched(but ...string) {
	a.t.Helper()
	all := slices.DeleteFunc(a.all(), func(s string) bool {
		return slices.ContainsFunc(but, func(text string) bool { return strings.Contains(s, text) })
	})
	if !slices.Equal(all, a.before) {
		a.t.Errorf("the scratch account has\n%s\nbefore the drill it had\n%s", strings.Join(all, "\n"), strings.Join(a.before, "\n"))
	}
}

// into makes the drill of the stock go to the account.
func (a *scratchAccount) into(s *stock, into string) {
	s.drill.Scratch, s.drill.To, s.drill.Into = nil, &a.to, into
}

// TestDrillToRealAccount: into a mailbox of a Dovecot that has mail of its own,
// over several portions; all of that is there afterwards and nothing else is.
func TestDrillToRealAccount(t *testing.T) {
	a := newScratchAccount(t, dovecot.Options{})
	s := newStock(t)
	a.into(s, "drill/2026-11-22")
	var many []restore.Item
	for i := range maxChunk + 200 {
		many = append(many, s.item(letterOf(i/2), zoned(0), []string{`\Seen`, "$Forwarded"}[i%2]))
	}
	s.mailbox(slash("INBOX"), many...)
	s.mailbox(slash("Entwürfe/日本語/deep"), s.item(letterOf(1), zoned(0), `\Draft`), s.item([]byte("A: b\n\nbare LFs\n"), zoned(0)))
	s.mailbox(slash("Entwürfe"), s.item(letterOf(1), zoned(90), `\Deleted`))
	s.mailbox(archive.Name{Mailbox: "dots.and/slash", Delimiter: "."}, s.item(letterOf(2), zoned(0)))
	d := s.run()
	// Dovecot makes line ends CRLF, and keeps INTERNALDATE without its zone.
	if !d.OK() || d.Equal != len(many)+2 || d.Changed != 2 || d.Messages != len(many)+4 || d.To != "scratch: drill/2026-11-22" {
		t.Errorf("%d equal, %d changed of %d\n%s", d.Equal, d.Changed, d.Messages, showDrill(d))
	}
	for _, text := range []string{"every line end CRLF", "in another zone", `is called "drill/2026-11-22/dots/and_slash" there`} {
		if !slices.ContainsFunc(d.Differences, func(x Difference) bool { return x.Changed && strings.Contains(x.What, text) }) {
			t.Errorf("no change says %q:\n%s", text, showDrill(d))
		}
	}
	a.untouched()
}

// TestDrillToMakesAbove: the levels above the mailbox restored into go as well.
func TestDrillToMakesAbove(t *testing.T) {
	a := newScratchAccount(t, dovecot.Options{})
	s := newStock(t)
	a.into(s, "new/level/drill")
	s.mailbox(slash("a/b/c"), s.item(letterOf(1), zoned(0)))
	s.equal()
	a.untouched()
}

// TestDrillToChangedOctets: what a server changes beyond line ends fails the drill.
func TestDrillToChangedOctets(t *testing.T) {
	a := newScratchAccount(t, dovecot.Options{})
	s := newStock(t)
	a.into(s, "rehearsal")
	s.mailbox(slash("INBOX"), s.item([]byte("A: b\r\n\r\nNUL \x00\r\n"), zoned(0)), s.item(letterOf(1), zoned(0)))
	d := s.run()
	if d.OK() || d.Equal != 1 || d.Differing != 1 || d.Differences[0].In[0] != inOctets {
		t.Errorf("%d equal, %d differ\n%s", d.Equal, d.Differing, showDrill(d))
	}
	a.untouched()
}

// TestDrillToRefuses: a mailbox that is there already is none to restore into.
func TestDrillToRefuses(t *testing.T) {
	a := newScratchAccount(t, dovecot.Options{})
	s := newStock(t)
	s.mailbox(slash("a"), s.item(letterOf(1), zoned(0)))
	for into, text := range map[string]string{"Keep": `"Keep" is at scratch already`, "keep": "already", "drill": "already", "Keep/below": "already",
		"INBOX": "already", "": "no name", "a//b": "no name"} {
		a.into(s, into)
		if d, err := s.drill.Run(t.Context()); err == nil || !strings.Contains(err.Error(), text) || d.OK() {
			t.Errorf("into %q: %v", into, err)
		}
	}
	a.untouched()
}

// TestDrillToInterrupted: what was made is removed also when the drill is told to
// stop, or fails.
func TestDrillToInterrupted(t *testing.T) {
	a := newScratchAccount(t, dovecot.Options{})
	s := newStock(t)
	a.into(s, "rehearsal")
	s.mailbox(slash("a/b"), s.item(letterOf(1), zoned(0)))
	ctx, cancel := context.WithCancel(t.Context())
	a.third = func() {
		if names := a.c.Do(`LIST "" rehearsal/*`); len(names) == 0 {
			t.Error("nothing was restored yet")
		}
		// The server may execute a SUBSCRIBE of the interrupted connection after everything was removed.
		if names := a.c.Do(`LSUB "" *`); slices.ContainsFunc(names, func(line string) bool { return strings.Contains(line, "rehearsal") }) {
			t.Errorf("the drill has subscribed to its mailboxes: %q", names)
		}
		cancel()
	}
	if _, err := s.drill.Run(ctx); !errors.Is(err, ErrInterrupted) {
		t.Error(err)
	}
	a.untouched()
}

// TestDrillToLeavesOthers: what somebody else puts there in the meantime stays, and
// is told.
func TestDrillToLeavesOthers(t *testing.T) {
	a := newScratchAccount(t, dovecot.Options{})
	s := newStock(t)
	a.into(s, "rehearsal")
	s.mailbox(slash("a"), s.item(letterOf(1), zoned(0)))
	s.mailbox(slash("b"), s.item(letterOf(2), zoned(0)))
	a.third = func() {
		a.c.Append("rehearsal/a", dovecot.Msg{Body: letterOf(77)})
		a.c.Create("rehearsal/foreign")
	}
	d, err := s.drill.Run(t.Context())
	if err == nil || d.OK() || d.Differing != 1 || d.Differences[0].In[0] != inExtra || !strings.Contains(d.Error, `"rehearsal/a": it holds more messages`) {
		t.Errorf("%v\n%s", err, showDrill(d))
	}
	if got := len(a.c.Read("rehearsal/a")); got != 2 {
		t.Errorf("rehearsal/a has %d messages, want 2", got)
	}
	a.c.Read("rehearsal/foreign")
	if got := a.c.Do(`LIST "" rehearsal/b`); len(got) > 0 {
		t.Errorf("left: %q", got)
	}
	a.untouched("rehearsal")
}

// TestDrillToNamespace: where personal mailboxes are below INBOX.
func TestDrillToNamespace(t *testing.T) {
	srv := dovecot.StartWith(t, dovecot.Options{Extra: "namespace inbox {\n  separator = .\n  prefix = INBOX.\n}\n"})
	u := srv.User(t, "scratch")
	c := u.Dial(t)
	c.Create("INBOX.Keep")
	s := newStock(t)
	to := scratchAt(srv, u)
	s.drill.Scratch, s.drill.To, s.drill.Into = nil, &to, "rehearsal"
	s.mailbox(slash("INBOX"), s.item(letterOf(1), zoned(0)))
	s.mailbox(slash("Lists/go"), s.item(letterOf(2), zoned(0)))
	s.mailbox(archive.Name{Mailbox: "INBOX.Sent", Delimiter: "."}, s.item(letterOf(3), zoned(0)))
	names := func() (out []string) {
		for _, line := range c.Do(`LIST "" *`) {
			out = append(out, line[strings.LastIndex(line, " "):])
		}
		return out
	}
	before := names()
	s.equal()
	if after := names(); !slices.Equal(after, before) {
		t.Errorf("the account has %q, before it had %q", after, before)
	}
	s.drill.Into = "Keep"
	if _, err := s.drill.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "already") {
		t.Error(err)
	}
}

package main

import (
	"slices"
	"testing"
	"time"

	"archiverd/internal/testing/dovecot"
	"archiverd/state"
)

// accountChanges changes the mailboxes of an account that was archived once, and
// records what the ledgers of the next sync must count.
type accountChanges struct {
	t         *testing.T
	client    *dovecot.Client
	generated int                      // messages of the corpus that was loaded
	before    map[string][]dovecot.Msg // the messages of each mailbox, before the changes
	want      map[string]counts        // by mailbox
}

const (
	renumberedMailbox = "Archive/2024/Q1" // gets another UIDVALIDITY
	deletedMailbox    = "Trash"
	createdMailbox    = "Neu/Ünter"
	flaggedMailbox    = "Archive"
	shrunkMailbox     = "Lists/go"
)

func newAccountChanges(t *testing.T, c *dovecot.Client, generated int, names []string, before map[string][]dovecot.Msg) *accountChanges {
	a := &accountChanges{t: t, client: c, generated: generated, before: before, want: map[string]counts{}}
	for _, n := range names {
		a.want[n] = counts{server: len(before[n]), archived: len(before[n])}
	}
	return a
}

// newMessage is a message that the text identifies.
func newMessage(text string) dovecot.Msg {
	return dovecot.Msg{Body: []byte("Subject: " + text + "\r\n\r\n" + text + "\r\n"), Flags: []string{`\Flagged`}, Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

func (a *accountChanges) appendMessages() {
	for _, n := range []string{"INBOX", "Проекты/日本語", "Empty"} {
		for i := range 20 {
			a.client.Append(n, newMessage(n+string(rune('a'+i))))
		}
		a.want[n] = counts{server: a.want[n].server + 20, archived: a.want[n].archived + 20, added: 20}
	}
}

// setFlags sets a flag of eight messages, one of which has it already.
func (a *accountChanges) setFlags() {
	var uids []uint32
	for _, m := range a.before[flaggedMailbox] {
		if has := slices.Contains(m.Flags, `\Flagged`); has && len(uids) == 0 || !has && len(uids) > 0 && len(uids) < 8 {
			uids = append(uids, m.UID)
		}
	}
	a.client.Store(flaggedMailbox, `+FLAGS (\Flagged)`, uids...)
	w := a.want[flaggedMailbox]
	w.flags = 7
	a.want[flaggedMailbox] = w
}

// expungeAndAppend removes six messages of a mailbox and adds three.
func (a *accountChanges) expungeAndAppend() {
	var uids []uint32
	for _, m := range a.before[shrunkMailbox][:6] {
		uids = append(uids, m.UID)
	}
	a.client.Expunge(shrunkMailbox, uids...)
	a.client.Append(shrunkMailbox, newMessage("x"), newMessage("y"), newMessage("z"))
	w := a.want[shrunkMailbox]
	a.want[shrunkMailbox] = counts{server: w.server - 3, archived: w.archived - 3, added: 3, gone: 6}
}

// createMailbox creates a mailbox with three messages, two of which appendMessages
// put into INBOX as well.
func (a *accountChanges) createMailbox() {
	a.client.Create(createdMailbox)
	a.client.Append(createdMailbox, newMessage("INBOXa"), newMessage("INBOXb"), newMessage("only here"))
	a.want[createdMailbox] = counts{server: 3, archived: 3, added: 3, linked: 2}
}

func (a *accountChanges) deleteMailbox() {
	a.client.Delete(deletedMailbox)
	a.want[deletedMailbox] = counts{}
}

// renumberMailbox gives a mailbox another UIDVALIDITY, with the same messages.
func (a *accountChanges) renumberMailbox() {
	var msgs []dovecot.Msg
	for _, m := range dovecot.Corpus(1, a.generated) {
		if m.Name == renumberedMailbox {
			msgs = m.Msgs
		}
	}
	a.client.Delete(renumberedMailbox)
	a.client.Create(renumberedMailbox)
	a.client.Append(renumberedMailbox, msgs...)
	n := a.want[renumberedMailbox].server
	a.want[renumberedMailbox] = counts{server: n, archived: n, added: n, linked: n}
}

// checkRun checks each number of the ledgers of a run after the changes.
func (a *accountChanges) checkRun(run state.Run) {
	a.t.Helper()
	got := ledgers(run)
	for n, w := range a.want {
		if g := countsOf(got[n]); g != w {
			a.t.Errorf("%s: the ledger counts %+v, want %+v", n, g, w)
		}
		if n == deletedMailbox != got[n].Vanished {
			a.t.Errorf("%s: vanished is %v", n, got[n].Vanished)
		}
	}
	if len(run.Warnings) == 0 {
		a.t.Errorf("no warning names the mailbox that vanished: %+v", run)
	}
}

// checkList checks what list prints of the deleted and of the renumbered mailbox.
func (a *accountChanges) checkList(s *site, first map[string]state.Ledger) {
	a.t.Helper()
	var mailboxes []listedMailbox
	s.run("list", "--json").want(0).decode(&mailboxes)
	for _, m := range mailboxes {
		if m.Mailbox == deletedMailbox && (m.Vanished.IsZero() || m.Gone != first[deletedMailbox].Archived) {
			a.t.Errorf("the deleted mailbox is listed as %+v", m)
		}
		if n := a.want[renumberedMailbox].server; m.Mailbox == renumberedMailbox && (m.Messages != n || m.Gone != 0) {
			a.t.Errorf("the renumbered mailbox is listed as %+v, want %d messages and none gone", m, n)
		}
	}
}

// changeAccount makes changes of every kind on the server, syncs, and checks each
// number of the ledgers. It returns the names of the mailboxes that then exist.
func changeAccount(t *testing.T, s *site, c *dovecot.Client, generated int, names []string, before map[string][]dovecot.Msg, first map[string]state.Ledger) []string {
	t.Helper()
	a := newAccountChanges(t, c, generated, names, before)
	a.appendMessages()
	a.setFlags()
	a.expungeAndAppend()
	a.createMailbox()
	a.deleteMailbox()
	a.renumberMailbox()
	a.checkRun(s.sync())
	a.checkList(s, first)
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == deletedMailbox })
	return append(names, createdMailbox)
}

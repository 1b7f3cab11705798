package sync

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/archive/history"
	"archiverd/internal/imapd"
	"archiverd/internal/testing/world"
)

// past is a server whose mailboxes change round by round, and all that they were.
// No two messages there at a time have the same octets.
type past struct {
	t      testing.TB
	r      *rand.Rand
	user   *imapd.User
	bodies int
	lost   []string // bodies that are on the server no more
	rounds []moment
}

// moment is what the server had: by mailbox its UIDVALIDITY and messages.
type moment map[string]stay

type stay struct {
	uidValidity uint32
	messages    map[uint32]world.Message
}

// began is the time of the first round; each is two days after the one before, so
// that none shares a move with another.
var began = time.Date(2025, 3, 1, 4, 5, 6, 0, time.UTC)

func roundTime(n int) time.Time { return began.Add(time.Duration(n) * 48 * time.Hour) }

// change does something to the server.
func (p *past) change() {
	names := p.user.Names()
	name, other := names[p.r.IntN(len(names))], names[p.r.IntN(len(names))]
	spare := fmt.Sprintf("m%d", p.r.IntN(8))
	m, err := p.user.Mailbox(name)
	if err != nil {
		p.t.Fatal(err)
	}
	messages := m.Messages()
	var one imapd.Message
	if len(messages) > 0 {
		one = messages[p.r.IntN(len(messages))]
	}
	switch k := p.r.IntN(24); {
	case k < 8:
		m.Append(imapd.Message{Body: p.body(), InternalDate: began, Flags: p.flags()})
	case k < 12 && one.UID != 0:
		m.SetFlags(one.UID, p.flags()...)
	case k < 15 && one.UID != 0:
		m.Expunge(one.UID)
		p.lost = append(p.lost, string(one.Body))
	case k < 18 && one.UID != 0: // also into the same mailbox
		m.Expunge(one.UID)
		to, err := p.user.Mailbox(other)
		if err != nil {
			p.t.Fatal(err)
		}
		if p.r.IntN(3) == 0 {
			one.Flags = p.flags()
		}
		to.Append(imapd.Message{Body: one.Body, InternalDate: one.InternalDate, Flags: one.Flags})
	case k == 18:
		m.Renumber(0)
	case k < 21 && !slices.Contains(names, spare):
		if _, err := p.user.Create(spare); err != nil {
			p.t.Fatal(err)
		}
	case k < 23 && !slices.Contains(names, spare): // of INBOX its messages only
		if err := p.user.Rename(name, spare); err != nil {
			p.t.Fatal(err)
		}
	case k == 23 && name != "INBOX":
		if err := p.user.Delete(name); err != nil {
			p.t.Fatal(err)
		}
		for _, msg := range messages {
			p.lost = append(p.lost, string(msg.Body))
		}
	}
}

// body is a new one, or one that was lost.
func (p *past) body() []byte {
	if n := len(p.lost); n > 0 && p.r.IntN(5) == 0 {
		i := p.r.IntN(n)
		body := p.lost[i]
		p.lost = slices.Delete(p.lost, i, i+1)
		return []byte(body)
	}
	p.bodies++
	return fmt.Appendf(nil, "Subject: %d\r\n\r\n", p.bodies)
}

func (p *past) flags() []string {
	return slices.DeleteFunc([]string{`$Junk`, `\Answered`, `\Seen`}, func(string) bool { return p.r.IntN(2) == 0 })
}

// now is what the server has.
func (p *past) now() moment {
	out := moment{}
	for _, name := range p.user.Names() {
		m, err := p.user.Mailbox(name)
		if err != nil {
			p.t.Fatal(err)
		}
		s := stay{m.UIDValidity(), map[uint32]world.Message{}}
		for _, msg := range m.Messages() {
			s.messages[msg.UID] = world.Message{Body: sum(msg.Body), Flags: strings.Join(slices.Sorted(slices.Values(msg.Flags)), " "), Date: ""}
		}
		out[name] = s
	}
	return out
}

func sum(body []byte) string { return fmt.Sprintf("%x", sha256.Sum256(body)) }

// where is a message at a moment.
type where struct {
	mailbox string
	uid     uint32
	flags   string
}

// bodies is where each body is.
func (m moment) bodies() map[string]where {
	out := map[string]where{}
	for name, s := range m {
		for u, l := range s.messages {
			out[l.Body] = where{name, u, l.Flags}
		}
	}
	return out
}

// happened is what a person would say happened between two moments, sorted. seen
// are the mailboxes that there ever were before.
func happened(before, after moment, seen map[string]bool) []string {
	renamed := renames(before, after)
	out := append(mailboxChanges(before, after, seen, renamed), messageChanges(before, after, renamed)...)
	slices.Sort(out)
	return out
}

// renames returns the mailboxes that have another name after, by both names, with the
// number of messages that they have in common: more than half of both.
func renames(before, after moment) map[[2]string]int {
	out := map[[2]string]int{}
	is := after.bodies()
	for v := range before {
		for o := range after {
			if after[v].messages != nil || before[o].messages != nil {
				continue
			}
			shared := 0
			for _, l := range before[v].messages {
				if w, ok := is[l.Body]; ok && w.mailbox == o {
					shared++
				}
			}
			if 2*shared > len(before[v].messages) && 2*shared > len(after[o].messages) {
				out[[2]string{v, o}] = shared
			}
		}
	}
	return out
}

// mailboxChanges returns what happened to whole mailboxes.
func mailboxChanges(before, after moment, seen map[string]bool, renamed map[[2]string]int) (out []string) {
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	isRenamed := map[string]bool{} // by both names
	for names, shared := range renamed {
		isRenamed[names[0]], isRenamed[names[1]] = true, true
		say("renamed %s → %s with %d", names[0], names[1], shared)
	}
	for v := range before {
		if after[v].messages == nil && !isRenamed[v] {
			say("vanished %s with %d", v, len(before[v].messages))
		}
	}
	old := before.bodies()
	for o, s := range after {
		switch was, ok := before[o]; {
		case ok && was.uidValidity != s.uidValidity:
			kept := 0
			for _, l := range s.messages {
				if w, ok := old[l.Body]; ok && w.mailbox == o {
					kept++
				}
			}
			say("renumbered %s with %d", o, kept)
		case ok || isRenamed[o]:
		case seen[o]:
			say("returned %s", o)
		default:
			say("created %s", o)
		}
	}
	return out
}

// messageChanges returns what happened to messages.
func messageChanges(before, after moment, renamed map[[2]string]int) (out []string) {
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	old, is := before.bodies(), after.bodies()
	for body, w := range is {
		was, ok := old[body]
		if !ok {
			say("arrived %s %.8s %s", w.mailbox, body, w.flags)
			continue
		}
		same := w.mailbox == was.mailbox && (w.uid == was.uid || before[w.mailbox].uidValidity != after[w.mailbox].uidValidity)
		if _, isRenamed := renamed[[2]string{was.mailbox, w.mailbox}]; !same && !isRenamed {
			say("moved %s → %s %.8s", was.mailbox, w.mailbox, body)
		}
		if w.flags != was.flags {
			say("flags %s %.8s +%v -%v", w.mailbox, body, less(w.flags, was.flags), less(was.flags, w.flags))
		}
	}
	for body, was := range old {
		if _, ok := is[body]; !ok {
			say("gone %s %.8s %s", was.mailbox, body, was.flags)
		}
	}
	return out
}

func less(a, b string) []string {
	return slices.DeleteFunc(strings.Fields(a), func(f string) bool { return slices.Contains(strings.Fields(b), f) })
}

// toldAs is a change of the log in the same words.
func toldAs(c *history.Change) string {
	body, flags := "", strings.Join(c.Flags, " ")
	if c.Message != nil {
		body = c.Message.Sum.String()
	}
	name := c.Name.Mailbox
	switch c.Kind {
	case history.MailboxRenamed:
		return fmt.Sprintf("renamed %s → %s with %d", c.From.Name.Mailbox, name, c.Count)
	case history.MailboxVanished, history.MailboxRenumbered:
		return fmt.Sprintf("%s %s with %d", c.Kind, name, c.Count)
	case history.MessageMoved:
		return fmt.Sprintf("moved %s → %s %.8s", c.From.Name.Mailbox, name, body)
	case history.MessageFlags:
		return fmt.Sprintf("flags %s %.8s +%v -%v", name, body, c.FlagsAdded, c.FlagsRemoved)
	case history.MessageArrived, history.MessageGone:
		return fmt.Sprintf("%s %s %.8s %s", c.Kind, name, body, flags)
	}
	return fmt.Sprintf("%s %s", c.Kind, name)
}

// Mail arrives, changes and goes, is moved and renumbered, and mailboxes are made,
// renamed and dropped, for a hundred rounds. Of each round the archive knows what
// there was, what was gone by then, and what happened.
func TestHistoryAgainstModel(t *testing.T) {
	seeds := uint64(20)
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			testHistory(t, seed, 100)
		})
	}
}

func testHistory(t *testing.T, seed uint64, rounds int) {
	s := imapd.New(imapd.Options{UIDValidity: 1000})
	addr, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	p := &past{t: t, r: rand.New(rand.NewPCG(seed, 7)), user: s.AddUser("alice", "secret")}
	n := 0 // the round
	w := world.NewUnwatchedWith(t, archive.Options{Now: func() time.Time { return roundTime(n) }})
	acc := world.Alice(addr)
	acc.Connections = 1
	for ; n < rounds; n++ {
		for range 1 + p.r.IntN(6) {
			p.change()
		}
		p.rounds = append(p.rounds, p.now())
		run, err := (&Job{Account: acc, Committer: w.Committer, Log: w.Log}).Run(t.Context())
		if err != nil || !run.OK() {
			t.Fatalf("round %d: %v\n%s", n, err, show(run))
		}
	}
	p.compare(w.Committer.Archive.Archive)
	for _, b := range w.Mailboxes() {
		if v, err := w.Committer.Archive.Verify(context.Background(), b, archive.VerifyOptions{}); err != nil || len(v.Findings) > 0 {
			t.Errorf("%s: %v %v", b.Dir, v, err)
		}
	}
}

// compare fails unless the archive tells of every round what there was, what was
// gone, and what happened.
func (p *past) compare(a *archive.Archive) {
	log, err := history.Log(a, "alice", time.Time{}, time.Time{})
	if err != nil {
		p.t.Fatal(err)
	}
	seen, gone := map[string]bool{}, map[string]where{}
	before := moment{}
	for n, after := range p.rounds {
		at := roundTime(n)
		var got []string
		for len(log) > 0 && !log[0].At.After(at) {
			got = append(got, toldAs(log[0]))
			log = log[1:]
		}
		slices.Sort(got)
		if want := happened(before, after, seen); !slices.Equal(got, want) {
			p.t.Fatalf("in round %d there happened\n%s\nand the log tells\n%s", n, strings.Join(want, "\n"), strings.Join(got, "\n"))
		}
		for body, w := range before.bodies() {
			gone[body] = w
		}
		for body := range after.bodies() {
			delete(gone, body)
		}
		p.then(a, n, after)
		if n%10 == 9 {
			p.goneThen(a, n, gone)
		}
		for name := range after {
			seen[name] = true
		}
		before = after
	}
	if len(log) > 0 {
		p.t.Errorf("the log tells %s of no round", toldAs(log[0]))
	}
}

// then fails unless the archive has what there was in a round.
func (p *past) then(a *archive.Archive, n int, want moment) {
	got := moment{}
	for sel, err := range history.Select(a, history.Selection{At: roundTime(n)}) {
		if err != nil {
			p.t.Fatal(err)
		}
		if !sel.Listed {
			if len(sel.Messages) > 0 {
				p.t.Errorf("round %d: %s had vanished, and has messages", n, sel.Name.Mailbox)
			}
			continue
		}
		s := stay{want[sel.Name.Mailbox].uidValidity, map[uint32]world.Message{}}
		for _, m := range sel.Messages {
			if m.UIDValidity != s.uidValidity {
				p.t.Errorf("round %d: %s has UIDVALIDITY %d, want %d", n, sel.Name.Mailbox, m.UIDValidity, s.uidValidity)
			}
			s.messages[m.UID] = world.Message{Body: m.Sum.String(), Flags: strings.Join(m.Flags, " "), Date: ""}
		}
		got[sel.Name.Mailbox] = s
	}
	if !maps.EqualFunc(got, want, func(x, y stay) bool { return maps.Equal(x.messages, y.messages) }) {
		p.t.Fatalf("in round %d there was\n%v\nand the archive has\n%v", n, want, got)
	}
}

// goneThen fails unless just these bodies are gone by a round.
func (p *past) goneThen(a *archive.Archive, n int, want map[string]where) {
	got := map[string]where{}
	for sel, err := range history.Select(a, history.Selection{At: roundTime(n), Gone: true}) {
		if err != nil {
			p.t.Fatal(err)
		}
		for _, m := range sel.Messages {
			if _, twice := got[m.Sum.String()]; twice {
				p.t.Errorf("round %d: %s is gone twice", n, m.Path)
			}
			got[m.Sum.String()] = where{sel.Name.Mailbox, m.UID, strings.Join(m.Flags, " ")}
		}
	}
	if !maps.Equal(got, want) {
		p.t.Fatalf("by round %d these are gone\n%v\nand the archive says\n%v", n, want, got)
	}
}

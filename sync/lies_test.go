package sync

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/internal/imapd"
	"archiverd/internal/session"
	"archiverd/internal/testing/dovecot"
	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
	"archiverd/internal/wire"
	"archiverd/state"
)

// honest is an honest server and the mail on it.
type honest struct {
	t    testing.TB
	addr string
	user *imapd.User
	mail map[string]map[uint32]world.Message // by mailbox and UID
	ever map[string]map[uint32]string        // bodies that it has now or had earlier
}

// newHonest makes a server with three mailboxes of about 20 messages. All sizes differ:
// nothing that a server reports shows that two bodies of one size were exchanged.
func newHonest(t testing.TB, seed uint64) *honest {
	t.Helper()
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
	h := &honest{t: t, addr: addr, user: s.AddUser("alice", "secret"), mail: map[string]map[uint32]world.Message{}, ever: map[string]map[uint32]string{}}
	r := rand.New(rand.NewPCG(seed, 3))
	for i, name := range []string{"INBOX", "Lists/Go", "Archiv"} {
		m, err := h.user.Mailbox(name)
		if err != nil {
			if m, err = h.user.Create(name); err != nil {
				t.Fatal(err)
			}
		}
		uid := uint32(0)
		for k := range []int{11, 6, 3}[i] {
			uid += 1 + uint32(r.IntN(2)*r.IntN(3))
			size := 60 + 23*(20*i+k) + r.IntN(20)
			m.Append(imapd.Message{UID: uid, Body: bodyOf(r, name, uid, size), Flags: []string{`\Seen`, "$Junk", "größe"}[:r.IntN(3)],
				InternalDate: time.Date(2021, time.Month(1+r.IntN(12)), 1+r.IntN(28), 1, 2, r.IntN(60), 0, time.FixedZone("", 1800*r.IntN(9)))})
		}
	}
	h.read()
	return h
}

// bodyOf returns a body of that size. Some bodies look like replies of a server, but no
// line ends as a FETCH reply does: if such a body were cut right before the line, size
// and framing would fit, and nobody could notice.
func bodyOf(r *rand.Rand, mailbox string, uid uint32, size int) []byte {
	text := fmt.Sprintf("Subject: %s %d\r\n\r\n", mailbox, uid)
	if r.IntN(4) == 0 {
		text = fmt.Sprintf("* 1 FETCH (UID %d BODY[] {6}\r\nforged) \"\r\n", 1+r.IntN(12))
	}
	for len(text) < size {
		text += []string{"a line\r\n", "* 3 FETCH (FLAGS ()) or so\r\n", "X2 OK done\r\n", "T3 OK done\r\n", "{10}\r\n", "no end"}[r.IntN(6)]
	}
	return []byte(text[:size])
}

// read reads the server's mail into h.mail and h.ever.
func (h *honest) read() {
	for _, name := range h.user.Names() {
		m, err := h.user.Mailbox(name)
		if err != nil {
			h.t.Fatal(err)
		}
		all := map[uint32]world.Message{}
		if h.ever[name] == nil {
			h.ever[name] = map[uint32]string{}
		}
		for _, msg := range m.Messages() {
			all[msg.UID] = world.Message{Body: string(msg.Body), Flags: strings.Join(slices.Sorted(slices.Values(msg.Flags)), " "), Date: msg.InternalDate.Format(dateLayout)}
			h.ever[name][msg.UID] = string(msg.Body)
		}
		h.mail[name] = all
	}
}

// recorded returns the messages that the archive has as listed, by mailbox and UID. The
// test fails if a message was ever recorded whose octets the server never had under that
// UID, or was recorded twice.
func (h *honest) recorded(a *testbed) map[string]map[uint32]world.Message {
	h.t.Helper()
	out := map[string]map[uint32]world.Message{}
	for _, b := range a.Mailboxes() {
		name, here := "", map[uint32]world.Message{}
		_, err := a.Committer.Archive.Replay(b, archive.Position{}, func(e archive.Event) error {
			switch e.Kind {
			case archive.Opened:
				name = e.Name.Mailbox
			case archive.Gone:
				maps.DeleteFunc(here, func(u uint32, _ world.Message) bool { return e.UIDs.Contains(u) })
			case archive.Flags:
				l := here[e.UID]
				l.Flags = strings.Join(e.Flags, " ")
				here[e.UID] = l
			case archive.Added:
				if _, twice := here[e.UID]; twice {
					h.t.Errorf("%s: UID %d was recorded twice", name, e.UID)
				}
				body, err := os.ReadFile(filepath.Join(a.Dir, b.Dir, e.Path))
				here[e.UID] = world.Message{Body: string(body), Flags: strings.Join(e.Flags, " "), Date: e.InternalDate.Format(dateLayout)}
				if want, ok := h.ever[name][e.UID]; err != nil || !ok || string(body) != want {
					h.t.Errorf("%s: UID %d was recorded as %.300q (%d octets), and is %.300q (%d octets) at the server: %v", name, e.UID, body, len(body), want, len(want), err)
				}
			}
			return nil
		})
		if err != nil {
			h.t.Error(err)
		}
		out[name] = here
	}
	return out
}

// accounted fails the test unless each message of the server is archived or reported: as
// failed with a reason, as larger than the limit, or by an error of its mailbox or run.
func (h *honest) accounted(here map[string]map[uint32]world.Message, run state.Run, largest int64) {
	h.t.Helper()
	for name, all := range h.mail {
		i := slices.IndexFunc(run.Mailboxes, func(l state.Ledger) bool { return l.Mailbox == name })
		if i < 0 {
			h.t.Errorf("the run says nothing of mailbox %s", name)
			continue
		}
		l := run.Mailboxes[i]
		if l.Error != "" {
			continue
		}
		for _, u := range slices.Sorted(maps.Keys(all)) {
			tooLarge := largest > 0 && int64(len(all[u].Body)) > largest
			if _, ok := here[name][u]; !ok && l.Failures[u] == "" && !tooLarge {
				h.t.Errorf("%s: UID %d is not archived, and nothing says so: %+v", name, u, l)
			}
		}
	}
}

// whole fails the test unless the archive has all messages of the server, with flags and
// dates. A date may be missing if it was garbled in each reply.
func (h *honest) whole(here map[string]map[uint32]world.Message) {
	h.t.Helper()
	for name, want := range h.mail {
		for u, l := range here[name] {
			if l.Date == (time.Time{}).Format(dateLayout) {
				l.Date = want[u].Date
				here[name][u] = l
			}
		}
		world.Equal(h.t, name, here[name], want)
	}
}

// change delivers messages, expunges some and changes flags.
func (h *honest) change(seed uint64) {
	r := rand.New(rand.NewPCG(seed, 4))
	for i, name := range h.user.Names() {
		m, err := h.user.Mailbox(name)
		if err != nil {
			h.t.Fatal(err)
		}
		messages := m.Messages()
		if len(messages) == 0 {
			continue
		}
		m.Expunge(messages[r.IntN(len(messages))].UID)
		m.SetFlags(messages[0].UID, `\Flagged`)
		for k := range 2 {
			m.Append(imapd.Message{Body: bodyOf(r, name, messages[len(messages)-1].UID, 1500+23*(2*i+k)+r.IntN(20)), InternalDate: time.Date(2022, 1, 2, 3, 4, 5, 0, time.UTC)})
		}
	}
	h.read()
}

// lieAbout starts a proxy that garbles the replies of the server at to. It runs until the
// test ends.
func lieAbout(t testing.TB, to string, seed uint64) *hostile.Liar {
	t.Helper()
	p, err := hostile.NewLiar(to, seed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// lie runs once through a garbling proxy, and checks what must hold after any run.
func (h *honest) lie(a *testbed, acc session.Account, seed uint64) state.Run {
	h.t.Helper()
	p := lieAbout(h.t, acc.Wire.Address, seed)
	h.t.Cleanup(func() {
		if h.t.Failed() {
			h.t.Logf("seed %d:\n%s", seed, strings.Join(p.Lies(), "\n"))
		}
	})
	acc.Wire.Address = p.Addr
	acc.Connections = 1 + int(seed/2%3)
	acc.Retry.MaxTries = 30
	run, err := a.run(acc)
	if err == nil {
		h.accounted(h.recorded(a), run, a.policy.MaxMessage)
	}
	return run
}

// TestLies: a proxy garbles replies at random. Each recorded message is exact, each
// missing one is reported, and an undisturbed run completes the archive and records
// nothing twice.
//
// The test does not cover a server that lies consistently, nor one that replaces octets
// by as many others in a well-formed reply: nothing in a message says what its octets
// should be. A body of the announced size is accepted.
func TestLies(t *testing.T) {
	houses, rounds, runs := uint64(40), uint64(4), uint64(2)
	if testing.Short() {
		houses = 5
	}
	tried, survived := 0, 0
	for house := range houses {
		t.Run(fmt.Sprint(house), func(t *testing.T) {
			seed := house * rounds * runs
			a, h := newTestbed(t), newHonest(t, house)
			for round := range rounds {
				for range runs {
					acc := world.Alice(h.addr)
					a.policy.MaxMessage = 0
					if seed%5 == 4 {
						a.policy.MaxMessage = 700
					}
					if run := h.lie(a, acc, seed); run.OK() {
						survived++
					}
					seed++
					tried++
				}
				a.policy.MaxMessage = 0
				a.clean(world.Alice(h.addr))
				h.whole(h.recorded(a))
				if t.Failed() {
					t.Fatalf("round %d", round)
				}
				h.change(seed)
			}
			a.clean(world.Alice(h.addr))
			h.whole(h.recorded(a))
		})
	}
	if survived < tried/4 {
		t.Errorf("only %d of %d runs survived the lies: they are too many to try what a run makes of them", survived, tried)
	}
}

// TestLiesOverDovecot is TestLies with the replies of a real server.
func TestLiesOverDovecot(t *testing.T) {
	srv := dovecot.Start(t)
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			user := srv.User(t, fmt.Sprintf("alice%d", seed))
			client := user.Dial(t)
			a, h := newTestbed(t), newHonest(t, seed)
			for _, name := range slices.Sorted(maps.Keys(h.mail)) {
				if name != "INBOX" {
					client.Create(name)
				}
				all := map[uint32]world.Message{}
				for _, u := range slices.Sorted(maps.Keys(h.mail[name])) {
					l := h.mail[name][u]
					date, err := time.Parse(dateLayout, l.Date)
					if err != nil {
						t.Fatal(err)
					}
					l.Date = date.UTC().Format(dateLayout) // Dovecot keeps no zones,
					if strings.HasSuffix(l.Body, "\r") {   // no CR without LF,
						l.Body = strings.TrimSuffix(l.Body, "\r") + "x"
					}
					l.Flags = strings.ReplaceAll(l.Flags, "größe", "$Forwarded") // and no keywords but in ASCII
					client.Append(name, dovecot.Msg{Flags: strings.Fields(l.Flags), Date: date, Body: []byte(l.Body)})
					all[uint32(len(all)+1)] = l
				}
				h.mail[name], h.ever[name] = all, map[uint32]string{}
				for u, l := range all {
					h.ever[name][u] = l.Body
				}
			}
			acc := world.Alice(srv.PlainAddr)
			acc.Auth = func(context.Context) (wire.Auth, error) {
				return wire.Auth{Username: user.Name, Password: []byte(user.Password)}, nil
			}
			h.lie(a, acc, seed)
			a.clean(acc)
			h.whole(h.recorded(a))
		})
	}
}

package restore

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"archiverd/internal/session"
	"archiverd/internal/testing/dovecot"
	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
	"archiverd/internal/wire"
)

// plain is an account at a server without TLS.
func plain(a session.Account, address string) session.Account {
	a.Wire = wire.Options{Address: address, Security: wire.Plaintext}
	return a
}

// A connection that is cut after the message's last octet and before the answer
// leaves it open whether the server has it. None is there twice, none is missing.
func TestRestoreCutBeforeTheAnswer(t *testing.T) {
	h := newTestbed(t)
	u, from := world.NewIMAPD(t)
	world.Fill(t, u, append(dovecot.Corpus(5, 400), dovecot.Mailbox{Name: "Twins", Msgs: twins(60)}))
	h.clean(from)
	s := dovecot.Start(t)
	seeds := uint64(6)
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		user := s.User(t, string(rune('a'+seed)))
		var cuts atomic.Int32
		random := rand.New(rand.NewPCG(seed, 1))
		m := &meddler{server: func(line []byte) []byte {
			if bytes.Contains(line, []byte(" OK [APPENDUID")) && cuts.Load() < 12 && random.IntN(3) > 0 {
				cuts.Add(1)
				return nil
			}
			return line
		}}
		meddle(t, s.PlainAddr, m)
		to := plain(world.Login("", user.Name, user.Password, nil), m.Addr)
		to.Connections = 1 // random is for one
		out := restored(t, h.restoreOf(to))
		if !out.OK() || out.Sum.Selected != out.Sum.Appended || cuts.Load() < 3 {
			t.Errorf("seed %d: %d cuts\n%s", seed, cuts.Load(), showRestored(out))
		}
		h2 := newTestbed(t)
		h2.clean(world.Login(s.Addr, user.Name, user.Password, s.TLS))
		equalContents(t, h2.contents(), h.contents())
	}
}

// twins are messages of which some are equal, octet for octet.
func twins(n int) []dovecot.Msg {
	var out []dovecot.Msg
	for i := range n {
		body := "Subject: twin\r\n\r\nhello " + strings.Repeat("o", i/6) + "\r\n"
		out = append(out, dovecot.Msg{Body: []byte(body), Date: day(0)})
	}
	return out
}

// A restore whose connections break anywhere is in the end complete.
func TestRestoreCutAnywhere(t *testing.T) {
	h := newTestbed(t)
	u, from := world.NewIMAPD(t)
	world.Fill(t, u, append(dovecot.Corpus(6, 300), dovecot.Mailbox{Name: "Twins", Msgs: twins(60)}))
	h.clean(from)
	s := dovecot.Start(t)
	seeds := uint64(6)
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		user := s.User(t, string(rune('a'+seed)))
		random := rand.New(rand.NewPCG(seed, 2))
		lines := atomic.Int32{}
		lines.Store(200)
		m := &meddler{client: func(line []byte) []byte {
			if lines.Add(-1) == 0 {
				lines.Store(int32(500 + random.IntN(4000)))
				return nil
			}
			return line
		}}
		meddle(t, s.PlainAddr, m)
		to := plain(world.Login("", user.Name, user.Password, nil), m.Addr)
		to.Connections = 1
		to.Retry.MaxTries = 30
		out := restored(t, h.restoreOf(to))
		if !out.OK() || out.Sum.Selected != out.Sum.Appended {
			t.Errorf("seed %d:\n%s", seed, showRestored(out))
		}
		h2 := newTestbed(t)
		h2.clean(world.Login(s.Addr, user.Name, user.Password, s.TLS))
		equalContents(t, h2.contents(), h.contents())
	}
}

// A message that kills the connection whenever it is sent is named; the others
// are restored.
func TestRestorePoison(t *testing.T) {
	h := newTestbed(t)
	u, from := world.NewIMAPD(t)
	box := dovecot.Mailbox{Name: "Box", Msgs: twins(40)}
	for _, i := range []int{7, 8, 30} {
		box.Msgs[i].Body = []byte("Subject: poison\r\n\r\n" + string(rune('a'+i)) + "\r\n")
	}
	world.Fill(t, u, []dovecot.Mailbox{box})
	h.clean(from)
	s := dovecot.Start(t)
	user := s.User(t, "alice")
	m := &meddler{client: func(line []byte) []byte {
		if bytes.Contains(line, []byte("poison")) {
			return nil
		}
		return line
	}}
	meddle(t, s.PlainAddr, m)
	out := restored(t, h.restoreOf(plain(world.Login("", user.Name, user.Password, nil), m.Addr)))
	if out.Sum.Refused != 3 || out.Sum.Appended != 37 || out.OK() {
		t.Errorf("want 3 refused, 37 appended:\n%s", showRestored(out))
	}
	for _, b := range out.Mailboxes {
		for _, x := range b.Problems {
			if !strings.Contains(x.Reason, "connection is lost whenever it is sent") {
				t.Errorf("%s: %s", x.ID, x.Reason)
			}
		}
	}
}

// A server that never answers APPEND costs a few connections, not some for each message:
// each may take minutes.
func TestRestoreEndsWhereNothingIsAnswered(t *testing.T) {
	h := newTestbed(t)
	u, from := world.NewIMAPD(t)
	world.Fill(t, u, []dovecot.Mailbox{{Name: "Box", Msgs: twins(40)}})
	h.clean(from)
	var lost atomic.Int32
	s, err := hostile.New(hostile.Options{Mailboxes: []hostile.Mailbox{{Name: "Box", UIDValidity: 7}}, Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name != "APPEND" {
			return false
		}
		lost.Add(1)
		s.HangUp()
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
	out, err := h.restoreOf(world.Alice(s.Address())).Run(t.Context())
	if err == nil || out.OK() {
		t.Errorf("%v\n%s", err, showRestored(out))
	}
	if n := lost.Load(); n > 20 {
		t.Errorf("%d connections were lost", n)
	}
}

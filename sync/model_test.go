package sync

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	gosync "sync"
	"testing"
	"time"

	"archiverd/internal/imapd"
	"archiverd/internal/testing/world"
)

// model is a server that changes at random, and what it ever had.
type model struct {
	t     testing.TB
	r     *rand.Rand
	user  *imapd.User
	names int
	ever  map[string]bool // bodies
}

func newModel(t testing.TB, seed uint64) (*model, string) {
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
	return &model{t: t, r: rand.New(rand.NewPCG(seed, 5)), user: s.AddUser("alice", "secret"), ever: map[string]bool{}}, addr
}

// mailbox is one at random.
func (w *model) mailbox() (string, *imapd.Mailbox) {
	names := w.user.Names()
	name := names[w.r.IntN(len(names))]
	m, err := w.user.Mailbox(name)
	if err != nil {
		w.t.Error(err)
	}
	return name, m
}

// change does something to the server.
func (w *model) change() {
	name, m := w.mailbox()
	messages := m.Messages()
	switch k := w.r.IntN(20); {
	case k < 9: // a delivery; at times of octets that are there already
		body := fmt.Appendf(nil, "Subject: %d\r\n\r\n%s", w.r.IntN(400), strings.Repeat("x", w.r.IntN(300)))
		w.ever[string(body)] = true
		date := time.Date(2020+w.r.IntN(5), time.Month(1+w.r.IntN(12)), 1, 2, 3, 4, 0, time.FixedZone("", 1800*w.r.IntN(10)))
		m.Append(imapd.Message{Body: body, InternalDate: date, Flags: w.flags(), UID: uint32(w.r.IntN(3))})
	case k < 12 && len(messages) > 0:
		m.SetFlags(messages[w.r.IntN(len(messages))].UID, w.flags()...)
	case k < 15 && len(messages) > 0:
		m.Expunge(messages[w.r.IntN(len(messages))].UID)
	case k < 17 && len(w.user.Names()) < 8:
		w.names++
		if _, err := w.user.Create(fmt.Sprintf("%s/ü %d", name, w.names)); err != nil {
			w.t.Error(err)
		}
	case k == 17 && name != "INBOX":
		w.names++
		if err := w.user.Rename(name, fmt.Sprintf("renamed %d", w.names)); err != nil {
			w.t.Error(err)
		}
	case k == 18:
		_ = w.user.Delete(name) // INBOX, and what has children, stays
	case k == 19:
		m.Renumber(0)
	}
}

func (w *model) flags() []string {
	all := []string{`\Seen`, `\Flagged`, `\Answered`, `$Junk`, `NonJunk`, `größe`}
	return slices.DeleteFunc(all[:5], func(string) bool { return w.r.IntN(2) == 0 })
}

// agrees fails unless the archive has of each mailbox what the server has now,
// and nothing that the server never had.
func (w *model) agrees(h *testbed) {
	w.t.Helper()
	for _, name := range w.user.Names() {
		m, err := w.user.Mailbox(name)
		if err != nil {
			w.t.Fatal(err)
		}
		want := map[uint32]world.Message{}
		for _, msg := range m.Messages() {
			flags := slices.Sorted(slices.Values(msg.Flags))
			want[msg.UID] = world.Message{Body: string(msg.Body), Flags: strings.Join(flags, " "), Date: msg.InternalDate.Format(dateLayout)}
		}
		world.Equal(w.t, name, h.Listed(name), want)
		if _, v := h.Mailbox(name); v.Epoch() != nil && (v.Epoch().UIDValidity != m.UIDValidity() || !v.Vanished.IsZero()) {
			w.t.Errorf("%s: UIDVALIDITY %d, want %d; vanished %v", name, v.Epoch().UIDValidity, m.UIDValidity(), v.Vanished)
		}
	}
	for _, b := range h.Mailboxes() {
		v := h.View(b)
		if v.Epoch() == nil {
			continue
		}
		if !slices.Contains(w.user.Names(), v.Name.Mailbox) && v.Vanished.IsZero() {
			w.t.Errorf("%s is not taken for vanished", b.Dir)
		}
		for _, m := range v.All() {
			f, err := h.Committer.Archive.OpenFile(b.Dir + "/" + m.Path)
			if err != nil {
				w.t.Error(err)
				continue
			}
			body := make([]byte, m.Size)
			if _, err := f.ReadAt(body, 0); err != nil || !w.ever[string(body)] {
				w.t.Errorf("%s/%s was never on the server: %v", b.Dir, m.Path, err)
			}
			f.Close()
		}
	}
}

// Mail comes and goes while connections break and runs are stopped. After each
// run that was left in peace the archive is the server, and the past is whole.
func TestAgainstModel(t *testing.T) {
	seeds, rounds := uint64(5), 6
	if testing.Short() {
		seeds, rounds = 2, 3
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			h := newTestbed(t)
			w, addr := newModel(t, seed)
			for range 60 {
				w.change()
			}
			for range rounds {
				for range 1 + w.r.IntN(2) {
					w.turmoil(h, addr)
				}
				acc := world.Alice(addr)
				acc.Connections = 1 + w.r.IntN(4)
				h.clean(acc)
				w.agrees(h)
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
		})
	}
}

// turmoil is a run in which everything happens.
func (w *model) turmoil(h *testbed, addr string) {
	h.t.Helper()
	var after []int
	for range w.r.IntN(6) {
		after = append(after, 1+w.r.IntN(20000))
	}
	c := cut(h.t, addr, w.r.IntN(2) == 0, after...)
	ctx, cancel := context.WithCancel(h.t.Context())
	defer cancel()
	if w.r.IntN(3) == 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(w.r.IntN(30))*time.Millisecond)
		defer cancel()
	}
	acc := world.Alice(c.Addr)
	acc.Connections = 1 + w.r.IntN(4)
	changes := w.r.IntN(60)
	var wait gosync.WaitGroup
	wait.Go(func() {
		for range changes {
			w.change()
			runtime.Gosched() // lets the run go on
		}
	})
	// what becomes of it does not matter: its ledger adds up, and it ends
	_, _ = h.runWith(ctx, &Job{Account: acc, Policy: h.policy, Committer: h.Committer, Log: h.Log})
	wait.Wait()
	c.close()
}

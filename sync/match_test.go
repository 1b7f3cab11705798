package sync

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"archiverd/internal/session"
	"archiverd/internal/testing/dovecot"
	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
	"archiverd/state"
)

// asIs fails unless the archive has alice's mailbox as a real server does.
func (h *testbed) asIs(c *dovecot.Client, name string) {
	h.t.Helper()
	got, want := map[uint32]string{}, map[uint32]string{}
	for _, m := range c.Read(name) {
		want[m.UID] = fmt.Sprintf("%x %q %v", m.SHA256, m.Flags, m.Date)
	}
	if _, v := h.Mailbox(name); v.Epoch() != nil {
		for u, m := range v.Epoch().Messages {
			if m.Listed() {
				got[u] = fmt.Sprintf("%x %q %v", m.Sum[:], m.Flags, m.InternalDate)
			}
		}
	}
	if !maps.Equal(got, want) {
		h.t.Errorf("%s is not in the archive as the server has it: %d messages, want %d", name, len(got), len(want))
	}
}

// known fails if the run downloaded more than 1 % of the octets of messages that
// the archive had, or did not account for all of them.
func known(t *testing.T, run state.Run, messages int, octets int64) {
	t.Helper()
	if s := run.Sum; s.Octets*100 > octets || s.Added != messages || s.Matched < messages*9/10 {
		t.Errorf("of %d messages, %d octets: %d added, %d matched, %d octets downloaded, %.2f %%\n%s",
			messages, octets, s.Added, s.Matched, s.Octets, 100*float64(s.Octets)/float64(octets), show(run))
	}
	t.Logf("%d messages, %d octets: %d matched, %.2f %% of the octets downloaded", messages, octets, run.Sum.Matched, 100*float64(run.Sum.Octets)/float64(octets))
}

// shuffled are the mailboxes with their messages in another order.
func shuffled(boxes []dovecot.Mailbox) []dovecot.Mailbox {
	r := rand.New(rand.NewPCG(1, 2))
	out := slices.Clone(boxes)
	for i := range out {
		out[i].Msgs = slices.Clone(out[i].Msgs)
		r.Shuffle(len(out[i].Msgs), func(a, b int) { out[i].Msgs[a], out[i].Msgs[b] = out[i].Msgs[b], out[i].Msgs[a] })
	}
	return out
}

func weight(boxes []dovecot.Mailbox) (messages int, octets int64) {
	for _, b := range boxes {
		for _, m := range b.Msgs {
			messages++
			octets += m.Size
		}
	}
	return messages, octets
}

// TestKnownAtDovecot: at a real Dovecot no message that the archive has is downloaded
// again, except for the sample: after the account moved to another server with other UIDs,
// after UIDVALIDITY changed, after a mailbox was renamed, and after messages were moved.
func TestKnownAtDovecot(t *testing.T) {
	h := newTestbed(t)
	corpus := dovecot.Corpus(4, 1500)
	messages, octets := weight(corpus)
	s := dovecot.Start(t)
	old, next := s.User(t, "old"), s.User(t, "next")
	witness := old.Dial(t)
	witness.Load(corpus)
	account := func(u *dovecot.User) session.Account {
		acc := world.Login(s.Addr, u.Name, u.Password, s.TLS)
		acc.Name = "alice"
		return acc
	}
	if run := h.clean(account(old)); run.Sum.Matched != 0 || run.Sum.Octets < octets {
		t.Errorf("the first run: %+v", run.Sum)
	}

	witness = next.Dial(t)
	witness.Load(shuffled(corpus))
	known(t, h.clean(account(next)), messages, octets)
	for _, m := range corpus {
		h.asIs(witness, m.Name)
	}

	lists := corpus[4]
	witness.Delete("Lists/go")
	witness.Load(shuffled(shuffled([]dovecot.Mailbox{lists})))
	messages, octets = weight([]dovecot.Mailbox{lists})
	known(t, h.clean(account(next)), messages, octets)
	h.asIs(witness, "Lists/go")

	witness.Rename("Lists/go", "Lists/golang")
	known(t, h.clean(account(next)), messages, octets)
	h.asIs(witness, "Lists/golang")

	var moved []dovecot.Msg
	var set []string
	for i, m := range witness.Read("INBOX") {
		if i%2 == 0 {
			moved = append(moved, m)
			set = append(set, fmt.Sprint(m.UID))
		}
	}
	witness.Do("SELECT INBOX")
	witness.Do("UID MOVE " + strings.Join(set, ",") + " Archive")
	witness.Do("UNSELECT")
	messages, octets = weight([]dovecot.Mailbox{{Msgs: moved}})
	known(t, h.clean(account(next)), messages, octets)
	h.asIs(witness, "Archive")
	h.asIs(witness, "INBOX")
}

// TestOneMessageInManyMailboxes: one message in many mailboxes is downloaded once, also in
// the first run and whichever mailbox comes first.
func TestOneMessageInManyMailboxes(t *testing.T) {
	all := []int{4, 1}
	if testing.Short() {
		all = all[:1]
	}
	for _, connections := range all {
		h := newTestbed(t)
		var msgs []dovecot.Msg
		var octets, octetsAgain int64
		for i := range 1500 {
			body := fmt.Appendf(nil, "Subject: %d\r\nMessage-ID: <%d@x>\r\n\r\n%s\r\n", i, i, strings.Repeat("text ", 200+i%500))
			msgs = append(msgs, dovecot.Msg{Date: day(0).Add(time.Duration(i/3) * time.Second), Body: body, Flags: someFlags(i)})
			octets += int64(len(body))
			octetsAgain += int64(len(body))
			if i < 900 {
				octetsAgain += int64(len(body))
			}
			if i >= 499 {
				octetsAgain += int64(len(body))
			}
		}
		s := dovecot.Start(t)
		u := s.User(t, "alice")
		witness := u.Dial(t)
		witness.Load([]dovecot.Mailbox{{Name: "INBOX", Msgs: msgs}, {Name: "All"}, {Name: "Label"}, {Name: "Other"}})
		witness.Do("SELECT INBOX")
		witness.Do("COPY 1:* All")
		witness.Do("COPY 1:900 Label")
		witness.Do("COPY 500:1500 Other")
		witness.Do("UNSELECT")
		acc := world.Login(s.Addr, u.Name, u.Password, s.TLS)
		acc.Connections = connections
		run := h.clean(acc)
		again := 1500 + 900 + 1001
		if sum := run.Sum; sum.Added != 1500+again || sum.Matched < again-50 || (sum.Octets-octets)*100 > octetsAgain {
			t.Errorf("%d connections: %d matched of %d, %d octets downloaded of %d, and %d again\n%s", connections, sum.Matched, again, sum.Octets, octets, octetsAgain, show(run))
		}
		for _, name := range []string{"INBOX", "All", "Label", "Other"} {
			h.asIs(witness, name)
		}
	}
}

const when = "17-Jul-2024 02:44:25 +0200"

// mails is a mailbox of messages that all have one INTERNALDATE.
func mails(name string, uidValidity uint32, bodies ...string) hostile.Mailbox {
	m := hostile.Mailbox{Name: name, UIDValidity: uidValidity, HighestModSeq: uint64(len(bodies)) + uint64(uidValidity)}
	for i, b := range bodies {
		m.Messages = append(m.Messages, hostile.Message{UID: uint32(i + 1), Date: when, Body: []byte(b), ModSeq: 1})
	}
	return m
}

// downloads is a run that must archive what the server has, and fetch so many
// bodies. Of an epoch's matches at least one is compared.
func (h *testbed) downloads(is hostile.Mailbox, want int, adjust func(*Policy)) (state.Run, *world.Server) {
	h.t.Helper()
	s := world.Serve(h.t, hostile.Options{Mailboxes: []hostile.Mailbox{is}})
	acc := world.Alice(s.Address())
	if adjust != nil {
		defer func(before Policy) { h.policy = before }(h.policy)
		adjust(&h.policy)
	}
	run := h.clean(acc)
	if got := s.TotalSent(); got != want {
		h.t.Errorf("%d bodies were fetched, want %d: %v", got, want, s.Sent())
	}
	h.Holds(is)
	return run, s
}

// large makes a message so large that it is not downloaded because only few like it are
// matched.
var large = strings.Repeat("text", smallMessage/4)

// TestKnownOrNot: only messages that differ from the archived ones are downloaded.
func TestKnownOrNot(t *testing.T) {
	const head, other = "Message-ID: <1@x>\r\nSubject: one\r\nX-A: 1\r\n", "Message-ID: <1@x>\r\nSubject: two\r\nX-A: 1\r\n"
	body := "\r\n" + large + "\r\n"
	const order = "Message-ID: <1@x>\r\nX-A: 1\r\nSubject: one\r\n"
	bare, folded := "From me\r\n"+head+body, " folded\r\n"+head+body
	for _, c := range []struct {
		name    string
		was, is []string
		bodies  int // downloaded, the one that is compared included
		matched int
	}{
		{"the same", []string{head + body}, []string{head + body}, 1, 0},
		{"the same, many times", []string{head + body}, []string{head + body, head + body, head + body}, 1, 2},
		{"the same, twice before", []string{head + body, head + body}, []string{head + body, head + body}, 1, 1},
		{"another header", []string{head + body}, []string{other + body}, 1, 0},
		{"another beside it", []string{head + body}, []string{head + body, head + body, other + body}, 2, 1},
		{"other order of fields", []string{head + body}, []string{order + body, head + body, head + body}, 2, 1},
		{"other size", []string{head + body}, []string{head + body + "\r\n"}, 1, 0},
		{"both orders before", []string{head + body, order + body}, []string{order + body, head + body}, 1, 1},
		{"two bodies of one header", []string{head + "\r\ntext\r\n", head + "\r\nTEXT\r\n"}, []string{head + "\r\nTEXT\r\n", head + "\r\ntext\r\n"}, 2, 0},
		{"malformed", []string{bare}, []string{bare, bare}, 2, 0},
		{"begins in a fold", []string{folded}, []string{folded}, 1, 0},
		{"no header", []string{"\r\ntext\r\n"}, []string{"\r\ntext\r\n"}, 1, 0},
		{"no empty line", []string{head}, []string{head}, 1, 0},
		{"empty", []string{""}, []string{""}, 1, 0},
		{"nothing but a header", []string{head + "\r\n"}, []string{head + "\r\n", head + "\r\n"}, 0, 2},
		{"malformed beside the same", []string{head + body, strings.Replace(head, "X-A:", "X A:", 1) + body}, []string{head + body}, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newTestbed(t)
			h.downloads(mails("INBOX", 7, c.was...), len(c.was), nil)
			run, _ := h.downloads(mails("INBOX", 8, c.is...), c.bodies, nil)
			if run.Sum.Matched != c.matched || len(run.Warnings) > 0 {
				t.Errorf("%d are matched, want %d; warnings %q", run.Sum.Matched, c.matched, run.Warnings)
			}
		})
	}
}

// TestKnownInAnotherZone: the instant of INTERNALDATE is compared, not its zone.
func TestKnownInAnotherZone(t *testing.T) {
	h := newTestbed(t)
	body := "Message-ID: <1@x>\r\n\r\n" + large
	h.downloads(mails("INBOX", 7, body), 1, nil)
	is := mails("INBOX", 8, body, body, body)
	is.Messages[1].Date = "16-Jul-2024 17:44:25 -0700"
	is.Messages[2].Date = "17-Jul-2024 02:44:26 +0200"
	if run, _ := h.downloads(is, 2, nil); run.Sum.Matched != 1 {
		t.Errorf("%+v", run.Sum)
	}
}

// TestNothingKnownCostsNothing: without a candidate in the archive no header is fetched.
func TestNothingKnownCostsNothing(t *testing.T) {
	h := newTestbed(t)
	boxes := world.ThreeMailboxes()
	s := world.Serve(t, hostile.Options{Mailboxes: boxes})
	h.clean(world.Alice(s.Address()))
	if asked := headers(s); len(asked) > 0 {
		t.Errorf("it asked %q", asked)
	}
	// nor is it for new messages beside known ones
	boxes[0].Messages = append(boxes[0].Messages, world.NewMessage("INBOX", 99))
	boxes[0].HighestModSeq++
	s = world.Serve(t, hostile.Options{Mailboxes: boxes})
	h.clean(world.Alice(s.Address()))
	if asked := headers(s); len(asked) > 0 || s.TotalSent() != 1 {
		t.Errorf("it asked %q, and fetched %d bodies", asked, s.TotalSent())
	}
	h.Holds(boxes[0])
}

// TestHeadersOfAPieceAreOneCommand: the headers of a piece are fetched with one command.
func TestHeadersOfAPieceAreOneCommand(t *testing.T) {
	h := newTestbed(t)
	box := world.NewMailbox("INBOX", 7, 300)
	h.downloads(box, 300, nil)
	box.UIDValidity = 8
	if run, s := h.downloads(box, 1, func(p *Policy) { p.Matching.Check = -1 }); len(headers(s)) != 1 || run.Sum.Matched < 290 {
		t.Errorf("%d were matched; it asked %.300q", run.Sum.Matched, headers(s))
	}
}

// TestMatchingOff: with matching off every message is downloaded.
func TestMatchingOff(t *testing.T) {
	h := newTestbed(t)
	box := world.NewMailbox("INBOX", 7, 30)
	h.downloads(box, 30, nil)
	off := func(p *Policy) { p.Matching.Off = true }
	box.UIDValidity = 8
	if run, s := h.downloads(box, 30, off); run.Sum.Matched != 0 || run.Sum.Linked != 30 || len(headers(s)) > 0 {
		t.Errorf("%+v, %q", run.Sum, headers(s))
	}
	box.UIDValidity = 7 // under which all was there
	h.downloads(box, 30, off)
}

// TestKnownOfADamagedFile: a message whose archived file is damaged is downloaded, which
// repairs the file.
func TestKnownOfADamagedFile(t *testing.T) {
	body := "Message-ID: <1@x>\r\n\r\n" + large
	for name, damage := range map[string]func(file string) error{
		"in the body":   func(f string) error { return os.WriteFile(f, []byte(strings.Replace(body, "text", "tExt", 1)), 0o600) },
		"in the header": func(f string) error { return os.WriteFile(f, []byte(strings.Replace(body, "<1", "<2", 1)), 0o600) },
		"cut":           func(f string) error { return os.Truncate(f, 5) },
		"removed":       os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			h := newTestbed(t)
			h.downloads(mails("INBOX", 7, body, "A: 2\r\n\r\nother\r\n"), 2, nil)
			b, v := h.Mailbox("INBOX")
			file := filepath.Join(h.Dir, b.ID(v.Epoch().Messages[1]))
			if err := damage(file); err != nil {
				t.Fatal(err)
			}
			s := world.Serve(t, hostile.Options{Mailboxes: []hostile.Mailbox{mails("INBOX", 8, body)}})
			if run, err := (&Job{Account: world.Alice(s.Address()), Committer: h.Committer, Log: h.Log}).Run(t.Context()); err != nil || run.Sum.Matched != 0 || s.TotalSent() != 1 {
				t.Errorf("%+v, %v, %d bodies fetched", run.Sum, err, s.TotalSent())
			}
			h.Holds(mails("INBOX", 8, body))
			// from here on it is known by the good one
			s = world.Serve(t, hostile.Options{Mailboxes: []hostile.Mailbox{mails("INBOX", 8, body, body, body)}})
			if run, err := (&Job{Account: world.Alice(s.Address()), Committer: h.Committer, Log: h.Log}).Run(t.Context()); err != nil || run.Sum.Matched != 1 || s.TotalSent() != 1 {
				t.Errorf("%+v, %v, %d bodies fetched", run.Sum, err, s.TotalSent())
			}
			h.Holds(mails("INBOX", 8, body, body, body))
			// the archive is put right, as from a backup, for what is checked at the end
			if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestKnownWithoutHeaders: headers that the server refuses, leaves out, or closes the
// connection over cost no message: it is downloaded.
func TestKnownWithoutHeaders(t *testing.T) {
	for name, lie := range map[string]func(s *hostile.Session, cmd hostile.Command){
		"NO":       func(s *hostile.Session, cmd hostile.Command) { s.Send(cmd.Tag + " NO no\r\n") },
		"BAD":      func(s *hostile.Session, cmd hostile.Command) { s.Send(cmd.Tag + " BAD no\r\n") },
		"left out": func(s *hostile.Session, cmd hostile.Command) { s.Send(cmd.Tag + " OK done\r\n") },
		"dies":     func(s *hostile.Session, _ hostile.Command) { s.HangUp() },
		"too large": func(s *hostile.Session, cmd hostile.Command) {
			s.Send("* 1 FETCH (UID 1 BODY[HEADER] {9000000}\r\n")
			s.HangUp()
		},
		"NIL": func(s *hostile.Session, cmd hostile.Command) {
			s.Send("* 1 FETCH (UID 1 BODY[HEADER] NIL)\r\n" + cmd.Tag + " OK done\r\n")
		},
		"of others": func(s *hostile.Session, cmd hostile.Command) {
			s.Send("* 1 FETCH (UID 2 BODY[HEADER] {8}\r\nA: 1\r\n\r\n)\r\n* 1 FETCH (UID 99 BODY[HEADER] {8}\r\nA: 1\r\n\r\n)\r\n" + cmd.Tag + " OK done\r\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newTestbed(t)
			bodies := []string{"Message-ID: <1>\r\n\r\n1111" + large, "Message-ID: <2>\r\n\r\n2222" + large, "Message-ID: <3>\r\n\r\n3333" + large}
			h.downloads(mails("INBOX", 7, bodies...), 3, nil)
			is := mails("INBOX", 8, bodies...)
			s := world.Serve(t, hostile.Options{Mailboxes: []hostile.Mailbox{is}, Script: func(s *hostile.Session, cmd hostile.Command) bool {
				if !strings.Contains(cmd.Args, "HEADER") {
					return false
				}
				lie(s, cmd)
				return true
			}})
			if run := h.clean(world.Alice(s.Address())); run.Sum.Matched != 0 {
				t.Errorf("%+v", run.Sum)
			}
			h.Holds(is)
		})
	}
}

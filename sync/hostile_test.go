package sync

import (
	"fmt"
	"net"
	"slices"
	"strings"
	gosync "sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"archiverd/internal/session"
	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
	"archiverd/internal/wire"
)

// trap is one fault of a server and its expected effect. Every message that it does
// not name must be archived.
type trap struct {
	name   string
	lie    func() lie // makes the server's fault, anew for each run
	adjust func(o *hostile.Options, acc *session.Account)
	failed map[uint32]string // messages of INBOX that fail: a part of the reason, by UID
	errors map[string]string // mailboxes that fail: a part of the ledger's error, by name; their messages are not checked
	run    string            // a part of the run's error; "": the run succeeds
}

// spring runs against the faulty server, then against an honest one, which must complete
// the archive. It runs in a bubble of testing/synctest: a server that stalls takes no
// time, and no deadline passes because the machine is busy.
func (c trap) spring(t *testing.T) {
	t.Helper()
	synctest.Test(t, c.springInBubble)
}

func (c trap) springInBubble(t *testing.T) {
	h := newTestbedInBubble(t)
	boxes := world.ThreeMailboxes()
	o := hostile.Options{Mailboxes: boxes, Capabilities: "IMAP4rev1 AUTH=PLAIN SASL-IR LIST-STATUS CONDSTORE", InMemory: true}
	acc := world.Alice("")
	acc.Wire.Timeouts = quick
	if c.lie != nil {
		o.Script = c.lie()
	}
	if c.adjust != nil {
		c.adjust(&o, &acc)
	}
	s := world.Serve(t, o)
	acc.Wire.Address, acc.Wire.Dial = s.Address(), s.Dial
	if o.TLS {
		acc.Wire.Security, acc.Wire.TLS = wire.TLS, s.ClientTLS()
	}
	run, err := h.run(acc)
	if (err != nil) != (c.run != "") || err != nil && !strings.Contains(err.Error(), c.run) {
		t.Errorf("the run's error is %v, want %q", err, c.run)
	}
	if (run.OK()) != (c.run == "" && len(c.failed) == 0 && len(c.errors) == 0) {
		t.Errorf("run is OK: %v\n%s", run.OK(), show(run))
	}
	if c.run == "" {
		for _, m := range boxes {
			l := of(t, run, m.Name)
			if want := c.errors[m.Name]; (l.Error != "") != (want != "") || !strings.Contains(l.Error, want) {
				t.Errorf("error of %s is %q, want %q", m.Name, l.Error, want)
			}
			if c.errors[m.Name] != "" {
				continue
			}
			var but []uint32
			if m.Name == "INBOX" {
				for u, reason := range c.failed {
					but = append(but, u)
					if !strings.Contains(l.Failures[u], reason) || l.Failures[u] == "" {
						t.Errorf("UID %d failed for %q, want %q", u, l.Failures[u], reason)
					}
				}
			}
			if l.Failed != len(but) {
				t.Errorf("ledger of %s has %d failed, want %d: %v", m.Name, l.Failed, len(but), l.Failures)
			}
			h.Holds(m, but...)
		}
	}
	h.completes(boxes)
}

// told is what a reply did about one message.
type told int

const (
	truth told = iota // the true reply is still to be sent
	lied              // another text was sent in its place
	dead              // nothing more is to be sent: the reply or the session has ended
)

// evil sends something for the message with sequence number seq, or leaves it to the
// true reply.
type evil = func(s *hostile.Session, cmd hostile.Command, seq int) told

// poison returns a fault that lets e answer for the bodies of these UIDs of INBOX. All
// other replies are true.
func poison(e evil, uids ...uint32) func() lie {
	return func() lie {
		return func(s *hostile.Session, cmd hostile.Command) bool {
			return world.WantsBodies(cmd) && inbox(s) && answer(s, cmd, "UID BODY[]", e, uids...)
		}
	}
}

// poisonMeta is poison for the metadata.
func poisonMeta(e evil, uids ...uint32) func() lie {
	return func() lie {
		return func(s *hostile.Session, cmd hostile.Command) bool {
			return world.WantsMetadata(cmd) && inbox(s) && answer(s, cmd, "UID FLAGS INTERNALDATE RFC822.SIZE", e, uids...)
		}
	}
}

func inbox(s *hostile.Session) bool { return s.Open != nil && s.Open.Name == "INBOX" }

// answer answers a FETCH: e for the UIDs, the truth for all other messages.
func answer(s *hostile.Session, cmd hostile.Command, items string, e evil, uids ...uint32) bool {
	for i, m := range s.Open.Messages {
		if !world.Requests(cmd, m.UID) {
			continue
		}
		result := truth
		if slices.Contains(uids, m.UID) {
			result = e(s, cmd, i+1)
		}
		switch result {
		case truth:
			s.Fetched(i, items)
		case dead:
			return true
		}
	}
	s.Send(cmd.Tag + " OK done\r\n")
	return true
}

// says sends text instead of the reply. SEQ in it is the sequence number, and TAG the
// command's tag, after which nothing more is sent.
func says(text string) evil {
	return func(s *hostile.Session, cmd hostile.Command, seq int) told {
		s.Send(strings.NewReplacer("TAG", cmd.Tag, "SEQ", fmt.Sprint(seq)).Replace(text))
		if strings.Contains(text, "TAG") {
			return dead
		}
		return lied
	}
}

// dies sends text and closes the connection.
func dies(text string) evil {
	return func(s *hostile.Session, cmd hostile.Command, seq int) told {
		says(text)(s, cmd, seq)
		s.HangUp()
		return dead
	}
}

// stalls sends text and then nothing more; the connection stays open.
func stalls(text string) evil {
	return func(s *hostile.Session, cmd hostile.Command, seq int) told {
		says(text)(s, cmd, seq)
		s.Stall()
		return dead
	}
}

// times limits e to its first n calls.
func times(n int, e evil) evil {
	var mu gosync.Mutex
	return func(s *hostile.Session, cmd hostile.Command, seq int) told {
		mu.Lock()
		n--
		act := n >= 0
		mu.Unlock()
		if !act {
			return truth
		}
		return e(s, cmd, seq)
	}
}

// single reports whether a command asks for one message; many limits e to commands that
// ask for several.
func single(cmd hostile.Command) bool {
	set, _, _ := strings.Cut(cmd.Args, " ")
	return !strings.ContainsAny(set, ",:")
}

func many(e evil) evil {
	return func(s *hostile.Session, cmd hostile.Command, seq int) told {
		if single(cmd) {
			return truth
		}
		return e(s, cmd, seq)
	}
}

const lost = "connection is lost whenever it is fetched"

// TestBodies: whatever a server sends instead of a body, all other messages are archived,
// and the ledger has the reason for each one that is not.
func TestBodies(t *testing.T) {
	overTLS := func(o *hostile.Options, _ *session.Account) { o.TLS = true }
	five := func(reason string) map[uint32]string { return map[uint32]string{5: reason} }
	whole := `SEQ FETCH (UID 5 BODY[] {5}` + "\r\n"
	for _, c := range []trap{
		{name: "truth"},
		{name: "truncated and hung up, always", lie: poison(dies("* "+whole+"he"), 5), failed: five(lost)},
		{name: "truncated over TLS, always", lie: poison(dies("* "+whole+"he"), 5), failed: five(lost), adjust: overTLS},
		{name: "truncated once", lie: poison(times(1, dies("* "+whole+"he")), 5)},
		{name: "truncated over TLS once", lie: poison(times(1, dies("* "+whole+"he")), 5), adjust: overTLS},
		{name: "stalled in mid-literal once", lie: poison(times(1, stalls("* "+whole+"he")), 5)},
		{name: "stalled in mid-literal, always", lie: poison(stalls("* "+whole+"he"), 5), failed: five(lost)},
		{name: "4 GiB promised", lie: poison(dies("* SEQ FETCH (UID 5 BODY[] {4294967296}\r\nhe"), 5), failed: five("the body has 4294967296 octets, and RFC822.SIZE said 308")},
		{name: "a literal of negative size", lie: poison(says("* SEQ FETCH (UID 5 BODY[] {-5}\r\n)\r\n"), 5), failed: five("literal of unreadable size")},
		{name: "NIL", lie: poison(says("* SEQ FETCH (UID 5 BODY[] NIL)\r\n"), 5), failed: five("server sent NIL for the body")},
		{name: "OK with the UID left out", lie: poison(says(""), 5), failed: five("OK but did not send")},
		{name: "OK with all left out", lie: poison(many(says("")), 1, 2, 3, 4, 5, 6, 7, 8, 9)},
		{name: "UID zero", lie: poison(says("* SEQ FETCH (UID 0 BODY[] {3}\r\nabc)\r\n"), 5), failed: five("did not send")},
		{name: "another's UID", lie: poison(says("* SEQ FETCH (UID 4 BODY[] {3}\r\nabc)\r\n"), 5), failed: five("did not send")},
		{name: "a UID that was never listed", lie: poison(says("* 77 FETCH (UID 77 BODY[] {3}\r\nabc)\r\n"), 5), failed: five("did not send")},
		{name: "no UID at all", lie: poison(says("* SEQ FETCH (BODY[] {3}\r\nabc)\r\n"), 5), failed: five("without its UID")},
		{name: "NO for the message", lie: poison(says("TAG NO [CORRUPTION] it is broken\r\n"), 5), failed: five("[CORRUPTION] it is broken")},
		{name: "NO without a code", lie: poison(says("TAG NO sorry\r\n"), 5), failed: five("NO sorry")},
		{name: "NO [SERVERBUG]", lie: poison(says("TAG NO [SERVERBUG] internal error\r\n"), 5), failed: five("[SERVERBUG] internal error")},
		{name: "NO for a range", lie: poison(many(says("TAG NO not so many\r\n")), 1, 2, 3, 4, 5, 6, 7, 8, 9)},
		{name: "BAD for the message", lie: poison(says("TAG BAD what\r\n"), 5), failed: five("BAD what")},
		{name: "BYE once", lie: poison(times(1, dies("* BYE going down\r\n")), 5)},
		{name: "BYE, always", lie: poison(dies("* BYE Internal error\r\n"), 5), failed: five("BYE Internal error")},
		{name: "the connection dies at the first", lie: poison(dies(""), 1), failed: map[uint32]string{1: lost}},
		{name: "the connection dies at the last", lie: poison(dies(""), 9), failed: map[uint32]string{9: lost}},
		{name: "the connection dies at several", lie: poison(dies(""), 1, 2, 3, 6, 9), failed: map[uint32]string{1: lost, 2: lost, 3: lost, 6: lost, 9: lost}},
		{name: "the connection dies at all", lie: poison(dies(""), 1, 2, 3, 4, 5, 6, 7, 8, 9), failed: map[uint32]string{1: lost, 2: lost, 3: lost, 4: lost, 5: lost, 6: lost, 7: lost, 8: lost, 9: lost}},
		{name: "with one connection", lie: poison(dies(""), 1, 5), failed: map[uint32]string{1: lost, 5: lost}, adjust: func(_ *hostile.Options, a *session.Account) { a.Connections = 1 }},
		{name: "with one connection, NO", lie: poison(says("TAG NO sorry\r\n"), 1, 5), failed: map[uint32]string{1: "sorry", 5: "sorry"}, adjust: func(_ *hostile.Options, a *session.Account) { a.Connections = 1 }},
	} {
		t.Run(c.name, c.spring)
	}
}

// TestOddBodies: a reply that is unusual, but has the message, costs no message.
func TestOddBodies(t *testing.T) {
	body := string(world.NewMessage("INBOX", 5).Body)
	literal := fmt.Sprintf("{%d}\r\n%s", len(body), body)
	for _, c := range []trap{
		{name: "UID behind the body", lie: poison(says("* SEQ FETCH (BODY[] "+literal+" UID 5)\r\n"), 5)},
		{name: "flags before the body", lie: poison(says("* SEQ FETCH (UID 5 FLAGS (\\Seen))\r\n* SEQ FETCH (UID 5 BODY[] "+literal+")\r\n"), 5)},
		{name: "flags of all before the bodies", lie: poison(says("* 1 FETCH (UID 1 FLAGS ())\r\n* 9 FETCH (UID 9 FLAGS (\\Seen))\r\n* 5 FETCH (FLAGS ())\r\n* SEQ FETCH (UID 5 BODY[] "+literal+")\r\n"), 5)},
		{name: "UID in another reply", lie: poison(says("* SEQ FETCH (BODY[] "+literal+")\r\n* SEQ FETCH (UID 5)\r\n"), 5)},
		{name: "twice", lie: poison(says("* SEQ FETCH (UID 5 BODY[] "+literal+")\r\n* SEQ FETCH (UID 5 BODY[] {3}\r\nabc)\r\n"), 5)},
		{name: "two bodies in one reply", lie: poison(says("* SEQ FETCH (UID 5 BODY[] "+literal+" BODY[] {3}\r\nabc)\r\n"), 5)},
		{name: "literal8", lie: poison(says("* SEQ FETCH (UID 5 BODY[] ~"+literal+")\r\n"), 5)},
		{name: "unknown items", lie: poison(says("* SEQ FETCH (X-GM-MSGID 12 EMAILID (M1) UID 5 BODY[] "+literal+" X-GM-LABELS ({1}\r\n\"))\r\n"), 5)},
		{name: "unknown replies", lie: poison(says("* VANISHED (EARLIER) 1:9\r\n* XFOO {3}\r\nabc\r\n* OK [CAPABILITY (((] x\r\n* 9 EXISTS\r\n* SEQ FETCH (UID 5 BODY[] "+literal+")\r\n* SEARCH 1 2 3\r\n"), 5)},
		{name: "the others' bodies unasked", lie: poison(says("* 77 FETCH (UID 77 BODY[] {3}\r\nabc)\r\n* 0 FETCH (UID 0 BODY[] {3}\r\nabc)\r\n* SEQ FETCH (UID 5 BODY[] "+literal+")\r\n"), 5)},
	} {
		t.Run(c.name, c.spring)
	}
}

// TestQuotedBody: a body that comes as a quoted string is archived, an empty one too.
func TestQuotedBody(t *testing.T) {
	for _, body := range []string{"", `Subject: x \"y\"`} {
		h := newTestbed(t)
		boxes := []hostile.Mailbox{world.NewMailbox("INBOX", 7, 3)}
		boxes[0].Messages[1].Body = []byte(body)
		text := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(body) + `"`
		s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: poison(says("* SEQ FETCH (UID 2 BODY[] "+text+")\r\n"), 2)()})
		h.clean(world.Alice(s.Address()))
		h.Holds(boxes[0])
	}
}

// TestEachConnectionBringsOne: a run makes progress where each connection is lost after
// one body, whatever message that is.
func TestEachConnectionBringsOne(t *testing.T) {
	h := newTestbed(t)
	boxes := []hostile.Mailbox{world.NewMailbox("INBOX", 7, 60)}
	s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if !world.WantsBodies(cmd) {
			return false
		}
		for i, m := range s.Open.Messages {
			if world.Requests(cmd, m.UID) {
				s.Fetched(i, "UID BODY[]")
				s.Send("")
				s.HangUp()
				return true
			}
		}
		return false
	}})
	h.clean(world.Alice(s.Address()))
	h.Holds(boxes[0])
}

// TestEndsBadlyBehindTheLastBody: a fault after the last body has no effect. The mailbox
// is neither scanned again nor reported as failed.
func TestEndsBadlyBehindTheLastBody(t *testing.T) {
	for _, end := range []string{"TAG NO some of them\r\n", "TAG BAD x\r\n", "* BYE x\r\n", "", "nonsense\r\n"} {
		h := newTestbed(t)
		boxes := world.ThreeMailboxes()
		s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
			if !world.WantsBodies(cmd) || !inbox(s) {
				return false
			}
			for i, m := range s.Open.Messages {
				if world.Requests(cmd, m.UID) {
					s.Fetched(i, "UID BODY[]")
				}
			}
			s.Send(strings.ReplaceAll(end, "TAG", cmd.Tag))
			if !strings.Contains(end, "TAG") {
				s.HangUp()
			}
			return true
		}})
		h.clean(world.Alice(s.Address()))
		searches := 0
		for _, c := range s.Commands() {
			if strings.HasPrefix(c, "UID SEARCH") {
				searches++
			}
		}
		if searches != len(boxes) {
			t.Errorf("%q: %d searches for %d mailboxes", end, searches, len(boxes))
		}
		for _, m := range boxes {
			h.Holds(m)
		}
	}
}

// TestManyPoisonedMessages: there are more messages at which the connection is lost than
// a run may lose connections. After some runs all good messages are archived.
func TestManyPoisonedMessages(t *testing.T) {
	h := newTestbed(t)
	boxes := []hostile.Mailbox{world.NewMailbox("INBOX", 7, 80)}
	var bad []uint32
	for u := uint32(1); u <= 60; u++ {
		bad = append(bad, u)
	}
	s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: poison(dies(""), bad...)()})
	for range 6 {
		run, err := h.run(world.Alice(s.Address()))
		if err != nil {
			t.Fatal(err)
		}
		if run.OK() || run.Sum.Failed == 0 {
			t.Errorf("run is\n%s", show(run))
		}
	}
	h.Holds(boxes[0], bad...)
	h.completes(boxes)
}

// TestReasonHasNoPort: the reason in the journal has no port of ours. It is the same in
// each run, so that no run writes it again.
func TestReasonHasNoPort(t *testing.T) {
	m := &mailboxRun{}
	for _, port := range []int{1, 2} {
		cause := &wire.Error{Class: wire.ClassTransient, Err: fmt.Errorf("connection broke: %w", &net.OpError{
			Op: "read", Net: "tcp", Source: &net.TCPAddr{Port: port}, Addr: &net.TCPAddr{Port: 143}, Err: syscall.ECONNRESET})}
		_, poison := (&task{mailbox: m, snapshot: &snapshot{}, uids: set(t, "5"), tries: 2}).afterLoss(cause)
		if got, want := fmt.Sprint(poison), lost+": connection reset by peer"; !strings.HasSuffix(got, want) {
			t.Errorf("reason is %q, want %q", got, want)
		}
	}
}

// TestNoRetryStorm: a message at which the connection is lost costs few connections, and
// its failure is not recorded again by each run.
func TestNoRetryStorm(t *testing.T) {
	h := newTestbed(t)
	boxes := world.ThreeMailboxes()
	s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: poison(dies(""), 5)()})
	start := time.Now()
	if _, err := h.run(world.Alice(s.Address())); err != nil {
		t.Fatal(err)
	}
	if n := logins(s.Commands()); n > 10 || time.Since(start) > world.Patient().Answer/2 {
		t.Errorf("%d logins for one bad message, in %v", n, time.Since(start))
	}
	first := files(t, h.Dir)
	if _, err := h.run(world.Alice(s.Address())); err != nil {
		t.Fatal(err)
	}
	for p, size := range files(t, h.Dir) {
		if first[p] != size {
			t.Errorf("a run in which the same message failed again wrote to %s", p)
		}
	}
}

package sync

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"archiverd/internal/session"
	"archiverd/internal/testing/dovecot"
	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
	"archiverd/internal/uid"
	"archiverd/state"
)

// dozen are mailboxes enough for several connections.
func dozen() (boxes []hostile.Mailbox) {
	for i := range 12 {
		boxes = append(boxes, world.NewMailbox(fmt.Sprintf("box %d", i), uint32(i+1), 10))
	}
	return boxes
}

// TestStatedBackOffEndsTheRun: if a server asks for a longer wait than a run makes, the run
// completes what is under way, ends, and reports when the next one may start.
func TestStatedBackOffEndsTheRun(t *testing.T) {
	const reply = "Request is throttled. Suggested Backoff Time: 3000000 milliseconds"
	for _, c := range []struct{ name, at, reply string }{
		{"login", "AUTHENTICATE", "TAG BAD " + reply + "\r\n* BYE Connection closed. 14\r\n"},
		{"list", "LIST", "TAG NO " + reply + "\r\n"},
		{"examine", "EXAMINE", "TAG NO " + reply + "\r\n"},
		{"search", "UID SEARCH", "* BYE " + reply + "\r\n"},
		{"fetch", "UID FETCH", "TAG BAD " + reply + "\r\n"},
	} {
		for connections := 1; connections <= 4; connections += 3 {
			t.Run(fmt.Sprintf("%s, %d", c.name, connections), func(t *testing.T) {
				h := newTestbed(t)
				boxes := dozen()
				var n atomic.Int64
				s := world.Serve(t, hostile.Options{Mailboxes: boxes, Capabilities: "IMAP4rev1 AUTH=PLAIN SASL-IR CONDSTORE", Script: func(s *hostile.Session, cmd hostile.Command) bool {
					after := int64(0)
					if s.Open != nil { // some of it comes
						after = 6
					}
					if cmd.Name != c.at || n.Add(1) <= after {
						return false
					}
					s.Send(strings.ReplaceAll(c.reply, "TAG", cmd.Tag))
					if strings.Contains(c.reply, "BYE") {
						s.HangUp()
					}
					return true
				}})
				acc := world.Alice(s.Address())
				acc.Connections = connections
				clock := newCalendar()
				run, err := h.runWith(t.Context(), &Job{Account: acc, Committer: h.Committer, Log: h.Log, Now: clock.now})
				var away *session.BackoffError
				if !errors.As(err, &away) || !strings.Contains(run.Error, "stay away for 50m0s") || run.LoginRefused || run.DailyLimit != 0 {
					t.Fatalf("%v: %+v", err, run)
				}
				if want := clock.now().Add(50 * time.Minute); !run.Resumes.Equal(want) {
					t.Errorf("resumes at %v, want %v", run.Resumes, want)
				}
				for _, l := range run.Mailboxes {
					if l.Error != "" {
						t.Errorf("mailbox %s: %s", l.Mailbox, l.Error)
					}
				}
				if over := n.Load(); over > 6+4 {
					t.Errorf("%d times %s", over, c.at)
				}
				if got := Resumes([]state.Run{run}, 5, clock.now()); !got.Equal(run.Resumes) {
					t.Errorf("a daily limit has the next run begin at %v", got)
				}
				h.completes(boxes)
			})
		}
	}
}

// TestStatedBackOffIsForAll: if a server asks for a short wait, all connections of the run
// wait: no second one is refused for it.
func TestStatedBackOffIsForAll(t *testing.T) {
	h := newTestbed(t)
	boxes := dozen()
	var until, told, riding atomic.Int64 // riding: metadata, behind an EXAMINE in one flight
	s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name != "UID FETCH" && cmd.Name != "EXAMINE" && cmd.Name != "AUTHENTICATE" {
			return false
		}
		if cmd.Name == "UID FETCH" {
			until.CompareAndSwap(0, time.Now().Add(150*time.Millisecond).UnixNano())
		}
		if time.Now().UnixNano() >= until.Load() {
			return false
		}
		told.Add(1)
		if cmd.Name == "UID FETCH" && !strings.Contains(cmd.Args, "BODY") {
			riding.Add(1)
		}
		s.Send(cmd.Tag + " BAD Request is throttled. Suggested Backoff Time: 150 milliseconds\r\n")
		return true
	}})
	acc := world.Alice(s.Address())
	acc.Connections = 4
	h.clean(acc)
	for _, m := range boxes {
		h.Holds(m)
	}
	if n := told.Load(); n < 1 || n-riding.Load() > 4 {
		t.Errorf("told %d times, %d of them for what rode along", n, riding.Load())
	}
}

// TestThrottledWithoutATime: a server that throttles without stating a time is tried a few
// times, and then no run starts for a long time.
func TestThrottledWithoutATime(t *testing.T) {
	for _, reply := range []string{"NO [THROTTLED] slowly", "NO [OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)", "NO [ALERT] Too many simultaneous connections. (Failure)"} {
		h := newTestbed(t)
		s := world.Serve(t, hostile.Options{Mailboxes: world.ThreeMailboxes(), Script: replies("AUTHENTICATE", "TAG "+reply+"\r\n")()})
		clock := newCalendar()
		run, err := h.runWith(t.Context(), &Job{Account: world.Alice(s.Address()), Committer: h.Committer, Log: h.Log, Now: clock.now})
		if err == nil || run.LoginRefused || !run.Resumes.Equal(clock.now().Add(30*time.Minute)) {
			t.Errorf("%s: %v: %+v", reply, err, run)
		}
		if n := logins(s.Commands()); n != 3 {
			t.Errorf("%s: %d logins", reply, n)
		}
	}
}

// TestThrottledMessageIsNotFailed: a message is not failed because its FETCH is throttled,
// however often.
func TestThrottledMessageIsNotFailed(t *testing.T) {
	h := newTestbed(t)
	boxes := []hostile.Mailbox{world.NewMailbox("INBOX", 7, 1)}
	var n atomic.Int64
	s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if !world.WantsBodies(cmd) || n.Add(1) > 5 {
			return false
		}
		s.Send(cmd.Tag + " NO Request is throttled. Suggested Backoff Time: 1 milliseconds\r\n")
		return true
	}})
	acc := world.Alice(s.Address())
	acc.Retry.MaxTries = 20
	h.clean(acc)
	h.Holds(boxes[0])
}

// TestSecondConnectionIsRefused: a run goes on with one connection if the server accepts no
// second one.
func TestSecondConnectionIsRefused(t *testing.T) {
	h := newTestbed(t)
	boxes := dozen()
	s := world.Serve(t, hostile.Options{Mailboxes: boxes})
	acc := world.Alice(s.Address())
	acc.Connections = 4
	var n atomic.Int64
	acc.Wire.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if n.Add(1) > 1 {
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	h.clean(acc)
	for _, m := range boxes {
		h.Holds(m)
	}
	if n.Load() > 4 {
		t.Errorf("%d times dialled", n.Load())
	}
}

// TestConnectionIsTakenBack: if the server closes a connection during the run and accepts no
// other, in the words of several servers, the other workers go on and do not try again
// and again.
func TestConnectionIsTakenBack(t *testing.T) {
	for bye, login := range map[string]string{
		"* BYE Too many connections\r\n":                           "NO [LIMIT] no",
		"* BYE [UNAVAILABLE] shutting down\r\n":                    "NO [ALERT] Too many simultaneous connections. (Failure)",
		"* BYE [ALERT] Maximum number of connections exceeded\r\n": "NO [UNAVAILABLE] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=1)",
		"": "NO [INUSE] no",
	} {
		t.Run(bye+login, func(t *testing.T) {
			h := newTestbed(t)
			boxes := dozen()
			var in, killed, refused atomic.Int64
			var full atomic.Bool
			second := make(chan struct{})
			s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
				switch {
				case cmd.Name == "AUTHENTICATE" && full.Load():
					refused.Add(1)
					s.Send(cmd.Tag + " " + login + "\r\n")
					return true
				case cmd.Name == "AUTHENTICATE":
					if in.Add(1) == 2 {
						close(second)
					}
				case world.WantsBodies(cmd) && killed.CompareAndSwap(0, 1):
					select { // so that there are others to go on
					case <-second:
					case <-time.After(soon):
					}
					full.Store(true)
					s.Send(bye)
					s.HangUp()
					return true
				}
				return false
			}})
			acc := world.Alice(s.Address())
			acc.Connections = 3
			acc.Retry.FirstWait, acc.Retry.MaxWait = 20*time.Millisecond, 20*time.Millisecond
			h.clean(acc)
			for _, m := range boxes {
				h.Holds(m)
			}
			if n := refused.Load(); n > 4 {
				t.Errorf("%d logins are refused", n)
			}
		})
	}
}

// TestDovecotTakesFewConnections: with the connection limit of a real server, the account is
// archived over as many connections as it allows. Dovecot does not count logins of the
// same moment, so several accounts are tried.
func TestDovecotTakesFewConnections(t *testing.T) {
	srv := dovecot.StartWith(t, dovecot.Options{Extra: "protocol imap {\n  mail_max_userip_connections = 2\n}"})
	for i := range 5 {
		u := srv.User(t, fmt.Sprintf("alice%d", i))
		c := u.Dial(t)
		for n := range 12 {
			c.Load([]dovecot.Mailbox{{Name: fmt.Sprintf("box %d", n), Msgs: letters(20)}})
		}
		h := newTestbed(t)
		acc := world.Login(srv.Addr, u.Name, u.Password, srv.TLS)
		acc.Name, acc.Connections = "alice", 8
		if run := h.clean(acc); run.Sum.Archived != 240 { // beside c
			t.Errorf("%d messages are archived", run.Sum.Archived)
		}
		if strings.Contains(srv.Log(), "Maximum number of connections") {
			return
		}
	}
	t.Errorf("the server refused no connection:\n%s", srv.Log())
}

// A mailbox of which message after message loses its connection, whatever is asked of
// it, is given up by name after few of them, and its neighbours are archived. What is
// left comes with the runs that follow as far as it can.
func TestMessageAfterMessageLosesItsConnection(t *testing.T) {
	for _, c := range []struct {
		name, item string
		lose       func(s *hostile.Session)
		max        int
	}{
		{"metadata", "RFC822.SIZE", (*hostile.Session).HangUp, maxLostInVain + 5},
		{"bodies", "BODY.PEEK[]", (*hostile.Session).HangUp, maxLostInVain + 5},
		{"too long a reply to metadata", "RFC822.SIZE", func(s *hostile.Session) { s.Flood("* 1 FETCH (FLAGS ({900000}\r\n") }, maxLostInVain/beyondLimitCounts + 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newTestbed(t)
			boxes := world.ThreeMailboxes()
			boxes = append(boxes, world.NewMailbox("thousand", 7, 1000))
			var lost atomic.Int64
			s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
				if cmd.Name != "UID FETCH" || !strings.Contains(cmd.Args, c.item) || s.Open == nil || s.Open.Name != "thousand" {
					return false
				}
				lost.Add(1)
				c.lose(s)
				return true
			}})
			run, err := h.run(world.Alice(s.Address()))
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range boxes[:3] {
				h.Holds(m)
			}
			if l := of(t, run, "thousand"); !strings.Contains(l.Error, "in vain") || l.Missing == 0 {
				t.Errorf("ledger is %+v", l)
			}
			if n := int(lost.Load()); n > c.max || n < 10 {
				t.Errorf("%d connections lost, want %d at most", n, c.max)
			}
		})
	}
}

// One message that loses its connection is found among as many as a piece has, wherever
// it is, and the others are archived.
func TestOneMessageOfAPieceLosesItsConnection(t *testing.T) {
	for _, bad := range []uint32{1, 2, 500, maxPiece} {
		h := newTestbed(t)
		boxes := []hostile.Mailbox{world.NewMailbox("INBOX", 7, maxPiece)}
		s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
			if cmd.Name != "UID FETCH" {
				return false
			}
			set, err := uid.Parse(strings.Fields(cmd.Args)[0])
			if err != nil || !set.Contains(bad) {
				return false
			}
			s.HangUp()
			return true
		}})
		acc := world.Alice(s.Address())
		acc.Connections = 1
		run, err := h.run(acc)
		if l := of(t, run, "INBOX"); err != nil || l.Error != "" || l.Failed != 1 || l.Archived != maxPiece-1 {
			t.Errorf("UID %d: %v, %+v", bad, err, l)
		}
	}
}

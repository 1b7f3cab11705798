package sync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	gosync "sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/semaphore"

	"archiverd/internal/commit"
	"archiverd/internal/session"
	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
	"archiverd/internal/wire"
)

// logins counts the attempts to log in among commands.
func logins(commands []string) int {
	n := 0
	for _, c := range commands {
		if strings.HasPrefix(c, "LOGIN") || strings.HasPrefix(c, "AUTHENTICATE") {
			n++
		}
	}
	return n
}

// TestLoginRefused: a refused login is not repeated, because servers lock accounts.
func TestLoginRefused(t *testing.T) {
	for _, reply := range []string{"NO [AUTHENTICATIONFAILED] no", "NO no", "NO [EXPIRED] change your password", "BAD no"} {
		h := newTestbed(t)
		s := world.Serve(t, hostile.Options{Mailboxes: world.ThreeMailboxes(), Script: func(s *hostile.Session, cmd hostile.Command) bool {
			if cmd.Name == "AUTHENTICATE" {
				s.Send(cmd.Tag + " " + reply + "\r\n")
				return true
			}
			return false
		}})
		run, err := h.run(world.Alice(s.Address()))
		if err == nil || !run.LoginRefused || !strings.Contains(run.Error, reply[:2]) || logins(s.Commands()) != 1 {
			t.Errorf("%s: %v, %d logins, run %+v", reply, err, logins(s.Commands()), run)
		}
		if strings.Contains(run.Error, "secret") {
			t.Errorf("the error shows the password: %s", run.Error)
		}
	}
}

// TestLoginRefusedInMidRun: the password changes during a run. The run ends at the first
// refused login; its other connections do not try.
func TestLoginRefusedInMidRun(t *testing.T) {
	h := newTestbed(t)
	boxes := []hostile.Mailbox{world.NewMailbox("INBOX", 7, 9)}
	var refuse atomic.Bool
	s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
		switch {
		case cmd.Name == "AUTHENTICATE" && refuse.Load():
			s.Send(cmd.Tag + " NO [AUTHENTICATIONFAILED] no\r\n")
			return true
		case world.WantsBodies(cmd):
			refuse.Store(true)
			return answer(s, cmd, "UID BODY[]", dies(""), 5)
		}
		return false
	}})
	acc := world.Alice(s.Address())
	acc.Connections = 1
	run, err := h.run(acc)
	if err == nil || !run.LoginRefused || logins(s.Commands()) != 2 {
		t.Errorf("%v, %d logins, run %+v", err, logins(s.Commands()), run)
	}
	if n := h.Count(); n != 4 {
		t.Errorf("%d of the 4 messages that had come are archived", n)
	}
	h.completes(boxes)
}

// TestBusy: a busy server is asked again after the time that it states. If that is too
// long the run ends. The messages received so far are archived.
func TestBusy(t *testing.T) {
	for _, c := range []struct {
		name, reply string
		times       int
		waits       time.Duration
		err         string
	}{
		{"unavailable twice", "NO [UNAVAILABLE] later", 2, 0, ""},
		{"unavailable for good", "NO [UNAVAILABLE] later", 1000, 0, "giving up after"},
		{"a back-off of 150 ms", "BAD Request is throttled. Suggested Backoff Time: 150 milliseconds", 1, 150 * time.Millisecond, ""},
		{"a back-off of 5 min", "BAD Request is throttled. Suggested Backoff Time: 300000 milliseconds", 1, 0, "the server asks to stay away for 5m0s"},
		{"throttled, no time", "NO [THROTTLED] slowly", 1, 0, ""},
		{"too many connections", "NO [LIMIT] too many connections", 1, 0, ""},
	} {
		for _, command := range []string{"AUTHENTICATE", "LIST", "EXAMINE", "UID SEARCH", "UID FETCH"} {
			t.Run(c.name+" at "+command, func(t *testing.T) {
				h := newTestbed(t)
				boxes := []hostile.Mailbox{world.NewMailbox("INBOX", 7, 9)}
				var n atomic.Int64
				capabilities := "IMAP4rev1 AUTH=PLAIN SASL-IR CONDSTORE LIST-STATUS"
				if command == "LIST" { // without LIST-STATUS, which is tried without when refused
					capabilities = strings.TrimSuffix(capabilities, " LIST-STATUS")
				}
				s := world.Serve(t, hostile.Options{Mailboxes: boxes, Capabilities: capabilities, Script: func(s *hostile.Session, cmd hostile.Command) bool {
					if cmd.Name == command && n.Add(1) <= int64(c.times) {
						s.Send(cmd.Tag + " " + c.reply + "\r\n")
						return true
					}
					return false
				}})
				acc := world.Alice(s.Address())
				acc.Connections = 1
				start := time.Now()
				run, err := h.run(acc)
				switch took := time.Since(start); {
				case c.times == 1000 && command != "AUTHENTICATE" && command != "LIST":
					if run.OK() { // whether the run ends of it or the mailbox
						t.Errorf("run is OK:\n%s", show(run))
					}
				case (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err):
					t.Errorf("error is %v, want %q", err, c.err)
				case err == nil && !run.OK():
					t.Errorf("run is not OK:\n%s", show(run))
				case took < c.waits:
					t.Errorf("waited %v", took)
				}
				if n := logins(s.Commands()); n > 12 {
					t.Errorf("%d logins", n)
				}
				h.completes(boxes)
			})
		}
	}
}

// TestTooManyConnections: a server that accepts one connection only is archived with one,
// however it refuses the others and however many the configuration allows.
func TestTooManyConnections(t *testing.T) {
	for _, c := range []struct {
		name  string
		greet func(s *hostile.Session)
		login string
	}{
		{"BYE", func(s *hostile.Session) { s.Send("* BYE Too many connections\r\n") }, ""},
		{"hung up", func(*hostile.Session) {}, ""},
		{"silent", (*hostile.Session).Stall, ""},
		{"at login", nil, "NO [LIMIT] Too many connections"},
		{"at login as if the password were wrong", nil, "NO [AUTHENTICATIONFAILED] no"},
		{"at login, throttled", nil, "NO [THROTTLED] no"},
		{"at login, as Gmail has it", nil, "NO [ALERT] Too many simultaneous connections. (Failure)"},
		{"at login, as Dovecot has it", nil, "NO [UNAVAILABLE] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=1)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newTestbed(t)
			var boxes []hostile.Mailbox
			for i := range 12 {
				boxes = append(boxes, world.NewMailbox(fmt.Sprintf("box %d", i), uint32(i+1), 10))
			}
			var here, in atomic.Int64
			o := hostile.Options{Mailboxes: boxes}
			if c.greet != nil {
				o.Greet = func(s *hostile.Session) bool {
					if here.Add(1) > 1 {
						c.greet(s)
						return false
					}
					s.Send("* OK [CAPABILITY " + s.Capabilities() + "] ready\r\n")
					return true
				}
			}
			o.Script = func(s *hostile.Session, cmd hostile.Command) bool {
				if cmd.Name == "AUTHENTICATE" && in.Add(1) > 1 && c.login != "" {
					s.Send(cmd.Tag + " " + c.login + "\r\n")
					return true
				}
				return false
			}
			s := world.Serve(t, o)
			acc := world.Alice(s.Address())
			acc.Connections = 4
			start := time.Now()
			h.clean(acc)
			if took := time.Since(start); took > world.Patient().Greeting/2 {
				t.Errorf("the run waited %v for connections that it does not need", took)
			}
			if n := logins(s.Commands()); n > acc.Connections {
				t.Errorf("%d logins: it asks over and over", n)
			}
			for _, m := range boxes {
				h.Holds(m)
			}
		})
	}
}

// TestFewerConnectionsInMidRun: the server closes connections during a run and accepts no
// new ones. The remaining connections do all of the work.
func TestFewerConnectionsInMidRun(t *testing.T) {
	h := newTestbed(t)
	var boxes []hostile.Mailbox
	for i := range 8 {
		boxes = append(boxes, world.NewMailbox(fmt.Sprintf("box %d", i), uint32(i+1), 10))
	}
	var in, killed atomic.Int64
	s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
		switch {
		case cmd.Name == "AUTHENTICATE" && killed.Load() > 0:
			s.Send(cmd.Tag + " NO [LIMIT] Too many connections\r\n")
			return true
		case cmd.Name == "AUTHENTICATE":
			in.Add(1)
		case world.WantsBodies(cmd) && in.Load() > 1 && killed.Add(1) == 1:
			s.HangUp()
			return true
		}
		return false
	}})
	acc := world.Alice(s.Address())
	acc.Connections = 4
	h.clean(acc)
	for _, m := range boxes {
		h.Holds(m)
	}
}

// TestPrepare: the state database catches up with the archive while the server greets. If
// that fails, no command is sent to the server.
func TestPrepare(t *testing.T) {
	wrong := errors.New("the state can't be brought up to the archive")
	for name, want := range map[string]error{"done": nil, "failed": wrong} {
		t.Run(name, func(t *testing.T) {
			h := newTestbed(t)
			greeted := make(chan struct{}, 1)
			boxes := world.ThreeMailboxes()
			s := world.Serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
				if cmd.Name == "AUTHENTICATE" {
					greeted <- struct{}{}
				}
				return false
			}})
			acc := world.Alice(s.Address())
			acc.Connections = 1
			run, err := h.runWith(t.Context(), &Job{Account: acc, Committer: h.Committer, Slots: semaphore.NewWeighted(1), Log: h.Log, Prepare: func() error {
				await(t, "the login beside it", greeted)
				return want
			}})
			if !errors.Is(err, want) {
				t.Errorf("error is %v, want %v", err, want)
			}
			listed := slices.ContainsFunc(s.Commands(), func(c string) bool { return strings.HasPrefix(c, "LIST") })
			if ok := want == nil; run.OK() != ok || listed != ok {
				t.Errorf("listed: %v, %s", listed, show(run))
			}
			h.completes(boxes)
		})
	}
}

// TestSlots: the process may have fewer connections than its jobs want. Each job gets at
// least one in turn, and gives it back.
func TestSlots(t *testing.T) {
	h := newTestbed(t)
	slots := semaphore.NewWeighted(2)
	var open, most atomic.Int64
	boxes := world.ThreeMailboxes()
	s := world.Serve(t, hostile.Options{Mailboxes: boxes})
	errs := make(chan error, 5)
	for i := range cap(errs) {
		acc := world.Alice(s.Address())
		acc.Name, acc.Connections = fmt.Sprintf("account %d", i), 4
		acc.Wire.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := s.Dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			most.Store(max(most.Load(), open.Add(1)))
			return &countedConn{Conn: conn, open: &open}, nil
		}
		go func() {
			run, err := (&Job{Account: acc, Committer: h.Committer, Slots: slots, Log: h.Log}).Run(t.Context())
			if err == nil && (!run.OK() || run.Sum.Archived != count(boxes)) {
				err = errors.New(show(run))
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if most.Load() > 2 {
		t.Errorf("%d connections at once", most.Load())
	}
	if !slots.TryAcquire(2) {
		t.Error("not all slots were given back")
	}
	if open.Load() != 0 {
		t.Errorf("%d connections are left open", open.Load())
	}
	// stopped while it waits for a slot
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := h.runWith(ctx, &Job{Account: world.Alice(s.Address()), Committer: h.Committer, Slots: slots, Log: h.Log}); !errors.Is(err, commit.ErrInterrupted) {
		t.Errorf("error is %v", err)
	}
}

// countedConn counts as open until the client closes it; the server notices that only
// later.
type countedConn struct {
	net.Conn
	open   *atomic.Int64
	closed gosync.Once
}

func (c *countedConn) Close() error {
	err := c.Conn.Close()
	c.closed.Do(func() { c.open.Add(-1) })
	return err
}

// TestConnectedTooLate: a further worker whose connection is ready at the moment when no
// more are needed does not join: its context is done already.
func TestConnectedTooLate(t *testing.T) {
	h := newTestbed(t)
	s := world.Serve(t, hostile.Options{Mailboxes: world.ThreeMailboxes()})
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		acc := s.Alice()
		acc.Wire.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := s.Dial(ctx, network, address)
			return &lastReply{Conn: conn, then: cancel}, err
		}
		r, runCtx := newRun(t.Context(), &Job{Account: acc, Committer: h.Committer, Log: h.Log})
		w := newWorker(r)
		if w.join(ctx) {
			t.Error("it joins")
		}
		w.close(runCtx, t.Context())
		r.job.closing.Wait()
		r.cancel(nil)
	}
}

// lastReply is a connection that calls a function with the reply to the login.
type lastReply struct {
	net.Conn
	then func()
}

func (c *lastReply) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if bytes.Contains(p[:n], []byte("welcome")) {
		c.then()
	}
	return n, err
}

// TestNoConnection: no server, no password, no TLS: each is the run's error.
func TestNoConnection(t *testing.T) {
	h := newTestbed(t)
	s := world.Serve(t, hostile.Options{TLS: true, Mailboxes: world.ThreeMailboxes()})
	nobody := world.Alice("127.0.0.1:1")
	keyless := world.Alice(s.Address())
	keyless.Auth = func(context.Context) (wire.Auth, error) { return wire.Auth{}, errors.New("pass: no such entry") }
	stranger := world.Alice(s.Address())
	stranger.Wire.Security, stranger.Wire.TLS = wire.TLS, s.ClientTLS()
	stranger.Wire.TLS.RootCAs = nil
	for _, c := range []struct {
		acc  session.Account
		want string
	}{{nobody, "giving up after 6"}, {keyless, "no such entry"}, {stranger, "certificate"}} {
		run, err := h.run(c.acc)
		if err == nil || !strings.Contains(err.Error(), c.want) || run.LoginRefused {
			t.Errorf("error is %v, want %q", err, c.want)
		}
	}
}

// TestPanicIsContained: a panic in any goroutine of a job is an error of that job alone.
func TestPanicIsContained(t *testing.T) {
	for name, spoil := range map[string]func(*Job){
		"in the first worker": func(j *Job) { j.Account.Auth = nil },
		"in a further worker": func(j *Job) {
			var n atomic.Int64
			auth := j.Account.Auth
			j.Account.Auth = func(ctx context.Context) (wire.Auth, error) {
				if n.Add(1) == 2 {
					panic("of the second")
				}
				return auth(ctx)
			}
		},
		"in the choice of mailboxes": func(j *Job) {
			j.Policy.Select = func(string, string, []string) (bool, string) { panic("of the rule") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newTestbed(t)
			boxes := world.ThreeMailboxes()
			s := world.Serve(t, hostile.Options{Mailboxes: boxes})
			j := &Job{Account: world.Alice(s.Address()), Committer: h.Committer, Log: h.Log}
			spoil(j)
			if _, err := h.runWith(t.Context(), j); err == nil || !strings.Contains(err.Error(), "panic") {
				t.Errorf("error is %v", err)
			}
			h.completes(boxes)
		})
	}
}

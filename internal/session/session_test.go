package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/semaphore"

	"archiverd/internal/testing/hostile"
	"archiverd/internal/wire"
)

// account returns an account at a server with those options.
func account(t *testing.T, o hostile.Options) (*Account, *hostile.Server) {
	t.Helper()
	srv, err := hostile.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return &Account{
		Name: "alice",
		Wire: wire.Options{Address: srv.Address(), Security: wire.Plaintext},
		Auth: func(context.Context) (wire.Auth, error) {
			return wire.Auth{Username: "alice", Password: []byte("secret")}, nil
		},
		Retry: Retry{FirstWait: time.Millisecond, MaxWait: time.Millisecond},
	}, srv
}

// hangsUp returns a script that ends the first n connections at a NOOP.
func hangsUp(n int) func(*hostile.Session, hostile.Command) bool {
	return func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name != "NOOP" || n == 0 {
			return false
		}
		n--
		s.HangUp()
		return true
	}
}

// logins counts the logins that a server saw.
func logins(srv *hostile.Server) (n int) {
	for _, cmd := range srv.Commands() {
		if strings.HasPrefix(cmd, "AUTHENTICATE") {
			n++
		}
	}
	return n
}

// TestDoConnectsAgain: a lost connection is made again, and what was done with it
// is done again; the slot is given back at the end.
func TestDoConnectsAgain(t *testing.T) {
	a, srv := account(t, hostile.Options{Script: hangsUp(2)})
	slots := semaphore.NewWeighted(1)
	s := New(a, slots, slog.New(slog.DiscardHandler))
	if err := s.Acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if other := New(a, slots, slog.New(slog.DiscardHandler)); other.TryAcquire() {
		t.Error("the only slot is taken twice")
	}
	calls := 0
	if err := s.Do(t.Context(), func(c *wire.Conn) error { calls++; return c.Noop(t.Context()) }); err != nil || calls != 3 {
		t.Errorf("%d calls, %v", calls, err)
	}
	s.Close(t.Context())
	if !slots.TryAcquire(1) {
		t.Error("the slot is not given back")
	}
	if logins(srv) != 3 || !slices.Contains(srv.Commands(), "LOGOUT") {
		t.Errorf("commands: %q", srv.Commands())
	}
}

// TestDoGivesUp: after MaxTries connections, unless something was achieved.
func TestDoGivesUp(t *testing.T) {
	a, _ := account(t, hostile.Options{Script: hangsUp(10)})
	a.Retry.MaxTries = 3
	s := New(a, nil, slog.New(slog.DiscardHandler))
	defer s.Close(t.Context())
	calls := 0
	err := s.Do(t.Context(), func(c *wire.Conn) error {
		if calls++; calls == 2 {
			s.ResetBackoff()
		}
		return c.Noop(t.Context())
	})
	if wire.Classify(err) != wire.ClassTransient || calls != 4 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

// TestDoEndsWhereEachAnswerIsTooLong: an answer that exceeds a limit on each connection is
// not asked for as often as a lost one.
func TestDoEndsWhereEachAnswerIsTooLong(t *testing.T) {
	a, srv := account(t, hostile.Options{Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name != "LIST" {
			return false
		}
		s.Send("* LIST () \"/\" ")
		s.Flood("{0}\r\n")
		return true
	}})
	s := New(a, nil, slog.New(slog.DiscardHandler))
	defer s.Close(t.Context())
	err := s.Do(t.Context(), func(c *wire.Conn) error { _, err := c.List(t.Context()); return err })
	if !errors.Is(err, wire.ErrLimit) || logins(srv) != maxBeyondLimit {
		t.Errorf("%d connections, %v", logins(srv), err)
	}
}

// TestDoEndsWithContext: with the cause of a context that ends.
func TestDoEndsWithContext(t *testing.T) {
	a, _ := account(t, hostile.Options{Script: hangsUp(10)})
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	s := New(a, nil, slog.New(slog.DiscardHandler))
	defer s.Close(t.Context())
	err := s.Do(ctx, func(c *wire.Conn) error {
		cancel(stopped)
		return c.Noop(ctx)
	})
	if err != stopped {
		t.Error(err)
	}
}

// TestStart: what Start began is used by Do, which has its error, a panic's too; Close
// cancels it.
func TestStart(t *testing.T) {
	panicked := func(p any) error { return fmt.Errorf("panic: %v", p) }
	t.Run("used once", func(t *testing.T) {
		a, srv := account(t, hostile.Options{})
		s := New(a, nil, slog.New(slog.DiscardHandler))
		s.Start(t.Context(), panicked)
		for range 2 {
			if err := s.Do(t.Context(), func(c *wire.Conn) error { return c.Noop(t.Context()) }); err != nil {
				t.Fatal(err)
			}
		}
		s.CloseNoWait(t.Context())
		if n := logins(srv); n != 1 {
			t.Errorf("%d logins", n)
		}
	})
	for name, auth := range map[string]func(context.Context) (wire.Auth, error){
		"no password": func(context.Context) (wire.Auth, error) { return wire.Auth{}, errors.New("no password") },
		"panic":       func(context.Context) (wire.Auth, error) { panic("no password") },
		"canceled":    func(ctx context.Context) (wire.Auth, error) { <-ctx.Done(); return wire.Auth{}, ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := account(t, hostile.Options{})
			calls := 0
			a.Auth = func(ctx context.Context) (wire.Auth, error) { calls++; return auth(ctx) }
			s := New(a, nil, slog.New(slog.DiscardHandler))
			s.Start(t.Context(), panicked)
			if name != "canceled" {
				err := s.Do(t.Context(), func(*wire.Conn) error { return nil })
				if err == nil || !strings.Contains(err.Error(), "no password") {
					t.Error(err)
				}
			}
			s.Close(t.Context())
			if calls != 1 || s.Conn() != nil {
				t.Errorf("%d connections, %v", calls, s.Conn())
			}
		})
	}
}

// TestPause: Wait ends when the longest extension is over, or with its context.
func TestPause(t *testing.T) {
	var p Pause
	if err := p.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	start := time.Now()
	p.Extend(20 * time.Millisecond)
	p.Extend(time.Nanosecond)
	if err := p.Wait(t.Context()); err != nil || time.Since(start) < 20*time.Millisecond {
		t.Errorf("waited %v, %v", time.Since(start), err)
	}
	p.Extend(time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

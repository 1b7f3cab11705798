package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/semaphore"

	"archiverd/internal/logkey"
	"archiverd/internal/wire"
)

// Session is a connection to an account that is made again as often as it is
// lost and the account's Retry allows. It belongs to one goroutine.
type Session struct {
	account *Account
	slots   *semaphore.Weighted // the process's connections; nil: unlimited
	log     *slog.Logger

	hasSlot bool
	conn    *wire.Conn // nil: not connected; while starting is set, Start's goroutine owns it
	backoff Backoff

	beyondLimit int // connections of Do in a row that ended because an answer exceeded a limit

	starting    chan error // gets the result of Start; nil: no one is waiting for it
	cancelStart context.CancelFunc
}

// New returns a session that is not connected. slots are the connections that
// all sessions of the process may have together; nil means any number. The
// caller calls Close.
func New(a *Account, slots *semaphore.Weighted, log *slog.Logger) *Session {
	return &Session{account: a, slots: slots, log: log}
}

// Acquire waits for one of the process's connections to be free. Close gives it
// back. It returns the error of ctx if that ends before.
func (s *Session) Acquire(ctx context.Context) error {
	if s.slots == nil || s.hasSlot {
		return nil
	}
	if err := s.slots.Acquire(ctx, 1); err != nil {
		return err
	}
	s.hasSlot = true
	return nil
}

// TryAcquire is Acquire without waiting: it reports whether one was free.
func (s *Session) TryAcquire() bool {
	if s.slots != nil && !s.hasSlot {
		s.hasSlot = s.slots.TryAcquire(1)
		return s.hasSlot
	}
	return true
}

// Start begins to connect in a goroutine of its own, so that the caller can do other
// work while the server answers. The next Connect or Do waits for it and has its error;
// Drop and Close cancel it. No other method may be called before one of these. A panic
// of the goroutine is handed to panicked, whose error is that of connecting. A session
// is started only while it is not connected.
func (s *Session) Start(ctx context.Context, panicked func(any) error) {
	ctx, s.cancelStart = context.WithCancel(ctx)
	starting := make(chan error, 1)
	s.starting = starting
	go func() {
		var err error
		defer func() {
			if p := recover(); p != nil {
				err = panicked(p)
			}
			starting <- err
		}()
		s.conn, err = s.account.Connect(ctx)
	}()
}

// awaitStart waits for what Start began, and returns its error.
func (s *Session) awaitStart() error {
	err := <-s.starting
	s.starting = nil
	return err
}

// Connect connects once, unless the session is connected.
func (s *Session) Connect(ctx context.Context) error {
	if s.starting != nil {
		return s.awaitStart()
	}
	if s.conn != nil {
		return nil
	}
	c, err := s.account.Connect(ctx)
	if err == nil {
		s.conn = c
	}
	return err
}

// Conn returns the connection, nil if the session is not connected.
func (s *Session) Conn() *wire.Conn { return s.conn }

// maxBeyondLimit is how many connections of Do may end in a row because the server's
// answer exceeds a limit.
const maxBeyondLimit = 3

// Do calls fn with the connection, which it makes if there is none. If either
// fails, it drops the connection, waits as the back-off says, and does both
// again. It returns the error that ends this, or the cause of ctx. An error that
// another connection would not help against ends it at once: fn keeps to itself
// what concerns one mailbox alone. fn may drop the connection. An answer that
// exceeds a limit on maxBeyondLimit connections in a row ends it too: it would come again.
func (s *Session) Do(ctx context.Context, fn func(*wire.Conn) error) error {
	for {
		err := s.Connect(ctx)
		if err == nil {
			err = fn(s.conn)
		}
		if err == nil {
			return nil
		}
		s.Drop()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.Is(err, wire.ErrLimit) {
			if s.beyondLimit++; s.beyondLimit >= maxBeyondLimit {
				return fmt.Errorf("giving up after %d connections with too long an answer: %w", s.beyondLimit, err)
			}
		}
		if err := s.Backoff(ctx, err); err != nil {
			return err
		}
	}
}

// Backoff counts a failure and waits before the next connection, as [Backoff.Next]
// says. It returns the error of Next, or the cause of ctx if that ends before.
func (s *Session) Backoff(ctx context.Context, cause error) error {
	wait, err := s.NextWait(cause)
	if err != nil {
		return err
	}
	return s.Wait(ctx, wait, cause)
}

// NextWait counts a failure and returns what [Backoff.Next] says.
func (s *Session) NextWait(cause error) (time.Duration, error) {
	return s.backoff.Next(s.account, cause)
}

// Wait logs that the next connection is made after a wait, and waits. It returns the
// cause of ctx if that ends before.
func (s *Session) Wait(ctx context.Context, wait time.Duration, cause error) error {
	s.log.Info("connecting again", logkey.Account, s.account.Name, "wait", wait.Round(time.Millisecond), logkey.Error, cause)
	return Sleep(ctx, wait)
}

// ResetBackoff forgets the failures so far: the connection has achieved something.
func (s *Session) ResetBackoff() {
	s.backoff.Reset()
	s.beyondLimit = 0
}

// Drop closes the connection without a command. The next Do makes another.
func (s *Session) Drop() {
	if s.starting != nil {
		s.cancelStart()
		_ = s.awaitStart() // it was canceled
	}
	if s.conn != nil {
		_ = s.conn.Close() // it has failed or was stopped; the reason is known already
		s.conn = nil
	}
}

// Close logs out, unless ctx is done, closes the connection and gives back what
// Acquire took.
func (s *Session) Close(ctx context.Context) { s.close(ctx, (*wire.Conn).Logout) }

// CloseNoWait is Close that does not wait for the server's answer to the logout.
func (s *Session) CloseNoWait(ctx context.Context) { s.close(ctx, (*wire.Conn).LogoutNoWait) }

func (s *Session) close(ctx context.Context, logout func(*wire.Conn, context.Context) error) {
	if s.starting == nil && s.conn != nil && ctx.Err() == nil {
		_ = logout(s.conn, ctx) // all has been done: its answer changes nothing
	}
	s.Drop()
	if s.hasSlot {
		s.slots.Release(1)
		s.hasSlot = false
	}
}

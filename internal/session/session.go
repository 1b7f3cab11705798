package session

import (
	"context"
	"log/slog"

	"golang.org/x/sync/semaphore"

	"archiverd/internal/wire"
)

// Session is a connection to an account that is made again as often as it is
// lost and the account's Retry allows. It belongs to one goroutine.
type Session struct {
	account *Account
	slots   *semaphore.Weighted // the process's connections; nil: unlimited
	log     *slog.Logger

	hasSlot bool
	conn    *wire.Conn // nil: not connected
	backoff Backoff
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

// Connect connects once, unless the session is connected.
func (s *Session) Connect(ctx context.Context) error {
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

// Do calls fn with the connection, which it makes if there is none. If either
// fails, it drops the connection, waits as the back-off says, and does both
// again. It returns the error that ends this, or the cause of ctx. An error that
// another connection would not help against ends it at once: fn keeps to itself
// what concerns one mailbox alone. fn may drop the connection.
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
		if err := s.backoff.Wait(ctx, s.account, s.log, err); err != nil {
			return err
		}
	}
}

// ResetBackoff forgets the failures so far: the connection has achieved something.
func (s *Session) ResetBackoff() { s.backoff.Reset() }

// Drop closes the connection without a command. The next Do makes another.
func (s *Session) Drop() {
	if s.conn != nil {
		_ = s.conn.Close() // it has failed or was stopped; the reason is known already
		s.conn = nil
	}
}

// Close logs out, unless ctx is done, closes the connection and gives back what
// Acquire took.
func (s *Session) Close(ctx context.Context) {
	if s.conn != nil && ctx.Err() == nil {
		_ = s.conn.Logout(ctx) // all has been done: its answer changes nothing
	}
	s.Drop()
	if s.hasSlot {
		s.slots.Release(1)
		s.hasSlot = false
	}
}

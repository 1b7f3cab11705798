package session

import (
	"errors"
	"net"
	"testing"
	"time"

	"archiverd/internal/wire"
)

// TestBackoffNext: how long is waited after each failure, and which ends it.
func TestBackoffNext(t *testing.T) {
	a := &Account{Retry: Retry{MaxTries: 5, FirstWait: time.Second, MaxWait: 5 * time.Second}}
	lost := &wire.Error{Class: wire.ClassTransient, Err: errors.New("lost")}
	var b Backoff
	for i, want := range []time.Duration{1, 2, 4, 5} {
		want *= time.Second
		if wait, err := b.Next(a, lost); err != nil || wait < want/2 || wait > want+want/2 {
			t.Errorf("after %d failures: %v, %v, want about %v", i+1, wait, err, want)
		}
	}
	if _, err := b.Next(a, lost); !errors.Is(err, lost) || err.Error() != "giving up after 5 connections without success: "+lost.Error() {
		t.Errorf("after the last: %v", err)
	}
	b.Reset()
	if _, err := b.Next(a, lost); err != nil {
		t.Errorf("after Reset: %v", err)
	}
}

// TestBackoffStated: a time that the server states counts, if it is short enough
// to wait for.
func TestBackoffStated(t *testing.T) {
	a := &Account{}
	throttled := func(wait time.Duration) error {
		return &wire.Error{Class: wire.ClassThrottled, Retry: wait, Err: errors.New("slowly")}
	}
	var b Backoff
	if wait, err := b.Next(a, throttled(7*time.Minute)); err != nil || wait != 7*time.Minute {
		t.Errorf("%v, %v", wait, err)
	}
	var longer *BackoffError
	if _, err := b.Next(a, throttled(time.Hour)); !errors.As(err, &longer) || longer.Wait != time.Hour {
		t.Errorf("an hour: %v", err)
	}
	b = Backoff{}
	for range maxThrottled - 1 {
		if _, err := b.Next(a, throttled(0)); err != nil {
			t.Errorf("no time: %v", err)
		}
	}
	if _, err := b.Next(a, throttled(0)); !errors.As(err, &longer) || longer.Wait != 30*time.Minute {
		t.Errorf("no time, for the third time: %v", err)
	}
	if err := a.Retry.CheckStated(10*time.Minute, throttled(0)); err != nil {
		t.Error(err)
	}
	if err := a.Retry.CheckStated(11*time.Minute, throttled(0)); !errors.As(err, &longer) || longer.Wait != 11*time.Minute {
		t.Error(err)
	}
}

// TestBackoffHopeless: what another connection does not help against is returned
// as it is.
func TestBackoffHopeless(t *testing.T) {
	for _, cause := range []error{
		&wire.Error{Class: wire.ClassLogin, Err: errors.New("no")},
		&wire.Error{Class: wire.ClassTLS, Err: errors.New("no")},
		&wire.Error{Class: wire.ClassMailbox, Err: errors.New("no")},
		&wire.Error{Class: wire.ClassTransient, Err: &net.DNSError{IsNotFound: true}},
		errors.New("no error of wire"),
	} {
		var b Backoff
		if _, err := b.Next(&Account{}, cause); err != cause {
			t.Errorf("%v became %v", cause, err)
		}
	}
}

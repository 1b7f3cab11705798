package commit_test

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/internal/commit"
	"archiverd/internal/uid"
	"archiverd/state"
)

func TestIsFull(t *testing.T) {
	a := newTestArchive(t)
	m := a.mailbox("INBOX")
	for _, test := range []struct {
		name   string
		events int
		octets int64
		age    time.Duration
		want   bool
	}{
		{"empty", 0, 0, 0, false},
		{"one event less", commit.MaxMessages - 1, 0, 0, false},
		{"events", commit.MaxMessages, 0, 0, true},
		{"octets", 0, commit.MaxOctets, 0, true},
		{"a moment younger", 1, 0, commit.MaxAge - 1, false},
		{"age", 1, 0, commit.MaxAge, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, err := m.Batch()
			if err != nil {
				t.Fatal(err)
			}
			for range test.events {
				b.Record(archive.Event{Kind: archive.Gone, UIDs: uid.Of(1)})
			}
			if test.octets > 0 {
				if err := b.Add(1, archive.Event{UID: 1}, test.octets, io.LimitReader(zeros{}, test.octets)); err != nil {
					t.Fatal(err)
				}
			}
			if got := commit.IsFull(b, b.Started().Add(test.age)); got != test.want {
				t.Errorf("full: %v, want %v", got, test.want)
			}
			if err := b.Discard(); err != nil {
				t.Error(err)
			}
		})
	}
}

// zeros reads as zeros without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestIsDiskError(t *testing.T) {
	for _, err := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO, archive.ErrNoSpace, state.ErrDamaged} {
		if !commit.IsDiskError(fmt.Errorf("commit: %w", err)) {
			t.Errorf("%v is not a disk error", err)
		}
	}
	for _, err := range []error{nil, errors.New("server closed the connection"), archive.ErrBroken, archive.ErrWrite, syscall.EACCES} {
		if commit.IsDiskError(err) {
			t.Errorf("%v is a disk error", err)
		}
	}
}

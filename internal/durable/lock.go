package durable

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// TryLock takes the exclusive lock (flock(2)) of an open file or directory. The
// error is ErrLocked when another descriptor has it. Any other error means that
// the file system can't lock; the caller decides whether to go on without.
//
// The lock ends when f and its duplicates are closed, at the latest with the
// process: no lock survives a crash.
func TryLock(f *os.File) error {
	err := flock(f, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}

// Lock is TryLock, but waits until the lock is free.
func Lock(f *os.File) error { return flock(f, unix.LOCK_EX) }

func flock(f *os.File, operation int) error {
	return retryEINTR(func() error { return unix.Flock(int(f.Fd()), operation) })
}

// retryEINTR repeats a system call that a signal interrupted.
func retryEINTR(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

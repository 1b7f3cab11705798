package durable

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
)

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "lock")
	write(t, file, "")
	for name, path := range map[string]string{"file": file, "directory": dir} {
		t.Run(name, func(t *testing.T) {
			first, second := open(t, path), open(t, path)
			if err := TryLock(first); err != nil {
				t.Fatal(err)
			}
			if err := TryLock(second); !errors.Is(err, ErrLocked) {
				t.Fatalf("the second lock: %v, want ErrLocked", err)
			}

			var released atomic.Bool
			locked := make(chan error)
			go func() {
				err := Lock(second)
				if err == nil && !released.Load() {
					err = errors.New("it did not wait for the first")
				}
				locked <- err
			}()
			released.Store(true)
			first.Close()
			if err := <-locked; err != nil {
				t.Error(err)
			}
			if err := TryLock(open(t, path)); !errors.Is(err, ErrLocked) {
				t.Errorf("a third lock: %v, want ErrLocked", err)
			}
		})
	}
}

// Only ErrLocked says that somebody has the lock: other errors are the caller's
// to judge.
func TestLockOfClosedFile(t *testing.T) {
	f := open(t, t.TempDir())
	f.Close()
	if err := TryLock(f); err == nil || errors.Is(err, ErrLocked) {
		t.Errorf("the error is %v", err)
	}
}

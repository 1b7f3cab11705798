package drill

import (
	"os"
	"runtime"
	"testing"
	"time"

	"archiverd/internal/testing/process"
)

// noLeak fails the test if goroutines are left when all else is cleaned up.
func noLeak(t testing.TB) {
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		for end := time.Now().Add(time.Minute); runtime.NumGoroutine() > before; runtime.Gosched() {
			if time.Now().After(end) {
				stacks := make([]byte, 1<<20)
				t.Errorf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
				return
			}
		}
	})
}

// inMemory returns a new directory in memory, if there is room: durability is not
// tested here, and it costs time.
func inMemory(t testing.TB) string {
	t.Helper()
	dir, err := process.Scratch("archiverd-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

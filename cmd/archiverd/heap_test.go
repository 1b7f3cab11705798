package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

// Garbage may be 12 MiB, or half of what lives; an account of a million messages
// holds some 20 MiB.
func TestHeapPercent(t *testing.T) {
	for live, want := range map[uint64]int{0: 300, 1 << 20: 300, 4 << 20: 300, 6 << 20: 200, 20 << 20: 60, 24 << 20: 50, 1 << 40: 50} {
		if got := heapPercent(live); got != want {
			t.Errorf("with %d octets alive %d per cent, want %d", live, got, want)
		}
	}
}

// What lives is followed.
func TestHeapIsPaced(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	t.Setenv("GOGC", "")
	paceHeap()
	held := make([]byte, 64<<20)
	s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	for end := time.Now().Add(patience); s[0].Value.Kind() == metrics.KindBad || s[0].Value.Uint64() != minHeapPercent; metrics.Read(s) {
		if time.Now().After(end) {
			t.Fatalf("%d per cent, want %d", s[0].Value.Uint64(), minHeapPercent)
		}
		runtime.GC()
	}
	runtime.KeepAlive(held)
}

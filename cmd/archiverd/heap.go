package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Garbage is collected when it takes maxGarbage octets, or half as much as the live heap,
// whichever is more. With the runtime's own rule, a share of the live heap, a small run
// would collect every few milliseconds, and an account of a million messages would need
// twice the memory.
const (
	maxGarbage     = 12 << 20
	minHeapPercent = 50  // GOGC: garbage in per cent of the live heap
	maxHeapPercent = 300 // of the smallest heap that GOGC counts, 4 MiB: maxGarbage
)

// paceHeap sets this pace, unless the environment sets GOGC.
func paceHeap() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(maxHeapPercent)
	runtime.SetFinalizer(&heapPacer{sample: []metrics.Sample{{Name: "/gc/heap/live:bytes"}}}, (*heapPacer).adjust)
}

// heapPacer is never reachable: its finalizer runs after each collection, and adjusts the
// pace to the live heap.
type heapPacer struct {
	sample  []metrics.Sample
	percent int // that is set; 0: none yet
}

func (p *heapPacer) adjust() {
	metrics.Read(p.sample)
	if percent := heapPercent(p.sample[0].Value.Uint64()); percent != p.percent {
		p.percent = percent
		debug.SetGCPercent(percent)
	}
	runtime.SetFinalizer(p, (*heapPacer).adjust)
}

// heapPercent is the GOGC for a live heap of so many octets.
func heapPercent(live uint64) int {
	return int(min(maxHeapPercent, max(minHeapPercent, 100*maxGarbage/max(live, 1))))
}

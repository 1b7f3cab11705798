package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// The garbage that may gather before it is collected: as much as heapRoom octets,
// or half of what lives, whichever is more. The runtime's own rule, a share of what
// lives, has a small run collect every few milliseconds, and takes twice the memory
// that an account of a million messages needs.
const (
	heapRoom  = 12 << 20
	heapLeast = 50  // per cent of what lives
	heapMost  = 300 // of at least 4 MiB, which makes heapRoom
)

// paceHeap has the garbage collected so, unless the environment sets GOGC.
func paceHeap() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(heapMost)
	runtime.SetFinalizer(&heapPacer{sample: []metrics.Sample{{Name: "/gc/heap/live:bytes"}}}, (*heapPacer).collected)
}

// heapPacer is garbage from the first: its finalizer runs after each collection.
type heapPacer struct {
	sample  []metrics.Sample
	percent int
}

func (p *heapPacer) collected() {
	metrics.Read(p.sample)
	if percent := heapPercent(p.sample[0].Value.Uint64()); percent != p.percent {
		p.percent = percent
		debug.SetGCPercent(percent)
	}
	runtime.SetFinalizer(p, (*heapPacer).collected)
}

// heapPercent is the per cent of the live octets that garbage may have.
func heapPercent(live uint64) int {
	return int(min(heapMost, max(heapLeast, 100*heapRoom/max(live, 1))))
}

// Package progress holds how far a running job is and how long the rest may take. A
// Meter is the Progress of one job, which several goroutines change and read. Package
// quota computes the Estimate; this package puts it into words.
package progress

import (
	"sync"
	"time"
)

// Progress is the state of a run at one moment.
type Progress struct {
	Account   string `json:"account"`
	Stage     string `json:"stage"`     // "waiting", "connecting", "listing", "fetching", "done"
	Mailbox   string `json:"mailbox"`   // one of the mailboxes that are being worked on
	Mailboxes int    `json:"mailboxes"` // mailboxes with changes
	Finished  int    `json:"finished"`  // of those, mailboxes that are done
	Messages  int    `json:"messages"`  // messages found missing so far
	Received  int    `json:"received"`  // messages of Messages that were received
	Octets    int64  `json:"octets"`    // octets of bodies received

	DailyLimit int64     `json:"daily_limit,omitempty"` // octets in any 24 hours; 0: no limit
	Estimate   *Estimate `json:"estimate,omitempty"`    // nil: not known yet, or nothing is missing

	firstAt     time.Time // when the first body was received; zero: none was
	firstOctets int64     // Octets at firstAt
}

// AddReceived counts a received message. octets is the size of its body, 0 if the body
// was not downloaded.
func (p *Progress) AddReceived(octets int64, now time.Time) {
	p.Received++
	p.Octets += octets
	if p.firstAt.IsZero() {
		p.firstAt, p.firstOctets = now, p.Octets
	}
}

// minMeasured is how long a run must receive before its speed is measured.
const minMeasured = 3 * time.Second

// Speed returns the octets per second since the first body. ok is false if the run is
// done, or has not received for minMeasured.
func (p *Progress) Speed(now time.Time) (octets int64, ok bool) {
	if p.firstAt.IsZero() || p.Stage == "done" || p.Octets == p.firstOctets {
		return 0, false
	}
	elapsed := now.Sub(p.firstAt)
	if elapsed < minMeasured {
		return 0, false
	}
	return int64(float64(p.Octets-p.firstOctets) / elapsed.Seconds()), true
}

// Meter is a Progress that several goroutines change. The zero Meter is ready
// for use.
type Meter struct {
	mu       sync.Mutex
	progress Progress // under mu
}

// Change calls fn with the progress, under the meter's lock. fn must not block.
func (m *Meter) Change(fn func(*Progress)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fn(&m.progress)
}

// Read returns a copy of the progress.
func (m *Meter) Read() Progress {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.progress
}

package sync

import (
	gosync "sync"
	"time"
)

// Progress is how far a run has come.
type Progress struct {
	Account   string `json:"account"`
	Stage     string `json:"stage"`     // "waiting", "connecting", "listing", "fetching", "done"
	Mailbox   string `json:"mailbox"`   // one that is being worked on
	Mailboxes int    `json:"mailboxes"` // that have changed
	Finished  int    `json:"finished"`  // of those, that are done
	Messages  int    `json:"messages"`  // that are known to be missing so far
	Received  int    `json:"received"`  // of those, received
	Octets    int64  `json:"octets"`    // of bodies received

	DailyLimit int64     `json:"daily_limit,omitempty"` // octets in any 24 hours; 0: none
	Estimate   *Estimate `json:"estimate,omitempty"`    // nil: nothing is known yet, or nothing is left

	began time.Time // when the first body was received
	first int64     // its octets
}

// meter is a Progress that several goroutines change.
type meter struct {
	mu gosync.Mutex
	p  Progress
}

func (m *meter) change(fn func(*Progress)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fn(&m.p)
}

func (m *meter) read() Progress {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.p
}

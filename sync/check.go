package sync

import (
	"time"

	"archiverd/archive"
	"archiverd/internal/uid"
)

// Check is what came of asking an account's server again what it has, and
// comparing that with the journals: by UID, mailbox by mailbox. It says nothing
// of octets, which are Verify's business.
type Check struct {
	Account   string        `json:"account"`
	Started   time.Time     `json:"started"`
	Elapsed   time.Duration `json:"elapsed_ns"`
	Mailboxes []Balance     `json:"mailboxes,omitempty"`
	Sum       Counts        `json:"sum"`
	Notes     []string      `json:"notes,omitempty"` // safe to print
	Error     string        `json:"error,omitempty"` // why not every mailbox was looked at
}

// OK says that every mailbox was looked at and balances.
func (c *Check) OK() bool {
	for i := range c.Mailboxes {
		if !c.Mailboxes[i].OK() {
			return false
		}
	}
	return c.Error == ""
}

// Balance accounts for what the server lists of one mailbox. Its sets but for
// Vanished are disjoint, and together are all that the server lists.
type Balance struct {
	Mailbox string `json:"mailbox"`
	Counts
	UIDs     Sets              `json:"uids"`
	Failures map[uint32]string `json:"failures,omitempty"` // why, by UID, the first few

	UIDValidity uint32 `json:"uidvalidity,omitempty"` // the server's
	Rule        string `json:"rule,omitempty"`        // of the configuration, that leaves the mailbox or messages out
	Skipped     string `json:"skipped,omitempty"`     // why the server has nothing to select under this name
	Gone        bool   `json:"gone,omitempty"`        // the server no longer lists the mailbox
	New         bool   `json:"new,omitempty"`         // the archive has nothing of the mailbox
	Error       string `json:"error,omitempty"`       // why nothing is proven of it, or not all
	// Above is how many of the missing are above all UIDs that the journal
	// names, where the last run is not known: they may have come since.
	Above int `json:"above,omitempty"`
}

// Counts are the sizes of Sets. In sum with Vanished apart they are Server.
type Counts struct {
	Server   int `json:"server"`
	Archived int `json:"archived"`
	Failed   int `json:"failed"`
	Excluded int `json:"excluded"`
	Arrived  int `json:"arrived"`
	Returned int `json:"returned"`
	Missing  int `json:"missing"`
	Vanished int `json:"vanished"`
}

// Sets sort the UIDs of a mailbox by what the archive has of them.
type Sets struct {
	Archived uid.Set `json:"archived"` // at the server, and in the archive as such
	Failed   uid.Set `json:"failed"`   // could not be archived; the journal has the reason
	Excluded uid.Set `json:"excluded"` // the configuration leaves them out
	Arrived  uid.Set `json:"arrived"`  // not archived, and come since the last run
	Returned uid.Set `json:"returned"` // archived and recorded as gone, and listed again
	Missing  uid.Set `json:"missing"`  // not archived, and it can't be said that they came since the last run
	Vanished uid.Set `json:"vanished"` // in the archive as listed, and not listed any more
}

// OK says that nothing of the mailbox is failed or missing, and that nothing
// kept it from being looked at. What changed since the last run is no fault.
func (b *Balance) OK() bool { return b.Error == "" && b.Failed == 0 && b.Missing == 0 }

// Add adds the counts of d to c.
func (c *Counts) Add(d Counts) {
	c.Server += d.Server
	c.Archived += d.Archived
	c.Failed += d.Failed
	c.Excluded += d.Excluded
	c.Arrived += d.Arrived
	c.Returned += d.Returned
	c.Missing += d.Missing
	c.Vanished += d.Vanished
}

// sortUIDs sorts what a server lists, within one UIDVALIDITY. late are messages that
// were archived after the server was asked, excluded those that the configuration
// leaves out. next is the UIDNEXT at the end of the last run, 0 if it is not known:
// then no message is sorted as arrived since.
func sortUIDs(v *archive.ViewSets, late, server, excluded uid.Set, next uint32) Sets {
	left := server
	take := func(of uid.Set) uid.Set {
		rest := left.Subtract(of)
		got := left.Subtract(rest)
		left = rest
		return got
	}
	s := Sets{Archived: take(v.Listed), Returned: take(v.Gone), Excluded: take(excluded), Failed: take(v.FailedUIDs())}
	if next > 0 {
		var since uid.Set
		since.AddRange(next, 1<<32-1)
		s.Arrived = take(since)
	}
	s.Missing = left
	s.Vanished = v.Listed.Subtract(server).Subtract(late)
	return s
}

// fill takes over the sets and their sizes.
func (b *Balance) fill(s Sets) {
	b.UIDs = s
	b.Counts = Counts{
		Archived: s.Archived.Len(), Failed: s.Failed.Len(), Excluded: s.Excluded.Len(), Arrived: s.Arrived.Len(),
		Returned: s.Returned.Len(), Missing: s.Missing.Len(), Vanished: s.Vanished.Len(),
	}
	b.Server = b.Archived + b.Failed + b.Excluded + b.Arrived + b.Returned + b.Missing
}

package check

import (
	"time"

	"archiverd/archive"
	"archiverd/internal/uid"
)

// Report is the result of a check of an account.
type Report struct {
	Account   string        `json:"account"`
	Started   time.Time     `json:"started"`
	Elapsed   time.Duration `json:"elapsed_ns"`
	Mailboxes []Balance     `json:"mailboxes,omitempty"`
	Sum       Counts        `json:"sum"`
	Notes     []string      `json:"notes,omitempty"` // safe to print
	Error     string        `json:"error,omitempty"` // why not every mailbox was checked
}

// OK reports whether every mailbox was checked and balances.
func (r *Report) OK() bool {
	for i := range r.Mailboxes {
		if !r.Mailboxes[i].OK() {
			return false
		}
	}
	return r.Error == ""
}

// Balance accounts for what the server lists of one mailbox.
type Balance struct {
	Mailbox string `json:"mailbox"`
	Counts
	UIDs     Sets              `json:"uids"`
	Failures map[uint32]string `json:"failures,omitempty"` // the reason by UID, of the first maxFailures

	UIDValidity uint32 `json:"uidvalidity,omitempty"` // the server's
	Rule        string `json:"rule,omitempty"`        // of the configuration, that excludes the mailbox or messages
	Skipped     string `json:"skipped,omitempty"`     // why the mailbox can't be opened
	Gone        bool   `json:"gone,omitempty"`        // the server no longer lists the mailbox
	New         bool   `json:"new,omitempty"`         // the archive has nothing of the mailbox
	Error       string `json:"error,omitempty"`       // why nothing is proven of the mailbox, or not everything
	// MaybeNew is how many of the missing have a UID above all UIDs of the journal.
	// They may have arrived since the last run. It is 0 if the last run is known.
	MaybeNew int `json:"above,omitempty"`
}

// Counts are the sizes of Sets. All but Vanished add up to Server.
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

// Sets are the UIDs of a mailbox by what the archive has of them. All but
// Vanished are disjoint, and together they are what the server lists.
type Sets struct {
	Archived uid.Set `json:"archived"` // in the archive as listed
	Failed   uid.Set `json:"failed"`   // could not be archived; the journal has the reason
	Excluded uid.Set `json:"excluded"` // the configuration excludes them
	Arrived  uid.Set `json:"arrived"`  // not archived, arrived since the last run
	Returned uid.Set `json:"returned"` // archived and recorded as gone, and listed again
	Missing  uid.Set `json:"missing"`  // not archived, and not known to have arrived since the last run
	Vanished uid.Set `json:"vanished"` // in the archive as listed, and no longer listed
}

// OK reports whether no message of the mailbox is failed or missing, and no error
// kept it from being checked. What has changed since the last run is no fault.
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

// classify sorts what a server lists, within one UIDVALIDITY. late are messages
// that were archived after the server was asked, excluded those that the
// configuration excludes. next is the UIDNEXT at the end of the last run; 0 means
// that it is not known, and no message is taken for arrived since.
func classify(v *archive.ViewSets, late, server, excluded uid.Set, next uint32) Sets {
	rest := server
	take := func(of uid.Set) uid.Set {
		got := rest.Intersect(of)
		rest = rest.Subtract(of)
		return got
	}
	s := Sets{Archived: take(v.Listed), Returned: take(v.Gone), Excluded: take(excluded), Failed: take(v.FailedUIDs())}
	if next > 0 {
		s.Arrived = take(uid.Above(next - 1))
	}
	s.Missing = rest
	s.Vanished = v.Listed.Subtract(server).Subtract(late)
	return s
}

// setUIDs sets the sets and their sizes.
func (b *Balance) setUIDs(s Sets) {
	b.UIDs = s
	b.Counts = Counts{
		Archived: s.Archived.Len(), Failed: s.Failed.Len(), Excluded: s.Excluded.Len(), Arrived: s.Arrived.Len(),
		Returned: s.Returned.Len(), Missing: s.Missing.Len(), Vanished: s.Vanished.Len(),
	}
	b.Server = b.Archived + b.Failed + b.Excluded + b.Arrived + b.Returned + b.Missing
}

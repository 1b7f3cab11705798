package restore

import (
	"context"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sync/semaphore"

	"archiverd/internal/progress"
	"archiverd/internal/session"
)

// Mapping gives a mailbox, and those below it, another name.
type Mapping struct {
	Old string // as the archive has it
	New string // levels separated by the target's delimiter, or by "/"
}

// Restore puts messages back to an IMAP server. It appends what is not there
// and nothing else: nothing on the server is deleted, nothing in the archive is
// written. What is there is found out from the server each time, so a restore
// that was broken off is simply begun again. Its fields are set before Plan.
type Job struct {
	Account session.Account // where to
	Sources []Source
	// Open opens an item's octets.
	Open func(id string) (*os.File, error)
	Into string    // mailbox below which all others go, "" for none; written as Mapping.New
	Map  []Mapping // the longest that fits counts
	// FlagsOnly puts flags back on messages that are there, and appends nothing.
	FlagsOnly bool
	// MatchFields takes a message for there also where the server has changed
	// its octets but Message-ID, Date, From and Subject are the same.
	MatchFields bool
	Slots       *semaphore.Weighted // as of a Job
	Log         *slog.Logger

	meter progress.Meter
	sleep func(context.Context, time.Duration) error // nil: the real clock
}

// Plan says what a restore would do.
type Plan struct {
	Account   string           `json:"account"`
	Server    string           `json:"server"`
	Username  string           `json:"username"`
	Mailboxes []PlannedMailbox `json:"mailboxes"`
	Sum       PlannedMailbox   `json:"sum"` // its numbers added up
	// Free is the octets that the server's quota leaves, -1 where it tells none.
	Free    int64    `json:"free"`
	Notices []string `json:"notices,omitempty"` // about the server, for people
}

// PlannedMailbox is what a restore would do with one mailbox: Selected =
// Present + Missing + TooBig.
type PlannedMailbox struct {
	Account  string `json:"account,omitempty"` // of the archive
	From     string `json:"from,omitempty"`    // the mailbox's name in the archive
	To       string `json:"to,omitempty"`      // and at the server
	Create   bool   `json:"create,omitempty"`
	Selected int    `json:"selected"`          // messages of the archive
	Present  int    `json:"present"`           // of those, at the server already
	Altered  int    `json:"altered,omitempty"` // of those present, in another form, as the server has made it
	Missing  int    `json:"missing"`           // to be appended; with FlagsOnly nothing is
	TooBig   int    `json:"too_big,omitempty"`
	Flags    int    `json:"flags,omitempty"` // with FlagsOnly: present ones whose flags differ
	Octets   int64  `json:"octets"`          // of those to be appended
	Error    string `json:"error,omitempty"`
}

// Result is what became of a restore.
type Result struct {
	Account   string          `json:"account"`
	Started   time.Time       `json:"started"`
	Ended     time.Time       `json:"ended"`
	Mailboxes []MailboxResult `json:"mailboxes"`
	Sum       MailboxResult   `json:"sum"` // its numbers added up
	Notices   []string        `json:"notices,omitempty"`
	Error     string          `json:"error,omitempty"` // why the restore as a whole broke off
}

// MailboxResult is what became of one mailbox: Selected = Present + Appended +
// Refused + Left + Absent.
type MailboxResult struct {
	Account  string    `json:"account,omitempty"`
	From     string    `json:"from,omitempty"`
	To       string    `json:"to,omitempty"`
	Created  bool      `json:"created,omitempty"`
	Selected int       `json:"selected"`
	Present  int       `json:"present"`             // were at the server already
	Altered  int       `json:"altered,omitempty"`   // of those, in another form, as the server has made it
	Appended int       `json:"appended"`            // and seen there afterwards
	Refused  int       `json:"refused"`             // by the server, or damaged in the archive
	Unsent   int       `json:"left"`                // not come to, or not known to have arrived
	NotFound int       `json:"absent,omitempty"`    // with FlagsOnly: not at the server
	Changed  int       `json:"changed"`             // appended, but the server has other octets, flags or date
	Flags    int       `json:"flags_set,omitempty"` // with FlagsOnly
	Octets   int64     `json:"octets"`              // appended
	Problems []Problem `json:"trouble,omitempty"`   // what was refused or changed, the first thousand
	Notices  []string  `json:"notices,omitempty"`
	Error    string    `json:"error,omitempty"`
}

// Problem is what is to be said of one message.
type Problem struct {
	ID      string `json:"id"`
	Reason  string `json:"reason"`
	Changed bool   `json:"changed,omitempty"` // it is there, but not as it was
}

package restore

import (
	"cmp"
	"time"
)

// Plan says what a Run would do.
type Plan struct {
	Account   string           `json:"account"`
	Server    string           `json:"server"`
	Username  string           `json:"username"`
	Mailboxes []PlannedMailbox `json:"mailboxes"`
	Sum       PlannedMailbox   `json:"sum"` // its numbers added up
	// Free is how many octets the server's quota leaves; -1 if it is not known.
	Free    int64    `json:"free"`
	Notices []string `json:"notices,omitempty"` // about the server, for people
}

// PlannedMailbox is what a Run would do with one mailbox. Selected is Present +
// Missing + TooBig.
type PlannedMailbox struct {
	Account  string `json:"account,omitempty"` // of the archive
	From     string `json:"from,omitempty"`    // the mailbox's name in the archive
	To       string `json:"to,omitempty"`      // and at the server
	Create   bool   `json:"create,omitempty"`
	Selected int    `json:"selected"`          // messages of the archive
	Present  int    `json:"present"`           // messages that the server has already
	Altered  int    `json:"altered,omitempty"` // messages of Present that the server has in a changed form
	Missing  int    `json:"missing"`           // would be appended, unless FlagsOnly is set
	TooBig   int    `json:"too_big,omitempty"`
	Flags    int    `json:"flags,omitempty"` // with FlagsOnly: present, with other flags
	Octets   int64  `json:"octets"`          // of the messages that would be appended
	Error    string `json:"error,omitempty"`
}

// Result is the outcome of a Run.
type Result struct {
	Account   string          `json:"account"`
	Started   time.Time       `json:"started"`
	Ended     time.Time       `json:"ended"`
	Mailboxes []MailboxResult `json:"mailboxes"`
	Sum       MailboxResult   `json:"sum"` // its numbers added up
	Notices   []string        `json:"notices,omitempty"`
	Error     string          `json:"error,omitempty"` // why the run as a whole ended early
}

// MailboxResult is the outcome for one mailbox. Selected is Present + Appended +
// Refused + Unsent + NotFound.
type MailboxResult struct {
	Account  string    `json:"account,omitempty"`
	From     string    `json:"from,omitempty"`
	To       string    `json:"to,omitempty"`
	Created  bool      `json:"created,omitempty"`
	Selected int       `json:"selected"`
	Present  int       `json:"present"`             // at the server already
	Altered  int       `json:"altered,omitempty"`   // messages of Present that the server has in a changed form
	Appended int       `json:"appended"`            // and found there afterwards
	Refused  int       `json:"refused"`             // by the server, or damaged in the archive
	Unsent   int       `json:"left"`                // not sent, or not known to have arrived
	NotFound int       `json:"absent,omitempty"`    // with FlagsOnly: not at the server
	Changed  int       `json:"changed"`             // messages of Appended that the server has with other octets, flags or date
	Flags    int       `json:"flags_set,omitempty"` // with FlagsOnly: whose flags were set
	Octets   int64     `json:"octets"`              // appended
	Problems []Problem `json:"trouble,omitempty"`   // refused or changed messages, the first maxProblems
	Notices  []string  `json:"notices,omitempty"`
	Error    string    `json:"error,omitempty"`
}

// Problem is a message that was not restored, or not unchanged.
type Problem struct {
	ID      string `json:"id"`
	Reason  string `json:"reason"`
	Changed bool   `json:"changed,omitempty"` // it is at the server, but not as it was
}

// OK reports whether everything that was selected is at the server. A message
// that the server has in another form than the archive is no failure.
func (r *Result) OK() bool {
	return r.Error == "" && r.Sum.Error == "" && r.Sum.Refused == 0 && r.Sum.Unsent == 0
}

// add adds the numbers of another mailbox.
func (p *PlannedMailbox) add(o PlannedMailbox) {
	p.Selected += o.Selected
	p.Present += o.Present
	p.Altered += o.Altered
	p.Missing += o.Missing
	p.TooBig += o.TooBig
	p.Flags += o.Flags
	p.Octets += o.Octets
}

// add adds the numbers of another mailbox.
func (m *MailboxResult) add(o MailboxResult) {
	m.Selected += o.Selected
	m.Present += o.Present
	m.Altered += o.Altered
	m.Appended += o.Appended
	m.Refused += o.Refused
	m.Unsent += o.Unsent
	m.NotFound += o.NotFound
	m.Changed += o.Changed
	m.Flags += o.Flags
	m.Octets += o.Octets
	m.Error = cmp.Or(m.Error, o.Error)
}

// text returns the text of an error, "" for none.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

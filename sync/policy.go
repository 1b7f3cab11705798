package sync

import (
	"fmt"
	"time"

	"archiverd/state"
)

// Policy is what the configuration says about an account's mail: what is
// archived, and how. Its zero value archives everything.
type Policy struct {
	// Select reports whether a mailbox is archived, and if not, which rule of the
	// configuration excludes it. nil selects every mailbox.
	Select func(name, delimiter string, attrs []string) (ok bool, rule string)
	// MaxMessage is the largest message that is archived, in octets; 0 means any size.
	MaxMessage int64
	Matching   Matching
	// Reopen is how often a mailbox that looks unchanged is opened all the same, and the
	// flags of all its messages compared. 0: once a day; negative: never.
	Reopen time.Duration
}

// isDue reports whether a mailbox is to be opened, and all flags compared, whatever its
// counters say.
func (p *Policy) isDue(c state.Cursor, now time.Time) bool {
	every := p.Reopen
	if every == 0 {
		every = 24 * time.Hour
	}
	since := now.Sub(c.Compared)
	return every > 0 && (since >= every || since < 0) // after a clock was set back, too
}

// isDue is Policy.isDue of a mailbox now.
func (j *Job) isDue(recorded *state.Mailbox) bool { return j.Policy.isDue(recorded.Cursor, j.Now()) }

// isOriginOf reports whether the job logs in where, and as whom, a mailbox was archived.
func (j *Job) isOriginOf(recorded *state.Mailbox) bool {
	server, user := j.Account.Origin()
	wasServer, wasUser := recorded.Origin()
	return wasServer == server && wasUser == user
}

// Selects calls Select. Without it every mailbox is selected.
func (p *Policy) Selects(name, delimiter string, attrs []string) (ok bool, rule string) {
	if p.Select == nil {
		return true, ""
	}
	return p.Select(name, delimiter, attrs)
}

// Matching is what becomes of messages that the archive seems to have already.
type Matching struct {
	Off bool // they are downloaded like all others
	// Check is the share of them, 0 to 1, by number and octets, that is downloaded
	// all the same and compared. 0: 1 in 200; negative: none but the first of each
	// epoch.
	Check float64
}

// share returns the share of the matches to verify, 0 to 1.
func (m Matching) share() float64 {
	if m.Check == 0 {
		return 1.0 / 200
	}
	return max(0, min(m.Check, 1))
}

// LimitRule names the rule that excludes messages of more than limit octets, for
// a ledger with so many excluded messages; "" if there is none.
func LimitRule(excluded int, limit int64) string {
	if excluded == 0 {
		return ""
	}
	return fmt.Sprintf("larger than limits.largest_message, %d octets", limit)
}

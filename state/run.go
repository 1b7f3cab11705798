package state

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// Run is the result of one run of an account: which messages the server has, and what the
// run did with them.
type Run struct {
	Account   string    `json:"account"`
	Started   time.Time `json:"started"`
	Ended     time.Time `json:"ended"`
	Mailboxes []Ledger  `json:"mailboxes,omitempty"`
	Sum       Ledger    `json:"sum"`
	Warnings  []string  `json:"warnings,omitempty"`
	// Error says why the run as a whole failed; empty: it worked on every mailbox.
	// LoginRefused means that the server refused the credentials.
	Error        string `json:"error,omitempty"`
	LoginRefused bool   `json:"login,omitempty"`
	// Resumes is when the next run may continue, if this one ended early for a reason
	// that passes with time; Error names it. DailyLimit is the limit, in octets, that
	// it reached; 0: the server asked for a pause.
	Resumes    time.Time `json:"resumes,omitzero"`
	DailyLimit int64     `json:"daily_limit,omitempty"`
	// ImportSources are the sources of an import; nil: the run was a sync. Of an import,
	// Ledger.Server counts the messages of the sources, and UnreadSources are the first
	// sources that could not be read.
	ImportSources []string `json:"import,omitempty"`
	UnreadSources []string `json:"unread,omitempty"`
	// LastOK is when the last run ended for which OK is true, this one included; zero:
	// there was none. FinishRun sets it.
	LastOK time.Time `json:"last_ok,omitzero"`
}

// Ledger counts the messages of a mailbox, or the sum of an account's, by what the run did
// with them. After a complete run Server = Archived + Failed + Excluded.
type Ledger struct {
	Mailbox  string `json:"mailbox,omitempty"`
	Server   int    `json:"server"`             // UIDs that the server lists
	Archived int    `json:"archived"`           // UIDs of Server that are in the archive
	Failed   int    `json:"failed"`             // UIDs of Server that could not be archived, each with its reason
	Excluded int    `json:"excluded"`           // UIDs of Server that the configuration leaves out
	Awaiting int    `json:"awaiting,omitempty"` // UIDs of Archived whose octets are not as many as the server announced: they are asked for again
	Missing  int    `json:"missing"`            // UIDs of Server that this run did not work on: 0 in a complete run

	Added        int   `json:"added"`                  // messages that this run archived
	Linked       int   `json:"linked"`                 // messages of Added whose octets the archive had already
	Matched      int   `json:"matched"`                // of those, not downloaded
	FlagsChanged int   `json:"flags_changed"`          // messages whose flags this run recorded
	Gone         int   `json:"gone"`                   // messages that the server no longer lists since this run
	Octets       int64 `json:"octets"`                 // of bodies downloaded by this run
	Again        int   `json:"again,omitempty"`        // messages that were asked for again because their octets are in doubt
	AgainOctets  int64 `json:"again_octets,omitempty"` // of bodies of Again that still do not agree with their sizes

	Elapsed   time.Duration     `json:"elapsed_ns"`
	UIDNext   uint32            `json:"uidnext,omitempty"`   // messages that arrive after this run have this UID or a higher one; 0: not known
	Unchanged bool              `json:"unchanged,omitempty"` // the server's counters are those of the cursor: no UID was listed
	Rule      string            `json:"rule,omitempty"`      // of the configuration, that excludes the mailbox or messages
	Skipped   string            `json:"skipped,omitempty"`   // why the server has nothing to select under this name
	Vanished  bool              `json:"vanished,omitempty"`  // the server no longer lists the mailbox
	Failures  map[uint32]string `json:"failures,omitempty"`  // reasons by UID, the first few
	Error     string            `json:"error,omitempty"`     // why the mailbox is not complete
	Postponed string            `json:"left,omitempty"`      // why the run left the Missing messages to the next run; no error of the mailbox
}

// Balanced reports whether every UID of the server is accounted for: archived, failed with
// a reason, or excluded by the configuration.
func (l *Ledger) Balanced() bool { return l.Server == l.Archived+l.Failed+l.Excluded }

// Add adds the counts of m to l.
func (l *Ledger) Add(m Ledger) {
	l.Server += m.Server
	l.Archived += m.Archived
	l.Failed += m.Failed
	l.Awaiting += m.Awaiting
	l.Excluded += m.Excluded
	l.Missing += m.Missing
	l.Added += m.Added
	l.Linked += m.Linked
	l.Matched += m.Matched
	l.FlagsChanged += m.FlagsChanged
	l.Gone += m.Gone
	l.Octets += m.Octets
	l.Again += m.Again
	l.AgainOctets += m.AgainOctets
}

// OK reports whether the run was complete and without errors, and no message failed.
func (r *Run) OK() bool {
	if r.Error != "" || len(r.UnreadSources) > 0 || r.Sum.Failed > 0 || !r.Sum.Balanced() {
		return false
	}
	for _, m := range r.Mailboxes {
		if m.Error != "" {
			return false
		}
	}
	return true
}

// maxRuns is the most runs of an account that are kept, the last one with its mailboxes.
const maxRuns = 20

// maxCursors is how many mailboxes one transaction changes: each takes some pages of
// memory.
const maxCursors = 1000

// FinishRun stores a run and the cursors of the mailboxes that it completed, by
// directory, and the last place in the archive's checkpoints. Of many mailboxes the first
// are stored before the run: each is true by itself.
func (db *DB) FinishRun(r Run, cursors map[string]Completed) error {
	dirs := slices.Sorted(maps.Keys(cursors))
	for ; len(dirs) > maxCursors; dirs = dirs[maxCursors:] {
		err := db.update(func(tx *bbolt.Tx) error { return setCursors(tx, cursors, dirs[:maxCursors]) })
		if err != nil {
			return err
		}
	}
	return db.update(func(tx *bbolt.Tx) error {
		if err := db.putMark(tx); err != nil {
			return err
		}
		if err := setCursors(tx, cursors, dirs); err != nil {
			return err
		}
		b := tx.Bucket(runsBucket)
		text, err := addRun(b.Get([]byte(r.Account)), r)
		if err != nil {
			return err
		}
		return b.Put([]byte(r.Account), text)
	})
}

// addRun returns the stored runs with r before them. It removes the mailboxes of the run
// that was the last so far. Runs that can't be decoded are dropped: they are only
// information.
func addRun(text []byte, r Run) ([]byte, error) {
	var runs []json.RawMessage
	if err := json.Unmarshal(text, &runs); err != nil {
		runs = nil
	}
	if len(runs) > 0 {
		var last Run
		if err := json.Unmarshal(runs[0], &last); err != nil {
			runs = nil
		} else {
			r.LastOK, last.Mailboxes = last.LastOK, nil
			if runs[0], err = json.Marshal(last); err != nil {
				return nil, err
			}
		}
	}
	if r.OK() {
		r.LastOK = r.Ended
	}
	first, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return json.Marshal(append([]json.RawMessage{first}, runs[:min(len(runs), maxRuns-1)]...))
}

// decodeRuns decodes a value of runsBucket; nil: there are no runs.
func decodeRuns(text []byte) ([]Run, error) {
	if text == nil {
		return nil, nil
	}
	var runs []Run
	if err := json.Unmarshal(text, &runs); err != nil {
		return nil, fmt.Errorf("runs: %w", err)
	}
	return runs, nil
}

// Runs returns the last runs of an account, newest first.
func (db *DB) Runs(account string) (runs []Run, err error) {
	err = db.view(func(tx *bbolt.Tx) error {
		runs, err = decodeRuns(tx.Bucket(runsBucket).Get([]byte(account)))
		return err
	})
	return runs, err
}

// Package drill rehearses a restore: it restores a sample of an account's messages
// with package restore, reads them back over IMAP, and compares them with the
// archive, octet by octet. It writes nothing to the archive.
//
// It lists, fetches and compares in its own way, and relies on nothing that the
// restore has found out: else it would prove nothing. The sample is done in chunks,
// and what a chunk leaves at the server is gone before the next one: neither memory
// nor disk grows with the archive.
//
// Layout: drill.go runs a job, source.go and sample.go choose the messages,
// chunk.go restores and compares some of them, scratch.go starts the server that
// they go to, readback.go reads what is there, compare.go names the differences,
// cleanup.go removes what was created in a real account, record.go keeps the last
// results in a file beside the state database.
package drill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/semaphore"

	"archiverd/internal/progress"
	"archiverd/internal/session"
)

// ErrInterrupted is returned by a drill that was stopped: it says nothing
// about the archive.
var ErrInterrupted = errors.New("the drill was interrupted")

// Job is a restore rehearsal of an account: a sample of its messages is
// restored, by Restore, read back over IMAP, and compared with the archive, octet
// by octet. Nothing in the archive is written. Its fields are set before Run.
//
// The sample is done in portions, and what a portion has left at the server is
// gone before the next: neither memory nor disk grows with the archive.
type Job struct {
	Account string // whose mail it is
	Sources []Source
	// Open opens an item's octets.
	Open func(id string) (*os.File, error)
	// Sample is how many of so many messages are taken; nil: all. Named is
	// how the result calls it.
	Sample func(messages int) int
	Named  string

	// Scratch makes an empty server that separates levels as that, to be closed
	// after the portion. Without it the drill goes to To.
	Scratch func(delimiter string) (Server, error)
	// To is a real account, in which all goes below the mailbox Into, written as
	// Mapping.New. No such mailbox may be there; what the drill makes, it removes.
	To    *session.Account
	Into  string
	Slots *semaphore.Weighted // connections to To, as of a Job

	Log *slog.Logger

	meter progress.Meter
}

// Progress is how far the drill has come.
func (d *Job) Progress() progress.Progress { return d.meter.Read() }

// rehearsal is a Drill under way.
type rehearsal struct {
	*Job
	result   Result
	failures []Difference    // the first few
	changes  []Difference    // the same, of the server's doing
	before   map[string]bool // the mailboxes that To had, by their wire names
	left     error           // what could not be removed from To
}

// Run does the drill. The result has what it found; the error is why it broke
// off, ErrInterrupted if ctx ended, and stands in the result as well.
func (d *Job) Run(ctx context.Context) (Result, error) {
	r := &rehearsal{Job: d, result: Result{Account: d.Account, Started: time.Now().UTC(), Sample: d.Named}}
	if d.To != nil {
		r.result.To = d.To.Name + ": " + d.Into
	}
	err := r.run(ctx)
	if ctx.Err() != nil {
		err = errors.Join(ErrInterrupted, r.left)
	}
	r.result.Ended = time.Now().UTC()
	r.result.Differences = append(r.failures, r.changes...)
	r.result.Differences = r.result.Differences[:min(len(r.result.Differences), MaxDifferences)]
	if err != nil {
		r.result.Error = err.Error()
	}
	d.meter.Change(func(p *progress.Progress) { p.Stage, p.Mailbox = "done", "" })
	return r.result, err
}

func (r *rehearsal) run(ctx context.Context) error {
	sizes := make([]int, len(r.Sources))
	for i, s := range r.Sources {
		sizes[i] = s.Messages
		r.result.Archived += s.Messages
		if s.Err != nil {
			r.differs(Difference{Mailbox: s.Name.Mailbox, In: []string{inError}, What: s.Err.Error()})
		}
	}
	n := r.result.Archived
	if r.Sample != nil {
		n = min(n, r.Sample(n))
	}
	shares := allot(n, sizes)
	r.meter.Change(func(p *progress.Progress) {
		p.Account, p.Stage, p.Messages = r.Account, "connecting", n
		for _, k := range shares {
			p.Mailboxes += min(k, 1)
		}
	})
	if n == 0 {
		return nil
	}
	if r.To != nil {
		if err := r.vacant(ctx); err != nil {
			return err
		}
	}
	return r.portions(ctx, shares)
}

// differs records a difference.
func (r *rehearsal) differs(d Difference) {
	list := &r.failures
	if d.Changed {
		list = &r.changes
	} else {
		r.result.Differing++
	}
	if len(*list) < MaxDifferences {
		*list = append(*list, d)
	}
}

// notesKept is how many notes a drill makes.
const notesKept = 20

func (r *rehearsal) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if len(r.result.Notes) < notesKept && !slices.Contains(r.result.Notes, text) {
		r.result.Notes = append(r.result.Notes, text)
	}
}

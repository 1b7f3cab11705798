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

// ErrInterrupted is returned by a drill that was stopped. It says nothing about
// the archive.
var ErrInterrupted = errors.New("the drill was interrupted")

// Job is a drill of one account. Its fields are set before Run.
type Job struct {
	Account string // of the archive
	Sources []Source
	// Open opens the file of an item. The job closes it.
	Open func(id string) (*os.File, error)
	// Sample returns how many of so many messages are taken; nil means all. Named
	// is what the result calls the sample.
	Sample func(messages int) int
	Named  string

	// Scratch starts an empty server with a delimiter. The job closes it after the
	// chunk. It is not used if To is set.
	Scratch func(delimiter string) (Server, error)
	// To is a real account, in which everything goes below the mailbox Into, written
	// as restore.Mapping.New. That mailbox must not exist. The job removes what it
	// creates there, and nothing else.
	To    *session.Account
	Into  string
	Slots *semaphore.Weighted // the process's connections, for those to To; nil: unlimited

	Log *slog.Logger

	meter progress.Meter
}

// Progress returns how far the drill is. It may be called at any time.
func (j *Job) Progress() progress.Progress { return j.meter.Read() }

// run is one Run of a Job. It belongs to one goroutine.
type run struct {
	*Job
	result    Result
	failures  []Difference    // the first MaxDifferences
	changes   []Difference    // the first MaxDifferences that a real server has made
	before    map[string]bool // the mailboxes that To had, by their names on the wire
	removeErr error           // why something of the latest chunk is still at To
}

// Run runs the drill. The result has what was found. The error is why the drill
// ended early, also in the result: ErrInterrupted if ctx is done.
func (j *Job) Run(ctx context.Context) (Result, error) {
	r := &run{Job: j, result: Result{Account: j.Account, Started: time.Now().UTC(), Sample: j.Named}}
	if j.To != nil {
		r.result.To = j.To.Name + ": " + j.Into
	}
	err := r.drill(ctx)
	if ctx.Err() != nil {
		err = errors.Join(ErrInterrupted, r.removeErr)
	}
	r.result.Ended = time.Now().UTC()
	r.result.Differences = append(r.failures, r.changes...)
	r.result.Differences = r.result.Differences[:min(len(r.result.Differences), MaxDifferences)]
	if err != nil {
		r.result.Error = err.Error()
	}
	j.meter.Change(func(p *progress.Progress) { p.Stage, p.Mailbox = "done", "" })
	return r.result, err
}

// drill shares the sample out to the mailboxes and runs its chunks.
func (r *run) drill(ctx context.Context) error {
	sizes := make([]int, len(r.Sources))
	for i, s := range r.Sources {
		sizes[i] = s.Messages
		r.result.Archived += s.Messages
		if s.Err != nil {
			r.addDifference(Difference{Mailbox: s.Name.Mailbox, In: []string{inError}, What: s.Err.Error()})
		}
	}
	n := r.result.Archived
	if r.Sample != nil {
		n = min(n, r.Sample(n))
	}
	shares := shareOut(n, sizes)
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
		if err := r.checkUnused(ctx); err != nil {
			return err
		}
	}
	return r.runChunks(ctx, shares)
}

// addDifference adds a difference to the result.
func (r *run) addDifference(d Difference) {
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

// maxNotes is how many notes a result has.
const maxNotes = 20

// addNote adds a note to the result, once.
func (r *run) addNote(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if len(r.result.Notes) < maxNotes && !slices.Contains(r.result.Notes, text) {
		r.result.Notes = append(r.result.Notes, text)
	}
}

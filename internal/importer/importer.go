// Package importer adds the messages of files to an account of the archive that has no
// server. Package source reads the files; package commit makes the messages durable.
//
// Guarantees: an import only adds. The same import again adds nothing, also after the
// first one was killed. A message that can't be read, and a mailbox that fails, are
// named in the run and do not stop the others.
//
// It uses no network: it imports neither session nor wire.
package importer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"archiverd/archive"
	"archiverd/internal/commit"
	"archiverd/internal/progress"
	"archiverd/internal/safetext"
	"archiverd/internal/source"
	"archiverd/state"
)

// Job is one import. Its exported fields are set before Run, which is called once.
type Job struct {
	Account string
	// Archive is the archive to import into; nil: there is none yet.
	Archive *archive.Archive
	// Committer commits to that archive. nil: Run reports what it would do, and
	// writes nothing.
	Committer *commit.Committer
	Now       func() time.Time // nil: time.Now

	meter progress.Meter

	// Owned by the goroutine of Run.
	directories *archive.Directories // nil without an archive
	queue       *commit.Queue        // nil without a committer
	clock       commit.Clock

	mu        sync.Mutex
	committed []committedBatch // under mu: not counted yet
}

// committedBatch is a batch after its commit, which may have failed.
type committedBatch struct {
	mailbox *mailboxImport
	batch   *archive.Batch
}

// maxInFlight is how many batches may be in flight. It is more than for other producers
// because small mailboxes have small batches, which share a commit.
const maxInFlight = 2 * commit.MaxInFlight

// ErrNotImported is returned when an account, or a mailbox of it, was archived
// from a server: imported messages need an account of their own.
var ErrNotImported = errors.New("it was archived from a server, whose UIDs an import would take: name another account")

// Progress returns how far the run is. It may be called at any time.
func (j *Job) Progress() progress.Progress { return j.meter.Read() }

// Run imports what was found in the sources. It returns the run, in whose ledgers
// Server counts the messages of the sources, and stores it in the database unless the
// error is [ErrNotImported].
//
// A message that the mailbox has with the same octets and date is not added again. A
// message that a source has twice is archived twice. When ctx is done, Run stops
// reading, commits what it has read and returns [commit.ErrInterrupted]. A mailbox or
// message that fails is reported in the run only, not as an error.
func (j *Job) Run(ctx context.Context, sources []string, found *source.Found) (run state.Run, err error) {
	if j.Now == nil {
		j.Now = time.Now
	}
	run = state.Run{Account: j.Account, Started: j.Now().UTC(), ImportSources: sources}
	for _, f := range found.Failed {
		addUnread(&run, &f)
	}
	run.Warnings = skippedWarnings(found.Skipped)
	for _, n := range found.Notes {
		run.Warnings = append(run.Warnings, safetext.Line(n))
	}
	j.meter.Change(func(p *progress.Progress) {
		p.Account, p.Stage, p.Mailboxes = j.Account, "importing", len(found.Mailboxes)
		for _, m := range found.Mailboxes {
			p.Messages += m.Count()
		}
	})
	err = j.importAll(ctx, &run, found)
	if err != nil && ctx.Err() != nil {
		err = commit.ErrInterrupted
	}
	run.Warnings = append(run.Warnings, j.clock.Warnings()...)
	run.Ended = j.Now().UTC()
	for _, l := range run.Mailboxes {
		run.Sum.Add(l)
	}
	run.Sum.Elapsed = run.Ended.Sub(run.Started)
	if err != nil {
		run.Error = err.Error()
	}
	j.meter.Change(func(p *progress.Progress) { p.Stage, p.Mailbox = "done", "" })
	if j.Committer == nil || errors.Is(err, ErrNotImported) {
		return run, err
	}
	return run, errors.Join(err, j.Committer.FinishRun(&run, nil))
}

const (
	maxUnread  = 1000 // unread sources that a run names
	maxSkipped = 10   // files without mail that a run names
)

// addUnread adds a source that could not be read to the run.
func addUnread(run *state.Run, err error) {
	switch n := len(run.UnreadSources); {
	case n < maxUnread:
		run.UnreadSources = append(run.UnreadSources, safetext.Line(err.Error()))
	case n == maxUnread:
		run.UnreadSources = append(run.UnreadSources, "and more: mend these, and import again")
	}
}

// skippedWarnings returns the warning for files without mail; none if there are no
// such files.
func skippedWarnings(files []string) []string {
	if len(files) == 0 {
		return nil
	}
	text := fmt.Sprintf("passed over, since they hold no mail: %d files: %s", len(files), strings.Join(files[:min(len(files), maxSkipped)], ", "))
	if len(files) > maxSkipped {
		text += ", …"
	}
	return []string{safetext.Line(text)}
}

// importAll imports one mailbox after the other and adds their ledgers to the run.
func (j *Job) importAll(ctx context.Context, run *state.Run, found *source.Found) error {
	if err := j.checkAccount(); err != nil {
		return err
	}
	if err := j.open(); err != nil {
		return err
	}
	var mailboxes []*mailboxImport
	var err error // of the context or the disk: it ends the import
	for _, from := range found.Mailboxes {
		if err = ctx.Err(); err != nil {
			break
		}
		m := &mailboxImport{job: j, run: run, name: mailboxName(from.Levels)}
		mailboxes = append(mailboxes, m)
		j.meter.Change(func(p *progress.Progress) { p.Mailbox = m.name.Mailbox })
		m.fail(m.importFrom(ctx, from))
		if err = diskError(mailboxes); err != nil {
			break
		}
	}
	if j.queue != nil {
		j.queue.WaitAll()
		j.countCommitted()
	}
	if err == nil {
		err = diskError(mailboxes)
	}
	for _, m := range mailboxes {
		run.Mailboxes = append(run.Mailboxes, m.finalLedger())
	}
	return err
}

// open prepares the directories and the queue, and checks that the disk has space. A
// broken state database is rebuilt.
func (j *Job) open() error {
	if j.Archive != nil {
		j.directories = j.Archive.Directories()
	}
	c := j.Committer
	if c == nil {
		return nil
	}
	if c.State.Broken() {
		if err := c.RebuildState(state.ErrDamaged); err != nil {
			return err
		}
	}
	if err := c.Archive.Stopped(); err != nil {
		return err
	}
	j.queue = c.NewQueue(maxInFlight)
	return c.Archive.CheckFreeSpace(0)
}

// diskError returns the first error of a mailbox that is a disk error; nil: none is.
func diskError(mailboxes []*mailboxImport) error {
	for _, m := range mailboxes {
		if m.err != nil && commit.IsDiskError(m.err) {
			return m.err
		}
	}
	return nil
}

// checkAccount returns ErrNotImported if the archive has a mailbox of the account
// that was not imported.
func (j *Job) checkAccount() error {
	if j.Archive == nil {
		return nil
	}
	mailboxes, err := j.Archive.Mailboxes(archive.Escape(j.Account))
	if err != nil {
		return err
	}
	errStop := errors.New("only the first event is needed")
	for _, m := range mailboxes {
		first := archive.Event{Imported: true}
		_, err := j.Archive.Replay(m, archive.Position{}, func(e archive.Event) error { first = e; return errStop })
		if err != nil && !errors.Is(err, errStop) && !errors.Is(err, archive.ErrCorrupt) {
			return err
		}
		if !first.Imported {
			return fmt.Errorf("account %q, mailbox %q: %w", j.Account, first.Name.Mailbox, ErrNotImported)
		}
	}
	return nil
}

// mailboxName returns the name for levels. Its delimiter is one that no level
// contains.
func mailboxName(levels []string) archive.Name {
	for _, d := range []string{"/", ".", "|", "\\", ">", "\x1f"} {
		if !slices.ContainsFunc(levels, func(l string) bool { return strings.Contains(l, d) }) {
			return archive.Name{Mailbox: strings.Join(levels, d), Delimiter: d}
		}
	}
	return archive.Name{Mailbox: strings.Join(levels, "/"), Delimiter: "/"}
}

package sync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"archiverd/archive"
	"archiverd/internal/commit"
	"archiverd/internal/progress"
	"archiverd/internal/safetext"
	"archiverd/internal/source"
	"archiverd/state"
)

// Import brings the mail of files into an account of the archive that no server
// has, by the same commit as a sync. It adds: what a source has no longer stays.
// Its fields are set before Run.
type Import struct {
	Account string
	// Archive is what there is already; nil: nothing.
	Archive *archive.Archive
	// Committer commits to that archive; nil: Run reports what it would do, and writes
	// nothing.
	Committer *commit.Committer
	Now       func() time.Time // nil: time.Now

	meter   progress.Meter
	places  *archive.Directories // nil without an archive
	flights []importFlight       // batches that are being committed, in their order
}

// ErrNotImported is returned when an account, or a mailbox of it, was archived
// from a server: what is imported needs an account of its own.
var ErrNotImported = errors.New("it was archived from a server, whose UIDs an import would take: name another account")

// Progress is how far the run has come. It may be called at any time.
func (im *Import) Progress() progress.Progress { return im.meter.Read() }

// Run imports what was found in the sources. It returns the ledger, which is
// stored as well: there Server counts the messages of the sources. A message that
// the mailbox has with the same octets and date is not added again; one that a
// source has twice is there twice. Once ctx is done nothing more is read, and what
// has been read is committed.
func (im *Import) Run(ctx context.Context, sources []string, found *source.Found) (run state.Run, err error) {
	if im.Now == nil {
		im.Now = time.Now
	}
	run = state.Run{Account: im.Account, Started: im.Now().UTC(), ImportSources: sources}
	for _, f := range found.Failed {
		unread(&run, &f)
	}
	run.Warnings = passed(found.Skipped)
	for _, n := range found.Notes {
		run.Warnings = append(run.Warnings, safetext.Line(n))
	}
	im.meter.Change(func(p *progress.Progress) {
		p.Account, p.Stage, p.Mailboxes = im.Account, "importing", len(found.Mailboxes)
		for _, b := range found.Mailboxes {
			p.Messages += b.Count()
		}
	})
	err = im.all(ctx, &run, found)
	if err != nil && ctx.Err() != nil {
		err = ErrInterrupted
	}
	run.Ended = im.Now().UTC()
	for _, l := range run.Mailboxes {
		run.Sum.Add(l)
	}
	run.Sum.Elapsed = run.Ended.Sub(run.Started)
	if err != nil {
		run.Error = err.Error()
	}
	im.meter.Change(func(p *progress.Progress) { p.Stage, p.Mailbox = "done", "" })
	if im.Committer == nil || errors.Is(err, ErrNotImported) {
		return run, err
	}
	return run, errors.Join(err, im.Committer.FinishRun(&run, nil))
}

// unreadShown is how many sources that could not be read a run names, passedShown
// how many files that hold no mail.
const (
	unreadShown = 1000
	passedShown = 10
)

func unread(run *state.Run, err error) {
	switch n := len(run.UnreadSources); {
	case n < unreadShown:
		run.UnreadSources = append(run.UnreadSources, safetext.Line(err.Error()))
	case n == unreadShown:
		run.UnreadSources = append(run.UnreadSources, "and more: mend these, and import again")
	}
}

// passed is the note on files that were passed over.
func passed(files []string) []string {
	if len(files) == 0 {
		return nil
	}
	text := fmt.Sprintf("passed over, since they hold no mail: %d files: %s", len(files), strings.Join(files[:min(len(files), passedShown)], ", "))
	if len(files) > passedShown {
		text += ", …"
	}
	return []string{safetext.Line(text)}
}

// all imports one mailbox after the other.
func (im *Import) all(ctx context.Context, run *state.Run, found *source.Found) error {
	if err := im.free(); err != nil {
		return err
	}
	if s := im.Committer; s != nil {
		if s.State.Broken() {
			if err := s.RebuildState(state.ErrDamaged); err != nil {
				return err
			}
		}
		if err := s.Archive.CheckFreeSpace(0); err != nil {
			return err
		}
	}
	im.flights = nil
	if im.Archive != nil {
		im.places = im.Archive.Directories()
	}
	var boxes []*importing
	var err error // that ends the run, since the other mailboxes would meet it too
	for _, from := range found.Mailboxes {
		if err = ctx.Err(); err != nil {
			break
		}
		b := &importing{im: im, run: run, name: importName(from.Levels)}
		boxes = append(boxes, b)
		im.meter.Change(func(p *progress.Progress) { p.Mailbox = b.name.Mailbox })
		b.fail(b.mailbox(ctx, from))
		if err = im.fatal(boxes); err != nil {
			break
		}
	}
	for len(im.flights) > 0 {
		im.land()
	}
	if err == nil {
		err = im.fatal(boxes)
	}
	for _, b := range boxes {
		run.Mailboxes = append(run.Mailboxes, b.settle())
	}
	return err
}

// fatal is the error of a mailbox that is of the disk, or nil.
func (im *Import) fatal(boxes []*importing) error {
	for _, b := range boxes {
		if b.err != nil && commit.IsDiskError(b.err) {
			return b.err
		}
	}
	return nil
}

// free is ErrNotImported unless all that the account has in the archive was
// imported.
func (im *Import) free() error {
	if im.Archive == nil {
		return nil
	}
	boxes, err := im.Archive.Mailboxes(archive.Escape(im.Account))
	if err != nil {
		return err
	}
	enough := errors.New("the first event tells")
	for _, b := range boxes {
		first := archive.Event{Imported: true}
		_, err := im.Archive.Replay(b, archive.Position{}, func(e archive.Event) error { first = e; return enough })
		if err != nil && !errors.Is(err, enough) && !errors.Is(err, archive.ErrCorrupt) {
			return err
		}
		if !first.Imported {
			return fmt.Errorf("account %q, mailbox %q: %w", im.Account, first.Name.Mailbox, ErrNotImported)
		}
	}
	return nil
}

// importName is the mailbox's name for levels. Its delimiter is one that no level
// has.
func importName(levels []string) archive.Name {
	for _, d := range []string{"/", ".", "|", "\\", ">", "\x1f"} {
		if !slices.ContainsFunc(levels, func(l string) bool { return strings.Contains(l, d) }) {
			return archive.Name{Mailbox: strings.Join(levels, d), Delimiter: d}
		}
	}
	return archive.Name{Mailbox: strings.Join(levels, "/"), Delimiter: "/"}
}

package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"
	gosync "sync"

	"golang.org/x/sync/errgroup"
)

// Finding is one thing that Verify found.
type Finding struct {
	Path   string `json:"path"` // relative to the archive
	What   string `json:"what"`
	Damage bool   `json:"damage"` // octets are lost or changed; false: for information
}

// VerifyResult is the result of Verify for one mailbox.
type VerifyResult struct {
	Dir       string    `json:"dir"`
	Name      string    `json:"mailbox"`
	Messages  int       `json:"messages"`             // files of messages that were checked
	Octets    int64     `json:"octets"`               // read and hashed
	Seal      string    `json:"seal"`                 // the last one: stored elsewhere, it proves later that the journal is unchanged
	Unnamed   int       `json:"unnamed,omitempty"`    // message files that no journal names
	NoJournal bool      `json:"no_journal,omitempty"` // the directory has no journal
	Findings  []Finding `json:"findings,omitempty"`
}

// VerifyOptions say which permissions Verify expects.
type VerifyOptions struct {
	GroupRead bool // the group may read
	// Checkpoints, if not nil, say what the journals were. The caller reads them before
	// it looks for mailboxes.
	Checkpoints *Checkpoints
}

// Verify checks a mailbox: the seals of its journal; that the journal is what its last
// checkpoint says; that the file of each message that the journal names exists and has
// the size and SHA-256 of its line; files that no journal names; and permissions. It
// reads every octet, several files at a time. What it finds is in the result, sorted by
// path; an error means that the check did not finish.
//
// A mailbox with damage is checked again, and only what is damaged then too is reported:
// a writer may work beside. If its owner decides about the mailbox meanwhile, what was
// found before counts no more.
func (a *Archive) Verify(ctx context.Context, b MailboxDir, o VerifyOptions) (*VerifyResult, error) {
	r, err := a.verifyOnce(ctx, b, o)
	for err == nil && len(r.damagedPaths()) > 0 {
		was, before := r.damagedPaths(), o.Checkpoints
		if before != nil {
			if o.Checkpoints, err = a.ReadCheckpoints(); err != nil {
				return nil, err
			}
		}
		if r, err = a.verifyOnce(ctx, b, o); err != nil {
			return nil, err
		}
		if before != nil && o.Checkpoints.isDecidedSince(b.Dir, before) {
			continue
		}
		r.Findings = slices.DeleteFunc(r.Findings, func(f Finding) bool { return f.Damage && !was[f.Path] })
		return r, nil
	}
	return r, err
}

// damagedPaths returns the paths with damage.
func (r *VerifyResult) damagedPaths() map[string]bool {
	paths := map[string]bool{}
	for _, f := range r.Findings {
		if f.Damage {
			paths[f.Path] = true
		}
	}
	return paths
}

// verifyOnce is Verify without the second look.
func (a *Archive) verifyOnce(ctx context.Context, b MailboxDir, o VerifyOptions) (*VerifyResult, error) {
	v := &verifier{a: a, dir: b, result: &VerifyResult{Dir: b.Dir}, named: map[string]*Message{}, checkpoints: o.Checkpoints}
	if err := v.verify(ctx, o); err != nil {
		return nil, fmt.Errorf("verify %s: %w", b.Dir, err)
	}
	slices.SortFunc(v.result.Findings, func(x, y Finding) int { return cmp.Or(cmp.Compare(x.Path, y.Path), cmp.Compare(x.What, y.What)) })
	return v.result, nil
}

// verifier is one Verify. It visits the journal.
type verifier struct {
	a   *Archive
	dir MailboxDir

	checkpoints *Checkpoints // nil: the journal is not compared

	mu     gosync.Mutex // guards result while files are read
	result *VerifyResult

	// From the journal.
	id      string
	named   map[string]*Message // by path, with Size and Sum alone
	newer   bool                // a newer archiverd wrote to it
	missing bool                // there is no journal
	corrupt bool                // it does not fit its seals
	lost    bool                // it is not what its checkpoint says
}

// verify runs all checks.
func (v *verifier) verify(ctx context.Context, o VerifyOptions) error {
	// The directory is read before the journal: files that a writer commits
	// meanwhile are then named in the journal.
	files, err := v.walk(o)
	if err != nil {
		return err
	}
	if err := v.journal(); err != nil {
		return err
	}
	if err := v.files(ctx); err != nil {
		return err
	}
	v.leftovers(files)
	return nil
}

// find adds a finding; path is relative to the archive.
func (v *verifier) find(path string, damage bool, what string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.result.Findings = append(v.result.Findings, Finding{path, fmt.Sprintf(what, args...), damage})
}

// path is the path of a file of the mailbox, relative to the archive.
func (v *verifier) path(rel string) string { return path.Join(v.dir.Dir, rel) }

// journal checks the journal's seals, compares it with its checkpoint, and collects what
// it names.
func (v *verifier) journal() error {
	end, err := v.a.Visit(v.dir, Position{}, v)
	v.result.Seal = end.Seal
	var bad *CorruptError
	switch {
	case errors.As(err, &bad):
		v.corrupt = true
		v.find(v.path(journalName), true, "line %d: %s; %s", bad.Line, bad.Text, remedy)
	case errors.Is(err, fs.ErrNotExist):
		v.missing, v.result.NoJournal = true, true
	case err != nil:
		return err
	}
	if err := v.compare(); err != nil {
		return err
	}
	if !v.missing && !v.corrupt && !v.lost {
		_, size, err := v.a.HasPosition(v.dir, v.id, end)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if size > end.Offset {
			v.find(v.path(journalName), false, "ends in %d octets without a good seal, of an interrupted write; the next sync cuts them off", size-end.Offset)
		}
	}
	if v.newer {
		v.find(v.path(journalName), false, "has events of a newer archiverd, which this one can't check")
	}
	return nil
}

// compare compares the journal with its last checkpoint.
func (v *verifier) compare() error {
	if v.checkpoints == nil {
		return nil
	}
	known := v.checkpoints.of(v.dir.Dir)
	_, _, err := v.a.compareJournal(v.dir, known)
	if err == nil {
		err = v.checkpoints.checkPlace(v.dir.Dir, known, v.id)
	}
	var lost *LossError
	switch {
	case errors.As(err, &lost):
		v.lost = true
		if !v.corrupt {
			v.find(v.path(journalName), true, "%s; %s", lost.Text, lost.Remedy())
		}
	case err != nil && !errors.Is(err, ErrCorrupt): // journal has told that
		return err
	}
	return nil
}

// VisitOpened implements Visitor.
func (v *verifier) VisitOpened(e Event) error {
	v.result.Name, v.id = e.Name.Mailbox, cmp.Or(v.id, e.Journal)
	v.newer = v.newer || e.V > FormatVersion
	return nil
}

// VisitAdded implements Visitor. Every line counts, even if a later line of the same
// UID replaces it.
func (v *verifier) VisitAdded(e Event) error {
	v.name(e)
	return nil
}

// name adds the file that an event names.
func (v *verifier) name(e Event) {
	if m := v.named[e.Path]; m != nil && m.CheckOctets(e.Sum, e.Size) != nil {
		v.find(v.path(e.Path), true, "the journal names this file twice, with different octets")
	}
	v.named[e.Path] = &Message{Size: e.Size, Sum: e.Sum}
}

// VisitFlags implements Visitor.
func (v *verifier) VisitFlags(Event) error { return nil }

// VisitGone implements Visitor.
func (v *verifier) VisitGone(Event) error { return nil }

// VisitFailed implements Visitor.
func (v *verifier) VisitFailed(e Event) error {
	if e.HasFile() {
		v.name(e)
	}
	return nil
}

// VisitVanished implements Visitor.
func (v *verifier) VisitVanished(Event) error { return nil }

// VisitUnknown implements Visitor.
func (v *verifier) VisitUnknown(Event) error {
	v.newer = true
	return nil
}

// files checks the file of every message that the journal names.
func (v *verifier) files(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2 * runtime.GOMAXPROCS(0))
	for rel, m := range v.named {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			v.file(v.path(rel), m)
			return nil
		})
	}
	return g.Wait()
}

// file checks the file of one message.
func (v *verifier) file(path string, m *Message) {
	sum, size, err := v.a.HashFile(path)
	mismatch := m.CheckOctets(sum, size)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		v.find(path, true, "missing; the journal has it with %d octets", m.Size)
	case err != nil:
		v.find(path, true, "can't be read: %v", err)
	case mismatch != nil:
		v.find(path, true, "%v", mismatch)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.result.Messages++
	v.result.Octets += size
}

// leftovers finds the files that the journal does not name. Where the journal is
// damaged they are damage too: they may be messages that it had. Without a journal they
// are only counted, because they may be all that there was.
func (v *verifier) leftovers(files []string) {
	for _, rel := range files {
		if v.named[rel] != nil {
			continue
		}
		if isMessageName(rel) {
			v.result.Unnamed++
		}
		switch {
		case v.missing:
		case v.corrupt || v.lost:
			v.find(v.path(rel), isMessageName(rel), "the part of the journal that can be trusted does not name it; keep it until the journal is put back")
		default:
			v.find(v.path(rel), false, "no journal names it: left by an interrupted run; not part of the archive")
		}
	}
	if n := v.result.Unnamed; v.missing && n > 0 {
		text := "no journal names them: left by an interrupted run, or their journal was removed"
		switch w := v.lastWord(); {
		case v.lost:
			text = "keep them until the journal is put back"
		case w != nil && w.isForgotten:
			text = "they belong to a mailbox that was forgotten: " + w.reason
		}
		v.find(v.dir.Dir, v.lost, "%s without a journal; %s", plural(n, "message file"), text)
	}
}

// lastWord is what the checkpoints say of the mailbox; nil: nothing.
func (v *verifier) lastWord() *lastWord {
	if v.checkpoints == nil {
		return nil
	}
	return v.checkpoints.known[v.dir.Dir]
}

// plural is a number with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// walk checks the kinds and permissions of the mailbox's directory and files. It
// returns the files that may be messages, relative to the directory.
func (v *verifier) walk(o VerifyOptions) (files []string, err error) {
	forbidden := fs.FileMode(0o077)
	if o.GroupRead {
		forbidden = 0o027
	}
	err = fs.WalkDir(v.a.root.FS(), v.dir.Dir, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile, or lost: the journal tells
		}
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(p, v.dir.Dir), "/")
		if d.IsDir() && rel != "" && !isMonth(d.Name()) && rel != tmpName {
			return fs.SkipDir // a child mailbox, with a journal or children of its own
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if got := info.Mode().Perm(); got&forbidden != 0 {
			v.find(p, false, "permissions are %04o, and should let nobody else in: chmod %04o", got, got&^forbidden)
		}
		switch {
		case d.IsDir() || rel == journalName:
		case !d.Type().IsRegular():
			v.find(p, false, "is no regular file")
		case strings.HasPrefix(rel, ".journal."): // a journal that its owner went on without, or a copy under way
		case path.Dir(rel) == tmpName:
			v.find(p, false, "was being received when a run was interrupted; the next sync removes it")
		default:
			files = append(files, rel)
		}
		return nil
	})
	return files, err
}

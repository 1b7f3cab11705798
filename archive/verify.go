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

// Finding is something that Verify found.
type Finding struct {
	Path   string `json:"path"` // relative to the archive
	What   string `json:"what"`
	Damage bool   `json:"damage"` // else it is only worth knowing
}

// VerifyResult is what Verify did in one mailbox.
type VerifyResult struct {
	Dir      string    `json:"dir"`
	Name     string    `json:"mailbox"`
	Messages int       `json:"messages"` // files of messages that were checked
	Octets   int64     `json:"octets"`   // read and hashed
	Seal     string    `json:"seal"`     // the last one: kept elsewhere, it proves this journal later
	Findings []Finding `json:"findings,omitempty"`
}

// VerifyOptions say what Verify expects.
type VerifyOptions struct {
	GroupRead bool // the group may read
}

// Verify checks a mailbox: the seals of its journal, each message that the
// journal names against its file (there, of that size, of that SHA-256), files
// that no journal names, and who may read. It reads every octet, as many files
// at a time as the machine has processors.
func (a *Archive) Verify(ctx context.Context, b MailboxDir, o VerifyOptions) (*VerifyResult, error) {
	v := &VerifyResult{Dir: b.Dir}
	var mu gosync.Mutex
	find := func(p string, damage bool, what string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		v.Findings = append(v.Findings, Finding{p, fmt.Sprintf(what, args...), damage})
	}
	// The directory before the journal: what a writer commits meanwhile then
	// has its name in the journal.
	files, err := a.walk(b, o, find)
	if err != nil {
		return nil, fmt.Errorf("verify %s: %w", b.Dir, err)
	}
	// Every line counts, also one that a later one of its UID overrides.
	named := map[string]*Message{}
	id, newer := "", false
	pos, err := a.Replay(b, Position{}, func(e Event) error {
		switch e.Kind {
		case Opened:
			v.Name, id = e.Name.Mailbox, cmp.Or(id, e.Journal)
			newer = newer || e.V > FormatVersion
		case Added:
			is := &Message{Path: e.Path, Size: e.Size, Sum: e.Sum}
			if was, ok := named[e.Path]; ok && was.CheckOctets(is.Sum, is.Size) != nil {
				find(path.Join(b.Dir, e.Path), true, "the journal names this file twice, with different octets")
			}
			named[e.Path] = is
		case Flags, Gone, Failed, Vanished:
		default:
			newer = true
		}
		return nil
	})
	v.Seal = pos.Seal
	var bad *CorruptError
	switch {
	case errors.As(err, &bad):
		find(path.Join(b.Dir, journalName), true, "line %d: %s; %s", bad.Line, bad.Text, remedy)
	case err != nil:
		return nil, fmt.Errorf("verify %s: %w", b.Dir, err)
	default:
		_, size, err := a.HasPosition(b, id, pos)
		if err != nil {
			return nil, fmt.Errorf("verify %s: %w", b.Dir, err)
		}
		if size > pos.Offset {
			find(path.Join(b.Dir, journalName), false, "ends in %d octets without a good seal, of an interrupted write; the next sync cuts them off", size-pos.Offset)
		}
	}
	if newer {
		find(path.Join(b.Dir, journalName), false, "has events of a newer archiverd, which this one can't check")
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2 * runtime.GOMAXPROCS(0))
	for p, m := range named {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			full := path.Join(b.Dir, p)
			sum, size, err := a.HashFile(full)
			mismatch := m.CheckOctets(sum, size)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				find(full, true, "missing; the journal has it with %d octets", m.Size)
			case err != nil:
				find(full, true, "can't be read: %v", err)
			case mismatch != nil:
				find(full, true, "%v", mismatch)
			}
			mu.Lock()
			v.Messages++
			v.Octets += size
			mu.Unlock()
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("verify %s: %w", b.Dir, err)
	}
	for _, rel := range files {
		if _, ok := named[rel]; !ok {
			what := "no journal names it: left by an interrupted run; not part of the archive"
			if bad != nil {
				what = "the part of the journal that can be trusted does not name it; keep it until the journal is put back"
			}
			find(path.Join(b.Dir, rel), false, "%s", what)
		}
	}
	slices.SortFunc(v.Findings, func(x, y Finding) int { return cmp.Or(cmp.Compare(x.Path, y.Path), cmp.Compare(x.What, y.What)) })
	return v, nil
}

// walk looks at the directory itself, at its files' kinds and permissions, and
// returns what may be messages, relative to it.
func (a *Archive) walk(b MailboxDir, o VerifyOptions, find func(string, bool, string, ...any)) (files []string, err error) {
	forbidden := fs.FileMode(0o077)
	if o.GroupRead {
		forbidden = 0o027
	}
	err = fs.WalkDir(a.root.FS(), b.Dir, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && p != b.Dir {
			return nil // a writer works beside us
		}
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(p, b.Dir), "/")
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
			find(p, false, "permissions are %04o, and should let nobody else in: chmod %04o", got, got&^forbidden)
		}
		switch {
		case d.IsDir() || rel == journalName:
		case !d.Type().IsRegular():
			find(p, false, "is no regular file")
		case path.Dir(rel) == tmpName:
			find(p, false, "was being received when a run was interrupted; the next sync removes it")
		default:
			files = append(files, rel)
		}
		return nil
	})
	return files, err
}

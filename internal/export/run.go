package export

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"archiverd/archive"
	"archiverd/archive/history"
)

// writer writes one export to its target.
type writer struct {
	*target
	export     *Export
	singleFile string // in the target, for all mailboxes; empty: each mailbox has its own files
}

// openWriter opens the target.
func (e *Export) openWriter(to string) (*writer, error) {
	one := e.Format == Zip || e.Format == TarZst || e.isMbox() && strings.EqualFold(filepath.Ext(to), ".mbox")
	w := &writer{export: e}
	dir := to
	if one {
		dir, w.singleFile = filepath.Dir(to), filepath.Base(to)
	}
	t, err := openTarget(dir, !one)
	w.target = t
	return w, err
}

func (e *Export) isMbox() bool { return e.Format == Mbox || e.Format == Mboxo || e.Format == Mboxcl2 }

// run exports all mailboxes.
func (w *writer) run(ctx context.Context, r *Report) error {
	if w.singleFile == "" {
		return w.eachMailbox(ctx, r, func(sel *history.Selected, box *Mailbox) error { return w.writeMailbox(ctx, sel, box) })
	}
	if err := w.prepareDir("."); err != nil {
		return err
	}
	fill := w.fillSingleMbox
	if !w.export.isMbox() {
		fill = w.fillPack
	}
	present, err := w.writeOrCompare(w.singleFile, fill(ctx, r))
	if errors.Is(err, ErrTaken) {
		err = fmt.Errorf("%s: %w", w.export.Target, ErrTaken)
	}
	for i := range r.Mailboxes {
		r.Mailboxes[i].countAll(present, err)
	}
	if err == nil {
		err = w.syncDirs(".")
	}
	return err
}

// countAll corrects the counts of a mailbox whose messages are in one file, which
// is present, written or failed as a whole.
func (m *Mailbox) countAll(present bool, err error) {
	switch {
	case err != nil:
		m.Failed, m.Written, m.Octets, m.Altered = 0, 0, 0, 0
		if !errors.Is(err, context.Canceled) {
			m.Failed = m.Selected - m.Damaged
		}
	case present:
		m.Present, m.Written = m.Written, 0
	}
}

// eachMailbox calls do for each selected mailbox.
func (w *writer) eachMailbox(ctx context.Context, r *Report, do func(*history.Selected, *Mailbox) error) error {
	for sel, err := range history.Select(w.export.Archive, w.export.Selection) {
		if sel == nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err == nil && len(sel.Messages) == 0 && !(w.export.Whole && (sel.Listed || w.export.isPack())) {
			continue
		}
		r.Mailboxes = append(r.Mailboxes, Mailbox{Account: sel.Mailbox.Account, Mailbox: sel.Name.Mailbox, Selected: len(sel.Messages)})
		box := &r.Mailboxes[len(r.Mailboxes)-1]
		w.export.mu.Lock()
		w.export.progress.Mailbox = sel.Name.Mailbox
		w.export.progress.Messages += len(sel.Messages)
		w.export.mu.Unlock()
		if err == nil {
			err = do(sel, box)
		} else {
			box.Corrupt = errors.Is(err, archive.ErrCorrupt)
		}
		if err != nil && ctx.Err() == nil {
			box.Error = err.Error()
		}
		if err != nil && (w.singleFile != "" && !box.Corrupt || isFatal(err)) {
			return err
		}
	}
	return nil
}

func (e *Export) isPack() bool { return e.Format == Zip || e.Format == TarZst }

// writeMailbox exports a mailbox to files of its own.
func (w *writer) writeMailbox(ctx context.Context, sel *history.Selected, box *Mailbox) error {
	switch {
	case w.export.isMbox():
		return w.writeMbox(ctx, sel, box)
	case w.export.Format == Maildir:
		return w.writeMaildir(ctx, sel, box)
	}
	return w.writeEMLs(ctx, sel, box)
}

// maxFilesAtOnce is how many messages are written at once: each waits for the disk.
const maxFilesAtOnce = 16

// eachMessage calls do for each message of a mailbox, for several at once, and
// counts the results.
func (w *writer) eachMessage(ctx context.Context, sel *history.Selected, box *Mailbox, do func(context.Context, *archive.Message) (present bool, loss []string, err error)) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxFilesAtOnce)
	for _, m := range sel.Messages {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			present, loss, err := do(ctx, m)
			return w.export.countMessage(box, sel.Mailbox.ID(m), m, present, loss, err)
		})
	}
	return g.Wait()
}

// writeEMLs writes a mailbox as a directory of .eml files, named as in the archive.
func (w *writer) writeEMLs(ctx context.Context, sel *history.Selected, box *Mailbox) error {
	dir := sel.Mailbox.Dir
	box.Path = dir
	if err := w.prepareDir(dir); err != nil {
		return err
	}
	err := w.eachMessage(ctx, sel, box, func(ctx context.Context, m *archive.Message) (bool, []string, error) {
		present, err := w.writeMessage(ctx, sel.Mailbox, m, dir, path.Join(dir, fileName(m)))
		return present, nil, err
	})
	return errors.Join(err, w.syncDirs(withParents(dir)...))
}

// withParents returns a directory and all directories above it.
func withParents(dir string) []string {
	list := []string{dir}
	for dir != "." {
		dir = path.Dir(dir)
		list = append(list, dir)
	}
	return list
}

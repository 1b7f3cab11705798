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
)

// writer writes one export to its target.
type writer struct {
	*target
	e    *Export
	file string // in the target, for all mailboxes; empty: each has files of its own
}

// open opens the target.
func (e *Export) open(to string) (*writer, error) {
	one := e.Format == Zip || e.Format == TarZst || e.mbox() && strings.EqualFold(filepath.Ext(to), ".mbox")
	w := &writer{e: e}
	dir := to
	if one {
		dir, w.file = filepath.Dir(to), filepath.Base(to)
	}
	t, err := openTarget(dir, !one)
	w.target = t
	return w, err
}

func (e *Export) mbox() bool { return e.Format == Mbox || e.Format == Mboxo || e.Format == Mboxcl2 }

// run exports all. An error ends it.
func (w *writer) run(ctx context.Context, r *Report) error {
	if w.file == "" {
		return w.boxes(ctx, r, func(sel *archive.Selected, box *Mailbox) error { return w.mailbox(ctx, sel, box) })
	}
	if err := w.clean("."); err != nil {
		return err
	}
	fill := w.mboxes
	if !w.e.mbox() {
		fill = w.pack
	}
	present, err := w.stream(w.file, fill(ctx, r))
	if errors.Is(err, ErrTaken) {
		err = fmt.Errorf("%s: %w", w.e.Target, ErrTaken)
	}
	for i := range r.Mailboxes {
		r.Mailboxes[i].together(present, err)
	}
	if err == nil {
		err = w.sync(".")
	}
	return err
}

// together counts the messages of a file, which is there, or not, as a whole.
func (m *Mailbox) together(present bool, err error) {
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

// boxes gives do each mailbox that is selected.
func (w *writer) boxes(ctx context.Context, r *Report, do func(*archive.Selected, *Mailbox) error) error {
	for sel, err := range w.e.Archive.Selected(w.e.Selection) {
		if sel == nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err == nil && len(sel.Messages) == 0 && !(w.e.Whole && (sel.Listed || w.e.packs())) {
			continue
		}
		r.Mailboxes = append(r.Mailboxes, Mailbox{Account: sel.Mailbox.Account, Mailbox: sel.Name.Mailbox, Selected: len(sel.Messages)})
		box := &r.Mailboxes[len(r.Mailboxes)-1]
		w.e.mu.Lock()
		w.e.progress.Mailbox = sel.Name.Mailbox
		w.e.progress.Messages += len(sel.Messages)
		w.e.mu.Unlock()
		if err == nil {
			err = do(sel, box)
		} else {
			box.Corrupt = errors.Is(err, archive.ErrCorrupt)
		}
		if err != nil && ctx.Err() == nil {
			box.Error = err.Error()
		}
		if err != nil && (w.file != "" && !box.Corrupt || stops(err)) {
			return err
		}
	}
	return nil
}

func (e *Export) packs() bool { return e.Format == Zip || e.Format == TarZst }

// mailbox exports a mailbox to files of its own.
func (w *writer) mailbox(ctx context.Context, sel *archive.Selected, box *Mailbox) error {
	switch {
	case w.e.mbox():
		return w.mboxFile(ctx, sel, box)
	case w.e.Format == Maildir:
		return w.maildir(ctx, sel, box)
	}
	return w.emls(ctx, sel, box)
}

// filesAtOnce is how many messages are written at once: each has to wait for the disk.
const filesAtOnce = 16

// each writes messages to files of their own, several at once.
func (w *writer) each(ctx context.Context, sel *archive.Selected, box *Mailbox, do func(context.Context, *archive.Message) (present bool, loss []string, err error)) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(filesAtOnce)
	for _, m := range sel.Messages {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			present, loss, err := do(ctx, m)
			return w.e.result(box, sel.Mailbox.ID(m), m, present, loss, err)
		})
	}
	return g.Wait()
}

// emls writes a mailbox as a folder of .eml files, called as in the archive.
func (w *writer) emls(ctx context.Context, sel *archive.Selected, box *Mailbox) error {
	dir := sel.Mailbox.Dir
	box.Path = dir
	if err := w.clean(dir); err != nil {
		return err
	}
	err := w.each(ctx, sel, box, func(ctx context.Context, m *archive.Message) (bool, []string, error) {
		present, err := w.message(ctx, sel.Mailbox, m, dir, path.Join(dir, fileOf(m)))
		return present, nil, err
	})
	return errors.Join(err, w.sync(above(dir)...))
}

// above are a directory and all above it.
func above(dir string) []string {
	list := []string{dir}
	for dir != "." {
		dir = path.Dir(dir)
		list = append(list, dir)
	}
	return list
}

package export

import (
	"archive/tar"
	"archive/zip"
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"time"

	"github.com/klauspost/compress/zstd"

	"archiverd/archive"
	"archiverd/archive/history"
)

// packFormat writes a zip or tar.zst. Its paths are those of the archive.
type packFormat interface {
	// dir adds a directory.
	dir(name string, date time.Time) error
	// file adds a file of size octets, which fill writes.
	file(name string, size int64, date time.Time, fill func(io.Writer) error) error
	// link adds a link to an earlier file; false if the format has no links.
	link(name, equal string, date time.Time) (bool, error)
	close() error
}

// fillPack returns a function that writes a zip or tar.zst with the layout of the
// archive. Order and times depend on the archive alone: the same archive gives the
// same file.
func (w *writer) fillPack(ctx context.Context, r *Report) func(io.Writer) error {
	return func(out io.Writer) (err error) {
		p, err := w.export.newPackFormat(out)
		if err != nil {
			return err
		}
		k := &packWriter{writer: w, format: p, dirs: map[string]bool{".": true}, paths: map[archive.Sum]string{}}
		if err := k.addInfo(); err != nil {
			return errors.Join(err, p.close())
		}
		if !w.export.Whole {
			r.Notices = append(r.Notices, "the journals name messages that were not selected: unpacked, this is no whole archive, and verify will miss those")
		}
		err = w.eachMailbox(ctx, r, func(sel *history.Selected, box *Mailbox) error { return k.addMailbox(ctx, sel, box) })
		return errors.Join(err, p.close())
	}
}

func (e *Export) newPackFormat(out io.Writer) (packFormat, error) {
	if e.Format == Zip {
		return zipPacker{zip.NewWriter(out)}, nil
	}
	z, err := zstd.NewWriter(out, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	return tarPacker{tar.NewWriter(z), z}, nil
}

// packWriter adds mailboxes to a packFormat.
type packWriter struct {
	writer *writer
	format packFormat
	dirs   map[string]bool
	paths  map[archive.Sum]string // a file with those octets
}

// mkdirs adds the directories above a file that were not added before.
func (k *packWriter) mkdirs(name string, date time.Time) error {
	dir := path.Dir(name)
	if k.dirs[dir] {
		return nil
	}
	k.dirs[dir] = true
	if err := k.mkdirs(dir, date); err != nil {
		return err
	}
	return k.format.dir(dir, date)
}

// addInfo adds archive.json as it is in a copy: a pack has no checkpoints.jsonl, because
// it need not hold every mailbox.
func (k *packWriter) addInfo() error {
	text, created, err := k.writer.export.Archive.InfoOfCopy()
	if err != nil {
		return err
	}
	return k.format.file("archive.json", int64(len(text)), created, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// copyFile adds the first size octets of a file of the archive.
func (k *packWriter) copyFile(name string, size int64) error {
	f, err := k.writer.export.Archive.OpenFile(name)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if err := k.mkdirs(name, st.ModTime()); err != nil {
		return err
	}
	return k.format.file(name, size, st.ModTime(), func(w io.Writer) error {
		_, err := io.CopyN(w, f, size)
		return err
	})
}

// addMailbox adds a mailbox: its journal up to the last seal, then its messages.
func (k *packWriter) addMailbox(ctx context.Context, sel *history.Selected, box *Mailbox) error {
	e := k.writer.export
	view, end, err := e.Archive.Fold(sel.Mailbox)
	if err != nil {
		return err
	}
	messages := sel.Messages
	if e.Whole {
		messages = everyFile(view)
	}
	e.mu.Lock()
	e.progress.Messages += len(messages) - box.Selected
	e.mu.Unlock()
	box.Path, box.Selected = sel.Mailbox.Dir, len(messages)
	if err := k.copyFile(sel.Mailbox.Journal(), end.Offset); err != nil {
		return err
	}
	for _, m := range messages {
		err := k.addMessage(ctx, sel.Mailbox, m)
		if bad := (damageError{}); err != nil && !errors.As(err, &bad) {
			return err
		}
		if err := e.countMessage(box, sel.Mailbox.ID(m), m, false, nil, err); err != nil {
			return err
		}
	}
	return nil
}

// everyFile returns all messages that a mailbox ever had, one for each file.
func everyFile(v *archive.View) (out []*archive.Message) {
	seen := map[string]bool{}
	for _, m := range v.All() {
		if !seen[m.Path] {
			seen[m.Path] = true
			out = append(out, m)
		}
	}
	return out
}

// errChanged is returned when a message's file changed after its check. A part of it is
// in the pack by then.
var errChanged = errors.New("a message's file changed while it was being read")

func (k *packWriter) addMessage(ctx context.Context, b archive.MailboxDir, m *archive.Message) error {
	src, err := k.writer.export.openMessage(b, m)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := src.readVerified(ctx, copyTo(io.Discard)); err != nil {
		return err
	}
	name := b.ID(m)
	if err := k.mkdirs(name, messageDate(m)); err != nil {
		return err
	}
	if equal, ok := k.paths[m.Sum]; ok && equal != name {
		if linked, err := k.format.link(name, equal, messageDate(m)); linked || err != nil {
			return err
		}
	}
	k.paths[m.Sum] = name
	err = k.format.file(name, m.Size, messageDate(m), func(w io.Writer) error { return src.readVerified(ctx, copyTo(w)) })
	if bad := (damageError{}); errors.As(err, &bad) {
		return errChanged
	}
	return err
}

type zipPacker struct{ w *zip.Writer }

func (z zipPacker) create(name string, date time.Time, mode fs.FileMode) (io.Writer, error) {
	// A zip can't store earlier years, and hardly later ones. The journal has the date.
	if date = date.UTC(); date.Year() < 1980 || date.Year() > 2105 {
		date = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	h := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: date}
	h.SetMode(mode)
	return z.w.CreateHeader(h)
}

func (z zipPacker) dir(name string, date time.Time) error {
	_, err := z.create(name+"/", date, fs.ModeDir|0o700)
	return err
}

func (z zipPacker) file(name string, _ int64, date time.Time, fill func(io.Writer) error) error {
	w, err := z.create(name, date, 0o600)
	if err != nil {
		return err
	}
	return fill(w)
}

func (z zipPacker) link(string, string, time.Time) (bool, error) { return false, nil }

func (z zipPacker) close() error { return z.w.Close() }

type tarPacker struct {
	w *tar.Writer
	z *zstd.Encoder
}

func (t tarPacker) dir(name string, date time.Time) error {
	return t.w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o700, ModTime: date.Truncate(time.Second), Format: tar.FormatPAX})
}

func (t tarPacker) file(name string, size int64, date time.Time, fill func(io.Writer) error) error {
	err := t.w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: date.Truncate(time.Second), Format: tar.FormatPAX})
	if err != nil {
		return err
	}
	return fill(t.w)
}

func (t tarPacker) link(name, equal string, date time.Time) (bool, error) {
	return true, t.w.WriteHeader(&tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: equal, Mode: 0o600, ModTime: date.Truncate(time.Second), Format: tar.FormatPAX})
}

func (t tarPacker) close() error { return errors.Join(t.w.Close(), t.z.Close()) }

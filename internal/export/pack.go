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
)

// packer is a zip or tar.zst that is being written. Its paths are those of the archive.
type packer interface {
	// dir adds a directory.
	dir(name string, date time.Time) error
	// file adds a file of size octets, which fill writes.
	file(name string, size int64, date time.Time, fill func(io.Writer) error) error
	// link adds a file that is equal to an earlier one; false where the format has
	// no links.
	link(name, equal string, date time.Time) (bool, error)
	close() error
}

// pack fills a zip or tar.zst: the archive's own layout, in an order and with times
// that depend on nothing else, so that the same archive gives the same file.
func (w *writer) pack(ctx context.Context, r *Report) func(io.Writer) error {
	return func(out io.Writer) (err error) {
		p, err := w.e.packer(out)
		if err != nil {
			return err
		}
		k := &packing{w: w, p: p, dirs: map[string]bool{".": true}, sums: map[archive.Sum]string{}}
		if err := k.copy("archive.json", -1); err != nil {
			return errors.Join(err, p.close())
		}
		if !w.e.Whole {
			r.Notices = append(r.Notices, "the journals name messages that were not selected: unpacked, this is no whole archive, and verify will miss those")
		}
		err = w.boxes(ctx, r, func(sel *archive.Selected, box *Mailbox) error { return k.mailbox(ctx, sel, box) })
		return errors.Join(err, p.close())
	}
}

func (e *Export) packer(out io.Writer) (packer, error) {
	if e.Format == Zip {
		return zipPacker{zip.NewWriter(out)}, nil
	}
	z, err := zstd.NewWriter(out, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	return tarPacker{tar.NewWriter(z), z}, nil
}

// packing is what was packed so far.
type packing struct {
	w    *writer
	p    packer
	dirs map[string]bool
	sums map[archive.Sum]string // by octets, a file that has them
}

// mkdirs adds the directories above a file.
func (k *packing) mkdirs(name string, date time.Time) error {
	dir := path.Dir(name)
	if k.dirs[dir] {
		return nil
	}
	k.dirs[dir] = true
	if err := k.mkdirs(dir, date); err != nil {
		return err
	}
	return k.p.dir(dir, date)
}

// copy adds a file of the archive, its first octets or with -1 all.
func (k *packing) copy(name string, size int64) error {
	f, err := k.w.e.Archive.OpenFile(name)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if size < 0 {
		size = st.Size()
	}
	if err := k.mkdirs(name, st.ModTime()); err != nil {
		return err
	}
	return k.p.file(name, size, st.ModTime(), func(w io.Writer) error {
		_, err := io.CopyN(w, f, size)
		return err
	})
}

// mailbox adds a mailbox: its journal as far as it is sealed, then its messages.
func (k *packing) mailbox(ctx context.Context, sel *archive.Selected, box *Mailbox) error {
	e := k.w.e
	view, end, err := e.Archive.Fold(sel.Mailbox)
	if err != nil {
		return err
	}
	messages := sel.Messages
	if e.Whole {
		messages = every(view)
	}
	e.mu.Lock()
	e.progress.Messages += len(messages) - box.Selected
	e.mu.Unlock()
	box.Path, box.Selected = sel.Mailbox.Dir, len(messages)
	if err := k.copy(sel.Mailbox.Journal(), end.Offset); err != nil {
		return err
	}
	for _, m := range messages {
		err := k.message(ctx, sel.Mailbox, m)
		if bad := (damage{}); err != nil && !errors.As(err, &bad) {
			return err
		}
		if err := e.result(box, sel.Mailbox.ID(m), m, false, nil, err); err != nil {
			return err
		}
	}
	return nil
}

// every are all messages that a mailbox ever had, each file once.
func every(v *archive.View) (out []*archive.Message) {
	seen := map[string]bool{}
	for _, m := range v.All() {
		if !seen[m.Path] {
			seen[m.Path] = true
			out = append(out, m)
		}
	}
	return out
}

// errTorn is returned when a message changed between its check and its copy: the
// file has a part of it.
var errTorn = errors.New("a message's file changed while it was being read")

func (k *packing) message(ctx context.Context, b archive.MailboxDir, m *archive.Message) error {
	src, err := k.w.e.source(b, m)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := src.pass(ctx, copyTo(io.Discard)); err != nil {
		return err
	}
	name := b.ID(m)
	if err := k.mkdirs(name, dateOf(m)); err != nil {
		return err
	}
	if equal, ok := k.sums[m.Sum]; ok && equal != name {
		if linked, err := k.p.link(name, equal, dateOf(m)); linked || err != nil {
			return err
		}
	}
	k.sums[m.Sum] = name
	err = k.p.file(name, m.Size, dateOf(m), func(w io.Writer) error { return src.pass(ctx, copyTo(w)) })
	if bad := (damage{}); errors.As(err, &bad) {
		return errTorn
	}
	return err
}

type zipPacker struct{ w *zip.Writer }

func (z zipPacker) create(name string, date time.Time, mode fs.FileMode) (io.Writer, error) {
	// What the format can hold. The journal has the date.
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

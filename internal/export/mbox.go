package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"path"
	"strings"

	"archiverd/archive"
	"archiverd/internal/mbox"
	"archiverd/internal/message"
)

// mboxSuffix tells the file of a mailbox from the directory of those below it.
const mboxSuffix = ".mbox"

// mboxName is the file of a mailbox: Lists/go is Lists/go.mbox, and no mailbox's name
// can meet that of another.
func mboxName(b archive.MailboxDir) string {
	parts := components(b)
	for i, p := range parts {
		if k := len(p) - len(mboxSuffix); k >= 0 && strings.EqualFold(p[k:], mboxSuffix) {
			parts[i] = p[:k] + "%2E" + p[k+1:]
		}
	}
	return path.Join(b.Account, path.Join(parts...)) + mboxSuffix
}

func (e *Export) variant() mbox.Variant {
	switch e.Format {
	case Mboxo:
		return mbox.O
	case Mboxcl2:
		return mbox.CL2
	}
	return mbox.RD
}

// mboxFile writes a mailbox as an mbox.
func (w *writer) mboxFile(ctx context.Context, sel *archive.Selected, box *Mailbox) error {
	name := mboxName(sel.Mailbox)
	box.Path = name
	if err := w.clean(path.Dir(name)); err != nil {
		return err
	}
	present, err := w.stream(name, func(out io.Writer) error { return w.mboxInto(ctx, out, sel, box) })
	box.together(present, err)
	if errors.Is(err, ErrTaken) {
		return fmt.Errorf("%s: %w", name, ErrTaken)
	}
	if err != nil {
		return err
	}
	return w.sync(above(path.Dir(name))...)
}

// mboxes fills one mbox with all mailboxes.
func (w *writer) mboxes(ctx context.Context, r *Report) func(io.Writer) error {
	return func(out io.Writer) error {
		return w.boxes(ctx, r, func(sel *archive.Selected, box *Mailbox) error {
			box.Path = w.file
			return w.mboxInto(ctx, out, sel, box)
		})
	}
}

// mboxInto writes the messages of a mailbox to an mbox. Each is read twice: what is
// damaged must not come into the file, nor half of it.
func (w *writer) mboxInto(ctx context.Context, out io.Writer, sel *archive.Selected, box *Mailbox) error {
	v := w.e.variant()
	var base *mbox.Base
	if words := keywordsOf(sel.Messages); len(words) > 0 && w.file == "" {
		base = &mbox.Base{UIDValidity: uint32(max(1, sel.Messages[0].Added.Unix())), Keywords: words}
	}
	for _, m := range sel.Messages {
		src, err := w.e.source(sel.Mailbox, m)
		var form mbox.Form
		if err == nil {
			err = src.pass(ctx, func(r io.Reader) error {
				form, err = mbox.Measure(r, v)
				return err
			})
			if err == nil {
				head := mbox.Envelope{Sender: src.sender(), Date: dateOf(m), Flags: m.Flags, Base: base}
				base = nil
				err = src.pass(ctx, func(r io.Reader) error { return mbox.Write(out, v, head, form, r) })
				if err != nil { // the file has a part of it
					return errors.Join(err, src.Close())
				}
			}
			err = errors.Join(err, src.Close())
		}
		if err := w.e.result(box, sel.Mailbox.ID(m), m, false, form.Loss, err); err != nil {
			return err
		}
	}
	return nil
}

// headOctets is how much of a message is read for its sender.
const headOctets = 64 << 10

// sender is the address in the From field, empty if it has none.
func (s *source) sender() string {
	head := make([]byte, headOctets)
	n, err := s.f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return ""
	}
	m, err := message.Read(bytes.NewReader(head[:n]), message.Options{TextOctets: 1})
	if err != nil {
		return ""
	}
	list, err := mail.ParseAddressList(m.Get("From"))
	if err != nil || len(list[0].Address) > 200 {
		return ""
	}
	return list[0].Address
}

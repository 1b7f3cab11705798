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
	"archiverd/archive/history"
	"archiverd/internal/mbox"
	"archiverd/internal/message"
)

// mboxSuffix distinguishes the file of a mailbox from the directory of its
// children.
const mboxSuffix = ".mbox"

// mboxName returns the file of a mailbox: Lists/go is Lists/go.mbox. A level that
// ends in .mbox is escaped, so that no two mailboxes have one file.
func mboxName(b archive.MailboxDir) string {
	parts := dirNames(b)
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

// writeMbox writes a mailbox to an mbox file of its own.
func (w *writer) writeMbox(ctx context.Context, sel *history.Selected, box *Mailbox) error {
	name := mboxName(sel.Mailbox)
	box.Path = name
	if err := w.prepareDir(path.Dir(name)); err != nil {
		return err
	}
	present, err := w.writeOrCompare(name, func(out io.Writer) error { return w.appendMailbox(ctx, out, sel, box) })
	box.countAll(present, err)
	if errors.Is(err, ErrTaken) {
		return fmt.Errorf("%s: %w", name, ErrTaken)
	}
	if err != nil {
		return err
	}
	return w.syncDirs(withParents(path.Dir(name))...)
}

// fillSingleMbox returns a function that writes all mailboxes to one mbox.
func (w *writer) fillSingleMbox(ctx context.Context, r *Report) func(io.Writer) error {
	return func(out io.Writer) error {
		return w.eachMailbox(ctx, r, func(sel *history.Selected, box *Mailbox) error {
			box.Path = w.singleFile
			return w.appendMailbox(ctx, out, sel, box)
		})
	}
}

// appendMailbox writes the messages of a mailbox to an mbox. Each is read twice: a
// damaged one must not get into the file, not even in part.
func (w *writer) appendMailbox(ctx context.Context, out io.Writer, sel *history.Selected, box *Mailbox) error {
	v := w.export.variant()
	var base *mbox.Base
	if words := keywordsOf(sel.Messages); len(words) > 0 && w.singleFile == "" {
		base = &mbox.Base{UIDValidity: uint32(max(1, sel.Messages[0].Added.Unix())), Keywords: words}
	}
	for _, m := range sel.Messages {
		src, err := w.export.openMessage(sel.Mailbox, m)
		var form mbox.Form
		if err == nil {
			err = src.readVerified(ctx, func(r io.Reader) error {
				form, err = mbox.Measure(r, v)
				return err
			})
			if err == nil {
				head := mbox.Envelope{Sender: src.sender(), Date: messageDate(m), Flags: m.Flags, Base: base}
				base = nil
				err = src.readVerified(ctx, func(r io.Reader) error { return mbox.Write(out, v, head, form, r) })
				if err != nil { // a part of the message is written: the file is unusable
					return errors.Join(err, src.Close())
				}
			}
			err = errors.Join(err, src.Close())
		}
		loss := append(form.Loss, lostKeywords(m.Flags)...)
		if err := w.export.countMessage(box, sel.Mailbox.ID(m), m, false, loss, err); err != nil {
			return err
		}
	}
	return nil
}

// maxHeader is how many octets of a message are read for its sender.
const maxHeader = 64 << 10

// sender returns the address in the From field, empty if it has none.
func (s *messageFile) sender() string {
	head := make([]byte, maxHeader)
	n, err := s.f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return ""
	}
	m, err := message.Read(bytes.NewReader(head[:n]), message.Options{MaxTextOctets: 1})
	if err != nil {
		return ""
	}
	list, err := mail.ParseAddressList(m.Get("From"))
	if err != nil || len(list[0].Address) > 200 {
		return ""
	}
	return list[0].Address
}

// lostKeywords describes the keywords that an mbox can't hold.
func lostKeywords(flags []string) []string {
	var lost []string
	for _, flag := range flags {
		if !strings.HasPrefix(flag, `\`) && !mbox.IsKeyword(flag) {
			lost = append(lost, flag)
		}
	}
	if len(lost) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("an mbox can't hold the keywords %q", lost)}
}

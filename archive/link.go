package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// Link adds a message whose octets the archive has in file, a path relative to the
// archive. A journal must name that file, so that it is durable. The caller has just
// read it: e.Size and e.Sum are those of its octets, and was is its FileInfo. Besides,
// the caller sets Matched of e and what Add needs.
//
// The file gets one more name, in tmp/, and the commit places that like any other
// message's. If the file system refuses the link, the octets are copied. An error of the
// file system wraps ErrWrite; after any other error the batch is as it was before, and
// the caller must download the message.
func (b *Batch) Link(uidValidity uint32, e Event, file string, was fs.FileInfo) error {
	e.InternalDate = storableDate(e.InternalDate)
	name := b.newTempName(uidValidity, e.UID)
	err := b.mailbox.writer.root.Link(file, path.Join(b.mailbox.Dir, tmpName, name))
	if err != nil { // no links here, or too many
		return b.copy(uidValidity, e, file)
	}
	is, err := b.mailbox.tmp.Lstat(name)
	if err == nil && !os.SameFile(is, was) {
		err = fmt.Errorf("link %s: it is not the file that was read", file)
	}
	if err != nil {
		return errors.Join(err, b.mailbox.tmp.Remove(name))
	}
	b.addMessage(uidValidity, e, tempFile{name: name, isLink: true})
	return nil
}

// copy is Link without a link.
func (b *Batch) copy(uidValidity uint32, e Event, file string) error {
	f, err := b.mailbox.writer.OpenFile(file)
	if err != nil {
		return fmt.Errorf("copy %s: %w", file, err)
	}
	defer f.Close()
	if err := b.mailbox.writer.CheckFreeSpace(e.Size); err != nil {
		return fmt.Errorf("copy %s: %w: %w", file, ErrWrite, err)
	}
	want := e.Sum
	if err := b.Add(uidValidity, e, e.Size, struct{ io.Reader }{f}); err != nil {
		return fmt.Errorf("copy %s: %w", file, err)
	}
	if b.Events[len(b.Events)-1].Sum != want {
		return errors.Join(fmt.Errorf("copy %s: it has other octets than it had", file), b.Undo())
	}
	b.octets -= e.Size // they were not received
	b.files[len(b.files)-1].isLink = true
	return nil
}

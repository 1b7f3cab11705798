package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// Link puts a message into the batch whose octets the archive has: in file, a
// path relative to it, which the caller has just read whole, so that it knows
// e.Size and e.Sum to be its octets', and which was was that file. A journal must
// name it, so that its octets are durable. Besides those e has what Add wants of
// it, and Matched.
//
// The file gets a name more, in tmp/, and the commit gives it its place like any
// other's. Where there can be no link, the octets are copied. An error of the
// file system wraps ErrWrite; after any other the batch is as it was, and the
// message has to be had from the server.
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

// copy is Link where there can be no link.
func (b *Batch) copy(uidValidity uint32, e Event, file string) error {
	f, err := b.mailbox.writer.root.Open(file)
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
	b.octets -= e.Size // nobody sent them
	b.files[len(b.files)-1].isLink = true
	return nil
}

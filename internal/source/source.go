// Package source finds mail in the files of this machine and reads it: .eml files,
// mbox files, Maildirs (Maildir++ or nested), zip and tar.zst files, and directories
// with any of them, whose subdirectories become mailboxes.
//
// A message has the octets of its file, or those that it had before it was put into
// an mbox. One exception: if all lines of a message in a Maildir or mbox end in LF
// alone, it is stored with Unix line ends, and it is read with CRLF, as a server would
// send it. [Options] can turn that off. An .eml file is read as it is.
//
// The only file that is written is a temporary one for the messages of a tar.zst. No
// symbolic link in a directory is followed.
package source

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"archiverd/archive"
	"archiverd/internal/maildir"
	"archiverd/internal/mbox"
)

// Options say how to find and read mail. The zero value is the default.
type Options struct {
	// Mailbox is the mailbox, as its levels, for what lies at the top of a source:
	// a file, an mbox file, the files of a directory or Maildir beside its
	// subdirectories. If it is empty, an mbox file is the mailbox with the name of
	// the file, and all else is INBOX.
	Mailbox []string
	// Into are levels that are put above those of every mailbox.
	Into []string
	// Variant is how the lines of an mbox are marked. If it is empty, it is
	// detected.
	Variant mbox.Variant
	// OnlyEML finds .eml files alone and puts all of them into one mailbox, whatever
	// directory they are in. A named file of another kind fails with ErrNotEML; those
	// in directories are ignored.
	OnlyEML bool
	// KeepLineEnds keeps LF as it is in Maildirs and mbox files.
	KeepLineEnds bool
	// Now is the current time; dates after it are not believed. Zero: time.Now().
	Now time.Time
}

// Found is the mail of some sources.
type Found struct {
	Mailboxes []*Mailbox // sorted, INBOX first
	Skipped   []string   // files in directories that hold no mail, and links
	Links     int        // how many of Skipped are symbolic links
	Failed    []Failure
	Notes     []string // for people

	closers []io.Closer // the files that messages are read from
}

// Close closes the files that messages are read from. After it the messages of a
// zip or tar.zst can no longer be read.
func (f *Found) Close() error {
	var errs []error
	for _, c := range f.closers {
		errs = append(errs, c.Close())
	}
	f.closers = nil
	return errors.Join(errs...)
}

// Failure is a file or message that could not be read.
type Failure struct {
	Path string // for a message in an mbox, with its offset
	Err  error
}

// Error implements error.
func (f *Failure) Error() string { return f.Path + ": " + f.Err.Error() }

// Unwrap returns the reason.
func (f *Failure) Unwrap() error { return f.Err }

// Mailbox is a mailbox with messages from one or several containers.
type Mailbox struct {
	Levels []string // of its name, from the top

	options    Options
	containers []container
}

// container is a place with messages of one mailbox.
type container interface {
	messages(ctx context.Context, o Options) iter.Seq2[*Message, error]
	count() int // number of messages; 0 if unknown before they are read
}

// Count returns how many messages are known before they are read. Those of an mbox
// are not.
func (b *Mailbox) Count() (n int) {
	for _, p := range b.containers {
		n += p.count()
	}
	return n
}

// Messages yields the messages of the mailbox in the order of their files. Each is
// valid until the next one. An error is a [*Failure]; the messages after it follow
// all the same. When ctx is done, all reading fails with its error.
func (b *Mailbox) Messages(ctx context.Context) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		for _, p := range b.containers {
			for m, err := range p.messages(ctx, b.options) {
				if !yield(m, err) {
					return
				}
			}
		}
	}
}

// Message is one message.
type Message struct {
	Path     string    // for people: the file, in an mbox with the offset
	Date     time.Time // for INTERNALDATE, to the second; zero: none is known
	Flags    []string  // sorted
	HasFlags bool      // the source stores flags; else Flags is empty

	octets func() (io.Reader, error)
}

// Octets returns a reader of the message. It may be called again.
func (m *Message) Octets() (io.Reader, error) { return m.octets() }

// compareLevels orders mailboxes, INBOX first.
func compareLevels(a, b *Mailbox) int {
	first := func(m *Mailbox) bool { return len(m.Levels) == 1 && m.Levels[0] == "INBOX" }
	switch {
	case first(a):
		return -1
	case first(b):
		return 1
	}
	return slices.Compare(a.Levels, b.Levels)
}

// fromArchiveNames returns the levels for directories that are named as in the
// archive.
func fromArchiveNames(dirs []string) []string {
	out := make([]string, len(dirs))
	for i, d := range dirs {
		out[i] = archive.Unescape(d)
	}
	return out
}

// fromMaildirNames returns the levels for directories that are named by a mail
// program: in modified UTF-7, ".a.b" in Maildir++.
func fromMaildirNames(dirs []string) (out []string) {
	for _, d := range dirs {
		nested := !strings.HasPrefix(d, ".")
		if !nested {
			d = d[1:]
		}
		out = append(out, fromArchiveNames(maildir.Levels(d, nested))...)
	}
	return out
}

// withFile opens a file, yields what read returns for it, and closes it.
func withFile(path string, yield func(*Message, error) bool, read func(*os.File, os.FileInfo) (*Message, error)) bool {
	f, info, err := openFile(path)
	if err != nil {
		return yield(nil, &Failure{path, withoutPath(err)})
	}
	defer f.Close()
	m, err := read(f, info)
	if err != nil {
		return yield(nil, &Failure{path, withoutPath(err)})
	}
	return yield(m, nil)
}

// stoppable reads until its context is done: a single file may take minutes.
type stoppable struct {
	stopped func() error // of the context: Err
	r       io.ReaderAt
}

// ReadAt implements [io.ReaderAt].
func (s stoppable) ReadAt(p []byte, off int64) (int, error) {
	if err := s.stopped(); err != nil {
		return 0, err
	}
	return s.r.ReadAt(p, off)
}

// stoppableStream is stoppable for what is read forwards alone.
type stoppableStream struct {
	stopped func() error
	r       io.Reader
}

// Read implements [io.Reader].
func (s stoppableStream) Read(p []byte) (int, error) {
	if err := s.stopped(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

// openFile opens a regular file for reading. It neither waits for a pipe or device
// nor follows a symbolic link: the error is errNotFile.
func openFile(path string) (*os.File, os.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, nil, errNotFile
	}
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNotFile
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// withoutPath returns an error without its path, which the caller prints anyway.
func withoutPath(err error) error {
	if p, ok := err.(*os.PathError); ok {
		return p.Err
	}
	return err
}

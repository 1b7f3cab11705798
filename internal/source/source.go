// Package source finds mail in the files of this machine and reads it: .eml
// files, mbox files, and Maildirs, in Maildir++ or nested; also a folder with any
// of them, whose folders are mailboxes then.
//
// A message has the octets of its file, or those that it had before it came into
// an mbox. But where all its lines end in LF alone, a Maildir and an mbox keep
// it in the line ends of Unix, and no server would send it so: it has CRLF here,
// unless [Options] say otherwise. An .eml file is taken as it lies there.
//
// Nothing is written but a temporary file for what a tar.zst holds, and no link in a
// folder is followed.
package source

import (
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

// Options say how to find and read mail.
type Options struct {
	// Mailbox is the mailbox, as its levels, of what lies at the top of a source: a
	// file, an mbox file, what a folder or Maildir has beside its folders. Empty: an
	// mbox file's is called as the file, all else is INBOX.
	Mailbox []string
	// Into are levels above those of every mailbox.
	Into []string
	// Variant is how the lines of an mbox are marked; "": as it looks.
	Variant mbox.Variant
	// KeepLineEnds leaves LF alone in Maildirs and mbox files.
	KeepLineEnds bool
	// Now is when dates in the future begin; zero: now.
	Now time.Time
}

// Found is the mail of some sources.
type Found struct {
	Mailboxes []*Mailbox // by their names
	Skipped   []string   // files in folders that hold no mail, and links
	Failed    []Failure
	Notes     []string // for people

	closers []io.Closer // what messages are read from
}

// Close closes the files that messages are read from. The messages of a zip or tar.zst
// can't be read any more.
func (f *Found) Close() error {
	var errs []error
	for _, c := range f.closers {
		errs = append(errs, c.Close())
	}
	f.closers = nil
	return errors.Join(errs...)
}

// Failure is what could not be read, and why.
type Failure struct {
	Path string // of a message in an mbox, with its place there
	Err  error
}

// Error implements error.
func (f *Failure) Error() string { return f.Path + ": " + f.Err.Error() }

// Unwrap returns the reason.
func (f *Failure) Unwrap() error { return f.Err }

// Mailbox is where messages go, from one or several places.
type Mailbox struct {
	Levels []string // of its name, from the top

	options    Options
	containers []container
}

// container is a place with messages of a mailbox.
type container interface {
	messages(o Options) iter.Seq2[*Message, error]
	count() int // how many messages; 0 where that is not known before they are read
}

// Count is how many messages are known to be there. An mbox tells only as it is
// read.
func (b *Mailbox) Count() (n int) {
	for _, p := range b.containers {
		n += p.count()
	}
	return n
}

// Messages yields the messages of the mailbox, in the order of their files, each
// valid until the next. An error is a [*Failure]; what is behind it comes all
// the same.
func (b *Mailbox) Messages() iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		for _, p := range b.containers {
			for m, err := range p.messages(b.options) {
				if !yield(m, err) {
					return
				}
			}
		}
	}
}

// Message is one message.
type Message struct {
	Path     string    // for people: the file, in an mbox with the place there
	Date     time.Time // what should be its INTERNALDATE, to the second; zero: it has none
	Flags    []string  // sorted
	HasFlags bool      // whether the source tells flags; else Flags is empty

	octets func() (io.Reader, error)
}

// Octets reads the message. It may be called again.
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

// fromArchiveNames are the levels for directories that are called as those of the archive.
func fromArchiveNames(dirs []string) []string {
	out := make([]string, len(dirs))
	for i, d := range dirs {
		out[i] = archive.Unescape(d)
	}
	return out
}

// fromMaildirNames are the levels for directories that are called as those of a mail
// program: in modified UTF-7, and ".a.b" in Maildir++.
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

// withFile yields what read makes of a file that it opens, and closes behind it.
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

// openFile opens a file for reading. What is no regular file is refused, and not
// waited for, as a pipe would be; nor is a link followed that took a file's place.
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

// withoutPath is an error without the path that stands before it anyway.
func withoutPath(err error) error {
	if p, ok := err.(*os.PathError); ok {
		return p.Err
	}
	return err
}

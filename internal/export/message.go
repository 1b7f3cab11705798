package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"archiverd/archive"
)

// damageError is the reason why a message in the archive is not what its journal
// says.
type damageError struct{ error }

// messageFile is the open file of a message in the archive.
type messageFile struct {
	f *os.File
	m *archive.Message
}

// openMessage opens the file of a message. The error is a damageError. The caller
// closes the file.
func (e *Export) openMessage(b archive.MailboxDir, m *archive.Message) (*messageFile, error) {
	f, err := e.Archive.OpenFile(path.Join(b.Dir, m.Path))
	if err != nil {
		return nil, damageError{fmt.Errorf("can't be read: %w", err)}
	}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, damageError{errors.Join(errors.New("is no regular file"), err, f.Close())}
	}
	return &messageFile{f, m}, nil
}

func (s *messageFile) Close() error { return s.f.Close() }

// readVerified has fn read the message from its start to its end, and checks the
// octets. Any error but one of fn or ctx is a damageError.
func (s *messageFile) readVerified(ctx context.Context, fn func(io.Reader) error) error {
	if _, err := s.f.Seek(0, io.SeekStart); err != nil {
		return damageError{err}
	}
	h := archive.NewHasher()
	in := io.TeeReader(io.LimitReader(s.f, s.m.Size+1), h)
	var octets int64
	var readErr error
	err := fn(readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := in.Read(p)
		octets += int64(n)
		if err != nil && err != io.EOF {
			readErr = err
		}
		return n, err
	}))
	if err != nil {
		if readErr != nil && ctx.Err() == nil {
			return damageError{readErr}
		}
		return err
	}
	if octets > s.m.Size {
		return damageError{fmt.Errorf("has more octets than the %d that the journal says", s.m.Size)}
	}
	if err := s.m.CheckOctets(h.Sum(), octets); err != nil {
		return damageError{err}
	}
	return nil
}

// readerFunc is a function as a reader.
type readerFunc func(p []byte) (int, error)

// Read implements [io.Reader].
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// copyTo returns a function for readVerified that copies everything to w.
func copyTo(w io.Writer) func(io.Reader) error {
	return func(r io.Reader) error {
		_, err := io.CopyBuffer(struct{ io.Writer }{w}, r, make([]byte, 64<<10))
		return err
	}
}

// countMessage adds the result for a message to box. It returns err if the export
// must stop.
func (e *Export) countMessage(box *Mailbox, id string, m *archive.Message, present bool, loss []string, err error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var bad damageError
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &bad):
		box.Damaged++
		box.addTrouble(id, Damaged, bad.Error())
	case err != nil:
		box.Failed++
		box.addTrouble(id, Failed, err.Error())
		if isFatal(err) {
			return err
		}
	default:
		if present {
			box.Present++
		} else {
			box.Written++
		}
		box.Octets += m.Size
		if len(loss) > 0 {
			box.Altered++
			box.addTrouble(id, Altered, strings.Join(loss, "; "))
		}
	}
	e.progress.Done++
	e.progress.Octets += m.Size
	return nil
}

func (m *Mailbox) addTrouble(id, kind, reason string) {
	n := 0
	for _, t := range m.Trouble {
		if t.Kind == kind {
			n++
		}
	}
	if n < maxTrouble {
		m.Trouble = append(m.Trouble, Trouble{id, kind, reason})
	}
}

package archive

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"archiverd/internal/durable"
	"archiverd/internal/uid"
)

// Batch is what one commit will add to a mailbox: messages received into tmp/
// and events. It belongs to one goroutine until it is committed or discarded.
type Batch struct {
	// Set by Commit. Events are those of the batch as the journal has them,
	// From and To the journal before and after, Linked the messages whose
	// octets the archive had already. Err says why nothing of the batch was
	// committed.
	Events   []Event
	From, To Position
	Linked   int
	Err      error

	mailbox            *Mailbox
	dir                *os.File // open since before the first write: write errors are reported from then on
	files              []tempFile
	octets             int64
	started            time.Time
	syncFailuresBefore int             // that the file system had had when the batch began
	syncs              *errgroup.Group // fsyncs under way, where each file has its own
	hash               hash.Hash
	buf                []byte
}

// tempFile is a file in tmp/.
type tempFile struct {
	name   string
	event  int  // index of its Added in Events
	isLink bool // the file is a message's of the archive
}

// maxFileSyncs is how many files are synced at once where syncfs does not serve.
const maxFileSyncs = 16

// Batch begins a batch. Commit or Discard ends it.
func (m *Mailbox) Batch() (*Batch, error) {
	d, err := m.root.Open(".")
	if err != nil {
		return nil, fmt.Errorf("begin batch in %s: %w", m.Dir, err)
	}
	b := &Batch{mailbox: m, dir: d, started: m.writer.opts.Now(), syncFailuresBefore: m.writer.countSyncFailures(), hash: sha256.New(), buf: make([]byte, 64<<10)}
	if !m.writer.syncfs {
		b.syncs = new(errgroup.Group)
		b.syncs.SetLimit(maxFileSyncs)
	}
	return b, nil
}

// syncIntact says whether no write was lost while the batch was being received.
func (b *Batch) syncIntact() error {
	w := b.mailbox.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	if b.syncFailuresBefore == w.syncFailures {
		return nil
	}
	return fmt.Errorf("writes were lost while it was being received: %w", w.lastSyncError)
}

// Add receives the body of a message, of size octets, into tmp/. e has UID,
// InternalDate and Flags; uidValidity is the epoch's. An error of the file
// system wraps ErrWrite. After an error, or another number of octets, nothing
// of the message is kept, and the batch is as it was.
func (b *Batch) Add(uidValidity uint32, e Event, size int64, body io.Reader) error {
	e.InternalDate = storableDate(e.InternalDate)
	name := b.newTempName(uidValidity, e.UID)
	f, err := durable.CreateAt(b.mailbox.tmpDir, name, b.mailbox.writer.fileMode())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrWrite, err)
	}
	b.hash.Reset()
	n, err := b.copyBody(f, io.LimitReader(body, size+1))
	if err == nil && n != size {
		err = fmt.Errorf("got %d octets of %d: %w", n, size, io.ErrUnexpectedEOF)
	}
	if err == nil {
		err = b.closeTemp(f, name, e.InternalDate)
	} else {
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return errors.Join(err, b.mailbox.tmp.Remove(name))
	}
	e.Size = size
	b.hash.Sum(e.Sum[:0])
	b.addMessage(uidValidity, e, tempFile{name: name})
	b.octets += size
	return nil
}

// newTempName is a new name in tmp/.
func (b *Batch) newTempName(uidValidity, u uint32) string {
	b.mailbox.writer.mu.Lock()
	defer b.mailbox.writer.mu.Unlock()
	b.mailbox.writer.tempSeq++
	return fmt.Sprintf("%d.%d.%d.part", uidValidity, u, b.mailbox.writer.tempSeq)
}

// addMessage adds the event of a message that is in tmp/.
func (b *Batch) addMessage(uidValidity uint32, e Event, f tempFile) {
	e.Kind, e.At, e.Path = Added, b.mailbox.writer.opts.Now(), fileName(uidValidity, e.UID, e.InternalDate)
	f.event = len(b.Events)
	b.files, b.Events = append(b.files, f), append(b.Events, e)
}

// copyBody copies body to f and the hash, in writes as large as the buffer.
func (b *Batch) copyBody(f *os.File, body io.Reader) (int64, error) {
	var n int64
	for {
		k, rerr := io.ReadFull(body, b.buf)
		b.hash.Write(b.buf[:k])
		n += int64(k)
		if k > 0 {
			if _, err := f.Write(b.buf[:k]); err != nil {
				return n, fmt.Errorf("%w: %w", ErrWrite, err)
			}
		}
		// A reader that ends short says so by ErrUnexpectedEOF of its own,
		// which ReadFull passes on as it does its own: the count tells.
		if rerr == io.EOF || rerr == io.ErrUnexpectedEOF {
			return n, nil
		}
		if rerr != nil {
			return n, rerr
		}
	}
}

// closeTemp sets the file's time and closes it, syncing it where it must be alone.
func (b *Batch) closeTemp(f *os.File, name string, date time.Time) error {
	var err error
	if !date.IsZero() {
		err = durable.SetTimeAt(b.mailbox.tmpDir, name, date)
	}
	if b.syncs == nil {
		err = errors.Join(err, f.Close())
	} else {
		b.syncs.Go(func() error { return errors.Join(f.Sync(), f.Close()) })
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrWrite, err)
	}
	return nil
}

// Undo takes back the last Add or Link, which must have succeeded and been the batch's
// last event: the message turned out not to be what it was taken for.
func (b *Batch) Undo() error {
	last := b.files[len(b.files)-1]
	if !last.isLink {
		b.octets -= b.Events[last.event].Size
	}
	b.Events = b.Events[:last.event]
	b.files = b.files[:len(b.files)-1]
	if err := b.mailbox.tmp.Remove(last.name); err != nil {
		return fmt.Errorf("%w: %w", ErrWrite, err)
	}
	return nil
}

// Record adds an event other than Added with a body: Flags, Gone, Failed,
// Vanished, Opened (whose V and Journal it sets), or an Added of octets that
// the archive has, with its Path and Matched. At is set. A Gone of many ranges
// becomes several, for a line has a limit.
func (b *Batch) Record(e Event) {
	e.At = b.mailbox.writer.opts.Now()
	switch e.Kind {
	case Opened:
		e.V, e.Journal = FormatVersion, b.mailbox.id
	case Added:
		e.InternalDate = storableDate(e.InternalDate)
	case Gone:
		part, n := uid.Set{}, 0
		for r := range e.UIDs.Ranges() {
			if n == maxGoneRanges {
				b.Events = append(b.Events, Event{Kind: Gone, At: e.At, UIDs: part})
				part, n = uid.Set{}, 0
			}
			part.AddRange(r.First, r.Last)
			n++
		}
		e.UIDs = part
	}
	b.Events = append(b.Events, e)
}

// maxGoneRanges is the number of ranges in a line of gone UIDs: at most 22 octets each.
const maxGoneRanges = 10000

// Mailbox is the mailbox that the batch is of.
func (b *Batch) Mailbox() *Mailbox { return b.mailbox }

// Len is the number of events, Octets the sum of the bodies received.
func (b *Batch) Len() int { return len(b.Events) }

// Octets is the sum of the bodies received.
func (b *Batch) Octets() int64 { return b.octets }

// Started is when the batch was begun.
func (b *Batch) Started() time.Time { return b.started }

// Discard drops the batch and the files it received. A nil batch has none.
func (b *Batch) Discard() error {
	if b == nil {
		return nil
	}
	var errs []error
	if b.syncs != nil {
		// the outcome is of no interest, but the descriptors must be closed
		_ = b.syncs.Wait()
	}
	for _, f := range b.files {
		if err := b.mailbox.tmp.Remove(f.name); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	b.files = nil
	return errors.Join(append(errs, b.close())...)
}

func (b *Batch) close() error {
	if b.dir == nil {
		return nil
	}
	err := b.dir.Close()
	b.dir = nil
	return err
}

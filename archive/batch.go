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

// Batch is what one commit adds to a mailbox: messages received into tmp/, and events.
// It belongs to one goroutine. Commit or Discard ends it.
type Batch struct {
	// Set by Commit. Events are those of the batch as the journal has them. From and
	// To are the ends of the journal before and after; batches of a mailbox that were
	// committed together have them in common. Stamp is the journal's after. Linked is the number of
	// messages whose octets the archive had already. Err says why nothing of the batch
	// was committed; nil: it was.
	Events   []Event
	From, To Position
	Stamp    Stamp
	Linked   int
	// ClockBehind is the time of the journal's last event, if the clock was behind it at
	// the commit: events carry that time until it has passed. Zero: it was not.
	ClockBehind time.Time
	Err         error

	mailbox            *Mailbox
	dir                *os.File // opened before the first write: the kernel reports write errors to it from then on
	files              []tempFile
	octets             int64
	started            time.Time
	syncFailuresBefore int             // of the writer when the batch began
	syncs              *errgroup.Group // fsyncs under way, where each file has its own
	hash               hash.Hash
	buf                []byte
}

// tempFile is a received message in tmp/.
type tempFile struct {
	name        string
	uidValidity uint32
	event       int  // index of its Added in Events
	isLink      bool // the file is a message's of the archive
}

// maxFileSyncs is the most files that are synced at the same time without syncfs.
const maxFileSyncs = 16

// Batch begins a batch of the mailbox. Commit or Discard ends it.
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

// syncIntact returns an error if a sync of the file system has failed since the batch
// began: octets of the batch may be among those that were lost.
func (b *Batch) syncIntact() error {
	w := b.mailbox.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	if b.syncFailuresBefore == w.syncFailures {
		return nil
	}
	return fmt.Errorf("writes were lost while it was being received: %w", w.lastSyncError)
}

// Add receives a message of size octets from body into tmp/ and adds its event. The
// caller sets UID, InternalDate and Flags of e; uidValidity is that of the epoch. An
// error of the file system wraps ErrWrite; fewer or more octets than size are an error.
// After an error the batch is as it was before.
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

// newTempName returns a name in tmp/ that no other message has.
func (b *Batch) newTempName(uidValidity, u uint32) string {
	b.mailbox.writer.mu.Lock()
	defer b.mailbox.writer.mu.Unlock()
	b.mailbox.writer.tempSeq++
	return fmt.Sprintf("%d.%d.%d.part", uidValidity, u, b.mailbox.writer.tempSeq)
}

// addMessage adds a message that is in tmp/, and its event.
func (b *Batch) addMessage(uidValidity uint32, e Event, f tempFile) {
	e.Kind, e.At, e.Path = Added, b.mailbox.writer.opts.Now(), fileName(uidValidity, e.UID, e.InternalDate)
	f.uidValidity, f.event = uidValidity, len(b.Events)
	b.files, b.Events = append(b.files, f), append(b.Events, e)
}

// copyBody copies body to f and the hash, in writes of the buffer's size.
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
		// io.ErrUnexpectedEOF may be ReadFull's or the reader's own: the caller
		// compares the number of octets.
		if rerr == io.EOF || rerr == io.ErrUnexpectedEOF {
			return n, nil
		}
		if rerr != nil {
			return n, rerr
		}
	}
}

// closeTemp sets the file's time and closes it. Without syncfs it starts a sync of the
// file.
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

// Undo removes the message that the last Add or Link added, and its event, which must be
// the batch's last one. It is for a message that turns out to be another than expected.
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

// Record adds an event without a body: Flags, Gone, Failed, Vanished, Opened, or an
// Added whose file the archive has, with Path and Matched. It sets At and, of Opened, V
// and Journal. A Gone of many ranges becomes several events: a line has a maximum
// length.
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

// maxGoneRanges is the most ranges in a line of gone UIDs; a range has up to 22 octets.
const maxGoneRanges = 10000

// Fail makes the message that the last Add added, which must be the batch's last event,
// one that could not be archived. Its octets are kept: the event names their file.
func (b *Batch) Fail(reason string) {
	e := &b.Events[len(b.Events)-1]
	*e = Event{Kind: Failed, At: e.At, UID: e.UID, Reason: reason, Announced: e.Announced, Path: e.Path, Size: e.Size, Sum: e.Sum}
}

// Mailbox returns the mailbox of the batch.
func (b *Batch) Mailbox() *Mailbox { return b.mailbox }

// Len returns the number of events.
func (b *Batch) Len() int { return len(b.Events) }

// Octets returns the sum of the sizes of the bodies received.
func (b *Batch) Octets() int64 { return b.octets }

// Started returns when the batch began.
func (b *Batch) Started() time.Time { return b.started }

// Discard removes the files that the batch received. It may be called on a nil batch.
func (b *Batch) Discard() error {
	if b == nil {
		return nil
	}
	var errs []error
	if b.syncs != nil {
		// the result does not matter, but the descriptors must be closed
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

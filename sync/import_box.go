package sync

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"strings"
	"time"

	"archiverd/archive"
	"archiverd/internal/commit"
	"archiverd/internal/progress"
	"archiverd/internal/safetext"
	"archiverd/internal/source"
	"archiverd/state"
)

// importing is a mailbox that an import works on.
type importing struct {
	im     *Import
	run    *state.Run
	name   archive.Name
	place  archive.MailboxDir
	ledger state.Ledger

	have        map[twin][]held // what the mailbox has that no message of the sources was found to be
	last        uint32          // the highest UID
	uidValidity uint32

	m     *archive.Mailbox // nil while it is not open
	batch *archive.Batch
	open  int   // batches on their way
	read  bool  // no more will come
	err   error // why it is not complete
}

// twin is what two messages of a mailbox have in common that are taken for one.
type twin struct {
	sum  archive.Sum
	date int64 // Unix seconds; the smallest number: none
}

// held is a message that the archive has.
type held struct {
	uid   uint32
	flags []string
}

// importFlight is a batch on its way, which then comes back.
type importFlight struct {
	of     *importing
	octets int64
	landed chan *archive.Batch
}

func twinOf(s archive.Sum, date time.Time) twin {
	if date.IsZero() {
		return twin{s, math.MinInt64}
	}
	return twin{s, date.Unix()}
}

// mailbox imports what goes into the mailbox. What was read before an error is
// committed. Its last batches may be on their way when it returns.
func (b *importing) mailbox(ctx context.Context, from *source.Mailbox) error {
	known, err := b.look()
	if err != nil {
		return err
	}
	if b.im.Committer != nil {
		if err := b.enter(known); err != nil {
			return err
		}
		defer func() {
			b.fail(b.flush())
			b.read = true
			b.leave()
		}()
	}
	for m, err := range from.Messages() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if b.err != nil { // of a batch before
			return nil
		}
		b.ledger.Server++
		if err == nil {
			err = b.message(m)
		}
		var f *source.Failure
		if errors.As(err, &f) {
			b.ledger.Failed++
			unread(b.run, f)
		} else if err != nil {
			return err
		}
		b.im.meter.Change(func(p *progress.Progress) { p.Received++; p.Messages = max(p.Messages, p.Received) })
		if err := b.full(); err != nil {
			return err
		}
	}
	return nil
}

// fail notes why the mailbox is not complete; the first reason stays.
func (b *importing) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// leave closes the mailbox when nothing of it is open.
func (b *importing) leave() {
	if b.m == nil || !b.read || b.open > 0 {
		return
	}
	b.fail(b.m.Release())
	b.m = nil
	b.im.meter.Change(func(p *progress.Progress) { p.Finished++ })
}

// settle is the mailbox's ledger, when all has landed.
func (b *importing) settle() state.Ledger {
	l := b.ledger
	l.Mailbox, l.Missing = b.name.Mailbox, b.ledger.Server-b.ledger.Archived-b.ledger.Failed
	if b.err != nil {
		l.Error = safetext.Line(b.err.Error())
	}
	return l
}

// look finds out what the mailbox has.
func (b *importing) look() (known bool, err error) {
	b.have = map[twin][]held{}
	if b.im.Archive == nil {
		return false, nil
	}
	place, err := b.im.places.For(b.im.Account, b.name)
	if err != nil {
		return false, err
	}
	b.place, b.uidValidity = place, importValidity(b.im.Archive.ID(), place)
	view, _, err := b.im.Archive.Fold(place)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return true, err
	}
	ep := view.Epoch()
	switch {
	case ep == nil: // an interrupted first commit
		return false, nil
	case view.Unknown || view.V > archive.FormatVersion:
		return true, fmt.Errorf("%s/journal.jsonl: %w", place.Dir, archive.ErrNewer)
	case len(view.Epochs) > 1 || !ep.Imported || !view.Vanished.IsZero():
		return true, ErrNotImported
	}
	b.uidValidity = ep.UIDValidity
	for _, m := range ep.Sorted() {
		b.last = m.UID
		if m.Listed() {
			t := twinOf(m.Sum, m.InternalDate)
			b.have[t] = append(b.have[t], held{m.UID, m.Flags})
		}
	}
	return true, nil
}

// importValidity is the UIDVALIDITY of a mailbox that is begun. An import that was
// killed before its first commit must be given the same again: then the messages
// have the same names, and replace what it left.
func importValidity(archiveID string, place archive.MailboxDir) uint32 {
	sum := sha256.Sum256([]byte(archiveID + "/" + place.Dir))
	return max(1, binary.BigEndian.Uint32(sum[:]))
}

// enter opens the mailbox in the archive, and begins it if it is new.
func (b *importing) enter(known bool) error {
	s := b.im.Committer
	info, _, err := s.State.Mailbox(b.place.Dir)
	if err != nil {
		return err
	}
	b.m, err = s.Archive.Mailbox(b.place, info.Journal, info.Applied)
	b.im.places.Created(b.place) // or half of it, where that failed
	if err != nil || known {
		return err
	}
	if b.batch, err = b.m.Batch(); err != nil {
		err = errors.Join(err, b.m.Release())
		b.m = nil
		return err
	}
	b.batch.Record(archive.Event{Kind: archive.Opened, Name: b.name, UIDValidity: b.uidValidity, Imported: true})
	return nil
}

// message imports a message, unless the mailbox has it. The error is a
// source.Failure where it is of that message alone.
func (b *importing) message(m *source.Message) error {
	sum, size, err := digest(m)
	if err != nil {
		return &source.Failure{Path: m.Path, Err: err}
	}
	flags := importFlags(m.Flags)
	t := twinOf(sum, m.Date)
	if twins := b.have[t]; len(twins) > 0 {
		i := max(0, slices.IndexFunc(twins, func(h held) bool { return slices.Equal(h.flags, flags) }))
		h := twins[i]
		b.have[t] = slices.Delete(twins, i, i+1)
		b.ledger.Archived++
		if !m.HasFlags || slices.Equal(h.flags, flags) {
			return nil
		}
		return b.record(archive.Event{Kind: archive.Flags, UID: h.uid, Flags: flags})
	}
	if b.last == math.MaxUint32 {
		return errors.New("there is no UID left in the mailbox; import into another")
	}
	if b.im.Committer == nil {
		b.last++
		b.ledger.Added++
		b.ledger.Archived++
		b.ledger.Octets += size
		return nil
	}
	return b.add(m, archive.Event{UID: b.last + 1, InternalDate: m.Date, Flags: flags, Sum: sum, Size: size})
}

// largeMessage is how many octets a message has that does not fit on a disk which
// is not full.
const largeMessage = 1 << 20

// add receives a message into the batch.
func (b *importing) add(m *source.Message, e archive.Event) error {
	disk := b.im.Committer.Archive
	if err := disk.CheckFreeSpace(0); err != nil {
		return err
	}
	if err := disk.CheckFreeSpace(e.Size); err != nil && e.Size < largeMessage {
		return err
	} else if err != nil { // others may fit
		return &source.Failure{Path: m.Path, Err: fmt.Errorf("its %d octets do not fit on the disk: %w", e.Size, err)}
	}
	body, err := m.Octets()
	if err != nil {
		return &source.Failure{Path: m.Path, Err: err}
	}
	if err := b.begin(); err != nil {
		return err
	}
	err = b.batch.Add(b.uidValidity, e, e.Size, body)
	if err == nil && b.batch.Events[b.batch.Len()-1].Sum != e.Sum {
		if err := b.batch.Undo(); err != nil {
			return err
		}
		err = io.ErrUnexpectedEOF
	}
	switch {
	case errors.Is(err, archive.ErrWrite):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &source.Failure{Path: m.Path, Err: errors.New("it was changed while it was being read: import it again when no program writes there")}
	case err != nil:
		return &source.Failure{Path: m.Path, Err: err}
	}
	b.last = e.UID
	b.im.meter.Change(func(p *progress.Progress) { p.Octets += e.Size })
	return nil
}

// record notes changed flags.
func (b *importing) record(e archive.Event) error {
	if b.im.Committer == nil {
		b.ledger.FlagsChanged++
		return nil
	}
	if err := b.begin(); err != nil {
		return err
	}
	b.batch.Record(e)
	return nil
}

// digest reads a message to its end.
func digest(m *source.Message) (sum archive.Sum, size int64, err error) {
	r, err := m.Octets()
	if err != nil {
		return sum, 0, err
	}
	return archive.Hash(r)
}

// importFlags are flags as the archive has them, where none has a space in it.
func importFlags(flags []string) []string {
	flags = strings.Fields(joinFlags(flags))
	slices.Sort(flags)
	return slices.Compact(flags)
}

// begin makes a batch if there is none.
func (b *importing) begin() (err error) {
	if b.batch == nil {
		b.batch, err = b.m.Batch()
	}
	return err
}

// full sends the batch off if it is large or old enough.
func (b *importing) full() error {
	if b.batch == nil || !commit.IsFull(b.batch, b.im.Now()) {
		return nil
	}
	return b.flush()
}

// flush hands the batch to the committer, when there is room in front of it.
func (b *importing) flush() error {
	batch := b.batch
	b.batch = nil
	if batch == nil {
		return nil
	}
	if batch.Len() == 0 {
		return batch.Discard()
	}
	im, octets := b.im, batch.Octets()
	for _, f := range im.flights {
		octets += f.octets
	}
	for len(im.flights) > 0 && (len(im.flights) >= importFlights || octets > 2*commit.MaxOctets) {
		octets -= im.flights[0].octets
		im.land()
	}
	if b.err != nil { // it would fail as well
		return batch.Discard()
	}
	landed := make(chan *archive.Batch, 1)
	im.flights = append(im.flights, importFlight{b, batch.Octets(), landed})
	b.open++
	im.Committer.Submit(batch, func(batch *archive.Batch) { landed <- batch })
	return nil
}

// importFlights is how many batches may be on their way, of as many mailboxes:
// small ones share a commit.
const importFlights = 2 * commit.MaxInFlight

// land waits for the first batch on its way, and counts what is archived now.
func (im *Import) land() {
	f := im.flights[0]
	im.flights = im.flights[1:]
	batch, b := <-f.landed, f.of
	if b.open--; batch.Err != nil {
		b.fail(batch.Err)
		b.leave()
		return
	}
	for i := range batch.Events {
		switch batch.Events[i].Kind {
		case archive.Added:
			b.ledger.Added++
			b.ledger.Archived++
		case archive.Flags:
			b.ledger.FlagsChanged++
		}
	}
	b.ledger.Linked += batch.Linked
	b.ledger.Octets += batch.Octets()
	b.leave()
}

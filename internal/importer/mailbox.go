package importer

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
	"time"

	"archiverd/archive"
	"archiverd/internal/commit"
	"archiverd/internal/progress"
	"archiverd/internal/safetext"
	"archiverd/internal/source"
	"archiverd/state"
)

// mailboxImport is one mailbox of an import. It is owned by the goroutine of Run.
type mailboxImport struct {
	job    *Job
	run    *state.Run
	name   archive.Name
	dir    archive.MailboxDir
	ledger state.Ledger

	archived    map[content][]archivedMessage // messages that are not paired with one of the sources yet
	lastUID     uint32                        // the highest UID in use
	uidValidity uint32

	journal  *archive.Mailbox // nil: not open
	batch    *archive.Batch   // the open batch; nil: none
	inFlight int              // batches submitted and not counted in the ledger
	allRead  bool             // no more batches will be submitted
	err      error            // why the mailbox is not complete; the first reason
}

// content is what messages of a mailbox are compared by: equal ones are the same message.
type content struct {
	sum  archive.Sum
	date int64 // Unix seconds; math.MinInt64: none
}

// archivedMessage is a message that the archive has.
type archivedMessage struct {
	uid   uint32
	flags []string
}

func contentOf(s archive.Sum, date time.Time) content {
	if date.IsZero() {
		return content{s, math.MinInt64}
	}
	return content{s, date.Unix()}
}

// importFrom imports the messages of a source's mailbox. Messages read before an error
// are committed. The last batches may be in flight when it returns.
func (m *mailboxImport) importFrom(ctx context.Context, from *source.Mailbox) error {
	exists, err := m.readArchived()
	if err != nil {
		return err
	}
	if m.job.Committer != nil {
		if err := m.open(exists); err != nil {
			return err
		}
		defer func() {
			m.fail(m.submit())
			m.allRead = true
			m.releaseIfDone()
		}()
	}
	for msg, err := range from.Messages(ctx) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if m.err != nil { // an earlier batch failed
			return nil
		}
		m.ledger.Server++
		if err == nil {
			err = m.importMessage(msg)
		}
		if err != nil && ctx.Err() != nil { // it is not the message's fault
			m.ledger.Server--
			return ctx.Err()
		}
		var f *source.Failure
		if errors.As(err, &f) {
			m.ledger.Failed++
			addUnread(m.run, f)
		} else if err != nil {
			return err
		}
		m.job.meter.Change(func(p *progress.Progress) { p.Received++; p.Messages = max(p.Messages, p.Received) })
		if m.batch != nil && commit.IsFull(m.batch, m.job.Now()) {
			if err := m.submit(); err != nil {
				return err
			}
		}
	}
	return nil
}

// fail records why the mailbox is not complete. Only the first error is recorded.
func (m *mailboxImport) fail(err error) {
	if m.err == nil {
		m.err = err
	}
}

// releaseIfDone releases the mailbox of the archive when all its batches are counted.
func (m *mailboxImport) releaseIfDone() {
	if m.journal == nil || !m.allRead || m.inFlight > 0 {
		return
	}
	m.fail(m.journal.Release())
	m.journal = nil
	m.job.meter.Change(func(p *progress.Progress) { p.Finished++ })
}

// finalLedger returns the mailbox's ledger. All its batches must be counted.
func (m *mailboxImport) finalLedger() state.Ledger {
	l := m.ledger
	l.Mailbox, l.Missing = m.name.Mailbox, l.Server-l.Archived-l.Failed
	if m.err != nil {
		l.Error = safetext.Line(m.err.Error())
	}
	return l
}

// readArchived reads which messages the mailbox has in the archive. exists is false if
// it has no journal or an empty one.
func (m *mailboxImport) readArchived() (exists bool, err error) {
	m.archived = map[content][]archivedMessage{}
	if m.job.Archive == nil {
		return false, nil
	}
	dir, err := m.job.directories.For(m.job.Account, m.name)
	if err != nil {
		return false, err
	}
	m.dir, m.uidValidity = dir, newUIDValidity(m.job.Archive.ID(), dir)
	view, _, err := m.job.Archive.Fold(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return true, err
	}
	epoch := view.Epoch()
	switch {
	case epoch == nil: // an interrupted first commit
		return false, nil
	case view.Unknown || view.V > archive.FormatVersion:
		return true, fmt.Errorf("%s/journal.jsonl: %w", dir.Dir, archive.ErrNewer)
	case len(view.Epochs) > 1 || !epoch.Imported || !view.Vanished.IsZero():
		return true, ErrNotImported
	}
	m.uidValidity = epoch.UIDValidity
	for _, msg := range epoch.Sorted() {
		m.lastUID = msg.UID
		if msg.Listed() {
			c := contentOf(msg.Sum, msg.InternalDate)
			m.archived[c] = append(m.archived[c], archivedMessage{msg.UID, msg.Flags})
		}
	}
	return true, nil
}

// newUIDValidity returns the UIDVALIDITY of a new mailbox. It depends only on the
// archive and the directory: an import that was killed before its first commit gives
// the files the same names again, and so replaces what it had written.
func newUIDValidity(archiveID string, dir archive.MailboxDir) uint32 {
	sum := sha256.Sum256([]byte(archiveID + "/" + dir.Dir))
	return max(1, binary.BigEndian.Uint32(sum[:]))
}

// open opens the mailbox of the archive and starts its epoch if it is new.
func (m *mailboxImport) open(exists bool) error {
	c := m.job.Committer
	recorded, _, err := c.State.Mailbox(m.dir.Dir)
	if err != nil {
		return err
	}
	m.journal, err = c.OpenMailbox(m.dir, &recorded)
	m.job.directories.Created(m.dir) // also after an error, which may leave the directory behind
	if err != nil || exists {
		return err
	}
	if m.batch, err = m.journal.Batch(); err != nil {
		err = errors.Join(err, m.journal.Release())
		m.journal = nil
		return err
	}
	m.batch.Record(archive.Event{Kind: archive.Opened, Name: m.name, UIDValidity: m.uidValidity, Imported: true})
	return nil
}

// importMessage adds a message, or the changed flags of a message that the mailbox has.
// The error is a [source.Failure] if it concerns this message only.
func (m *mailboxImport) importMessage(msg *source.Message) error {
	sum, size, err := hashMessage(msg)
	if err != nil {
		return &source.Failure{Path: msg.Path, Err: err}
	}
	flags := sortedFlags(msg.Flags)
	c := contentOf(sum, msg.Date)
	if same := m.archived[c]; len(same) > 0 {
		i := max(0, slices.IndexFunc(same, func(a archivedMessage) bool { return slices.Equal(a.flags, flags) }))
		paired := same[i]
		m.archived[c] = slices.Delete(same, i, i+1)
		m.ledger.Archived++
		if !msg.HasFlags || slices.Equal(paired.flags, flags) {
			return nil
		}
		return m.recordFlags(paired.uid, flags)
	}
	if m.lastUID == math.MaxUint32 {
		return errors.New("there is no UID left in the mailbox; import into another")
	}
	if m.job.Committer == nil {
		m.lastUID++
		m.ledger.Added++
		m.ledger.Archived++
		m.ledger.Octets += size
		return nil
	}
	return m.add(msg, archive.Event{UID: m.lastUID + 1, InternalDate: msg.Date, Flags: flags, Sum: sum, Size: size})
}

// minLarge is the size in octets from which on a message may not fit on a disk that has
// space for smaller ones.
const minLarge = 1 << 20

// checkSpace returns an error if there is no space for the message: a
// [source.Failure] if smaller ones may fit.
func (m *mailboxImport) checkSpace(msg *source.Message, size int64) error {
	w := m.job.Committer.Archive
	if err := w.CheckFreeSpace(0); err != nil {
		return err
	}
	err := w.CheckFreeSpace(size)
	if err != nil && size >= minLarge {
		return &source.Failure{Path: msg.Path, Err: fmt.Errorf("its %d octets do not fit on the disk: %w", size, err)}
	}
	return err
}

// add receives a message into the open batch.
func (m *mailboxImport) add(msg *source.Message, e archive.Event) error {
	if err := m.checkSpace(msg, e.Size); err != nil {
		return err
	}
	body, err := msg.Octets()
	if err != nil {
		return &source.Failure{Path: msg.Path, Err: err}
	}
	if err := m.openBatch(); err != nil {
		return err
	}
	err = m.batch.Add(m.uidValidity, e, e.Size, body)
	if err == nil && m.batch.Events[m.batch.Len()-1].Sum != e.Sum {
		if err := m.batch.Undo(); err != nil {
			return err
		}
		err = io.ErrUnexpectedEOF
	}
	switch {
	case errors.Is(err, archive.ErrWrite):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &source.Failure{Path: msg.Path, Err: errors.New("it was changed while it was being read: import it again when no program writes there")}
	case err != nil:
		return &source.Failure{Path: msg.Path, Err: err}
	}
	m.lastUID = e.UID
	m.job.meter.Change(func(p *progress.Progress) { p.Octets += e.Size })
	return nil
}

// recordFlags adds changed flags to the open batch.
func (m *mailboxImport) recordFlags(uid uint32, flags []string) error {
	if m.job.Committer == nil {
		m.ledger.FlagsChanged++
		return nil
	}
	if err := m.openBatch(); err != nil {
		return err
	}
	m.batch.Record(archive.Event{Kind: archive.Flags, UID: uid, Flags: flags})
	return nil
}

// hashMessage reads a message to its end.
func hashMessage(msg *source.Message) (sum archive.Sum, size int64, err error) {
	r, err := msg.Octets()
	if err != nil {
		return sum, 0, err
	}
	return archive.Hash(r)
}

// sortedFlags returns flags in their stored form, sorted and without duplicates.
func sortedFlags(flags []string) []string {
	flags = archive.StoredFlags(flags)
	slices.Sort(flags)
	return slices.Compact(flags)
}

// openBatch makes a batch if none is open.
func (m *mailboxImport) openBatch() (err error) {
	if m.batch == nil {
		m.batch, err = m.journal.Batch()
	}
	return err
}

// submit hands the open batch to the committer. Without one it does nothing.
func (m *mailboxImport) submit() error {
	batch := m.batch
	m.batch = nil
	if batch == nil {
		return nil
	}
	m.job.countCommitted()
	if batch.Len() == 0 || m.err != nil { // after a failed batch this one would fail as well
		return batch.Discard()
	}
	m.inFlight++
	m.job.queue.Submit(batch, func(batch *archive.Batch) {
		m.job.mu.Lock()
		defer m.job.mu.Unlock()
		m.job.committed = append(m.job.committed, committedBatch{m, batch})
	})
	return nil
}

// countCommitted counts the batches committed since the last call in the ledgers, and
// releases the mailboxes that are done.
func (j *Job) countCommitted() {
	j.mu.Lock()
	committed := j.committed
	j.committed = nil
	j.mu.Unlock()
	for _, c := range committed {
		c.mailbox.count(c.batch)
		c.mailbox.releaseIfDone()
	}
}

// count adds the events of a committed batch to the ledger, or records its error.
func (m *mailboxImport) count(batch *archive.Batch) {
	m.inFlight--
	if batch.Err != nil {
		m.fail(batch.Err)
		return
	}
	for i := range batch.Events {
		switch batch.Events[i].Kind {
		case archive.Added:
			m.ledger.Added++
			m.ledger.Archived++
		case archive.Flags:
			m.ledger.FlagsChanged++
		}
	}
	m.job.clock.Note(batch)
	m.ledger.Linked += batch.Linked
	m.ledger.Octets += batch.Octets()
}

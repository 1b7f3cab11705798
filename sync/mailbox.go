package sync

import (
	"fmt"
	"slices"
	gosync "sync"
	"time"

	"archiverd/archive"
	"archiverd/internal/commit"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
	"archiverd/state"
)

// mailboxRun is a mailbox that a run works on. It knows neither the run nor its
// workers. What the server said (snapshot), what is to be done (plan) and what was
// done (tally) are kept apart.
type mailboxRun struct {
	// Constant.
	listed   wire.Mailbox // as LIST and LIST-STATUS said
	name     archive.Name
	recorded state.Mailbox // at the start of the run
	isNew    bool          // the archive had no such mailbox then

	mu       gosync.Mutex       // guards all below
	dir      archive.MailboxDir // of a new mailbox: final once it is open for writing
	journal  *archive.Mailbox   // nil: not open for writing
	snapshot *snapshot          // of the latest scan; nil: none yet
	voided   bool               // the snapshot's UIDs no longer mean anything: UIDVALIDITY has changed
	plan     *plan              // made from the snapshot; nil: none yet
	tally    tally
}

// plan is what a scan found to be done. It is immutable.
type plan struct {
	epoch        state.Mailbox               // as recorded; without cursor and verification if newEpoch
	newEpoch     bool                        // the archive has no epoch to go on with: UIDVALIDITY is another, or what the UIDs mean
	uids         state.UIDs                  // as recorded of the epoch
	difference                               // of the server's UIDs and those
	failedBefore map[uint32]string           // why messages failed in earlier runs, by UID
	again        map[uint32]state.Again      // messages that this run may ask for again, failed or archived, by UID
	failedAgain  uid.Set                     // all failed messages of which octets came
	returned     map[uint32]*archive.Message // messages of missing UIDs that the archive has, by UID: they were gone

	identityDoubt string                  // why the mailbox was compared completely; "": it was not
	isOther       bool                    // UIDs mean other messages than before, although UIDVALIDITY is the same
	vary          variance                // what differed although the messages are the same
	known         map[uint32]state.Traits // of a few UIDs, by which a piece knows the mailbox again
	mustConfirm   string                  // why another connection is asked before this is believed; "": it is not
	compareFlags  bool                    // the flags of all messages are compared, whatever HIGHESTMODSEQ says
}

// tally is what a run did about a mailbox. It is guarded by mailboxRun.mu.
type tally struct {
	counts   state.Ledger // what was committed
	expected int          // messages of the mailbox in the total that progress shows
	began    time.Time    // of the first scan

	gaveUp        error // nothing more is done for the mailbox in this run; the first reason
	incomplete    error // why the mailbox does not count as complete although nothing is left to fetch
	flagsCompared bool  // those of all messages, in the latest scan

	rescan bool // scan it again when nothing of it is pending

	renumberings    int // changes of UIDVALIDITY within the run
	lostConnections int // over its messages
	lostInVain      int // of these, one after the other, with next to nothing received
	receivedSince   int // messages received since the last of them
	failedInRow     int // messages that failed one after the other

	expunged   uid.Set                // gone from the server since the snapshot
	excluded   uid.Set                // larger than the configuration allows
	verifying  map[uint32]archive.Sum // matches to be downloaded: the expected sums, by UID
	verified   int                    // such of the epoch, earlier runs included
	fewSmall   int                    // small matches that were downloaded because they are few
	mistrusted bool                   // a match of the epoch turned out to be another message
	warnings   []string
}

// A mailbox of which this much is gone at once is reported.
const (
	muchGone      = 100 // messages, and
	muchGoneShare = 5   // more than one in so many
)

// setExpected sets how many messages progress counts on, and returns by how many
// that changed.
func (m *mailboxRun) setExpected(messages int) (change int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change = messages - m.tally.expected
	m.tally.expected = messages
	return change
}

// giveUp gives the mailbox up for this run; the first reason stays.
func (m *mailboxRun) giveUp(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.giveUpLocked(err)
}

// giveUpLocked is giveUp with m.mu locked.
func (m *mailboxRun) giveUpLocked(err error) {
	if m.tally.gaveUp == nil {
		m.tally.gaveUp = err
	}
}

// giveUpLocal gives the mailbox up for an error of this machine. A disk error,
// which every mailbox would meet, is returned instead.
func (m *mailboxRun) giveUpLocal(err error) error {
	if commit.IsDiskError(err) {
		return err
	}
	m.giveUp(err)
	return nil
}

// markIncomplete records what keeps the mailbox from being complete although all
// that is known of it is fetched; the first reason stays.
func (m *mailboxRun) markIncomplete(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tally.incomplete == nil {
		m.tally.incomplete = err
	}
}

// isVoid reports whether pieces of that snapshot need no more work.
func (m *mailboxRun) isVoid(s *snapshot) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tally.gaveUp != nil || m.voided || m.snapshot != s
}

// startScan starts the clock of the mailbox at its first scan.
func (m *mailboxRun) startScan(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tally.began.IsZero() {
		m.tally.began = now
	}
}

// setSnapshot starts on the result of a scan. epoch is the archive's record of the
// epoch.
func (m *mailboxRun) setSnapshot(s *snapshot, epoch *state.Mailbox) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.snapshot, m.voided, m.plan = s, false, nil
	t := &m.tally
	t.expunged, t.excluded, t.incomplete, t.flagsCompared = uid.Set{}, uid.Set{}, nil, false
	t.verifying, t.verified, t.mistrusted = map[uint32]archive.Sum{}, epoch.Verified, epoch.Mistrusted
}

// setPlan sets the plan made from the snapshot.
func (m *mailboxRun) setPlan(p *plan) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.plan = p
}

// currentPlan returns the plan of the latest scan. It is not nil for a task that
// has a snapshot.
func (m *mailboxRun) currentPlan() *plan {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.plan
}

// knownBy returns the traits of a few messages, by which the mailbox is known again, and
// what varies of them.
func (m *mailboxRun) knownBy() (known map[uint32]state.Traits, vary variance) {
	if p := m.currentPlan(); p != nil {
		return p.known, p.vary
	}
	return nil, variance{} // it is being scanned again
}

// returnedMessages returns what the archive has of UIDs that are listed again, by UID.
func (m *mailboxRun) returnedMessages() map[uint32]*archive.Message {
	if p := m.currentPlan(); p != nil {
		return p.returned
	}
	return nil
}

// isReplaced reports whether UIDs were found to mean other messages than before: a UID
// alone says nothing then.
func (m *mailboxRun) isReplaced() bool {
	p := m.currentPlan()
	return p != nil && p.isOther
}

// epochRecord returns what the archive had recorded of the mailbox at the latest scan or,
// before the first scan, at the start of the run.
func (m *mailboxRun) epochRecord() state.Mailbox {
	if p := m.currentPlan(); p != nil {
		return p.epoch
	}
	return m.recorded
}

// directory returns where the mailbox lies in the archive.
func (m *mailboxRun) directory() archive.MailboxDir {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dir
}

// newBatch starts a batch. The mailbox must be open for writing.
func (m *mailboxRun) newBatch() (*archive.Batch, error) {
	m.mu.Lock()
	journal := m.journal
	m.mu.Unlock()
	return journal.Batch()
}

// setJournal sets where the mailbox is written, and closes what was open before.
func (m *mailboxRun) setJournal(dir archive.MailboxDir, journal *archive.Mailbox) error {
	err := m.releaseArchive()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dir, m.journal = dir, journal
	return err
}

// releaseArchive closes the mailbox for writing, if it is open.
func (m *mailboxRun) releaseArchive() error {
	m.mu.Lock()
	journal := m.journal
	m.journal = nil
	m.mu.Unlock()
	if journal == nil {
		return nil
	}
	return journal.Release()
}

// countGone counts messages that are gone, of so many archived ones.
func (m *mailboxRun) countGone(gone, archived int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tally.counts.Gone += gone
	if gone > muchGone && gone*muchGoneShare > archived {
		m.tally.warnings = append(m.tally.warnings, fmt.Sprintf("mailbox %q: %d of %d messages vanished from the server since the last run; they stay in the archive", m.name.Mailbox, gone, archived))
	}
}

// maxRenumberings is how often UIDVALIDITY may change within a run before the
// mailbox is given up.
const maxRenumberings = 3

// renumber voids the snapshot: the mailbox has another UIDVALIDITY now, or its UIDs mean
// other messages. what names that.
func (m *mailboxRun) renumber(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.voided, m.tally.rescan = true, true
	m.tally.renumberings++
	if n := m.tally.renumberings; n > maxRenumberings {
		m.giveUpLocked(fmt.Errorf("its %s changed %d times within this run; giving it up until the next", what, n))
	}
}

// endWork is called when nothing of the mailbox is pending. It reports whether it is
// to be scanned again; else it closes it for writing, which may rewrite the journal.
func (m *mailboxRun) endWork(now time.Time) (rescan bool) {
	m.mu.Lock()
	rescan = m.tally.rescan && m.tally.gaveUp == nil
	m.tally.rescan = false
	m.tally.counts.Elapsed = now.Sub(m.tally.began)
	m.mu.Unlock()
	if rescan {
		return true
	}
	if err := m.releaseArchive(); err != nil {
		m.markIncomplete(err)
	}
	return false
}

// committed counts what a batch brought. It runs on the committer's goroutine. A
// disk error is returned: it ends the run.
func (m *mailboxRun) committed(batch *archive.Batch) error {
	if err := batch.Err; err != nil {
		m.giveUp(err)
		if commit.IsDiskError(err) {
			return err
		}
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	counts := &m.tally.counts
	for i := range batch.Events {
		switch e := &batch.Events[i]; e.Kind {
		case archive.Added:
			if g, ok := m.askedAgain(e.UID); ok && !g.Failed {
				continue // it was archived before
			}
			counts.Added++
			if e.Matched != "" {
				counts.Matched++
			}
		case archive.Flags:
			counts.FlagsChanged++
		}
	}
	counts.Linked += batch.Linked
	counts.Octets += batch.Octets()
	return nil
}

// countReceived notes that a message of the mailbox was received.
func (m *mailboxRun) countReceived() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tally.failedInRow = 0
	m.tally.receivedSince++
}

// maxFailedInRow is how many messages of a mailbox may fail one after the other
// before the rest of it waits for the next run.
const maxFailedInRow = 1000

// countFailed counts messages that failed.
func (m *mailboxRun) countFailed(messages int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tally.failedInRow += messages
	if n := m.tally.failedInRow; n >= maxFailedInRow {
		m.giveUpLocked(fmt.Errorf("%d messages in a row could not be fetched; the others are left to the next run", n))
	}
}

// A run loses at most this many connections over one mailbox, and so many of them one
// after the other in vain. To find one message that loses its connection among the most
// that a piece has takes two losses for each halving, and so 24.
const (
	maxLostConnections = 100
	maxLostInVain      = 50
	beyondLimitCounts  = 3 // losses, for one to an answer over a limit, which would come again
)

// countLostConnection counts a connection lost over a task of the mailbox. It was lost in
// vain if the task received nothing and no other did, but for a single message that was
// fetched alone: else a mailbox of which each message loses its connection would be
// fetched message by message. A message that failed in an earlier run is known to do that.
func (m *mailboxRun) countLostConnection(t *task, cause error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	y := &m.tally
	y.lostConnections++
	if n := y.lostConnections; n > maxLostConnections {
		m.giveUpLocked(fmt.Errorf("lost %d connections over it: %w", n, cause))
	}
	if t.order == orderFailedBefore {
		return
	}
	if t.tries < 0 || y.receivedSince > 1 {
		y.lostInVain = 0
	}
	y.receivedSince = 0
	if isBeyondLimit(cause) {
		y.lostInVain += beyondLimitCounts
	} else {
		y.lostInVain++
	}
	if y.lostInVain > maxLostInVain {
		m.giveUpLocked(fmt.Errorf("lost %d connections over it, the last ones in vain; the others of its messages are left to the next run: %w", y.lostConnections, cause))
	}
}

// exclude adds messages that are larger than the configuration allows.
func (m *mailboxRun) exclude(set uid.Set) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tally.excluded = m.tally.excluded.Union(set)
}

// expunge adds messages that are gone since the snapshot.
func (m *mailboxRun) expunge(set uid.Set) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tally.expunged = m.tally.expunged.Union(set)
}

// noteFlagsCompared notes that the flags of all messages were compared.
func (m *mailboxRun) noteFlagsCompared() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tally.flagsCompared = true
}

// warn adds a warning, once.
func (m *mailboxRun) warn(text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Contains(m.tally.warnings, text) {
		m.tally.warnings = append(m.tally.warnings, text)
	}
}

// warnings returns the mailbox's warnings for the run's report.
func (m *mailboxRun) warnings() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tally.warnings
}

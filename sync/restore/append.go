package restore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"archiverd/archive"
	"archiverd/internal/fingerprint"
	"archiverd/internal/progress"
	"archiverd/internal/session"
	"archiverd/internal/wire"
)

// Limits of one APPEND command. Larger groups are not faster, because the server takes
// most of the time for each message.
const (
	maxGroup       = 100     // messages
	maxGroupOctets = 8 << 20 // octets
)

// maxLost is how many connections may be lost over one message; maxLostInRow, over how
// many messages in a row that is not the server's fault. Each may take minutes.
const (
	maxLost      = 3
	maxLostInRow = 3
)

// maxProblems is how many messages the result of a mailbox names.
const maxProblems = 1000

// errDamaged is returned for a file that is not the item.
var errDamaged = errors.New("the archive's file is damaged, so it is not restored; run `archiverd verify`")

// pendingAppend is a message that is being sent.
type pendingAppend struct {
	index int // of the item
	file  *os.File
	msg   wire.AppendMessage
	crlf  bool // it is sent with a CR before each LF
}

// addProblem adds an item to the problems of the result.
func (m *mailboxRestore) addProblem(i int, changed bool, reason string) {
	if changed {
		m.result.Changed++
	}
	if len(m.result.Problems) < maxProblems {
		m.result.Problems = append(m.result.Problems, Problem{ID: m.items[i].ID, Reason: reason, Changed: changed})
	}
}

// refuse records that an item will not be at the server.
func (r *run) refuse(m *mailboxRestore, i int, reason string) {
	m.status[i] = refused
	m.addProblem(i, false, reason)
	r.done(1)
}

// append sends the pending items in their order, in groups.
func (r *run) append(ctx context.Context, s *session.Session, m *mailboxRestore) error {
	later, cancel := afterCancel(ctx)
	defer cancel()
	for from := 0; !r.quotaFull.Load(); {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		group, next := r.nextGroup(s, m, from)
		if len(group) == 0 {
			return nil
		}
		from = next
		err := r.send(later, s, m, group)
		for _, p := range group {
			_ = p.file.Close() // it was only read
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// nextGroup opens the next pending items from an index on, and returns the index
// behind them. It refuses those that can't be sent.
func (r *run) nextGroup(s *session.Session, m *mailboxRestore, from int) (group []pendingAppend, next int) {
	var octets int64
	for next = from; next < len(m.items); next++ {
		it := m.items[next]
		switch {
		case m.status[next] != pending:
			continue
		case len(group) > 0 && (m.oneByOne > 0 || len(group) == maxGroup || octets+it.Size > maxGroupOctets):
			return group, next
		case r.appendLimit > 0 && it.Size > r.appendLimit:
			r.refuse(m, next, fmt.Sprintf("has %d octets; the server takes no more than %d", it.Size, r.appendLimit))
			continue
		case m.lost[next] >= maxLost:
			r.refuse(m, next, "the connection is lost whenever it is sent")
			if m.lostInRow++; m.lostInRow <= maxLostInRow {
				s.ResetBackoff() // the message is the reason, not the server
			}
			continue
		}
		file, traits, err := openItem(r.job.Open, it)
		if err != nil {
			r.refuse(m, next, err.Error())
			continue
		}
		if traits.Any() {
			m.traits[next] = traits
		}
		octets += it.Size
		msg := wire.AppendMessage{Flags: m.keptFlags(it.Flags), Size: it.Size, Body: file}
		if y := it.InternalDate.Year(); y > 0 && y <= 9999 { // the years that APPEND can express
			msg.Date = it.InternalDate
		}
		group = append(group, pendingAppend{index: next, file: file, msg: msg})
	}
	return group, next
}

// openItem opens the file of an item and reads it whole, before a single octet of
// it is sent. The caller closes the file, which is at its start.
func openItem(open func(id string) (*os.File, error), it Item) (*os.File, fingerprint.Traits, error) {
	f, err := open(it.ID)
	if err != nil {
		return nil, fingerprint.Traits{}, fmt.Errorf("can't be read: %w; run `archiverd verify`", err)
	}
	traits, err := checkFile(f, it)
	if err != nil {
		_ = f.Close() // it was only read
		return nil, fingerprint.Traits{}, err
	}
	return f, traits, nil
}

// checkFile reads a file from its start and returns its traits. It returns
// errDamaged if the file is not the item. The file is then at its start again.
func checkFile(f *os.File, it Item) (fingerprint.Traits, error) {
	var scan fingerprint.TraitScanner
	sum, size, err := archive.Hash(io.TeeReader(f, &scan))
	if err != nil {
		return fingerprint.Traits{}, fmt.Errorf("read: %w", err)
	}
	if size != it.Size || sum != it.Sum {
		return fingerprint.Traits{}, errDamaged
	}
	_, err = f.Seek(0, io.SeekStart)
	return scan.Traits(), err
}

// keptFlags returns the flags that the mailbox can keep, and remembers the others.
func (m *mailboxRestore) keptFlags(flags []string) []string {
	var kept []string
	for _, f := range flags {
		ok := wire.ValidFlag(f)
		if ok && m.selected.HasPermanentFlags && !m.selected.AllowsNewKeywords {
			ok = session.HasFlag(m.selected.PermanentFlags, f)
		}
		if ok {
			kept = append(kept, f)
		} else {
			m.unkeptFlags[f] = true
		}
	}
	return kept
}

// send appends a group. What the server refuses of it is sent again: in halves as
// long as one message may be the reason that all were refused, then singly.
func (r *run) send(ctx context.Context, s *session.Session, m *mailboxRestore, group []pendingAppend) error {
	if r.quotaFull.Load() {
		return nil
	}
	results, err := r.appendGroup(ctx, s, m, group)
	if err != nil {
		return err
	}
	m.oneByOne = max(0, m.oneByOne-len(group))
	var again []pendingAppend
	for k, a := range results {
		if a.State == wire.AppendRefused {
			again = append(again, group[k])
		}
	}
	switch {
	case len(again) == 0:
		return nil
	case len(group) == 1:
		return r.retryRefused(ctx, s, m, group[0], results[0].Err)
	case len(again) == len(group) && s.Conn().HasCapability("MULTIAPPEND"): // appends all or none (RFC 3502)
		if err := r.send(ctx, s, m, group[:len(group)/2]); err != nil {
			return err
		}
		return r.send(ctx, s, m, group[len(group)/2:])
	}
	for _, p := range again {
		if err := r.send(ctx, s, m, []pendingAppend{p}); err != nil {
			return err
		}
	}
	return nil
}

// appendGroup appends a group once and records the answers. If the connection is
// lost, the messages are sent singly from then on, until it is known which of them
// loses it.
func (r *run) appendGroup(ctx context.Context, s *session.Session, m *mailboxRestore, group []pendingAppend) ([]wire.Appended, error) {
	messages := make([]wire.AppendMessage, len(group))
	for k, p := range group {
		if _, err := p.file.Seek(0, io.SeekStart); err != nil {
			return nil, fmt.Errorf("read %s: %w", m.items[p.index].ID, err)
		}
		messages[k] = p.msg
		if p.crlf {
			messages[k].Body = &crlfReader{r: bufio.NewReaderSize(p.file, 64<<10)}
			messages[k].Size += int64(m.traits[p.index].BareLF)
		}
	}
	results, err := s.Conn().Append(ctx, m.dest.Wire, messages)
	switch {
	case err == nil || ctx.Err() != nil:
	case len(group) > 1:
		m.oneByOne = len(group)
	default:
		m.lost[group[0].index]++
	}
	for k, a := range results {
		i := group[k].index
		if a.State == wire.AppendUnknown {
			m.status[i] = unsure
		}
		if a.State != wire.AppendDone {
			continue
		}
		m.status[i], m.lostInRow = appended, 0
		// UIDs ascend (RFC 9051 2.3.1.1): a server that reports others is not believed.
		if a.UIDValidity == m.selected.UIDValidity && a.UID >= m.firstUID && a.UID > m.lastUID {
			m.uids[i], m.lastUID = a.UID, a.UID
		}
		m.result.Octets += m.items[i].Size
		r.job.meter.Change(func(p *progress.Progress) { p.Received, p.Octets = p.Received+1, p.Octets+m.items[i].Size })
		s.ResetBackoff()
	}
	return results, err
}

package archive

import (
	"fmt"
	"os"
	"time"

	"archiverd/internal/durable"
)

// HappenedBetween reports whether an event that happened at a time counts between two
// others, both included; a zero bound is none. Whatever selects events or messages by
// when archiverd saw them asks here. Between the events of one journal time never falls:
// [Archive.Replay] raises an At that is earlier than one before it.
func HappenedBetween(at, since, until time.Time) bool {
	return !at.Before(since) && (until.IsZero() || !at.After(until))
}

// minClockStep is how far the clock must be behind a journal to be called set back: less
// is the daily work of NTP.
const minClockStep = 5 * time.Second

// raiseTimes sets the times of the batches' events as the journal has them: in UTC, to
// the second, and never earlier than the event before. If the clock is behind the last
// event, the batches say so.
func (m *Mailbox) raiseTimes(batches []*Batch) error {
	last, err := m.lastEventTime()
	if err != nil {
		return err
	}
	behind := m.writer.opts.Now().Before(last.Add(-minClockStep))
	for _, b := range batches {
		if b.ClockBehind = (time.Time{}); behind {
			b.ClockBehind = last
		}
		for i := range b.Events {
			e := &b.Events[i]
			if e.At = e.At.UTC().Truncate(time.Second); e.At.Before(last) {
				e.At = last
			}
		}
		if n := len(b.Events); n > 0 {
			last = b.Events[n-1].At
		}
	}
	return nil
}

// lastEventTime returns the time of the last event of the journal; zero: it has none.
func (m *Mailbox) lastEventTime() (time.Time, error) {
	if m.pos.Offset == 0 || !m.lastAt.IsZero() {
		return m.lastAt, nil
	}
	f, err := durable.OpenRegularIn(m.root, journalName, os.O_RDONLY, 0)
	if err != nil {
		return time.Time{}, err
	}
	defer f.Close()
	line, err := lastLineBefore(f, m.pos.Offset-int64(len(sealLine(m.pos.Seal))))
	if err != nil {
		return time.Time{}, fmt.Errorf("read the last event of %s: %w", journalName, err)
	}
	e, err := decodeEvent(line)
	if err != nil {
		return time.Time{}, fmt.Errorf("read the last event of %s: %w", journalName, err)
	}
	return e.At, nil
}

// lastLineBefore returns the last line of f that ends at octet end, without its line feed.
func lastLineBefore(f *os.File, end int64) ([]byte, error) {
	for n := int64(4 << 10); ; n *= 2 {
		from := max(0, end-n)
		text := make([]byte, end-from)
		if _, err := f.ReadAt(text, from); err != nil {
			return nil, err
		}
		for i := len(text) - 2; i >= 0; i-- {
			if text[i] == '\n' {
				return text[i+1 : len(text)-1], nil
			}
		}
		switch {
		case from == 0 && len(text) > 0:
			return text[:len(text)-1], nil
		case len(text) < 2 || n > 2*maxLine:
			return nil, fmt.Errorf("no line ends at octet %d", end)
		}
	}
}

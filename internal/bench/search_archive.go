package main

import (
	"errors"
	"strings"
	"time"

	"archiverd/archive"
	"archiverd/internal/uid"
)

// batchMessages is the number of messages that one commit adds.
const batchMessages = 5000

// makeArchive makes an archive of messages, one in a hundred of which is gone, and returns
// their octets.
func makeArchive(dir string, messages int) (octets int64, err error) {
	a := &archiveMaker{now: archivedAt}
	a.writer, err = archive.OpenWriter(dir, archive.Options{Now: func() time.Time { return a.now }})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, a.writer.Close()) }()
	for _, share := range []struct {
		name    string
		percent int
	}{{"INBOX", 50}, {"Archive", 30}, {"Lists/go", 15}, {"Sent", 5}} {
		if err := a.mailbox(archive.Name{Mailbox: share.name, Delimiter: "/"}, max(1, messages*share.percent/100)); err != nil {
			return 0, err
		}
	}
	return a.octets, nil
}

// archiveMaker makes the archive that is searched.
type archiveMaker struct {
	writer   *archive.Writer
	now      time.Time // the clock of writer
	messages int       // number of those added so far
	octets   int64     // of those added so far
}

// mailbox adds a mailbox with count messages. One in a hundred is gone a day later.
func (a *archiveMaker) mailbox(name archive.Name, count int) error {
	a.now = archivedAt
	dir, err := a.writer.DirectoryOf("bench", name)
	if err != nil {
		return err
	}
	m, err := a.writer.Mailbox(dir, archive.JournalState{})
	if err != nil {
		return err
	}
	for first := 1; first <= count; first += batchMessages {
		if err := a.batch(m, name, first, count); err != nil {
			return err
		}
	}
	a.now = archivedAt.AddDate(0, 0, 1)
	b, err := m.Batch()
	if err != nil {
		return err
	}
	var gone []uint32
	for u := uint32(50); u <= uint32(count); u += 100 {
		gone = append(gone, u)
	}
	if len(gone) > 0 {
		b.Record(archive.Event{Kind: archive.Gone, UIDs: uid.Of(gone...)})
	}
	return errors.Join(a.commit(b), m.Release())
}

// batch adds the messages of a mailbox from UID first on, at most batchMessages.
func (a *archiveMaker) batch(m *archive.Mailbox, name archive.Name, first, count int) error {
	b, err := m.Batch()
	if err != nil {
		return err
	}
	if first == 1 {
		b.Record(archive.Event{Kind: archive.Opened, Name: name, UIDValidity: 1})
	}
	for u := first; u < min(count+1, first+batchMessages); u++ {
		text := generateMail(a.messages)
		e := archive.Event{UID: uint32(u), Flags: []string{`\Seen`}, InternalDate: firstMailDate.Add(time.Duration(u) * archivedAt.Sub(firstMailDate) / time.Duration(count))}
		if u%1000 == 1 {
			e.Flags = []string{`\Flagged`, `\Seen`}
		}
		if err := b.Add(1, e, int64(len(text)), strings.NewReader(text)); err != nil {
			return errors.Join(err, b.Discard())
		}
		a.messages++
		a.octets += int64(len(text))
	}
	return a.commit(b)
}

func (a *archiveMaker) commit(b *archive.Batch) error {
	a.writer.Commit(nil, b)
	return b.Err
}

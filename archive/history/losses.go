package history

import (
	"slices"
	"time"

	"archiverd/archive"
)

// Loss is a message that disappeared from a mailbox: alone, with its mailbox, or when
// the mailbox was renumbered.
type Loss struct {
	Mailbox archive.MailboxDir
	Name    archive.Name     // of the mailbox
	At      time.Time        // when archiverd saw that it was gone
	Message *archive.Message // as it was last
	To      *Arrival         // where the same octets arrived; nil: the message is gone

	epoch       int  // index of the epoch in the mailbox that the message is of
	withMailbox bool // it disappeared with its mailbox
}

// Arrival is when and where a message arrived.
type Arrival struct {
	At          time.Time
	Mailbox     archive.MailboxDir
	Name        archive.Name // of the mailbox
	UIDValidity uint32
	UID         uint32
}

// Losses returns what disappeared from the mailboxes of an account up to a time, zero
// for now, by time. A message that disappeared several times has several losses; those
// that came back or were moved have To. each, if not nil, is called with every mailbox
// as it was at that time. A mailbox with an error, such as ErrCorrupt, is no error of
// Losses: it counts up to the fault, and each gets the error.
func Losses(a *archive.Archive, account string, at time.Time, each func(archive.MailboxDir, *archive.View, error)) ([]*Loss, error) {
	mailboxes, err := a.Mailboxes(account)
	if err != nil {
		return nil, err
	}
	m := moveMatcher{mailboxes: mailboxes, anyTimeLater: true}
	names := make([]archive.Name, len(mailboxes))
	for i, b := range mailboxes {
		v, err := trackChanges(a, b, at, func(c *Change) {
			switch {
			case c.Kind == MessageArrived:
				m.arrivals = append(m.arrivals, c.arrival(int32(i), -1))
			case c.Kind == MessageGone && c.Message != nil:
				m.losses = append(m.losses, c.loss())
			}
		})
		names[i] = v.Name
		if each != nil {
			each(b, v, err)
		}
	}
	m.match(func(l *Loss, to *arrival) {
		l.To = &Arrival{time.Unix(to.at, 0).UTC(), mailboxes[to.mailbox], names[to.mailbox], to.uidValidity, to.uid}
	})
	slices.SortStableFunc(m.losses, func(x, y *Loss) int { return x.At.Compare(y.At) })
	return m.losses, nil
}

// loss is the loss that a MessageGone with a Message is.
func (c *Change) loss() *Loss {
	return &Loss{Mailbox: c.Mailbox, Name: c.Name, At: c.At, Message: c.Message, epoch: c.epoch, withMailbox: c.vanished != nil}
}

// arrival is the arrival that a MessageArrived is, in the mailbox of that index.
func (c *Change) arrival(mailbox, ref int32) arrival {
	return arrival{c.Message.Sum, c.At.Unix(), mailbox, c.UIDValidity, c.UID, ref}
}

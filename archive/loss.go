package archive

import (
	"cmp"
	"slices"
	"sort"
	"time"
)

// Loss is a message that disappeared from a mailbox: by itself, or with its
// mailbox, or as the mailbox was renumbered.
type Loss struct {
	Mailbox MailboxDir
	Name    Name      // of the mailbox
	At      time.Time // when archiverd saw that it was gone
	Message *Message  // as it was last
	To      *Arrival  // where the same octets arrived, from then on; nil: it is gone

	epoch int  // of the mailbox, that the message is of
	with  bool // it went with its mailbox
}

// Arrival is when and where a message arrived.
type Arrival struct {
	At          time.Time
	Mailbox     MailboxDir
	Name        Name // of the mailbox
	UIDValidity uint32
	UID         uint32
}

// When a message disappears here and its octets arrive elsewhere, it was moved. A
// run sees both within its own length, or if it failed halfway, the next run does;
// what arrived much earlier than the other went is a copy. A mailbox is seen to
// have vanished only when all else of the run is done.
const (
	movedLater   = 36 * 3600 // seconds that the arrival may be seen after the loss
	movedEarlier = 30 * 60   // and before it
)

// Losses are what disappeared from the mailboxes of an account up to a time, zero
// for now, by time. Those that came back or were moved have To: a message that has
// disappeared several times is told several times. each, if not nil, is given
// every mailbox as it was then, as it is read; of a mailbox with an error, such as
// ErrCorrupt, that is what stands before the fault, and no error of Losses.
func (a *Archive) Losses(account string, at time.Time, each func(MailboxDir, *View, error)) ([]*Loss, error) {
	boxes, err := a.Mailboxes(account)
	if err != nil {
		return nil, err
	}
	var losses []*Loss
	var arrivals []arrived
	names := make([]Name, len(boxes))
	for i, b := range boxes {
		v, err := a.changes(b, at, func(c *Change) {
			switch {
			case c.Kind == MessageArrived:
				m := c.Message
				arrivals = append(arrivals, arrived{m.Sum, c.At.Unix(), int32(i), m.UIDValidity, m.UID, -1})
			case c.Kind == MessageGone && c.Message != nil:
				losses = append(losses, c.loss())
			}
		})
		names[i] = v.Name
		if each != nil {
			each(b, v, err)
		}
	}
	p := &pairing{boxes: boxes, losses: losses, arrivals: arrivals, back: true}
	p.pair(func(l *Loss, to *arrived) {
		l.To = &Arrival{time.Unix(to.at, 0).UTC(), boxes[to.box], names[to.box], to.uidValidity, to.uid}
	})
	slices.SortStableFunc(losses, func(x, y *Loss) int { return x.At.Compare(y.At) })
	return losses, nil
}

// loss is the loss that c tells of.
func (c *Change) loss() *Loss {
	return &Loss{Mailbox: c.Mailbox, Name: c.Name, At: c.At, Message: c.Message, epoch: c.epoch, with: c.with != nil}
}

// arrived is an Arrival in little space, for an account may have a million.
type arrived struct {
	sum              Sum
	at               int64 // seconds
	box              int32 // an index
	uidValidity, uid uint32
	ref              int32 // the caller's
}

// pairing finds where what disappeared has arrived.
type pairing struct {
	boxes    []MailboxDir
	losses   []*Loss
	arrivals []arrived
	back     bool // also however much later
}

// twins are the arrivals of the same octets, by time. taken[i] is i where it is
// free, else one of the arrivals behind it up to which none is.
type twins struct {
	arrivals []*arrived
	taken    []int
}

// free is the first arrival from i on that is not taken.
func (t *twins) free(i int) int {
	for i < len(t.taken) && t.taken[i] != i {
		if next := t.taken[i]; next < len(t.taken) {
			t.taken[i] = t.taken[next] // halves the way for whoever comes next
		}
		i = t.taken[i]
	}
	return i
}

// pair tells found of each loss and the arrival that it is paired with: no arrival
// is with two losses.
func (p *pairing) pair(found func(*Loss, *arrived)) {
	of := map[Sum]*twins{}
	for _, l := range p.losses {
		of[l.Message.Sum] = &twins{}
	}
	for i := range p.arrivals {
		if t := of[p.arrivals[i].sum]; t != nil {
			t.arrivals = append(t.arrivals, &p.arrivals[i])
		}
	}
	for _, t := range of {
		slices.SortStableFunc(t.arrivals, func(x, y *arrived) int { return cmp.Compare(x.at, y.at) })
		t.taken = make([]int, len(t.arrivals))
		for i := range t.taken {
			t.taken[i] = i
		}
	}
	byTime := slices.Clone(p.losses)
	slices.SortStableFunc(byTime, func(x, y *Loss) int { return x.At.Compare(y.At) })
	var left []*Loss
	for _, l := range byTime {
		earlier := int64(movedEarlier)
		if l.with {
			earlier = movedLater
		}
		if at := l.At.Unix(); !p.take(of[l.Message.Sum], l, at-earlier, at+movedLater, found) {
			left = append(left, l)
		}
	}
	if !p.back {
		return
	}
	left = slices.DeleteFunc(left, func(l *Loss) bool { return p.again(of[l.Message.Sum], l, found) })
	for _, l := range slices.Backward(left) { // the last has the fewest to choose from
		p.take(of[l.Message.Sum], l, l.At.Unix(), 1<<62, found)
	}
}

// again pairs a loss with the same message, listed by the server once more.
func (p *pairing) again(t *twins, l *Loss, found func(*Loss, *arrived)) bool {
	first := sort.Search(len(t.arrivals), func(i int) bool { return t.arrivals[i].at >= l.At.Unix() })
	for i, n := t.free(first), 0; i < len(t.arrivals) && n < mostTwins; i, n = t.free(i+1), n+1 {
		if to := t.arrivals[i]; p.same(l, to) && to.at != l.Message.Added.Unix() {
			t.taken[i] = i + 1
			found(l, to)
			return true
		}
	}
	return false
}

// take pairs a loss with the arrival nearest in time that is from then to then,
// and of these with one in the same mailbox.
func (p *pairing) take(t *twins, l *Loss, from, to int64, found func(*Loss, *arrived)) bool {
	best, at := -1, l.At.Unix()
	first := sort.Search(len(t.arrivals), func(i int) bool { return t.arrivals[i].at >= from })
	for i, n := t.free(first), 0; i < len(t.arrivals) && t.arrivals[i].at <= to && n < mostTwins; i, n = t.free(i+1), n+1 {
		if !p.fits(l, t.arrivals[i]) {
			continue
		}
		if best < 0 || cmp.Or(cmp.Compare(abs(t.arrivals[i].at-at), abs(t.arrivals[best].at-at)), cmp.Compare(p.away(l, t.arrivals[i]), p.away(l, t.arrivals[best]))) < 0 {
			best = i
		}
	}
	if best < 0 {
		return false
	}
	t.taken[best] = best + 1
	found(l, t.arrivals[best])
	return true
}

// fits says whether a loss may have become an arrival: not of the same message.
// What arrived before the loss is in another mailbox, and came nearer to the loss
// than to when the message itself arrived: two that came together are a message and
// its copy.
func (p *pairing) fits(l *Loss, to *arrived) bool {
	if to.at >= l.At.Unix() {
		return !p.same(l, to)
	}
	return p.away(l, to) == 1 && to.at-l.Message.Added.Unix() >= l.At.Unix()-to.at
}

// same says whether the message that was lost is what arrived.
func (p *pairing) same(l *Loss, to *arrived) bool {
	return p.away(l, to) == 0 && to.uid == l.Message.UID && to.uidValidity == l.Message.UIDValidity
}

// away is 0 if an arrival is in the mailbox of the loss.
func (p *pairing) away(l *Loss, to *arrived) int {
	if p.boxes[to.box] == l.Mailbox {
		return 0
	}
	return 1
}

func abs(n int64) int64 { return max(n, -n) }

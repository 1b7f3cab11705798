package imapd

import (
	"errors"
	"slices"

	"github.com/emersion/go-imap/v2"

	"archiverd/internal/uid"
)

// errRenumbered ends a session: the UIDs that its client has are no longer valid, and
// IMAP has no other way to report that.
var errRenumbered = errors.New("selected mailbox deleted or renumbered")

// view is a mailbox as it was reported to the client of one session: entries[n] has the
// sequence number n+1. Only refresh changes the entries, when the changes may be sent.
// A view is owned by its session. It locks the mailbox itself.
type view struct {
	mailbox     *Mailbox
	readOnly    bool
	uidValidity uint32
	entries     []entry
	modSeq      uint64 // of the mailbox at the last refresh that reported all changes
}

// entry is a message of a view.
type entry struct {
	*message
	reported uint64 // the message's modSeq when its flags were last sent to the client
}

// picked is a message of a view with its flags at the time of pick.
type picked struct {
	*message
	seq   uint32
	flags []string
}

// updates are the changes to send to a client, in this order.
type updates struct {
	expunged []uint32 // sequence numbers, descending, so that each is valid when it is sent
	exists   uint32   // 0: unchanged
	flags    []picked
}

// open returns a new view of the mailbox and the reply to SELECT or EXAMINE.
func (m *Mailbox) open(readOnly bool) (*view, *imap.SelectData) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := &view{mailbox: m, readOnly: readOnly, uidValidity: m.uidValidity, modSeq: m.modSeq}
	flags := []string{`\Answered`, `\Flagged`, `\Deleted`, `\Seen`, `\Draft`}
	data := &imap.SelectData{
		NumMessages: uint32(len(m.messages)), UIDNext: imap.UID(m.uidNext), UIDValidity: m.uidValidity,
	}
	for i, msg := range m.messages {
		v.entries = append(v.entries, entry{msg, msg.modSeq})
		flags = addFlags(flags, msg.flags)
		if data.FirstUnseenSeqNum == 0 && !msg.has(`\Seen`) {
			data.FirstUnseenSeqNum = uint32(i) + 1
		}
	}
	data.Flags = toFlags(flags)
	if !readOnly {
		data.PermanentFlags = append(toFlags(flags), imap.FlagWildcard)
	}
	return v, data
}

// valid returns errRenumbered if the UIDs of the client are no longer valid.
func (v *view) valid() error {
	v.mailbox.mu.Lock()
	defer v.mailbox.mu.Unlock()
	if v.mailbox.uidValidity != v.uidValidity {
		return errRenumbered
	}
	return nil
}

// refresh updates the view and returns the changes. If EXPUNGE may not be sent (RFC 9051
// 7.5.1), expunged messages keep their sequence numbers.
func (v *view) refresh(allowExpunge bool) updates {
	m := v.mailbox
	m.mu.Lock()
	defer m.mu.Unlock()
	var n updates
	if m.modSeq == v.modSeq {
		return n
	}
	v.modSeq = m.modSeq
	last := v.highestUID()
	for i, e := range slices.Backward(v.entries) {
		switch seq := uint32(i) + 1; {
		case e.gone && allowExpunge:
			n.expunged = append(n.expunged, seq)
		case e.gone:
			v.modSeq = 0 // some updates are not reported yet
		}
	}
	if len(n.expunged) > 0 {
		v.entries = slices.DeleteFunc(v.entries, func(e entry) bool { return e.gone })
	}
	for i, e := range v.entries {
		if e.modSeq > e.reported && !e.gone {
			v.entries[i].reported = e.modSeq
			n.flags = append(n.flags, picked{e.message, uint32(i) + 1, e.flags})
		}
	}
	if i, found := m.search(last); found {
		v.add(m.messages[i+1:], &n)
	} else {
		v.add(m.messages[i:], &n)
	}
	return n
}

// add appends new messages to the view.
func (v *view) add(messages []*message, n *updates) {
	for _, msg := range messages {
		v.entries = append(v.entries, entry{msg, msg.modSeq})
		n.exists = uint32(len(v.entries))
	}
}

// highestUID returns the highest UID of the view, 0 if it is empty.
func (v *view) highestUID() uint32 {
	if len(v.entries) == 0 {
		return 0
	}
	return v.entries[len(v.entries)-1].uid
}

// pick returns the messages of a set that are not expunged.
func (v *view) pick(set imap.NumSet) []picked {
	in := v.matcher(set)
	v.mailbox.mu.Lock()
	defer v.mailbox.mu.Unlock()
	var all []picked
	for i, e := range v.entries {
		if seq := uint32(i) + 1; !e.gone && in(seq, e.message) {
			all = append(all, picked{e.message, seq, e.flags})
		}
	}
	return all
}

// store changes the flags of the messages of a set. A silent change is not reported
// to the client of this view.
func (v *view) store(set imap.NumSet, change func(flags []string) []string, silent bool) {
	in := v.matcher(set)
	v.mailbox.mu.Lock()
	defer v.mailbox.mu.Unlock()
	for i, e := range v.entries {
		if e.gone || !in(uint32(i)+1, e.message) {
			continue
		}
		isReported := e.modSeq == e.reported // if not, another client's change must be sent
		v.mailbox.setFlags(e.message, change(e.flags))
		if silent && isReported {
			v.entries[i].reported = e.modSeq
		}
	}
}

// matcher returns a function that reports whether a message is in a set of UIDs or
// sequence numbers. "*" is the highest one of the view.
func (v *view) matcher(set imap.NumSet) func(seq uint32, msg *message) bool {
	var numbers uid.Set
	add := func(first, last, star uint32) {
		if first == 0 {
			first = star
		}
		if last == 0 {
			last = star
		}
		numbers.AddRange(first, last)
	}
	switch set := set.(type) {
	case imap.SeqSet:
		for _, r := range set {
			add(r.Start, r.Stop, uint32(len(v.entries)))
		}
		return func(seq uint32, _ *message) bool { return numbers.Contains(seq) }
	case imap.UIDSet:
		for _, r := range set {
			add(uint32(r.Start), uint32(r.Stop), v.highestUID())
		}
	}
	return func(_ uint32, msg *message) bool { return numbers.Contains(msg.uid) }
}

package imapd

import (
	"errors"
	"slices"

	"github.com/emersion/go-imap/v2"

	"archiverd/internal/uid"
)

// errRenumbered ends a session: the UIDs that its client knows are no longer valid,
// and IMAP has no other way to report that.
var errRenumbered = errors.New("selected mailbox deleted or renumbered")

// view is a mailbox as the client of one session knows it: message n+1 of the
// sequence is entries[n]. Only refresh changes it, when the client may be told. A
// view belongs to its session; it locks the mailbox itself.
type view struct {
	mailbox     *Mailbox
	readOnly    bool
	uidValidity uint32
	entries     []entry
	modSeq      uint64 // of the mailbox at the last refresh that reported everything
}

type entry struct {
	*message
	reported uint64 // the message's modSeq when the client last heard of its flags
}

// picked is a message of a view with the flags it had when it was picked.
type picked struct {
	*message
	seq   uint32
	flags []string
}

// updates is what a client has to be told, in this order.
type updates struct {
	expunged []uint32 // sequence numbers, from the highest on, so that each is right when it is sent
	exists   uint32   // 0: as before
	flags    []picked
}

// open is the mailbox as SELECT or EXAMINE finds it, and what they say of it.
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

// refresh brings the view up to date and returns what is new. Where the client
// may not hear of EXPUNGE (RFC 9051 7.5.1), expunged messages keep their place.
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

func (v *view) add(messages []*message, n *updates) {
	for _, msg := range messages {
		v.entries = append(v.entries, entry{msg, msg.modSeq})
		n.exists = uint32(len(v.entries))
	}
}

// highestUID returns the highest UID that the client knows, 0 for an empty mailbox.
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
		heard := e.modSeq == e.reported // else another client's change is still to be reported
		v.mailbox.setFlags(e.message, change(e.flags))
		if silent && heard {
			v.entries[i].reported = e.modSeq
		}
	}
}

// matcher says which messages are in a set of UIDs or sequence numbers, where "*" is
// the highest that the client knows of.
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

package imapd

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
)

// Mailbox has messages in the order of their UIDs. User.Create makes it. Its methods may
// be called from several goroutines. Connected clients are sent the changes with their
// next command, or at once if they IDLE.
type Mailbox struct {
	server *Server
	attrs  []imap.MailboxAttr

	mu          sync.Mutex // guards the fields below
	uidValidity uint32     // 0: deleted
	uidNext     uint32
	messages    []*message
	subscribed  bool
	modSeq      uint64        // counts the changes
	changed     chan struct{} // closed by the next change
}

func newMailbox(s *Server, attrs ...imap.MailboxAttr) *Mailbox {
	return &Mailbox{
		server:      s,
		attrs:       slices.Clone(attrs),
		uidValidity: s.nextUIDValidity(),
		uidNext:     1,
		changed:     make(chan struct{}),
	}
}

// Append adds a message and returns its UID: msg.UID, or UIDNEXT if that is higher. The
// highest UID is 4294967294. Above it, and in a deleted mailbox, Append adds nothing and
// returns 0.
func (m *Mailbox) Append(msg Message) uint32 {
	uid, _ := m.append(msg)
	return uid
}

// append is Append. It also returns the UIDVALIDITY of the UID.
func (m *Mailbox) append(msg Message) (uid, uidValidity uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	uid = max(msg.UID, m.uidNext)
	if m.uidValidity == 0 || uid == math.MaxUint32 { // UIDNEXT would not fit
		return 0, 0
	}
	m.uidNext = uid + 1
	date := msg.InternalDate
	if date.IsZero() {
		date = time.Now()
	}
	m.messages = append(m.messages, &message{
		uid:    uid,
		date:   date,
		body:   msg.Body,
		file:   msg.Large,
		flags:  addFlags(nil, msg.Flags),
		modSeq: m.change(),
	})
	return uid, m.uidValidity
}

// Expunge removes messages, with or without \Deleted, and returns how many it removed.
func (m *Mailbox) Expunge(uids ...uint32) int {
	return m.expunge(func(msg *message) bool { return slices.Contains(uids, msg.uid) })
}

// SetFlags replaces the flags of a message and reports whether the message exists.
func (m *Mailbox) SetFlags(uid uint32, flags ...string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, ok := m.search(uid)
	if ok {
		m.setFlags(m.messages[i], addFlags(nil, flags))
	}
	return ok
}

// Messages returns all messages in the order of their UIDs.
func (m *Mailbox) Messages() []Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]Message, len(m.messages))
	for i, msg := range m.messages {
		all[i] = msg.public()
	}
	return all
}

// UIDValidity returns the mailbox's UIDVALIDITY, 0 after its deletion.
func (m *Mailbox) UIDValidity() uint32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.uidValidity
}

// Renumber gives the mailbox another UIDVALIDITY and its messages new UIDs, as a server
// does that lost its index. 0 means the server's next UIDVALIDITY. The UIDs start at 2,
// so that most old UIDs still exist and mean another message. Sessions that have the
// mailbox selected end with BYE.
func (m *Mailbox) Renumber(uidValidity uint32) {
	if uidValidity == 0 {
		uidValidity = m.server.nextUIDValidity()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.uidValidity = uidValidity
	m.uidNext = 2
	m.change()
	for i, old := range m.messages {
		// Copy it: a FETCH under way sends the message with its old UID.
		msg := *old
		msg.uid = m.uidNext
		m.uidNext++
		m.messages[i] = &msg
	}
}

// drop marks the mailbox as deleted.
func (m *Mailbox) drop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.uidValidity = 0
	m.messages = nil
	m.change()
}

func (m *Mailbox) selectable() bool {
	return !slices.Contains(m.attrs, imap.MailboxAttrNoSelect) && !slices.Contains(m.attrs, imap.MailboxAttrNonExistent)
}

// expunge removes the messages that remove selects and returns how many there were.
func (m *Mailbox) expunge(remove func(*message) bool) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	m.messages = slices.DeleteFunc(m.messages, func(msg *message) bool {
		if !remove(msg) {
			return false
		}
		msg.gone = true
		n++
		return true
	})
	if n > 0 {
		m.change()
	}
	return n
}

// nextChange returns a channel that the next change closes.
func (m *Mailbox) nextChange() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// change counts a change, wakes the sessions that IDLE and returns the new modSeq. m.mu
// is locked.
func (m *Mailbox) change() uint64 {
	m.modSeq++
	close(m.changed)
	m.changed = make(chan struct{})
	return m.modSeq
}

// setFlags replaces the flags of msg. m.mu is locked.
func (m *Mailbox) setFlags(msg *message, flags []string) {
	if slices.Equal(flags, msg.flags) {
		return
	}
	msg.flags = flags
	msg.modSeq = m.change()
}

// search is slices.BinarySearch for a UID. m.mu is locked.
func (m *Mailbox) search(uid uint32) (int, bool) {
	return slices.BinarySearchFunc(m.messages, uid, func(msg *message, uid uint32) int { return cmp.Compare(msg.uid, uid) })
}

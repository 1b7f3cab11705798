package wire

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"archiverd/internal/pattern"
	"archiverd/internal/utf7"
)

// Mailbox is one mailbox as the server lists it.
type Mailbox struct {
	Wire      string   // the octets as listed: what commands send
	Name      string   // decoded from modified UTF-7 if encoding it again gives Wire; else the octets of Wire
	Raw       bool     // Name holds octets that could not be decoded
	Delimiter string   // of the hierarchy; "" for none
	Attrs     []string // as listed: \Noselect, \HasChildren, \Sent, …
	Status    *Status  // nil: not sent
	StatusErr error    // why Status is nil, if the mailbox can be selected
	Err       error    // why the mailbox can't be used: its name is too long. Without Wire it stands for all mailboxes beyond Limits
}

// IsRest reports whether m stands for the mailboxes beyond Limits.Mailboxes, of which
// nothing is known: a list that has it does not say which mailboxes are gone.
func (m *Mailbox) IsRest() bool { return m.Err != nil && m.Wire == "" }

// Selectable reports whether the mailbox can be opened: some names exist only in
// the hierarchy (RFC 9051 7.3.1, \Noselect and \NonExistent).
func (m *Mailbox) Selectable() bool {
	return m.Err == nil && !slices.ContainsFunc(m.Attrs, func(a string) bool {
		return strings.EqualFold(a, `\Noselect`) || strings.EqualFold(a, `\NonExistent`)
	})
}

// Status is what STATUS and EXAMINE say of a mailbox. 0 means not sent.
type Status struct {
	Messages, UIDNext, UIDValidity uint32
	HighestModSeq                  uint64
}

// Bounds of what is kept of a LIST. A longer name is a mailbox with an error; further
// attributes are ignored.
const (
	maxNameOctets      = 4 << 10 // of a mailbox name on the wire
	maxAttrs           = 32      // of one mailbox
	maxAttrOctets      = 64      // of one attribute
	maxDelimiterOctets = 8
	maxListOctets      = 32 << 20 // of all mailboxes together, of which each takes mailboxOverhead beside its names
	mailboxOverhead    = 256
)

const (
	maxStatusOctets = 32 << 10 // of STATUS commands sent in one write
	unreadableName  = "(unreadable LIST reply)"
)

// List lists all mailboxes, each with its STATUS if it can be selected. An error of one
// mailbox's name or STATUS is in that Mailbox. Of more mailboxes than Limits.Mailboxes,
// or than fit into 32 MiB, the first are returned and, at the end, one that IsRest.
func (c *Conn) List(ctx context.Context) ([]Mailbox, error) {
	var l listReplies
	l.maxMailboxes = c.options.Limits.Mailboxes
	cmd := command{name: cmdList, answerWait: c.options.Timeouts.Answer, onNO: ClassProtocol, onBAD: ClassProtocol, maxReplies: 4 * l.maxMailboxes}
	extended := c.HasCapability("LIST-STATUS")
	line := `LIST "" "*"`
	if extended { // RFC 5258, RFC 5819, RFC 6154
		options := "CHILDREN STATUS " + c.statusItems()
		if c.HasCapability("SPECIAL-USE") {
			options = "SPECIAL-USE " + options
		}
		line += " RETURN (" + options + ")"
	}
	_, err := c.run(ctx, cmd, line, l.handleUntagged)
	var refusal *imap.Error
	if extended && errors.As(err, &refusal) && refusal.Type == imap.StatusResponseTypeBad && c.failure() == nil { // announced, but not understood
		l = listReplies{maxMailboxes: l.maxMailboxes}
		_, err = c.run(ctx, cmd, `LIST "" "*"`, l.handleUntagged)
	}
	if err != nil {
		return nil, err
	}
	l.assignStatuses()
	var missing []*Mailbox
	for i := range l.mailboxes {
		if m := &l.mailboxes[i]; m.Status == nil && m.StatusErr == nil && m.Selectable() {
			missing = append(missing, m)
		}
	}
	for len(missing) > 0 {
		n, octets := 0, 0
		for n < len(missing) && (n == 0 || octets < maxStatusOctets) {
			octets += len(missing[n].Wire) + len(`X1 STATUS "" `+c.statusItems()+"\r\n")
			n++
		}
		if err := c.fetchStatuses(ctx, missing[:n]); err != nil {
			return nil, err
		}
		missing = missing[n:]
	}
	return l.mailboxes, nil
}

func (c *Conn) statusItems() string {
	if c.HasCapability("CONDSTORE") {
		return "(MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ)"
	}
	return "(MESSAGES UIDNEXT UIDVALIDITY)"
}

// fetchStatuses asks for the STATUS of several mailboxes in one write.
func (c *Conn) fetchStatuses(ctx context.Context, group []*Mailbox) error {
	cmd := command{name: cmdStatus, answerWait: c.options.Timeouts.Answer, onNO: ClassMailbox, onBAD: ClassMailbox}
	var lines []string
	var asked []*Mailbox
	for _, m := range group {
		name, ok := quote(m.Wire)
		if !ok {
			m.StatusErr = errUnsendable
			continue
		}
		lines, asked = append(lines, "STATUS "+name+" "+c.statusItems()), append(asked, m)
	}
	if len(asked) == 0 {
		return nil
	}
	return c.exclusive(ctx, cmd, func() error {
		answers, err := c.exchange(lines, 0, func(u untagged) (bool, error) {
			name, s, ok := parseStatusReply(u)
			if !ok {
				return false, nil
			}
			i := slices.IndexFunc(asked, func(m *Mailbox) bool { return pattern.SameName(m.Wire, name) })
			if i >= 0 {
				asked[i].Status = s
			}
			return i >= 0, nil
		}, nil)
		if err != nil {
			return err
		}
		for i, m := range asked {
			if err := c.refusal(answers[i], cmd); err != nil {
				m.Status, m.StatusErr = nil, c.annotate(cmd, err)
			} else if m.Status == nil {
				m.StatusErr = c.annotate(cmd, protocolError("server said OK without the STATUS"))
			}
		}
		return nil
	})
}

var errUnsendable = &Error{Class: ClassMailbox, Err: errors.New("mailbox name holds NUL or a line end and can't be sent")}

// listReplies collects the replies to LIST.
type listReplies struct {
	maxMailboxes int
	mailboxes    []Mailbox
	octets       int // that mailboxes takes
	rest         int // mailboxes that were not kept
	statuses     map[string]*Status
}

func (l *listReplies) handleUntagged(u untagged) (bool, error) {
	if name, s, ok := parseStatusReply(u); ok {
		if l.statuses == nil {
			l.statuses = make(map[string]*Status)
		}
		if len(l.statuses) < l.maxMailboxes && len(name) <= maxNameOctets {
			l.statuses[pattern.FoldInbox(name)] = s
		}
		return true, nil
	}
	if !u.is("LIST") {
		return false, nil
	}
	m := parseList(u.rest)
	switch octets := m.octets(); {
	case m.Wire == "":
	case len(l.mailboxes) == l.maxMailboxes || l.octets+octets > maxListOctets:
		l.rest++
	default:
		l.octets += octets
		l.mailboxes = append(l.mailboxes, m)
	}
	return true, nil
}

// octets is what the mailbox takes in memory, roughly.
func (m *Mailbox) octets() int {
	n := mailboxOverhead + 2*len(m.Wire)
	for _, a := range m.Attrs {
		n += len(a) + literalOverhead
	}
	return n
}

// restOfList is the Mailbox for n mailboxes that were not kept.
func restOfList(kept, n int) Mailbox {
	return Mailbox{
		Name: "(further mailboxes)",
		Err:  &Error{Class: ClassMailbox, Err: fmt.Errorf("the server lists %d mailboxes more than the %d that fit: they are left out: %w", n, kept, ErrLimit)},
	}
}

// assignStatuses drops mailboxes listed twice and gives each mailbox its status.
func (l *listReplies) assignStatuses() {
	seen := make(map[string]bool)
	l.mailboxes = slices.DeleteFunc(l.mailboxes, func(m Mailbox) bool {
		again := seen[m.Wire]
		seen[m.Wire] = true
		return again
	})
	for i := range l.mailboxes {
		l.mailboxes[i].Status = l.statuses[pattern.FoldInbox(l.mailboxes[i].Wire)]
	}
	if l.rest > 0 {
		l.mailboxes = append(l.mailboxes, restOfList(len(l.mailboxes), l.rest))
	}
}

// parseList reads what follows "* LIST" (RFC 9051 7.3.1). Anything becomes a mailbox, so
// that no mailbox is lost because of how it is written. Only an empty name is dropped.
func parseList(rest []byte) Mailbox {
	c := cursor{rest}
	attrs, delimiter := c.value(), c.value()
	c.space()
	if attrs.kind != list || delimiter.kind == none || delimiter.kind == list || len(delimiter.octets) > maxDelimiterOctets || len(c.b) == 0 {
		octets := bytes.TrimLeft(rest, " ")
		if len(octets) > maxNameOctets {
			return longName(octets)
		}
		name := cmp.Or(string(octets), unreadableName)
		return Mailbox{Wire: name, Name: name, Raw: true, StatusErr: protocolError("unreadable reply to LIST")}
	}
	var m Mailbox
	for inner := (cursor{attrs.octets}); ; {
		a := inner.value()
		if a.kind != atom && a.kind != text || len(m.Attrs) == maxAttrs {
			break
		}
		if len(a.octets) <= maxAttrOctets {
			m.Attrs = append(m.Attrs, string(a.octets))
		}
	}
	if !delimiter.isNil() {
		m.Delimiter = string(delimiter.octets)
	}
	wireName, _, ok := stringAt(c.b)
	if !ok { // an unquoted name, with spaces perhaps; a list behind it is extended data
		wireName = c.b
		if i := bytes.Index(wireName, []byte(" (")); i > 0 && bytes.HasSuffix(wireName, []byte{')'}) {
			wireName = wireName[:i]
		}
		wireName = bytes.TrimRight(wireName, " ")
	}
	if len(wireName) > maxNameOctets {
		return longName(wireName)
	}
	m.Wire = string(wireName)
	name, err := utf7.Decode(m.Wire)
	if m.Name, m.Raw = name, err != nil; m.Raw {
		m.Name = m.Wire
	}
	return m
}

// longName is the Mailbox for a name that is too long to be kept. A hash tells it from
// others with the same beginning.
func longName(octets []byte) Mailbox {
	const shown = 64
	sum := sha256.Sum256(octets)
	short := fmt.Sprintf("%s… (%d octets, %x)", strings.ToValidUTF8(string(octets[:shown]), ""), len(octets), sum[:8])
	return Mailbox{Wire: short, Name: short, Raw: true, Err: &Error{Class: ClassMailbox, Err: fmt.Errorf("its name has %d octets, over %d: %w", len(octets), maxNameOctets, ErrLimit)}}
}

// parseStatusReply reads "* STATUS name (…)" (RFC 9051 7.3.4).
func parseStatusReply(u untagged) (name string, s *Status, ok bool) {
	name, items, ok := splitStatusReply(u)
	if !ok {
		return "", nil, false
	}
	s = new(Status)
	for {
		k, v := items.key(), items.value()
		if len(k) == 0 || v.kind == none {
			return name, s, true
		}
		x, ok := v.number()
		if !ok {
			continue
		}
		small := uint32(min(x, 1<<32-1))
		switch {
		case isKey(k, "MESSAGES"):
			s.Messages = small
		case isKey(k, "UIDNEXT"):
			s.UIDNext = small
		case isKey(k, "UIDVALIDITY"):
			s.UIDValidity = small
		case isKey(k, "HIGHESTMODSEQ"):
			s.HighestModSeq = x
		}
	}
}

// splitStatusReply cuts a STATUS reply into name and items.
func splitStatusReply(u untagged) (name string, items cursor, ok bool) {
	if !u.is("STATUS") {
		return "", cursor{}, false
	}
	rest := bytes.TrimLeft(u.rest, " ")
	c := cursor{rest}
	n := c.value()
	v := c.value()
	if n.kind == atom && v.kind != list { // unquoted, with spaces
		if i := bytes.Index(rest, []byte(" (")); i > 0 {
			n.octets, c.b = rest[:i], rest[i:]
			v = c.value()
		}
	}
	if n.kind != atom && n.kind != text || v.kind != list {
		return "", cursor{}, false
	}
	return string(n.octets), cursor{v.octets}, true
}

package wire

import (
	"bytes"
	"context"
	"errors"
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
}

// Selectable reports whether the mailbox can be opened: some names exist only in
// the hierarchy (RFC 9051 7.3.1, \Noselect and \NonExistent).
func (m *Mailbox) Selectable() bool {
	return !slices.ContainsFunc(m.Attrs, func(a string) bool {
		return strings.EqualFold(a, `\Noselect`) || strings.EqualFold(a, `\NonExistent`)
	})
}

// Status is what STATUS and EXAMINE say of a mailbox. 0 means not sent.
type Status struct {
	Messages, UIDNext, UIDValidity uint32
	HighestModSeq                  uint64
}

// hasAttr says whether the mailbox has the attribute, in any case.
func (m *Mailbox) hasAttr(attr string) bool {
	return slices.ContainsFunc(m.Attrs, func(a string) bool { return strings.EqualFold(a, attr) })
}

const (
	maxStatusOctets = 32 << 10 // of STATUS commands sent in one write
	unreadableName  = "(unreadable LIST reply)"
)

// List lists all mailboxes, each with its STATUS if it can be selected. An error of one
// mailbox's name or STATUS is in that Mailbox.
func (c *Conn) List(ctx context.Context) ([]Mailbox, error) {
	var l listReplies
	l.maxMailboxes = c.options.Limits.Mailboxes
	cmd := command{name: cmdList, answerWait: c.options.Timeouts.Answer, onNO: ClassProtocol, onBAD: ClassProtocol, maxReplies: 2 * l.maxMailboxes}
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
		if m := &l.mailboxes[i]; m.Status == nil && m.StatusErr == nil && !m.hasAttr(`\Noselect`) && !m.hasAttr(`\NonExistent`) {
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
	statuses     map[string]*Status
}

func (l *listReplies) handleUntagged(u untagged) (bool, error) {
	if name, s, ok := parseStatusReply(u); ok {
		if l.statuses == nil {
			l.statuses = make(map[string]*Status)
		}
		if len(l.statuses) < l.maxMailboxes {
			l.statuses[pattern.FoldInbox(name)] = s
		}
		return true, nil
	}
	if !u.is("LIST") {
		return false, nil
	}
	if len(l.mailboxes) == l.maxMailboxes {
		return true, protocolError("over %d mailboxes: %w", l.maxMailboxes, ErrLimit)
	}
	if m := parseList(u.rest); m.Wire != "" {
		l.mailboxes = append(l.mailboxes, m)
	}
	return true, nil
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
}

// parseList reads what follows "* LIST" (RFC 9051 7.3.1). Anything becomes a mailbox, so
// that no mailbox is lost because of how it is written. Only an empty name is dropped.
func parseList(rest []byte) Mailbox {
	c := cursor{rest}
	attrs, delimiter := c.value(), c.value()
	c.space()
	if attrs.kind != list || delimiter.kind == none || delimiter.kind == list || len(c.b) == 0 {
		octets := string(bytes.TrimLeft(rest, " "))
		if octets == "" {
			octets = unreadableName
		}
		return Mailbox{Wire: octets, Name: octets, Raw: true, StatusErr: protocolError("unreadable reply to LIST")}
	}
	var m Mailbox
	for inner := (cursor{attrs.octets}); ; {
		a := inner.value()
		if a.kind != atom && a.kind != text {
			break
		}
		m.Attrs = append(m.Attrs, string(a.octets))
	}
	if !delimiter.isNil() {
		m.Delimiter = string(delimiter.octets)
	}
	if content, _, ok := stringAt(c.b); ok {
		m.Wire = string(content)
	} else { // an unquoted name, with spaces perhaps; a list behind it is extended data
		m.Wire = string(c.b)
		if i := strings.Index(m.Wire, " ("); i > 0 && strings.HasSuffix(m.Wire, ")") {
			m.Wire = m.Wire[:i]
		}
		m.Wire = strings.TrimRight(m.Wire, " ")
	}
	name, err := utf7.Decode(m.Wire)
	if m.Name, m.Raw = name, err != nil; m.Raw {
		m.Name = m.Wire
	}
	return m
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

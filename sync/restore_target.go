package sync

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"archiverd/archive"
	"archiverd/internal/pattern"
	"archiverd/internal/utf7"
	"archiverd/internal/wire"
)

// target is the server that is restored to: its mailboxes and how it names them.
type target struct {
	delimiter string
	personal  []string // the levels above all mailboxes of the user's but INBOX (RFC 2342)
	byName    map[string]*wire.Mailbox
	byWire    map[string]*wire.Mailbox
}

// lookAt asks a server for its mailboxes.
func lookAt(ctx context.Context, c *wire.Conn) (*target, error) {
	space, err := c.Namespace(ctx)
	if err != nil {
		return nil, err
	}
	list, err := c.List(ctx)
	if err != nil {
		return nil, err
	}
	t := &target{delimiter: space.Delimiter, byName: map[string]*wire.Mailbox{}, byWire: map[string]*wire.Mailbox{}}
	if prefix := strings.TrimSuffix(space.Prefix, space.Delimiter); prefix != "" {
		t.personal = t.split(prefix)
	}
	for i := range list {
		m := &list[i]
		t.byWire[m.Wire] = m
		if !m.Raw {
			t.byName[folded(m.Name)] = m
		}
	}
	return t, nil
}

// folded is a mailbox's name in the one form that names are compared in.
func folded(name string) string {
	return norm.NFC.String(pattern.FoldInbox(name))
}

// split cuts a name that a person wrote into levels: at the server's delimiter,
// or where it has none of these, at "/".
func (t *target) split(name string) []string {
	d := t.delimiter
	if d == "" || !strings.Contains(name, d) {
		d = "/"
	}
	return strings.Split(strings.Trim(name, d), d)
}

// seat is where a source's messages go.
type seat struct {
	name   string // for people
	wire   string
	listed *wire.Mailbox // nil: to be created
}

// place says where the messages of a mailbox go.
func (t *target) place(n archive.Name, into string, maps []Mapping) (seat, error) {
	var front []string // levels that people gave, before those of the archive
	kept := n.Levels()
	var best []string
	for _, m := range maps {
		old := (archive.Name{Mailbox: m.Old, Delimiter: n.Delimiter}).Levels()
		if levels := n.Levels(); len(old) > len(best) && len(old) <= len(levels) && slices.Equal(old, levels[:len(old)]) {
			best, front, kept = old, t.split(m.New), levels[len(old):]
		}
	}
	if into != "" {
		front = slices.Concat(t.split(into), front)
	}
	levels := slices.Concat(front, kept)
	levels[0] = pattern.FoldInbox(levels[0])
	inbox := len(levels) == 1 && levels[0] == pattern.Inbox
	if p := t.personal; !inbox && len(p) > 0 && (len(levels) <= len(p) || !slices.Equal(levels[:len(p)], p)) {
		front, levels = slices.Concat(p, front), slices.Concat(p, levels)
	}
	d := t.delimiter
	if d == "" {
		d = "_" // a server without a hierarchy
	}
	octets := make([]string, len(levels))
	for i, l := range levels {
		l = strings.ReplaceAll(l, d, "_")
		levels[i], octets[i] = l, l
		if !n.Raw || i < len(front) {
			octets[i] = utf7.Encode(l)
		}
	}
	s := seat{name: strings.Join(levels, d), wire: strings.Join(octets, d)}
	if strings.ContainsAny(s.name, "\x00\r\n") || s.name == "" {
		return seat{}, fmt.Errorf("no server can have a mailbox called %q; give it another name with --map", s.name)
	}
	if s.listed = t.byWire[s.wire]; s.listed == nil && !n.Raw {
		s.listed = t.byName[folded(s.name)]
	}
	if s.listed != nil {
		s.name, s.wire = s.listed.Name, s.listed.Wire
	}
	return s, nil
}

// selectable says whether the server has the mailbox, not just its name.
func (s seat) selectable() bool {
	return s.listed != nil && !slices.ContainsFunc(s.listed.Attrs, func(a string) bool {
		return strings.EqualFold(a, `\Noselect`) || strings.EqualFold(a, `\NonExistent`)
	})
}

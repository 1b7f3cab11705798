package restore

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

// Destinations says which mailbox of a server an archived one is restored to. It
// is made from what the server has and from how it names mailboxes.
type Destinations struct {
	Mailboxes map[string]*wire.Mailbox // all that the server lists, by their names on the wire
	Personal  []string                 // the levels above every mailbox of the user but INBOX (RFC 2342); usually none

	delimiter string
	byName    map[string]*wire.Mailbox // by FoldName
}

// ReadDestinations asks a server for its namespace and its mailboxes.
func ReadDestinations(ctx context.Context, c *wire.Conn) (*Destinations, error) {
	space, err := c.Namespace(ctx)
	if err != nil {
		return nil, err
	}
	list, err := c.List(ctx)
	if err != nil {
		return nil, err
	}
	d := &Destinations{delimiter: space.Delimiter, byName: map[string]*wire.Mailbox{}, Mailboxes: map[string]*wire.Mailbox{}}
	if prefix := strings.TrimSuffix(space.Prefix, space.Delimiter); prefix != "" {
		d.Personal = d.Split(prefix)
	}
	for i := range list {
		m := &list[i]
		if m.Err != nil {
			continue
		}
		d.Mailboxes[m.Wire] = m
		if !m.Raw {
			d.byName[FoldName(m.Name)] = m
		}
	}
	return d, nil
}

// FoldName returns a mailbox's name in the form in which names are compared.
func FoldName(name string) string {
	return norm.NFC.String(pattern.FoldInbox(name))
}

// Split cuts a name that a person wrote into levels: at the server's delimiter,
// or at "/" if the name does not contain that.
func (d *Destinations) Split(name string) []string {
	delimiter := d.delimiter
	if delimiter == "" || !strings.Contains(name, delimiter) {
		delimiter = "/"
	}
	return strings.Split(strings.Trim(name, delimiter), delimiter)
}

// Destination is the mailbox that a source's messages are appended to.
type Destination struct {
	Name   string // for people
	Wire   string
	Listed *wire.Mailbox // nil: the mailbox must be created
}

// For returns the destination of an archived mailbox: below into, if that is
// not empty, and with the longest of maps that fits its name.
func (d *Destinations) For(n archive.Name, into string, maps []Mapping) (Destination, error) {
	given, archived := d.mapped(n, maps)
	if into != "" {
		given = slices.Concat(d.Split(into), given)
	}
	levels := slices.Concat(given, archived)
	levels[0] = pattern.FoldInbox(levels[0])
	inbox := len(levels) == 1 && pattern.IsInbox(levels[0])
	if p := d.Personal; !inbox && len(p) > 0 && (len(levels) <= len(p) || !slices.Equal(levels[:len(p)], p)) {
		given, levels = slices.Concat(p, given), slices.Concat(p, levels)
	}
	delimiter := d.delimiter
	if delimiter == "" {
		delimiter = "_" // a server without a hierarchy
	}
	octets := make([]string, len(levels))
	for i, l := range levels {
		l = strings.ReplaceAll(l, delimiter, "_")
		levels[i], octets[i] = l, l
		if !n.Raw || i < len(given) {
			octets[i] = utf7.Encode(l)
		}
	}
	dest := Destination{Name: strings.Join(levels, delimiter), Wire: strings.Join(octets, delimiter)}
	if strings.ContainsAny(dest.Name, "\x00\r\n") || dest.Name == "" {
		return Destination{}, fmt.Errorf("no server can have a mailbox called %q; give it another name with --map", dest.Name)
	}
	if dest.Listed = d.Mailboxes[dest.Wire]; dest.Listed == nil && !n.Raw {
		dest.Listed = d.byName[FoldName(dest.Name)]
	}
	if dest.Listed != nil {
		dest.Name, dest.Wire = dest.Listed.Name, dest.Listed.Wire
	}
	return dest, nil
}

// mapped applies the longest mapping that fits. given are the levels that a
// person named, archived those of the archive behind them.
func (d *Destinations) mapped(n archive.Name, maps []Mapping) (given, archived []string) {
	levels := n.Levels()
	archived = levels
	longest := 0
	for _, m := range maps {
		old := (archive.Name{Mailbox: m.Old, Delimiter: n.Delimiter}).Levels()
		if len(old) > longest && len(old) <= len(levels) && slices.Equal(old, levels[:len(old)]) {
			longest, given, archived = len(old), d.Split(m.New), levels[len(old):]
		}
	}
	return given, archived
}

// Selectable reports whether the server has the mailbox, and not only its name.
func (d Destination) Selectable() bool { return d.Listed != nil && d.Listed.Selectable() }

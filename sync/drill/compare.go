package drill

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"archiverd/archive"
	"archiverd/internal/fingerprint"
	"archiverd/internal/session"
	"archiverd/sync/restore"
)

// What a Difference is in.
const (
	inMissing = "missing"
	inExtra   = "extra"
	inOctets  = "octets"
	inFlags   = "flags"
	inDate    = "internaldate"
	inName    = "name"
	inError   = "error"
)

// judge compares what was read back with what was to be restored, mailbox by
// mailbox.
func (r *rehearsal) judge(p portion, restored *restore.Result, back []seenBox) {
	used := make([]bool, len(back))
	for i, part := range p.parts {
		var done restore.MailboxResult
		if i < len(restored.Mailboxes) {
			done = restored.Mailboxes[i]
		}
		if done.Error != "" {
			r.differs(Difference{Mailbox: part.Name.Mailbox, In: []string{inError}, What: "the restore could not do this mailbox: " + done.Error})
		}
		for _, n := range done.Notices {
			r.note("mailbox %s: %s", part.Name.Mailbox, n)
		}
		k := slices.IndexFunc(back, func(b seenBox) bool { return slices.Equal(b.levels, part.rehearsed().Levels()) })
		if k < 0 {
			if k = slices.IndexFunc(back, func(b seenBox) bool { return b.name == done.To }); k >= 0 {
				r.otherName(part, back[k])
			}
		}
		c := comparison{rehearsal: r, part: part, reasons: map[string]string{}}
		for _, t := range done.Problems {
			if !t.Changed {
				c.reasons[t.ID] = t.Reason
			}
		}
		if k >= 0 && !used[k] {
			used[k] = true
			c.copies = back[k].copies
		}
		c.compare()
	}
	for k, b := range back {
		for _, s := range b.copies {
			r.result.Octets += s.size
			if !used[k] {
				r.differs(Difference{Mailbox: b.name, In: []string{inExtra}, What: fmt.Sprintf("UID %d is in a mailbox to which nothing was to be restored", s.uid)})
			}
		}
	}
}

// otherName records that a mailbox is called otherwise than in the archive.
func (r *rehearsal) otherName(p part, b seenBox) {
	r.differs(Difference{
		Mailbox: p.Name.Mailbox, In: []string{inName}, What: fmt.Sprintf("the mailbox is called %q there", b.name),
		// A level that holds what a real server separates levels with can't keep it.
		Changed: r.To != nil && b.delimiter != "" && slices.ContainsFunc(p.rehearsed().Levels(), func(l string) bool { return strings.Contains(l, b.delimiter) }),
	})
}

// comparison compares the messages of one mailbox, as multisets.
type comparison struct {
	*rehearsal
	part
	copies  []seen
	reasons map[string]string // why an item was not restored, by its ID

	want []int // items that no copy is found for yet
	got  []int // copies that no item is found for yet
}

// compare pairs each item with the copy most like it, and says what differs.
func (c *comparison) compare() {
	for i := range c.items {
		c.want = append(c.want, i)
	}
	for i := range c.copies {
		c.got = append(c.got, i)
	}
	known := map[archive.Sum]string{}
	for _, it := range c.items {
		known[it.Sum] = it.ID
	}
	if extra := slices.DeleteFunc(slices.Clone(c.items), func(it restore.Item) bool {
		return len(session.NormalizeFlags(it.Flags)) == len(session.SendableFlags(it.Flags))
	}); len(extra) > 0 {
		c.note("mailbox %s: what no server can take for a flag was left out of the comparison: %q", c.Name.Mailbox, extra[0].Flags)
	}
	at := func(t time.Time) string { return t.Format(time.RFC3339) }
	moment := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	// From the most alike on. A copy is the better the more of it is equal.
	c.pair(func(it restore.Item) string { return key(it.Sum, session.SendableFlags(it.Flags), at(it.InternalDate)) },
		func(s seen) string { return key(s.sum, session.NormalizeFlags(s.flags), at(s.date)) })
	c.pair(func(it restore.Item) string {
		return key(it.Sum, session.SendableFlags(it.Flags), moment(it.InternalDate))
	},
		func(s seen) string { return key(s.sum, session.NormalizeFlags(s.flags), moment(s.date)) })
	c.pair(func(it restore.Item) string { return key(it.Sum, session.SendableFlags(it.Flags)) }, func(s seen) string { return key(s.sum, session.NormalizeFlags(s.flags)) })
	c.pair(func(it restore.Item) string { return key(it.Sum, at(it.InternalDate)) }, func(s seen) string { return key(s.sum, at(s.date)) })
	c.pair(func(it restore.Item) string { return key(it.Sum) }, func(s seen) string { return key(s.sum) })
	c.pairChanged(at)
	c.pair(func(it restore.Item) string { return key(session.SendableFlags(it.Flags), moment(it.InternalDate)) }, func(s seen) string {
		if known[s.sum] != "" {
			return "" // another's, once too often
		}
		return key(session.NormalizeFlags(s.flags), moment(s.date))
	})
	for _, i := range c.want {
		what := "it did not come back"
		if reason := c.reasons[c.items[i].ID]; reason != "" {
			what += ": " + reason
		}
		c.differs(Difference{ID: c.items[i].ID, Mailbox: c.Name.Mailbox, In: []string{inMissing}, What: what})
	}
	for _, i := range c.got {
		s := c.copies[i]
		d := Difference{ID: known[s.sum], Mailbox: c.Name.Mailbox, In: []string{inExtra}, What: fmt.Sprintf("UID %d is there once too often", s.uid)}
		switch {
		case s.trouble != "":
			d.What = fmt.Sprintf("UID %d can't be read: %s", s.uid, s.trouble)
		case d.ID == "":
			d.What = fmt.Sprintf("UID %d, %d octets with SHA-256 %v, is nothing that was restored", s.uid, s.size, s.sum)
		}
		c.differs(d)
	}
}

// key is a text that is the same for the same parts.
func key(parts ...any) string { return fmt.Sprintf("%v", parts) }

// pair pairs items and copies of the same key, in order, and settles each pair.
// The empty key is nobody's.
func (c *comparison) pair(ofItem func(restore.Item) string, ofCopy func(seen) string) {
	if len(c.want) == 0 || len(c.got) == 0 {
		return
	}
	byKey := map[string][]int{}
	for _, i := range c.got {
		if k := ofCopy(c.copies[i]); k != "" {
			byKey[k] = append(byKey[k], i)
		}
	}
	taken := map[int]bool{}
	c.want = slices.DeleteFunc(c.want, func(i int) bool {
		k := ofItem(c.items[i])
		list := byKey[k]
		if len(list) == 0 {
			return false
		}
		byKey[k] = list[1:]
		taken[list[0]] = true
		c.settle(c.items[i], c.copies[list[0]], false)
		return true
	})
	c.got = slices.DeleteFunc(c.got, func(i int) bool { return taken[i] })
}

// pairChanged pairs the items that are equal to a copy but for their line ends.
func (c *comparison) pairChanged(at func(time.Time) string) {
	if len(c.got) == 0 {
		return
	}
	lines := map[int]archive.Sum{}
	for _, i := range c.want {
		lines[i] = c.lines(c.items[i])
	}
	for _, exact := range []bool{true, false} {
		c.want = slices.DeleteFunc(c.want, func(i int) bool {
			it := c.items[i]
			k := slices.IndexFunc(c.got, func(k int) bool {
				s := c.copies[k]
				return s.lines == lines[i] && s.trouble == "" && (!exact || slices.Equal(session.NormalizeFlags(s.flags), session.SendableFlags(it.Flags)) && at(s.date) == at(it.InternalDate))
			})
			if k < 0 {
				return false
			}
			c.settle(it, c.copies[c.got[k]], true)
			c.got = slices.Delete(c.got, k, k+1)
			return true
		})
	}
}

// lines returns the sum of an item's octets with CRLF for every line end. For a
// file that can't be read, or is damaged, it returns a sum that nothing has: the
// restore has reported it.
func (c *comparison) lines(it restore.Item) archive.Sum {
	f, err := c.Open(it.ID)
	if err != nil {
		return archive.Sum{}
	}
	defer f.Close()
	l := fingerprint.NewLineEnds()
	sum, size, err := archive.Hash(io.TeeReader(f, l))
	if err != nil || sum != it.Sum || size != it.Size {
		return archive.Sum{}
	}
	return l.Sum()
}

// settle says what differs between an item and its copy. lines: they are equal
// but for their line ends.
func (c *comparison) settle(it restore.Item, s seen, lines bool) {
	d := Difference{ID: it.ID, Mailbox: c.Name.Mailbox, Changed: true}
	var what []string
	say := func(in string, allowed bool, format string, args ...any) {
		d.In = append(d.In, in)
		d.Changed = d.Changed && allowed && c.To != nil
		what = append(what, fmt.Sprintf(format, args...))
	}
	switch {
	case s.trouble != "":
		say(inError, false, "UID %d can't be read: %s", s.uid, s.trouble)
	case lines:
		say(inOctets, true, "%d octets came back as %d: the server makes every line end CRLF", it.Size, s.size)
	case s.sum != it.Sum || s.size != it.Size:
		say(inOctets, false, "%d octets with SHA-256 %v came back as %d with %v", it.Size, it.Sum, s.size, s.sum)
	}
	if want, got := session.SendableFlags(it.Flags), session.NormalizeFlags(s.flags); !slices.Equal(want, got) {
		say(inFlags, false, "flags %q came back as %q", it.Flags, s.flags)
	}
	if want := it.InternalDate; !want.IsZero() {
		_, zone := want.Zone()
		_, other := s.date.Zone()
		switch {
		case !want.Equal(s.date):
			say(inDate, false, "INTERNALDATE %s came back as %s", want.Format(time.RFC3339), s.date.Format(time.RFC3339))
		case zone != other:
			say(inDate, true, "INTERNALDATE %s came back in another zone, as %s", want.Format(time.RFC3339), s.date.Format(time.RFC3339))
		}
	}
	if len(what) == 0 {
		c.result.Equal++
		return
	}
	d.What = strings.Join(what, "; ")
	if d.Changed {
		c.result.Changed++
	}
	c.differs(d)
}

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

// compareChunk compares what was read back with what was restored, mailbox by
// mailbox.
func (r *run) compareChunk(ch chunk, restored *restore.Result, back []serverMailbox) {
	used := make([]bool, len(back))
	for i, part := range ch.parts {
		var done restore.MailboxResult
		if i < len(restored.Mailboxes) {
			done = restored.Mailboxes[i]
		}
		if done.Error != "" {
			r.addDifference(Difference{Mailbox: part.Name.Mailbox, In: []string{inError}, What: "the restore could not do this mailbox: " + done.Error})
		}
		for _, n := range done.Notices {
			r.addNote("mailbox %s: %s", part.Name.Mailbox, n)
		}
		k := slices.IndexFunc(back, func(b serverMailbox) bool { return slices.Equal(b.levels, part.name().Levels()) })
		if k < 0 {
			if k = slices.IndexFunc(back, func(b serverMailbox) bool { return b.name == done.To }); k >= 0 {
				r.addOtherName(part, back[k])
			}
		}
		c := comparison{run: r, part: part, reasons: map[string]string{}}
		for _, t := range done.Problems {
			if !t.Changed {
				c.reasons[t.ID] = t.Reason
			}
		}
		if k >= 0 && !used[k] {
			used[k] = true
			c.messages = back[k].messages
		}
		c.compare()
	}
	for k, b := range back {
		for _, s := range b.messages {
			r.result.Octets += s.size
			if !used[k] {
				r.addDifference(Difference{Mailbox: b.name, In: []string{inExtra}, What: fmt.Sprintf("UID %d is in a mailbox to which nothing was to be restored", s.uid)})
			}
		}
	}
}

// addOtherName adds the difference that a mailbox has another name than in the archive.
func (r *run) addOtherName(p part, b serverMailbox) {
	r.addDifference(Difference{
		Mailbox: p.Name.Mailbox, In: []string{inName}, What: fmt.Sprintf("the mailbox is called %q there", b.name),
		// A level that holds what a real server separates levels with can't keep it.
		Changed: r.To != nil && b.delimiter != "" && slices.ContainsFunc(p.name().Levels(), func(l string) bool { return strings.Contains(l, b.delimiter) }),
	})
}

// comparison compares the messages of one mailbox, as multisets: it pairs each item
// with the server's message that is most like it.
type comparison struct {
	*run
	part
	messages []serverMessage
	reasons  map[string]string // why an item was not restored, by its ID

	want []int // items, by index, that are not paired yet
	got  []int // messages, by index, that are not paired yet
}

// compare pairs items and messages, and adds what differs to the result.
func (c *comparison) compare() {
	for i := range c.items {
		c.want = append(c.want, i)
	}
	for i := range c.messages {
		c.got = append(c.got, i)
	}
	idOf := map[archive.Sum]string{}
	for _, it := range c.items {
		idOf[it.Sum] = it.ID
	}
	if extra := slices.DeleteFunc(slices.Clone(c.items), func(it restore.Item) bool {
		return len(session.NormalizeFlags(it.Flags)) == len(session.SendableFlags(it.Flags))
	}); len(extra) > 0 {
		c.addNote("mailbox %s: what no server can take for a flag was left out of the comparison: %q", c.Name.Mailbox, extra[0].Flags)
	}
	at := func(t time.Time) string { return t.Format(time.RFC3339) }
	moment := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	// Pair the most similar messages first: octets, flags and date equal, then fewer of them.
	c.pair(func(it restore.Item) string { return key(it.Sum, session.SendableFlags(it.Flags), at(it.InternalDate)) },
		func(s serverMessage) string { return key(s.sum, session.NormalizeFlags(s.flags), at(s.date)) })
	c.pair(func(it restore.Item) string {
		return key(it.Sum, session.SendableFlags(it.Flags), moment(it.InternalDate))
	},
		func(s serverMessage) string { return key(s.sum, session.NormalizeFlags(s.flags), moment(s.date)) })
	c.pair(func(it restore.Item) string { return key(it.Sum, session.SendableFlags(it.Flags)) }, func(s serverMessage) string { return key(s.sum, session.NormalizeFlags(s.flags)) })
	c.pair(func(it restore.Item) string { return key(it.Sum, at(it.InternalDate)) }, func(s serverMessage) string { return key(s.sum, at(s.date)) })
	c.pair(func(it restore.Item) string { return key(it.Sum) }, func(s serverMessage) string { return key(s.sum) })
	c.pairChanged(at)
	c.pair(func(it restore.Item) string { return key(session.SendableFlags(it.Flags), moment(it.InternalDate)) }, func(s serverMessage) string {
		if idOf[s.sum] != "" {
			return "" // another's, once too often
		}
		return key(session.NormalizeFlags(s.flags), moment(s.date))
	})
	for _, i := range c.want {
		what := "it did not come back"
		if reason := c.reasons[c.items[i].ID]; reason != "" {
			what += ": " + reason
		}
		c.addDifference(Difference{ID: c.items[i].ID, Mailbox: c.Name.Mailbox, In: []string{inMissing}, What: what})
	}
	for _, i := range c.got {
		s := c.messages[i]
		d := Difference{ID: idOf[s.sum], Mailbox: c.Name.Mailbox, In: []string{inExtra}, What: fmt.Sprintf("UID %d is there once too often", s.uid)}
		switch {
		case s.problem != "":
			d.What = fmt.Sprintf("UID %d can't be read: %s", s.uid, s.problem)
		case d.ID == "":
			d.What = fmt.Sprintf("UID %d, %d octets with SHA-256 %v, is nothing that was restored", s.uid, s.size, s.sum)
		}
		c.addDifference(d)
	}
}

// key returns a text that is equal for equal parts.
func key(parts ...any) string { return fmt.Sprintf("%v", parts) }

// pair pairs items and messages of the same key, in their order, and reports each
// pair. A message with the empty key is not paired.
func (c *comparison) pair(ofItem func(restore.Item) string, ofMessage func(serverMessage) string) {
	if len(c.want) == 0 || len(c.got) == 0 {
		return
	}
	byKey := map[string][]int{}
	for _, i := range c.got {
		if k := ofMessage(c.messages[i]); k != "" {
			byKey[k] = append(byKey[k], i)
		}
	}
	paired := map[int]bool{}
	c.want = slices.DeleteFunc(c.want, func(i int) bool {
		k := ofItem(c.items[i])
		list := byKey[k]
		if len(list) == 0 {
			return false
		}
		byKey[k] = list[1:]
		paired[list[0]] = true
		c.report(c.items[i], c.messages[list[0]], false)
		return true
	})
	c.got = slices.DeleteFunc(c.got, func(i int) bool { return paired[i] })
}

// pairChanged pairs the items that are equal to a message except for its line ends.
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
				s := c.messages[k]
				return s.lines == lines[i] && s.problem == "" && (!exact || slices.Equal(session.NormalizeFlags(s.flags), session.SendableFlags(it.Flags)) && at(s.date) == at(it.InternalDate))
			})
			if k < 0 {
				return false
			}
			c.report(it, c.messages[c.got[k]], true)
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

// report adds what differs between an item and its message to the result. lines
// says that they are equal except for their line ends.
func (c *comparison) report(it restore.Item, s serverMessage, lines bool) {
	d := Difference{ID: it.ID, Mailbox: c.Name.Mailbox, Changed: true}
	var what []string
	say := func(in string, allowed bool, format string, args ...any) {
		d.In = append(d.In, in)
		d.Changed = d.Changed && allowed && c.To != nil
		what = append(what, fmt.Sprintf(format, args...))
	}
	switch {
	case s.problem != "":
		say(inError, false, "UID %d can't be read: %s", s.uid, s.problem)
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
	c.addDifference(d)
}

package restore

import (
	"context"
	"fmt"
	"io"
	"strings"

	"archiverd/archive"
	"archiverd/internal/session"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
)

// check looks at what has been appended: is it there, and is it what was sent? It
// takes nothing down before all is known: after a lost connection it begins anew.
func (s *restoring) check(ctx context.Context, c *wire.Conn, b *restoreBox) error {
	if b.count(appended) == 0 {
		return nil
	}
	if err := c.Noop(ctx); err != nil { // tells a server to look for what is new
		return err
	}
	if _, err := s.look(ctx, c, b); err != nil {
		return err
	}
	byUID := map[uint32]int{}
	var mine, odd uid.Set
	for i, f := range b.fates {
		if u := b.uids[i]; f == appended && u != 0 {
			byUID[u] = i
			mine.Add(u)
			if b.traits[i].Any() {
				odd.Add(u)
			}
		}
	}
	octets, err := s.octetsDiffer(ctx, c, b, byUID, odd)
	if err != nil {
		return err
	}
	there, differ := map[int]bool{}, map[int]string{}
	err = c.FetchMetadata(ctx, wire.MetadataQuery{Set: mine}, func(m wire.Metadata) error {
		if i, ok := byUID[m.UID]; ok && !there[i] {
			there[i] = true
			differ[i] = b.difference(i, m, octets[i])
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, f := range b.fates {
		switch {
		case f != appended:
		case !there[i]:
			b.fates[i] = pending
			b.addProblem(i, false, "the server said OK, but its mailbox does not have it as it was sent")
		case differ[i] != "" && !b.reduced[i]: // that it is reduced has been said
			b.addProblem(i, true, differ[i])
		}
	}
	return nil
}

// difference says how a message at the server is not the archive's. What is known
// of its octets comes first.
func (b *restoreBox) difference(i int, m wire.Metadata, octets string) string {
	it := b.items[i]
	var out []string
	switch {
	case octets != "":
		out = append(out, octets)
	case m.HasSize && m.Size != it.Size:
		out = append(out, fmt.Sprintf("the server has made %d octets of %d", m.Size, it.Size))
	}
	if want := b.keep(it.Flags); m.HasFlags && !session.EqualFlags(want, m.Flags) {
		out = append(out, fmt.Sprintf("the server has the flags (%s), not (%s)", strings.Join(m.Flags, " "), strings.Join(want, " ")))
	}
	if !it.InternalDate.IsZero() && !m.InternalDate.Equal(it.InternalDate) {
		out = append(out, fmt.Sprintf("the server has the date %s, not %s", m.InternalDate.Format(dateForm), it.InternalDate.Format(dateForm)))
	}
	return strings.Join(out, "; ")
}

const dateForm = "2006-01-02 15:04:05 -0700"

// octetsDiffer reads back the messages that a server might have changed.
func (s *restoring) octetsDiffer(ctx context.Context, c *wire.Conn, b *restoreBox, byUID map[uint32]int, set uid.Set) (map[int]string, error) {
	out := map[int]string{}
	if set.Empty() {
		return out, nil
	}
	err := c.FetchBodies(ctx, set, func(u uint32, size int64, body io.Reader) error {
		sum, _, err := archive.Hash(body)
		if err != nil {
			return err
		}
		if i := byUID[u]; sum != b.items[i].Sum {
			out[i] = fmt.Sprintf("the server has changed its octets (it has %v)", b.traits[i])
			if size != b.items[i].Size {
				out[i] += fmt.Sprintf(" and made %d of %d", size, b.items[i].Size)
			}
		}
		return nil
	})
	return out, err
}

// differing are the items at the server whose flags are not the archive's, by
// the flags that they should have.
func (s *restoring) differing(ctx context.Context, c *wire.Conn, b *restoreBox) (map[string][]int, error) {
	byUID := map[uint32]int{}
	var set uid.Set
	for i, f := range b.fates {
		if f == present {
			byUID[b.uids[i]] = i
			set.Add(b.uids[i])
		}
	}
	out := map[string][]int{}
	if set.Empty() {
		return out, nil
	}
	err := c.FetchMetadata(ctx, wire.MetadataQuery{Set: set, FlagsOnly: true}, func(m wire.Metadata) error {
		i, ok := byUID[m.UID]
		if !ok || !m.HasFlags {
			return nil
		}
		delete(byUID, m.UID)
		if want := b.keep(b.items[i].Flags); !session.EqualFlags(want, m.Flags) {
			key := strings.Join(want, " ")
			out[key] = append(out[key], i)
		}
		return nil
	})
	return out, err
}

// setFlags puts flags back.
func (s *restoring) setFlags(ctx context.Context, c *wire.Conn, b *restoreBox) error {
	differ, err := s.differing(ctx, c, b)
	if err != nil {
		return err
	}
	for key, list := range differ {
		var set uid.Set
		for _, i := range list {
			set.Add(b.uids[i])
		}
		err := c.Store(ctx, set, "FLAGS", strings.Fields(key))
		switch {
		case err == nil:
			b.done.Flags += len(list)
		case session.IsMailboxError(err):
			for _, i := range list {
				b.addProblem(i, false, fmt.Sprintf("its flags (%s) were not put back: %v", key, err))
				b.fates[i] = refused
			}
		default:
			return err
		}
	}
	return nil
}

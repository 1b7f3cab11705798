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

// readBack checks that what was appended is there, and is what was sent. It
// records nothing before all is known: after a lost connection it starts again.
func (r *run) readBack(ctx context.Context, c *wire.Conn, m *mailboxRestore) error {
	if m.count(appended) == 0 {
		return nil
	}
	if err := c.Noop(ctx); err != nil { // makes a server look for new messages
		return err
	}
	if _, err := r.listMessages(ctx, c, m); err != nil {
		return err
	}
	indexOf := map[uint32]int{}
	var uids, changeable uid.Set
	for i, s := range m.status {
		if u := m.uids[i]; s == appended && u != 0 {
			indexOf[u] = i
			uids.Add(u)
			if m.traits[i].Any() {
				changeable.Add(u)
			}
		}
	}
	changedOctets, err := r.changedOctets(ctx, c, m, indexOf, changeable)
	if err != nil {
		return err
	}
	found, differences := map[int]bool{}, map[int]string{}
	err = c.FetchMetadata(ctx, wire.MetadataQuery{Set: uids}, func(meta wire.Metadata) error {
		if i, ok := indexOf[meta.UID]; ok && !found[i] {
			found[i] = true
			differences[i] = m.difference(i, meta, changedOctets[i])
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, s := range m.status {
		switch {
		case s != appended:
		case !found[i]:
			m.status[i] = pending
			m.addProblem(i, false, "the server said OK, but its mailbox does not have it as it was sent")
		case differences[i] != "" && !m.reduced[i]: // a fallback has been reported already
			m.addProblem(i, true, differences[i])
		}
	}
	return nil
}

// difference returns how a message at the server differs from the item, "" if it
// does not. octets is what is known of its octets.
func (m *mailboxRestore) difference(i int, meta wire.Metadata, octets string) string {
	it := m.items[i]
	var list []string
	switch {
	case octets != "":
		list = append(list, octets)
	case meta.HasSize && meta.Size != it.Size:
		list = append(list, fmt.Sprintf("the server has made %d octets of %d", meta.Size, it.Size))
	}
	if want := m.keptFlags(it.Flags); meta.HasFlags && !session.EqualFlags(want, meta.Flags) {
		list = append(list, fmt.Sprintf("the server has the flags (%s), not (%s)", strings.Join(meta.Flags, " "), strings.Join(want, " ")))
	}
	if !it.InternalDate.IsZero() && !meta.InternalDate.Equal(it.InternalDate) {
		list = append(list, fmt.Sprintf("the server has the date %s, not %s", meta.InternalDate.Format(dateLayout), it.InternalDate.Format(dateLayout)))
	}
	return strings.Join(list, "; ")
}

const dateLayout = "2006-01-02 15:04:05 -0700"

// changedOctets fetches the messages that a server may have changed, and returns
// for each item that it has what was changed.
func (r *run) changedOctets(ctx context.Context, c *wire.Conn, m *mailboxRestore, indexOf map[uint32]int, set uid.Set) (map[int]string, error) {
	changed := map[int]string{}
	if set.Empty() {
		return changed, nil
	}
	err := c.FetchBodies(ctx, set, func(u uint32, size int64, body io.Reader) error {
		sum, _, err := archive.Hash(body)
		if err != nil {
			return err
		}
		if i := indexOf[u]; sum != m.items[i].Sum {
			changed[i] = fmt.Sprintf("the server has changed its octets (it has %v)", m.traits[i])
			if size != m.items[i].Size {
				changed[i] += fmt.Sprintf(" and made %d of %d", size, m.items[i].Size)
			}
		}
		return nil
	})
	return changed, err
}

package restore

import (
	"context"
	"fmt"
	"strings"

	"archiverd/internal/session"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
)

// differingFlags returns the items that are at the server with other flags, by
// the flags that they should have.
func (r *run) differingFlags(ctx context.Context, c *wire.Conn, m *mailboxRestore) (map[string][]int, error) {
	indexOf := map[uint32]int{}
	var set uid.Set
	for i, s := range m.status {
		if s == present {
			indexOf[m.uids[i]] = i
			set.Add(m.uids[i])
		}
	}
	differ := map[string][]int{}
	if set.Empty() {
		return differ, nil
	}
	err := c.FetchMetadata(ctx, wire.MetadataQuery{Set: set, FlagsOnly: true}, func(meta wire.Metadata) error {
		i, ok := indexOf[meta.UID]
		if !ok || !meta.HasFlags {
			return nil
		}
		delete(indexOf, meta.UID) // the first reply counts
		if want := m.keptFlags(m.items[i].Flags); !session.EqualFlags(want, meta.Flags) {
			key := strings.Join(want, " ")
			differ[key] = append(differ[key], i)
		}
		return nil
	})
	return differ, err
}

// setFlags gives the items that are at the server the flags that they should have.
func (r *run) setFlags(ctx context.Context, c *wire.Conn, m *mailboxRestore) error {
	differ, err := r.differingFlags(ctx, c, m)
	if err != nil {
		return err
	}
	for flags, list := range differ {
		var set uid.Set
		for _, i := range list {
			set.Add(m.uids[i])
		}
		err := c.Store(ctx, set, "FLAGS", strings.Fields(flags))
		switch {
		case err == nil:
			m.result.Flags += len(list)
		case session.IsMailboxError(err):
			for _, i := range list {
				m.addProblem(i, false, fmt.Sprintf("its flags (%s) were not put back: %v", flags, err))
				m.status[i] = refused
			}
		default:
			return err
		}
	}
	return nil
}

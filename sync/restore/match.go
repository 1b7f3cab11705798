package restore

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"archiverd/archive"
	"archiverd/internal/fingerprint"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
)

// matchKind is how an item was recognised in a message of the server.
type matchKind byte

const (
	none      matchKind = iota
	exact               // by its size and its whole header
	canonical           // by its octets, except line ends, NULs and 8-bit octets of the header, which servers change
	fields              // by Message-ID, Date, From and Subject
)

// found is where an item is at the server.
type found struct {
	uid  uint32 // 0: nowhere
	kind matchKind
}

// matcher finds out which of some items the mailbox that is open on c has. It
// matches an item to one message and a message to one item: what the archive has
// twice, the server must have twice. It is used once, by one goroutine.
type matcher struct {
	c     *wire.Conn
	open  func(id string) (*os.File, error)
	items []Item
	found []found // one for each item

	forms     map[int]form    // of the items that were read, by index
	unmatched []serverMessage // messages that no item is matched to, by UID
}

// serverMessage is a message at the server.
type serverMessage struct {
	uid  uint32
	size int64
}

// formKey is what items and messages are compared by: the size, and the sum of
// the header or of all octets.
type formKey struct {
	size int64
	sum  archive.Sum
}

// errLeftOut is returned when the server leaves a message out of its replies. It
// may have been expunged, but to take it for absent would make a duplicate of it.
var errLeftOut = errors.New("the server says OK and leaves messages out, so it can't be known what is there")

// match compares the items with the messages in set; by their fields only those
// for which byFields returns true. The error is errLeftOut if the server has not
// answered for all of set.
func (m *matcher) match(ctx context.Context, set uid.Set, byFields func(i int) bool) error {
	m.found, m.forms = make([]found, len(m.items)), map[int]form{}
	if set.Empty() || len(m.items) == 0 {
		return nil
	}
	if err := m.fetchSizes(ctx, set); err != nil {
		return err
	}
	matchFields := func(ctx context.Context) error { return m.matchFields(ctx, byFields) }
	for _, step := range []func(context.Context) error{m.matchHeaders, m.matchCanonical, m.matchWhole, matchFields} {
		if len(m.unmatched) == 0 {
			return nil
		}
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// fetchSizes asks for the sizes of the messages in set.
func (m *matcher) fetchSizes(ctx context.Context, set uid.Set) error {
	replied := replies{}
	err := m.c.FetchMetadata(ctx, wire.MetadataQuery{Set: set}, func(meta wire.Metadata) error {
		if set.Contains(meta.UID) && !replied[meta.UID] && meta.HasSize {
			replied[meta.UID] = true
			m.unmatched = append(m.unmatched, serverMessage{meta.UID, meta.Size})
		}
		return nil
	})
	slices.SortFunc(m.unmatched, func(a, b serverMessage) int { return cmp.Compare(a.uid, b.uid) })
	return replied.check(set, err)
}

// replies are the messages for which a server has sent a reply.
type replies map[uint32]bool

// check returns err, or errLeftOut if there is a message in set without a reply.
func (r replies) check(set uid.Set, err error) error {
	if err == nil && len(r) < set.Len() {
		return errLeftOut
	}
	return err
}

// missing yields the items that are not matched yet.
func (m *matcher) missing(yield func(i int, it *Item) bool) {
	for i := range m.items {
		if m.found[i].uid == 0 && !yield(i, &m.items[i]) {
			return
		}
	}
}

// candidates returns the unmatched messages for which is returns true.
func (m *matcher) candidates(is func(serverMessage) bool) uid.Set {
	var set uid.Set
	for _, t := range m.unmatched {
		if is(t) {
			set.Add(t.uid)
		}
	}
	return set
}

// matchHeaders matches by RFC822.SIZE and header.
func (m *matcher) matchHeaders(ctx context.Context) error {
	sizes := map[int64]bool{}
	for _, t := range m.unmatched {
		sizes[t.size] = true
	}
	items := groups{}
	wanted := map[int64]bool{}
	for i, it := range m.missing {
		if !sizes[it.Size] {
			continue
		}
		header, plain, err := m.header(it)
		if err != nil {
			return err
		}
		if plain {
			items.add(formKey{it.Size, sha256.Sum256(header)}, i)
			wanted[it.Size] = true
		}
	}
	return m.compare(ctx, items, wanted, exact, fingerprint.TrimHeader)
}

// matchCanonical matches items that a server may have changed, by the size and
// the header of their canonical form.
func (m *matcher) matchCanonical(ctx context.Context) error {
	if err := m.readForms(); err != nil {
		return err
	}
	items := groups{}
	sizes := map[int64]bool{}
	for i, it := range m.missing {
		if f, ok := m.forms[i]; ok && f.plain && f.size != it.Size {
			items.add(formKey{f.size, f.header}, i)
			sizes[f.size] = true
		}
	}
	return m.compare(ctx, items, sizes, canonical, func(header []byte) []byte {
		c := fingerprint.NewCanonical()
		_, _ = c.Write(header) // never fails
		return fingerprint.TrimHeader(c.Header())
	})
}

// form is what is known of an item in canonical form.
type form struct {
	formKey // of all octets
	header  archive.Sum
	traits  fingerprint.Traits
	plain   bool // of the header, see fingerprint.SplitHeader
}

// readForms reads the items that are not matched yet, except those whose size is
// too far from that of every unmatched message for a server to have made it so.
func (m *matcher) readForms() error {
	sizes := make([]int64, len(m.unmatched))
	for i, t := range m.unmatched {
		sizes[i] = t.size
	}
	slices.Sort(sizes)
	for i, it := range m.missing {
		k, _ := slices.BinarySearch(sizes, it.Size/2)
		if k == len(sizes) || sizes[k] > 2*it.Size+2 {
			continue
		}
		c := fingerprint.NewCanonical()
		var scan fingerprint.TraitScanner
		err := m.withOctets(it, func(f io.Reader) error {
			_, err := io.Copy(io.MultiWriter(c, &scan), f)
			return err
		})
		if err != nil {
			return err
		}
		header, _, plain := fingerprint.SplitHeader(c.Header())
		m.forms[i] = form{formKey{c.Size(), c.Sum()}, sha256.Sum256(header), scan.Traits(), plain}
	}
	return nil
}

// groups are items, by index, that have the same size and header.
type groups map[formKey][]int

func (g groups) add(p formKey, i int) { g[p] = append(g[p], i) }

// compare fetches the headers of the messages of the given sizes, brings them into
// a form and matches them to the items. Where items of one size and header have
// different octets, it compares all octets.
func (m *matcher) compare(ctx context.Context, items groups, sizes map[int64]bool, kind matchKind, form func([]byte) []byte) error {
	set := m.candidates(func(t serverMessage) bool { return sizes[t.size] })
	if set.Empty() || len(items) == 0 {
		return nil
	}
	size := map[uint32]int64{}
	for _, t := range m.unmatched {
		size[t.uid] = t.size
	}
	replied, uids := replies{}, map[formKey][]uint32{}
	err := m.c.FetchHeaders(ctx, set, func(u uint32, header []byte) error {
		replied[u] = true
		p := formKey{size[u], sha256.Sum256(form(header))}
		if _, ok := items[p]; ok {
			uids[p] = append(uids[p], u)
		}
		return nil
	})
	if err := replied.check(set, err); err != nil {
		return err
	}
	var unclear []int
	var bodies uid.Set
	for p, list := range uids {
		slices.Sort(list)
		if m.haveOneSum(items[p]) {
			m.pair(items[p], list, kind)
			continue
		}
		unclear = append(unclear, items[p]...)
		for _, u := range list {
			bodies.Add(u)
		}
	}
	m.dropMatched()
	if len(unclear) == 0 {
		return nil
	}
	slices.Sort(unclear)
	return m.compareWhole(ctx, unclear, bodies)
}

// haveOneSum reports whether all items have the same octets.
func (m *matcher) haveOneSum(items []int) bool {
	for _, i := range items {
		if m.items[i].Sum != m.items[items[0]].Sum {
			return false
		}
	}
	return true
}

// pair matches items to messages in their order, until either are used up.
func (m *matcher) pair(items []int, uids []uint32, kind matchKind) {
	for k := range min(len(items), len(uids)) {
		m.found[items[k]] = found{uids[k], kind}
	}
}

// dropMatched removes the matched messages from unmatched.
func (m *matcher) dropMatched() {
	matched := map[uint32]bool{}
	for _, f := range m.found {
		matched[f.uid] = true
	}
	m.unmatched = slices.DeleteFunc(m.unmatched, func(t serverMessage) bool { return matched[t.uid] })
}

// matchWhole compares whole messages where headers are not enough: the header is
// malformed, so that servers see its end in different places, or the item has
// traits that servers change in different ways.
func (m *matcher) matchWhole(ctx context.Context) error {
	var spans []span
	var list []int
	for i, it := range m.missing {
		f, ok := m.forms[i]
		if t := f.traits; ok && (!f.plain || t.Any()) {
			list = append(list, i)
			spans = append(spans, span{it.Size - int64(t.BareCR), it.Size + int64(t.BareLF+t.BareCR) + 2})
		}
	}
	spans = mergeSpans(spans)
	set := m.candidates(func(t serverMessage) bool {
		i, _ := slices.BinarySearchFunc(spans, t.size, func(s span, size int64) int { return cmp.Compare(s.max, size) })
		return i < len(spans) && spans[i].min <= t.size
	})
	if set.Empty() {
		return nil
	}
	return m.compareWhole(ctx, list, set)
}

// span is all sizes from min to max.
type span struct{ min, max int64 }

// mergeSpans returns the spans in order, without overlaps.
func mergeSpans(spans []span) (merged []span) {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.min, b.min) })
	for _, s := range spans {
		if n := len(merged); n > 0 && s.min <= merged[n-1].max {
			merged[n-1].max = max(merged[n-1].max, s.max)
		} else {
			merged = append(merged, s)
		}
	}
	return merged
}

// compareWhole fetches the messages in set and matches items to them by all
// octets: as they are, else in canonical form.
func (m *matcher) compareWhole(ctx context.Context, list []int, set uid.Set) error {
	replied, bySum, byForm := replies{}, map[archive.Sum][]uint32{}, map[archive.Sum][]uint32{}
	err := m.c.FetchBodies(ctx, set, func(u uint32, _ int64, body io.Reader) error {
		replied[u] = true
		c := fingerprint.NewCanonical()
		sum, _, err := archive.Hash(io.TeeReader(body, c))
		if err != nil {
			return err
		}
		bySum[sum] = append(bySum[sum], u)
		form := c.Sum()
		byForm[form] = append(byForm[form], u)
		return nil
	})
	if err := replied.check(set, err); err != nil {
		return err
	}
	used := map[uint32]bool{}
	match := func(i int, uids []uint32, kind matchKind) {
		slices.Sort(uids)
		for _, u := range uids {
			if !used[u] {
				used[u] = true
				m.found[i] = found{u, kind}
				return
			}
		}
	}
	for _, i := range list {
		match(i, bySum[m.items[i].Sum], exact)
	}
	for _, i := range list {
		if m.found[i].uid != 0 {
			continue
		}
		match(i, byForm[m.forms[i].sum], canonical)
	}
	m.dropMatched()
	return nil
}

// matchFields matches by Message-ID, Date, From and Subject the items for which
// allowed returns true.
func (m *matcher) matchFields(ctx context.Context, allowed func(i int) bool) error {
	items := map[string][]int{}
	for i, it := range m.missing {
		if !allowed(i) {
			continue
		}
		header, _, err := m.header(it)
		if err != nil {
			return err
		}
		if key := fingerprint.Fields(header); key != "" {
			items[key] = append(items[key], i)
		}
	}
	set := m.candidates(func(serverMessage) bool { return true })
	if len(items) == 0 || set.Empty() {
		return nil
	}
	replied, uids := replies{}, map[string][]uint32{}
	err := m.c.FetchHeaders(ctx, set, func(u uint32, header []byte) error {
		replied[u] = true
		if key := fingerprint.Fields(header); items[key] != nil {
			uids[key] = append(uids[key], u)
		}
		return nil
	})
	if err := replied.check(set, err); err != nil {
		return err
	}
	for key, list := range uids {
		slices.Sort(list)
		m.pair(items[key], list, fields)
	}
	m.dropMatched()
	return nil
}

// header reads an item's header. A file that can't be read matches nothing, and is
// reported when it is to be appended.
func (m *matcher) header(it *Item) (header []byte, plain bool, err error) {
	err = m.withOctets(it, func(f io.Reader) (err error) {
		header, plain, err = fingerprint.ReadHeader(f)
		return err
	})
	return bytes.Clone(header), plain, err
}

// withOctets calls fn with the octets of an item, and not at all for a file that
// does not exist or may not be read.
func (m *matcher) withOctets(it *Item, fn func(io.Reader) error) error {
	f, err := m.open(it.ID)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			return nil
		}
		return err
	}
	defer f.Close()
	if err := fn(f); err != nil {
		return fmt.Errorf("read %s: %w", it.ID, err)
	}
	return nil
}

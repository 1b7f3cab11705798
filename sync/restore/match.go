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

// likeness is how a message of the archive was found at a server.
type likeness byte

const (
	absent  likeness = iota // it was not
	equal                   // by its size and its whole header
	altered                 // all octets are equal but for line ends, NULs and 8-bit headers, which servers change
	similar                 // by Message-ID, Date, From and Subject
)

// found is where an item is at the server.
type found struct {
	uid uint32 // 0: nowhere
	how likeness
}

// matcher finds out which of some items the mailbox that is open on c has. An
// item is matched to one message and a message to one item: what the archive has
// twice, the server must have twice.
type matcher struct {
	c     *wire.Conn
	open  func(id string) (*os.File, error)
	items []Item
	found []found // one an item

	forms map[int]form // of items that were read
	there []there      // the server's messages that no item is matched to, by UID
}

// there is a message at the server.
type there struct {
	uid  uint32
	size int64
}

// print is what items and messages are compared by.
type print struct {
	size int64
	sum  archive.Sum
}

// errLeftOut is returned when the server left a message out of its replies: it may
// be gone meanwhile, but taking it for absent would make a duplicate of it.
var errLeftOut = errors.New("the server says OK and leaves messages out, so it can't be known what is there")

// match compares the items with the messages in set; by their fields those for
// whom fields says so. The error is errLeftOut if not all of set was told.
func (m *matcher) match(ctx context.Context, set uid.Set, fields func(i int) bool) error {
	m.found, m.forms = make([]found, len(m.items)), map[int]form{}
	if set.Empty() || len(m.items) == 0 {
		return nil
	}
	if err := m.look(ctx, set); err != nil {
		return err
	}
	byFields := func(ctx context.Context) error { return m.byFields(ctx, fields) }
	for _, step := range []func(context.Context) error{m.byHeader, m.byCanon, m.byOctets, byFields} {
		if len(m.there) == 0 {
			return nil
		}
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// look asks for the sizes of the messages in set.
func (m *matcher) look(ctx context.Context, set uid.Set) error {
	told := answered{}
	err := m.c.FetchMetadata(ctx, wire.MetadataQuery{Set: set}, func(meta wire.Metadata) error {
		if set.Contains(meta.UID) && !told[meta.UID] && meta.HasSize {
			told[meta.UID] = true
			m.there = append(m.there, there{meta.UID, meta.Size})
		}
		return nil
	})
	slices.SortFunc(m.there, func(a, b there) int { return cmp.Compare(a.uid, b.uid) })
	return told.all(set, err)
}

// answered are the messages that a server has told something of.
type answered map[uint32]bool

// all is err, or errLeftOut if something of set is not among them.
func (a answered) all(set uid.Set, err error) error {
	if err == nil && len(a) < set.Len() {
		return errLeftOut
	}
	return err
}

// missing yields the items that are not found yet.
func (m *matcher) missing(yield func(i int, it *Item) bool) {
	for i := range m.items {
		if m.found[i].uid == 0 && !yield(i, &m.items[i]) {
			return
		}
	}
}

// candidates are the messages that wanted says yes to.
func (m *matcher) candidates(wanted func(there) bool) uid.Set {
	var set uid.Set
	for _, t := range m.there {
		if wanted(t) {
			set.Add(t.uid)
		}
	}
	return set
}

// byHeader matches by RFC822.SIZE and header.
func (m *matcher) byHeader(ctx context.Context) error {
	sizes := map[int64]bool{}
	for _, t := range m.there {
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
			items.add(print{it.Size, sha256.Sum256(header)}, i)
			wanted[it.Size] = true
		}
	}
	return m.compare(ctx, items, wanted, equal, fingerprint.TrimHeader)
}

// byCanon matches the items that a server may have changed, as the canonical
// form of their octets.
func (m *matcher) byCanon(ctx context.Context) error {
	if err := m.read(); err != nil {
		return err
	}
	items := groups{}
	sizes := map[int64]bool{}
	for i, it := range m.missing {
		if f, ok := m.forms[i]; ok && f.plain && f.size != it.Size {
			items.add(print{f.size, f.header}, i)
			sizes[f.size] = true
		}
	}
	return m.compare(ctx, items, sizes, altered, func(header []byte) []byte {
		c := fingerprint.NewCanonical()
		_, _ = c.Write(header) // never fails
		return fingerprint.TrimHeader(c.Header())
	})
}

// form is an item in canonical form, and what there was to make canonical.
type form struct {
	print
	header archive.Sum
	traits fingerprint.Traits
	plain  bool // the header, as of headerOf
}

// read finds the canonical form of the items that are missing, but for those
// whose size is so far from all that is there that no server has made it so.
func (m *matcher) read() error {
	sizes := make([]int64, len(m.there))
	for i, t := range m.there {
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
		err := m.octetsOf(it, func(f io.Reader) error {
			_, err := io.Copy(io.MultiWriter(c, &scan), f)
			return err
		})
		if err != nil {
			return err
		}
		header, _, plain := fingerprint.SplitHeader(c.Header())
		m.forms[i] = form{print{c.Size(), c.Sum()}, sha256.Sum256(header), scan.Traits(), plain}
	}
	return nil
}

// groups are items that can't be told apart by size and header.
type groups map[print][]int

func (g groups) add(p print, i int) { g[p] = append(g[p], i) }

// compare fetches the headers of the messages of the given sizes and matches
// them to the items. Where one size and header stand for different octets, all
// octets are compared.
func (m *matcher) compare(ctx context.Context, items groups, sizes map[int64]bool, how likeness, form func([]byte) []byte) error {
	set := m.candidates(func(t there) bool { return sizes[t.size] })
	if set.Empty() || len(items) == 0 {
		return nil
	}
	size := map[uint32]int64{}
	for _, t := range m.there {
		size[t.uid] = t.size
	}
	told, uids := answered{}, map[print][]uint32{}
	err := m.c.FetchHeaders(ctx, set, func(u uint32, header []byte) error {
		told[u] = true
		p := print{size[u], sha256.Sum256(form(header))}
		if _, ok := items[p]; ok {
			uids[p] = append(uids[p], u)
		}
		return nil
	})
	if err := told.all(set, err); err != nil {
		return err
	}
	var unclear []int
	var bodies uid.Set
	for p, list := range uids {
		slices.Sort(list)
		if m.oneSum(items[p]) {
			m.pair(items[p], list, how)
			continue
		}
		unclear = append(unclear, items[p]...)
		for _, u := range list {
			bodies.Add(u)
		}
	}
	m.settle()
	if len(unclear) == 0 {
		return nil
	}
	slices.Sort(unclear)
	return m.octets(ctx, unclear, bodies)
}

// oneSum says whether the items all have the same octets.
func (m *matcher) oneSum(items []int) bool {
	for _, i := range items {
		if m.items[i].Sum != m.items[items[0]].Sum {
			return false
		}
	}
	return true
}

// pair matches items to messages, in order, as long as there are both.
func (m *matcher) pair(items []int, uids []uint32, how likeness) {
	for k := range min(len(items), len(uids)) {
		m.found[items[k]] = found{uids[k], how}
	}
}

// settle takes the messages that are matched out of those that are there.
func (m *matcher) settle() {
	taken := map[uint32]bool{}
	for _, f := range m.found {
		taken[f.uid] = true
	}
	m.there = slices.DeleteFunc(m.there, func(t there) bool { return taken[t.uid] })
}

// byOctets compares whole messages where the header does not tell: because it is
// malformed, so that servers see its end in different places, or because the
// server has changed octets in ways of its own.
func (m *matcher) byOctets(ctx context.Context) error {
	var spans []span
	var list []int
	for i, it := range m.missing {
		f, ok := m.forms[i]
		if t := f.traits; ok && (!f.plain || t.Any()) {
			list = append(list, i)
			spans = append(spans, span{it.Size - int64(t.BareCR), it.Size + int64(t.BareLF+t.BareCR) + 2})
		}
	}
	spans = merged(spans)
	set := m.candidates(func(t there) bool {
		i, _ := slices.BinarySearchFunc(spans, t.size, func(s span, size int64) int { return cmp.Compare(s.most, size) })
		return i < len(spans) && spans[i].least <= t.size
	})
	if set.Empty() {
		return nil
	}
	return m.octets(ctx, list, set)
}

// span is all sizes from least to most.
type span struct{ least, most int64 }

// merged are the spans in order, without overlaps.
func merged(spans []span) (out []span) {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.least, b.least) })
	for _, s := range spans {
		if n := len(out); n > 0 && s.least <= out[n-1].most {
			out[n-1].most = max(out[n-1].most, s.most)
		} else {
			out = append(out, s)
		}
	}
	return out
}

// octets matches items to messages by all their octets: as they are, else in
// canonical form.
func (m *matcher) octets(ctx context.Context, list []int, set uid.Set) error {
	told, exact, canonical := answered{}, map[archive.Sum][]uint32{}, map[archive.Sum][]uint32{}
	err := m.c.FetchBodies(ctx, set, func(u uint32, _ int64, body io.Reader) error {
		told[u] = true
		c := fingerprint.NewCanonical()
		sum, _, err := archive.Hash(io.TeeReader(body, c))
		if err != nil {
			return err
		}
		exact[sum] = append(exact[sum], u)
		form := c.Sum()
		canonical[form] = append(canonical[form], u)
		return nil
	})
	if err := told.all(set, err); err != nil {
		return err
	}
	taken := map[uint32]bool{}
	take := func(i int, uids []uint32, how likeness) {
		slices.Sort(uids)
		for _, u := range uids {
			if !taken[u] {
				taken[u] = true
				m.found[i] = found{u, how}
				return
			}
		}
	}
	for _, i := range list {
		take(i, exact[m.items[i].Sum], equal)
	}
	for _, i := range list {
		if m.found[i].uid != 0 {
			continue
		}
		take(i, canonical[m.forms[i].sum], altered)
	}
	m.settle()
	return nil
}

// byFields matches the items that may be by Message-ID, Date, From and Subject.
func (m *matcher) byFields(ctx context.Context, may func(i int) bool) error {
	items := map[string][]int{}
	for i, it := range m.missing {
		if !may(i) {
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
	set := m.candidates(func(there) bool { return true })
	if len(items) == 0 || set.Empty() {
		return nil
	}
	told, uids := answered{}, map[string][]uint32{}
	err := m.c.FetchHeaders(ctx, set, func(u uint32, header []byte) error {
		told[u] = true
		if key := fingerprint.Fields(header); items[key] != nil {
			uids[key] = append(uids[key], u)
		}
		return nil
	})
	if err := told.all(set, err); err != nil {
		return err
	}
	for key, list := range uids {
		slices.Sort(list)
		m.pair(items[key], list, similar)
	}
	m.settle()
	return nil
}

// header reads an item's header. What can't be read is not found at the server,
// and reported when it should be appended.
func (m *matcher) header(it *Item) (header []byte, plain bool, err error) {
	err = m.octetsOf(it, func(f io.Reader) (err error) {
		header, plain, err = fingerprint.ReadHeader(f)
		return err
	})
	return bytes.Clone(header), plain, err
}

// octetsOf gives fn the octets of an item. A file that can't be opened has none.
func (m *matcher) octetsOf(it *Item, fn func(io.Reader) error) error {
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

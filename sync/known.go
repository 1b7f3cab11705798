package sync

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"archiverd/archive"
	"archiverd/internal/fingerprint"
	"archiverd/internal/session"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
	"archiverd/state"
)

// The values of Event.Matched that say how a message was known to have the octets
// of one that the archive has.
const (
	byHeader  = "header"
	byEmailID = "emailid"
)

// match is a message at the server that the archive seems to have.
type match struct {
	uid  uint32
	how  string
	file string // of the archive
	stored
}

// known archives, without downloading them, those messages of the piece that the
// account's archive has from elsewhere: from before UIDVALIDITY changed, from
// another mailbox, from another provider. On the rest it lays a claim, for the
// caller to yield.
func (w *worker) known(ctx context.Context, t *task, metas map[uint32]wire.Metadata) (*claim, error) {
	b := t.box
	if w.r.j.Policy.Matching.Off || b.inDoubt() {
		return nil, nil
	}
	keys := map[uint32]state.Key{}
	for u := range t.want.All() {
		if m := metas[u]; m.HasSize {
			if k, ok := state.KeyOf(m.Size, m.InternalDate); ok {
				keys[u] = k
			}
		}
	}
	c, known, err := w.r.claim(t, keys)
	if err != nil || len(known) == 0 || t.blind {
		return c, err
	}
	matches, err := w.recognise(ctx, t, metas, known)
	if err != nil {
		t.blind = true // what dies of headers may live without
		return c, err
	}
	return c, w.link(ctx, t, metas, matches)
}

// recognise finds out which messages of the piece the archive has: those with the
// size and INTERNALDATE of one there, whose file is whole, and with its EMAILID or
// its whole header. What leaves a doubt is none: several contents with one header,
// a header of which servers see the end in different places, a file that is not
// what was archived (the download then takes its place).
func (w *worker) recognise(ctx context.Context, t *task, metas map[uint32]wire.Metadata, known map[uint32][]state.Candidate) ([]match, error) {
	var matches []match
	var ask uid.Set
	read := shelf{w.r.j.Committer.Archive.Archive, map[[16]byte]stored{}}
	candidates := map[uint32][]match{}
	for u := range t.want.All() {
		var list, named []match
		for _, k := range known[u] {
			c := match{uid: u, how: byHeader, file: k.Path, stored: read.stored(k, metas[u].Size)}
			list = append(list, c)
			if k.HasEmailID(metas[u].EmailID, w.r.still) {
				c.how = byEmailID
				named = append(named, c)
			}
		}
		switch {
		case len(named) == 1 && named[0].whole:
			matches = append(matches, named[0])
		case len(list) > 0 && !slices.ContainsFunc(list, func(c match) bool { return !c.whole || !c.plain }):
			candidates[u] = list
			ask.Add(u)
		}
	}
	if ask.Empty() {
		return matches, nil
	}
	err := w.c.FetchHeaders(ctx, ask, func(u uint32, header []byte) error {
		sum := archive.Sum(sha256.Sum256(fingerprint.TrimHeader(header)))
		same := slices.DeleteFunc(candidates[u], func(c match) bool { return c.header != sum })
		if len(same) == 1 {
			matches = append(matches, same[0])
		}
		return nil
	})
	if session.IsMessageError(err) { // a NO: then they are downloaded
		err = nil
	}
	return matches, err
}

// link archives what the matches are of. Some are downloaded first, all the same:
// if one of them is not what it seems, so may the others be, and none is linked.
func (w *worker) link(ctx context.Context, t *task, metas map[uint32]wire.Metadata, matches []match) error {
	if len(matches) == 0 {
		return nil
	}
	b := t.box
	if checks := w.r.sample(b, matches); !checks.Empty() {
		part := task{box: b, want: checks, doubts: t.doubts}
		err := w.bodies(ctx, &part, metas)
		t.want, t.doubts = t.want.Subtract(checks.Subtract(part.want)), part.doubts
		if err != nil {
			return err
		}
		if b.inDoubt() {
			return nil
		}
		matches = slices.DeleteFunc(matches, func(m match) bool { return checks.Contains(m.uid) })
	}
	if err := w.r.j.Committer.Archive.CheckFreeSpace(0); err != nil {
		return err
	}
	var linked uid.Set
	defer func() { t.want = t.want.Subtract(linked) }()
	for _, m := range matches {
		batch, err := w.open(b)
		if err != nil {
			return err
		}
		e := b.event(m.uid, metas[m.uid])
		e.Size, e.Sum, e.Matched = m.size, m.sum, m.how
		switch err := batch.Link(b.uidValidity, e, m.file, m.info); {
		case errors.Is(err, archive.ErrWrite):
			return err
		case err == nil:
			linked.Add(m.uid)
			w.received(b, 0)
		}
	}
	return nil
}

// event is what the server says of a message that is to be archived.
func (b *box) event(u uint32, m wire.Metadata) archive.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	return archive.Event{UID: u, InternalDate: m.InternalDate, Flags: archive.StoredFlags(m.Flags), EmailID: m.EmailID, Labels: m.Labels, Expected: b.checks[u]}
}

// still says whether the server has the mailbox in that directory of the archive,
// under that UIDVALIDITY: what it said of messages there holds then. Another
// server is not likely to have both.
func (r *round) still(dir string, uidValidity uint32) bool {
	return uidValidity != 0 && r.told[dir] == uidValidity
}

// stored is a file of the archive.
type stored struct {
	whole  bool // it is what was archived, to the last octet
	info   fs.FileInfo
	size   int64
	sum    archive.Sum
	header archive.Sum // SHA-256 of the header, as of trimmed
	plain  bool        // the header, as of headerOf
	body   bool        // something follows the header
}

// shelf are the files that a piece looks at, each read once.
type shelf struct {
	archive *archive.Archive
	read    map[[16]byte]stored
}

// stored reads a file whole. One that can't be read is not whole.
func (s *shelf) stored(k state.Candidate, size int64) stored {
	out, ok := s.read[k.SumPrefix]
	if !ok {
		f, err := s.archive.OpenFile(k.Path)
		if err == nil {
			out, err = readStored(f)
			_ = f.Close() // it was read only
		}
		out.whole = err == nil && k.MatchesSum(out.sum)
		s.read[k.SumPrefix] = out
	}
	out.whole = out.whole && out.size == size
	return out
}

func readStored(f fs.File) (out stored, err error) {
	if out.info, err = f.Stat(); err != nil {
		return out, err
	}
	h := archive.NewHasher()
	all := io.TeeReader(f, h)
	header, plain, err := fingerprint.ReadHeader(all)
	if err == nil {
		_, err = io.Copy(io.Discard, all)
	}
	if err != nil {
		return out, fmt.Errorf("read %s: %w", out.info.Name(), err)
	}
	out.sum = h.Sum()
	out.size, out.header, out.plain = out.info.Size(), sha256.Sum256(header), plain
	out.body = out.size > int64(len(header)+len("\r\n\r\n"))
	return out, nil
}

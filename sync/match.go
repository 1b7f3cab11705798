package sync

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"archiverd/archive"
	"archiverd/internal/fingerprint"
	"archiverd/internal/session"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
	"archiverd/state"
)

// Values of Event.Matched: why a message counts as having the octets of one that the
// archive has.
const (
	matchedByUID     = "uid"
	matchedByHeader  = "header"
	matchedByEmailID = "emailid"
)

// match is a message at the server that is one of the archive's.
type match struct {
	uid  uint32
	by   string    // a value of Event.Matched
	date time.Time // INTERNALDATE
	archivedFile
}

// matchReturned archives, without downloading them, messages that the archive has
// under this very UIDVALIDITY and UID, and that have the size and date they had, and
// their EMAILID or whole header: a server that forgot them for a while lists them again.
func (w *worker) matchReturned(ctx context.Context, t *task, metadata map[uint32]wire.Metadata) error {
	m := t.mailbox
	if len(m.returnedMessages()) == 0 || w.run.job.Policy.Matching.Off || m.isMistrusted() || t.skipMatching {
		return nil
	}
	returned, err := w.findReturned(ctx, t, metadata)
	if err != nil {
		t.skipMatching = true // a connection lost over headers may not be lost over bodies
		return err
	}
	for u := range t.uids.All() {
		msg := returned[u]
		if msg == nil {
			continue
		}
		batch, err := w.openBatch(m)
		if err != nil {
			return err
		}
		md := metadata[u]
		batch.Record(archive.Event{Kind: archive.Added, UID: u, Path: msg.Path, Size: msg.Size, Sum: msg.Sum, EmailID: md.EmailID, Labels: md.Labels,
			InternalDate: msg.InternalDate, Flags: archive.StoredFlags(md.Flags), Matched: cmp.Or(msg.Matched, matchedByUID)})
		t.uids = t.uids.Subtract(uid.Of(u))
		w.countReceived(m, 0)
	}
	return nil
}

// findReturned returns the messages of a piece that are listed again, by UID.
func (w *worker) findReturned(ctx context.Context, t *task, metadata map[uint32]wire.Metadata) (map[uint32]*archive.Message, error) {
	m := t.mailbox
	returned := map[uint32]*archive.Message{}
	headers := map[uint32]archive.Sum{}
	var uids uid.Set // whose headers are needed
	for u := range t.uids.All() {
		msg, md := m.returnedMessages()[u], metadata[u]
		if msg == nil || !md.HasSize || md.Size != msg.Size || !md.InternalDate.Equal(msg.InternalDate) {
			continue
		}
		file, err := w.readMessage(m.directory(), msg)
		switch {
		case err != nil: // it is downloaded, which repairs it
		case md.EmailID != "" && md.EmailID == msg.EmailID && w.run.isStillListed(m.directory().Dir, msg.UIDValidity):
			returned[u] = msg
		case file.isPlain && (file.isUnique || !m.isReplaced()):
			headers[u] = file.header
			uids.Add(u)
		}
	}
	if uids.Empty() {
		return returned, nil
	}
	err := w.conn().FetchHeaders(ctx, uids, func(u uint32, header []byte) error {
		if headers[u] == archive.Sum(sha256.Sum256(fingerprint.TrimHeader(header))) {
			returned[u] = m.returnedMessages()[u]
		}
		return nil
	})
	if session.IsMessageError(err) { // a NO: then they are downloaded
		err = nil
	}
	return returned, err
}

// readMessage reads the file of an archived message. An error means that it is not what
// was archived.
func (w *worker) readMessage(dir archive.MailboxDir, msg *archive.Message) (file archivedFile, err error) {
	f, err := w.run.job.Committer.Archive.OpenFile(dir.Dir + "/" + msg.Path)
	if err != nil {
		return file, err
	}
	file, err = readArchivedFile(f)
	_ = f.Close() // it was only read
	if err == nil && (file.sum != msg.Sum || file.size != msg.Size) {
		err = errOtherOctets
	}
	return file, err
}

// errOtherOctets is returned for a file that is not what was archived.
var errOtherOctets = errors.New("its octets are not those that were archived")

// match archives, without downloading them, those messages of the piece that the
// account's archive has from elsewhere: from before UIDVALIDITY changed, from another
// mailbox, from another provider. It claims the others; the caller ends the claim.
func (w *worker) match(ctx context.Context, t *task) (*claim, error) {
	if w.run.job.Policy.Matching.Off || t.mailbox.isMistrusted() {
		return nil, nil
	}
	keys := map[uint32]state.Key{}
	for u := range t.uids.All() {
		if md := t.metadata[u]; md.HasSize {
			if k, ok := state.KeyOf(md.Size, md.InternalDate); ok {
				keys[u] = k
			}
		}
	}
	c, candidates, waiting, err := w.run.queue.claim(t, keys, w.run.lookUpCandidates)
	w.run.startWorkers(waiting)
	if err != nil || len(candidates) == 0 || t.skipMatching {
		return c, err
	}
	matches, err := w.findMatches(ctx, t, candidates)
	if err != nil {
		t.skipMatching = true // a connection lost over headers may not be lost over bodies
		return c, err
	}
	return c, w.linkMatches(ctx, t, matches)
}

// lookUpCandidates returns archived messages of the account with those keys, by UID.
func (r *run) lookUpCandidates(keys map[uint32]state.Key) (map[uint32][]state.Candidate, error) {
	return r.job.Committer.State.Candidates(archive.Escape(r.job.Account.Name), keys)
}

// findMatches returns which messages of the piece the archive has: those with the size
// and INTERNALDATE of one there, whose file is intact, and with its EMAILID or its
// whole header, if that has a Message-ID or Received field. What is ambiguous is no match:
// several contents with one header, a header whose end servers see in different places, a
// file that is not what was archived (the download then takes its place).
func (w *worker) findMatches(ctx context.Context, t *task, known map[uint32][]state.Candidate) (matches []match, err error) {
	files := fileCache{w.run.job.Committer.Archive.Archive, map[[16]byte]archivedFile{}}
	candidates := map[uint32][]match{}
	var uids uid.Set // whose headers are needed
	for u := range t.uids.All() {
		var all, byEmailID []match
		for _, k := range known[u] {
			c := match{uid: u, by: matchedByHeader, date: t.metadata[u].InternalDate, archivedFile: files.read(k, t.metadata[u].Size)}
			all = append(all, c)
			if k.HasEmailID(t.metadata[u].EmailID, w.run.isStillListed) {
				c.by = matchedByEmailID
				byEmailID = append(byEmailID, c)
			}
		}
		switch {
		case len(byEmailID) == 1 && byEmailID[0].isIntact:
			matches = append(matches, byEmailID[0])
		case slices.ContainsFunc(all, func(c match) bool { return c.isUnique }) &&
			!slices.ContainsFunc(all, func(c match) bool { return !c.isIntact || !c.isPlain }):
			candidates[u] = all
			uids.Add(u)
		}
	}
	if uids.Empty() {
		return matches, nil
	}
	err = w.conn().FetchHeaders(ctx, uids, func(u uint32, header []byte) error {
		sum := archive.Sum(sha256.Sum256(fingerprint.TrimHeader(header)))
		same := slices.DeleteFunc(candidates[u], func(c match) bool { return c.header != sum })
		if len(same) == 1 && same[0].isUnique {
			matches = append(matches, same[0])
		}
		return nil
	})
	if session.IsMessageError(err) { // a NO: then they are downloaded
		err = nil
	}
	return matches, err
}

// linkMatches archives what was matched by linking its files. A sample is downloaded
// first: if one of it is another message, so may the others be, and none is linked.
func (w *worker) linkMatches(ctx context.Context, t *task, matches []match) error {
	if len(matches) == 0 {
		return nil
	}
	m := t.mailbox
	if sample := w.run.samples.sample(m, matches, w.run.job.Policy.Matching.share()); !sample.Empty() {
		part := task{mailbox: m, snapshot: t.snapshot, uids: sample, metadata: t.metadata, unconfirmed: t.unconfirmed}
		err := w.fetchBodies(ctx, &part)
		t.uids, t.unconfirmed = t.uids.Subtract(sample.Subtract(part.uids)), part.unconfirmed
		if err != nil {
			return err
		}
		if m.isMistrusted() {
			return nil
		}
		matches = slices.DeleteFunc(matches, func(c match) bool { return sample.Contains(c.uid) })
	}
	if err := w.run.job.Committer.Archive.CheckFreeSpace(0); err != nil {
		return err
	}
	var linked uid.Set
	defer func() { t.uids = t.uids.Subtract(linked) }()
	for _, c := range matches {
		batch, err := w.openBatch(m)
		if err != nil {
			return err
		}
		e := m.addedEvent(c.uid, t.metadata[c.uid])
		e.Size, e.Sum, e.Matched = c.size, c.sum, c.by
		switch err := batch.Link(t.snapshot.UIDValidity, e, c.path, c.info); {
		case errors.Is(err, archive.ErrWrite):
			return err
		case err == nil:
			linked.Add(c.uid)
			w.countReceived(m, 0)
		}
	}
	return nil
}

// isStillListed reports whether the server has the mailbox of that directory, under
// that UIDVALIDITY: the EMAILIDs that it gave there are valid then. Another server is
// not likely to have both.
func (r *run) isStillListed(dir string, uidValidity uint32) bool {
	return uidValidity != 0 && r.listedUIDValidity[dir] == uidValidity
}

// archivedFile is a message's file in the archive.
type archivedFile struct {
	path     string // in the archive
	isIntact bool   // it has the octets that were archived
	info     fs.FileInfo
	size     int64
	sum      archive.Sum
	header   archive.Sum // SHA-256 of the header, without the line ends behind it
	isPlain  bool        // all servers see the same header
	isUnique bool        // the header has what no other message's has
	hasBody  bool        // there is something after the header
}

// fileCache reads each file of the archive once that a piece needs.
type fileCache struct {
	archive *archive.Archive
	files   map[[16]byte]archivedFile // by the prefix of their sum
}

// read reads the file of a candidate completely. One that can't be read, or does not
// have that size, is not intact.
func (c *fileCache) read(k state.Candidate, size int64) archivedFile {
	out, ok := c.files[k.SumPrefix]
	if !ok {
		f, err := c.archive.OpenFile(k.Path)
		if err == nil {
			out, err = readArchivedFile(f)
			_ = f.Close() // it was only read
		}
		out.isIntact = err == nil && k.MatchesSum(out.sum)
		c.files[k.SumPrefix] = out
	}
	out.path = k.Path
	out.isIntact = out.isIntact && out.size == size
	return out
}

func readArchivedFile(f fs.File) (out archivedFile, err error) {
	if out.info, err = f.Stat(); err != nil {
		return out, err
	}
	h := archive.NewHasher()
	all := io.TeeReader(f, h)
	header, isPlain, err := fingerprint.ReadHeader(all)
	if err == nil {
		_, err = io.Copy(io.Discard, all)
	}
	if err != nil {
		return out, fmt.Errorf("read %s: %w", out.info.Name(), err)
	}
	out.sum = h.Sum()
	out.size, out.header, out.isPlain = out.info.Size(), sha256.Sum256(header), isPlain
	_, out.isUnique = fingerprint.Identity(header)
	out.hasBody = out.size > int64(len(header)+len("\r\n\r\n"))
	return out, nil
}

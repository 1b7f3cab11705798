package sync

import (
	"bytes"
	"context"
	"time"

	"archiverd/archive"
	"archiverd/internal/fingerprint"
	"archiverd/internal/logkey"
	"archiverd/internal/session"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
	"archiverd/state"
)

// maxSuspectHeaders is of how many messages, whose size or date is another, the header
// is fetched.
const maxSuspectHeaders = 16

// likeness is what a header says of a UID whose size or date is another.
type likeness int

const (
	likenessUnknown likeness = iota // nothing
	likenessSame                    // it is the archived message
	likenessOther                   // it is another one
)

// judgeHeader compares the header of an archived message with the server's. One
// Message-ID is one message, even where a server rewrites other fields.
func judgeHeader(archived, server []byte) likeness {
	archived, server = fingerprint.TrimHeader(archived), fingerprint.TrimHeader(server)
	id, isUnique := fingerprint.Identity(archived)
	serverID, _ := fingerprint.Identity(server)
	isEqual := bytes.Equal(archived, server)
	switch {
	case id != serverID || id == "" && !isEqual:
		return likenessOther
	case id != "" || isUnique:
		return likenessSame
	}
	return likenessUnknown // equal, and as many messages of a program may have it
}

// judge decides by their headers what suspects are. One other message is enough for
// another mailbox: a UID never means a second message. If all are the archived ones, the
// server's sizes or dates vary.
func (c *identityCheck) judge(ctx context.Context, suspects uid.Set, known map[uint32]state.Traits, metadata map[uint32]wire.Metadata) error {
	verdicts, err := c.verdicts(ctx, spread(suspects, maxSuspectHeaders))
	if err != nil {
		return err
	}
	same, undecided := 0, 0
	for u := range suspects.All() {
		switch verdicts[u] {
		case likenessOther:
			c.p.isOther = true
		case likenessSame:
			same++
		case likenessUnknown:
			if _, date := differences(known[u], metadata[u]); date && !isZoneShift(known[u], metadata[u].InternalDate) {
				undecided++
			}
		}
	}
	if !c.p.isOther && same == 0 {
		// No header decides. Many that differ are another mailbox, and so is a date
		// that no change of zone explains.
		c.p.isOther = undecided > 0 || 2*suspects.Len() > c.compared
	}
	if !c.p.isOther {
		c.p.vary.learn(suspects, known, metadata)
		c.w.run.job.Log.Info("sizes or dates are others, and the messages are the same", logkey.Account, c.w.run.job.Account.Name, logkey.Mailbox, c.m.listed.Name, "messages", suspects.Len())
	}
	return nil
}

// compareHeaders compares messages by their headers alone, where the server tells neither
// sizes nor dates.
func (c *identityCheck) compareHeaders(ctx context.Context, uids uid.Set) error {
	verdicts, err := c.verdicts(ctx, uids)
	isSame := false
	for _, v := range verdicts {
		c.p.isOther = c.p.isOther || v == likenessOther
		isSame = isSame || v == likenessSame
	}
	if err == nil && !isSame && !c.p.isOther {
		err = &wire.Error{Class: wire.ClassMailbox, Err: errNotComparable}
	}
	return err
}

// verdicts fetches headers and compares them with those of the archive.
func (c *identityCheck) verdicts(ctx context.Context, uids uid.Set) (map[uint32]likeness, error) {
	headers, err := c.archivedHeaders(uids)
	if err != nil {
		return nil, err
	}
	var asked uid.Set
	for u := range headers {
		asked.Add(u)
	}
	verdicts := map[uint32]likeness{}
	if asked.Empty() {
		return verdicts, nil
	}
	err = c.w.conn().FetchHeaders(ctx, asked, func(u uint32, header []byte) error {
		verdicts[u] = judgeHeader(headers[u], header)
		return nil
	})
	if session.IsMessageError(err) {
		err = nil
	}
	return verdicts, err
}

// learn notes what varies.
func (v *variance) learn(uids uid.Set, known map[uint32]state.Traits, metadata map[uint32]wire.Metadata) {
	for u := range uids.All() {
		size, date := differences(known[u], metadata[u])
		v.sizes, v.dates = v.sizes || size, v.dates || date
	}
}

// isZoneShift reports whether two dates differ as another time zone would have it.
func isZoneShift(known state.Traits, date time.Time) bool {
	const quarter, most = 15 * 60, 26 * 3600
	by := date.Unix() - known.Unix
	return by%quarter == 0 && by >= -most && by <= most
}

// archivedHeaders returns the headers of archived messages of the current epoch, by UID.
// A message whose file can't be read is left out.
func (c *identityCheck) archivedHeaders(uids uid.Set) (map[uint32][]byte, error) {
	a, dir := c.w.run.job.Committer.Archive, c.m.directory()
	paths := map[uint32]string{}
	_, err := a.Replay(dir, archive.Position{}, func(e archive.Event) error {
		switch {
		case e.Kind == archive.Opened:
			clear(paths)
		case e.Kind == archive.Added && uids.Contains(e.UID):
			paths[e.UID] = e.Path
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	headers := map[uint32][]byte{}
	for u, path := range paths {
		f, err := a.OpenFile(dir.Dir + "/" + path)
		if err != nil {
			continue
		}
		header, _, err := fingerprint.ReadHeader(f)
		_ = f.Close() // it was only read
		if err == nil && len(header) > 0 {
			headers[u] = header
		}
	}
	return headers, nil
}

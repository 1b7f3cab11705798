package state

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"go.etcd.io/bbolt"

	"archiverd/archive"
	"archiverd/internal/uid"
)

// Again is a message that is asked for again although octets of it came: they were not as
// many as the server announced, or not the message's. Journals say which these are; the
// database keeps them in againBucket.
type Again struct {
	UID       uint32
	Failed    bool  // it counts as failed; else it is archived, and awaits agreement
	Announced int64 // RFC822.SIZE, octets
	// Of the octets that the archive has. Without any, of a failed one, Path is empty.
	Size int64
	Sum  archive.Sum
	Path string // relative to the mailbox directory
	Day  int64  // the last day on which octets were recorded, UTC, since 1970
	Days int64  // days on which these octets came
	// Lines is how often octets were recorded.
	Lines int64
}

// DayOf returns the day of a time as Again counts days.
func DayOf(t time.Time) int64 { return t.Unix() / (24 * 60 * 60) }

// minAgreedDays is on how many days the same octets must come, in a run each, until they
// are believed although the server announces another size.
const minAgreedDays = 3

// Octets of a message are recorded again on the next day at the earliest; after
// maxDailyLines times only after twice as many days each time, up to maxAgainDays. So a
// message that comes with other octets each time does not fill the disk.
const (
	maxDailyLines = 5
	maxAgainDays  = 32
)

// IsDue reports whether octets that come on that day may be recorded.
func (g *Again) IsDue(day int64) bool {
	wait := int64(1)
	if g.Lines > maxDailyLines {
		wait = min(maxAgainDays, int64(1)<<min(g.Lines-maxDailyLines, 10))
	}
	return day >= g.Day+wait
}

// octets is what asking for it again may cost.
func (g *Again) octets() int64 { return max(g.Announced, g.Size) }

// encode returns the value in againBucket: whether it failed, the numbers, the sum and
// the path.
func (g *Again) encode() []byte {
	b := []byte{0}
	if g.Failed {
		b[0] = 1
	}
	for _, n := range [...]int64{g.Announced, g.Size, g.Day, g.Days, g.Lines} {
		b = binary.AppendUvarint(b, uint64(max(0, n)))
	}
	return append(append(b, g.Sum[:]...), g.Path...)
}

// decodeAgain decodes an entry of againBucket.
func decodeAgain(key, value []byte) (g Again, err error) {
	err = fmt.Errorf("%w: message that is asked for again", ErrDamaged)
	if len(key) != 4 || len(value) == 0 {
		return g, err
	}
	g.UID, g.Failed = binary.BigEndian.Uint32(key), value[0] == 1
	rest := value[1:]
	for _, n := range [...]*int64{&g.Announced, &g.Size, &g.Day, &g.Days, &g.Lines} {
		v, k := binary.Uvarint(rest)
		if k <= 0 || v > math.MaxInt64 {
			return g, err
		}
		*n, rest = int64(v), rest[k:]
	}
	if len(rest) < len(g.Sum) {
		return g, err
	}
	copy(g.Sum[:], rest)
	g.Path = string(rest[len(g.Sum):])
	return g, nil
}

// AgainQuery says which messages are looked up: failed ones, and archived ones that are
// due on Day; at most Max of each, from the UID From on and then from the lowest.
type AgainQuery struct {
	Day  int64
	From uint32
	Max  int
}

// Again returns messages of the mailbox in directory dir that are asked for again, by UID,
// and the UIDs of all failed ones.
func (db *DB) Again(dir string, q AgainQuery) (out map[uint32]Again, failed uid.Set, err error) {
	out = map[uint32]Again{}
	archived, notArchived := 0, 0
	add := func(k, v []byte) error {
		g, err := decodeAgain(k, v)
		if err != nil {
			return err
		}
		if g.Failed {
			failed.Add(g.UID)
		}
		switch {
		case g.Failed && notArchived < q.Max:
			notArchived++
			out[g.UID] = g
		case !g.Failed && archived < q.Max && g.IsDue(q.Day):
			archived++
			out[g.UID] = g
		}
		return nil
	}
	err = db.view(func(tx *bbolt.Tx) (err error) {
		bucket := tx.Bucket(mailboxesBucket).Bucket([]byte(dir))
		if bucket == nil || bucket.Bucket(againBucket) == nil {
			return nil
		}
		c := bucket.Bucket(againBucket).Cursor()
		for k, v := c.Seek(uidKey(q.From)); k != nil && err == nil; k, v = c.Next() {
			err = add(k, v)
		}
		for k, v := c.First(); k != nil && err == nil && binary.BigEndian.Uint32(k) < q.From; k, v = c.Next() {
			err = add(k, v)
		}
		return err
	})
	return out, failed, err
}

// SizeExample is a message whose octets are not as many as the server announced.
type SizeExample struct {
	UID       uint32 `json:"uid"`
	Announced int64  `json:"announced"`
	Size      int64  `json:"size"`
	Path      string `json:"path"` // relative to the mailbox directory
}

// maxSizeExamples is the most examples of a mailbox that are kept, the newest.
const maxSizeExamples = 8

// setSizeExample adds the message of e, or removes it if its octets are as many as
// announced.
func (m *Mailbox) setSizeExample(e archive.Event) {
	var rest []SizeExample
	for _, x := range m.SizeExamples {
		if x.UID != e.UID {
			rest = append(rest, x)
		}
	}
	if e.Announced != nil {
		rest = append(rest, SizeExample{e.UID, *e.Announced, e.Size, e.Path})
		rest = rest[max(0, len(rest)-maxSizeExamples):]
	}
	m.SizeExamples = rest
}

// applyAgain updates againBucket by an added or failed event.
func (a *applier) applyAgain(e archive.Event) error {
	old, err := a.again(e.UID)
	if err != nil {
		return err
	}
	if e.Kind == archive.Added && (e.Announced != nil || len(a.record.SizeExamples) > 0) {
		a.record.setSizeExample(e)
	}
	day := DayOf(e.At)
	g := Again{UID: e.UID, Failed: e.Kind == archive.Failed, Announced: e.AnnouncedSize(), Day: day, Days: 1, Lines: 1}
	if e.HasFile() {
		g.Size, g.Sum, g.Path = e.Size, e.Sum, e.Path
	}
	if old != nil {
		g.Lines += old.Lines
		if g.Path == "" {
			g.Size, g.Sum, g.Path = old.Size, old.Sum, old.Path
		}
		if g.Path != "" && g.Sum == old.Sum {
			g.Days = old.Days
			if day > old.Day {
				g.Days++
			}
		}
	}
	hasAgreed := e.Kind == archive.Added && (e.Announced == nil || g.Days >= minAgreedDays)
	isOther := e.Kind == archive.Failed && e.Announced == nil && !e.HasFile() // it did not come, or for another reason
	switch {
	case hasAgreed:
		return a.deleteAgain(old)
	case isOther:
		return nil
	}
	return a.putAgain(old, &g)
}

// again returns the entry of a UID in againBucket, nil if it has none.
func (a *applier) again(u uint32) (*Again, error) {
	b := a.bucket.Bucket(againBucket)
	if b == nil {
		return nil, nil
	}
	v := b.Get(uidKey(u))
	if v == nil {
		return nil, nil
	}
	g, err := decodeAgain(uidKey(u), v)
	return &g, err
}

// putAgain stores an entry in the place of old, which may be nil.
func (a *applier) putAgain(old, g *Again) error {
	if err := a.deleteAgain(old); err != nil {
		return err
	}
	b, err := a.bucket.CreateBucketIfNotExists(againBucket)
	if err != nil {
		return err
	}
	a.record.countAgain(g, 1)
	return b.Put(uidKey(g.UID), g.encode())
}

// deleteAgain deletes an entry; nil: there is none.
func (a *applier) deleteAgain(g *Again) error {
	if g == nil {
		return nil
	}
	a.record.countAgain(g, -1)
	return a.bucket.Bucket(againBucket).Delete(uidKey(g.UID))
}

// countAgain adds n times an entry to the counts.
func (m *Mailbox) countAgain(g *Again, n int) {
	m.Again += n
	m.AgainOctets += int64(n) * g.octets()
	if !g.Failed {
		m.Awaiting += n
	}
}

// endAgain deletes the entry of a UID that is gone.
func (a *applier) endAgain(u uint32) error {
	g, err := a.again(u)
	if err != nil || g == nil {
		return err
	}
	if g.Failed && g.Path != "" { // the journal names its file, and no UID tells so any more
		a.record.Forgetful = true
	}
	return a.deleteAgain(g)
}

// clearAgain deletes all entries: an epoch begins.
func (a *applier) clearAgain() error {
	a.record.Again, a.record.AgainOctets, a.record.Awaiting = 0, 0, 0
	if a.bucket.Bucket(againBucket) == nil {
		return nil
	}
	return a.bucket.DeleteBucket(againBucket)
}

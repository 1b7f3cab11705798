package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"archiverd/archive"
)

// entries prints candidatesBucket, with directories instead of DirIDs, which may differ
// between two databases.
func (h *house) entries() string {
	h.t.Helper()
	if err := h.db.buffer.merge(0, h.db.update); err != nil {
		h.t.Fatal(err)
	}
	var out []string
	err := h.db.view(func(tx *bbolt.Tx) error {
		return tx.Bucket(candidatesBucket).ForEachBucket(func(account []byte) error {
			return tx.Bucket(candidatesBucket).Bucket(account).ForEach(func(k, v []byte) error {
				dir := ""
				head, number := k[:keyLength+sumLength], k[keyLength+sumLength:]
				if len(number) > 0 {
					head, number = k[:keyLength+sumLength+idLength], number[idLength:]
					dir = string(tx.Bucket(directoriesBucket).Get(number))
				}
				out = append(out, fmt.Sprintf("%s %x %s %x", account, head, dir, v))
				return nil
			})
		})
	})
	if err != nil {
		h.t.Fatal(err)
	}
	slices.Sort(out) // the numbers are in the keys
	return strings.Join(out, "\n")
}

func TestCandidates(t *testing.T) {
	h := newHouse(t)
	h.simple()
	one := event(1, "one").InternalDate
	if got := h.known(3, one); len(got) != 1 || string(h.read(got[0].Path)) != "one" || got[0].HasEmailID("Mone", yes) || got[0].HasEmailID("", yes) {
		t.Errorf("known are %+v", got)
	}
	// the instant counts, whatever the zone
	if got := h.known(3, one.In(time.FixedZone("", -5*3600))); len(got) != 1 {
		t.Errorf("in another zone %+v are known", got)
	}
	for _, other := range []struct {
		size int64
		date time.Time
	}{{4, one}, {2, one}, {3, one.Add(time.Second)}, {3, one.Add(-time.Second)}} {
		if got := h.known(other.size, other.date); len(got) != 0 {
			t.Errorf("%v: known are %+v", other, got)
		}
	}
	if k, _ := KeyOf(3, one); true {
		if got, err := h.db.Candidates("bob", map[uint32]Key{1: k}); err != nil || len(got) > 0 {
			t.Errorf("another account knows %+v, %v", got, err)
		}
	}
	// several contents of a size and date, in several mailboxes, with ids
	b, c := h.batch("INBOX"), h.batch("INBOX/a")
	h.add(b, 1, 8, "old")
	h.add(b, 1, 80, "other")
	c.Record(opened("INBOX/a", 9))
	h.add(c, 9, 8, "new")
	h.add(c, 9, 9, "odd")
	h.apply(h.commit(b, c))
	d := h.batch("INBOX/b")
	d.Record(opened("INBOX/b", 5))
	h.add(d, 5, 8, "old")
	h.apply(h.commit(d))
	got := h.known(3, event(8, "").InternalDate)
	if len(got) != 2 {
		t.Fatalf("known are %+v", got)
	}
	for _, k := range got {
		switch body := string(h.read(k.Path)); body {
		case "old":
			for at, want := range map[string]bool{"alice/INBOX 1": true, "alice/INBOX/b 5": true, "alice/INBOX/a 9": false, "alice/INBOX 9": false} {
				still := func(dir string, uidValidity uint32) bool { return fmt.Sprint(dir, " ", uidValidity) == at }
				if k.HasEmailID("Mold", still) != want || k.HasEmailID("Mnew", still) {
					t.Errorf("%s: the id is known: %v", at, !want)
				}
			}
		case "new":
			if !k.HasEmailID("Mnew", yes) || k.HasEmailID("Mold", yes) {
				t.Errorf("ids are %+v", k.emailIDs)
			}
		default:
			t.Errorf("known is %q", body)
		}
	}
}

// A sender can make two messages whose sums begin alike: the EMAILID of one must not
// match the other.
func TestCandidatesWithLikeSums(t *testing.T) {
	db, apply := index(t)
	twin := func(u uint32, emailID string, end byte) archive.Event {
		e := event(u, "")
		e.InternalDate, e.Size, e.EmailID = event(9, "").InternalDate, 3, emailID
		e.Kind, e.Path = archive.Added, fmt.Sprint("2026-11/", u, ".eml")
		e.Sum = archive.Sum{1, 2, 3, 4, 5, 6, 7, 8, end}
		return e
	}
	apply(twin(1, "Mone", 1), twin(2, "Mtwo", 2))
	k, _ := KeyOf(3, event(9, "").InternalDate)
	known, err := db.Candidates("alice", map[uint32]Key{1: k})
	if err != nil || len(known[1]) != 2 {
		t.Fatalf("known are %+v, %v", known, err)
	}
	for _, k := range known[1] {
		for id, end := range map[string]byte{"Mone": 1, "Mtwo": 2} {
			if k.HasEmailID(id, yes) && k.SumPrefix[8] != end {
				t.Errorf("%s names %s", id, k.Path)
			}
		}
	}
}

func yes(string, uint32) bool { return true }

// Every date that a journal can have gives a key, in the order of the dates; sizes and
// dates out of range give none.
func TestKeyOf(t *testing.T) {
	date := func(text string) time.Time {
		d, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	last := ""
	for _, d := range []string{"0001-01-01T00:00:01Z", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z", "2026-11-22T18:30:00+01:00", "9999-12-31T23:59:59Z"} {
		for _, size := range []int64{0, 1, 255, 256, 1 << 32, 1<<40 - 1} {
			k, ok := KeyOf(size, date(d))
			if now := string(k.appendTo(nil)); !ok || len(now) != keyLength || now <= last {
				t.Errorf("%d of %s: %x, %v, after %x", size, d, now, ok, last)
			} else {
				last = now
			}
		}
	}
	for _, size := range []int64{-1, 1 << 40} {
		if _, ok := KeyOf(size, clock); ok {
			t.Errorf("a message of %d octets has a key", size)
		}
	}
	if _, ok := KeyOf(1, time.Time{}); ok {
		t.Error("a message without a date has a key")
	}
}

// Too many candidates of one size and date are as good as none, and take no more time.
func TestTooManyCandidates(t *testing.T) {
	db, apply := index(t)
	for i := range maxCandidates + 1 {
		apply(archive.Event{Kind: archive.Added, UID: uint32(i + 1), Path: "x.eml", Size: 2, Sum: archive.Sum{byte(i)}, InternalDate: clock})
		k, _ := KeyOf(2, clock)
		want := i + 1
		if want > maxCandidates {
			want = 0
		}
		if got, err := db.Candidates("alice", map[uint32]Key{1: k}); err != nil || len(got[1]) != want {
			t.Errorf("%d are known of %d, %v", len(got[1]), i+1, err)
		}
	}
}

// index is a database that is filled without an archive.
func index(t testing.TB) (*DB, func(...archive.Event)) {
	t.Helper()
	w, err := archive.OpenWriter(filepath.Join(t.TempDir(), "archive"), archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	db, _, err := Open(filepath.Join(t.TempDir(), "state.db"), w)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(db.Close(), w.Close()); err != nil {
			t.Error(err)
		}
	})
	at := archive.Position{}
	apply := func(events ...archive.Event) {
		t.Helper()
		c := Change{Mailbox: archive.MailboxDir{Account: "alice", Dir: "alice/INBOX"}, From: at, To: archive.Position{Offset: at.Offset + 1}, Events: events}
		if at.Offset == 0 {
			c.Events = append([]archive.Event{opened("INBOX", 1)}, events...)
		}
		if err := db.Apply(c); err != nil {
			t.Fatal(err)
		}
		at = c.To
	}
	return db, apply
}

// Verified and Mistrusted are counted by epoch.
func TestMistrusted(t *testing.T) {
	h := newHouse(t)
	add := func(b *archive.Batch, u uint32, body string, like archive.Sum) {
		e := event(u, body)
		e.Expected = like
		if err := b.Add(1, e, int64(len(body)), strings.NewReader(body)); err != nil {
			t.Fatal(err)
		}
	}
	b := h.batch("INBOX")
	b.Record(opened("INBOX", 1))
	h.add(b, 1, 1, "one")
	add(b, 2, "one", b.Events[1].Sum)
	h.apply(h.commit(b))
	if info, _, err := h.db.Mailbox("alice/INBOX"); err != nil || info.Verified != 1 || info.Mistrusted {
		t.Errorf("info is %+v, %v", info, err)
	}
	b = h.batch("INBOX")
	add(b, 3, "two", archive.Sum{1})
	h.apply(h.commit(b))
	if info, _, err := h.db.Mailbox("alice/INBOX"); err != nil || info.Verified != 2 || !info.Mistrusted {
		t.Errorf("info is %+v, %v", info, err)
	}
	h.sameRebuilt()
	b = h.batch("INBOX")
	b.Record(opened("INBOX", 2))
	h.apply(h.commit(b))
	if info, _, err := h.db.Mailbox("alice/INBOX"); err != nil || info.Verified != 0 || info.Mistrusted {
		t.Errorf("info of a new epoch is %+v, %v", info, err)
	}
}

// A database of an older layout is rebuilt.
func TestOlderSchema(t *testing.T) {
	h := newHouse(t)
	h.simple()
	err := h.db.update(func(tx *bbolt.Tx) error {
		return errors.Join(tx.DeleteBucket(candidatesBucket), tx.Bucket(metaBucket).Put(schemaKey, []byte("2")))
	})
	if err != nil {
		t.Fatal(err)
	}
	noted(t, h.reopen(), "its layout is of another version")
	if got := h.known(3, event(1, "").InternalDate); len(got) != 1 {
		t.Errorf("known are %+v", got)
	}
}

// A piece of 1,000 messages is looked up among 200,000: none known, all known.
func BenchmarkCandidates(b *testing.B) {
	const messages, piece = 200_000, 1000
	db, apply := index(b)
	db.bolt.NoSync = true // only the lookups are measured
	r := rand.New(rand.NewPCG(1, 2))
	date := func(u uint32) time.Time { return clock.Add(time.Duration(u) * time.Minute) }
	for first := uint32(1); first < messages; first += piece {
		var events []archive.Event
		for u := first; u < first+piece; u++ {
			e := archive.Event{Kind: archive.Added, UID: u, Path: fmt.Sprintf("2026-11/20261122T183000Z.1700000000.%d.eml", u), Size: int64(u % 5000), InternalDate: date(u)}
			binary.BigEndian.PutUint64(e.Sum[:], r.Uint64())
			binary.BigEndian.PutUint64(e.Sum[8:], r.Uint64())
			events = append(events, e)
		}
		apply(events...)
	}
	st, err := os.Stat(db.path)
	if err != nil {
		b.Fatal(err)
	}
	for name, want := range map[string]int{"none": 0, "all": piece} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				keys := map[uint32]Key{}
				for range piece {
					u := 1 + r.Uint32N(messages)
					for keys[u] != (Key{}) {
						u = 1 + r.Uint32N(messages)
					}
					size := int64(u % 5000)
					if want == 0 {
						size += 5000
					}
					keys[u], _ = KeyOf(size, date(u))
				}
				if got, err := db.Candidates("alice", keys); err != nil || len(got) != want {
					b.Fatal(len(got), err)
				}
			}
			b.ReportMetric(float64(st.Size())/messages, "octets/message")
		})
	}
}

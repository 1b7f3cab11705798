package state

import (
	"maps"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/internal/uid"
)

// TestTraits: size and date of each archived message are known by its UID, also after its
// flags changed and after a rebuild; of one that is gone or failed nothing is.
func TestTraits(t *testing.T) {
	h := newHouse(t)
	b := h.batch("INBOX")
	b.Record(opened("INBOX", 7))
	for u := range uint32(6) {
		h.add(b, 7, u+1, "x\r\n"[:u%3], `\Seen`)
	}
	b.Record(archive.Event{Kind: archive.Failed, UID: 7, Reason: "no"})
	b.Record(archive.Event{Kind: archive.Flags, UID: 2, Flags: []string{`\Draft`, "12345678"}})
	b.Record(archive.Event{Kind: archive.Gone, UIDs: uid.Of(3)})
	h.apply(h.commit(b))
	var all uid.Set
	all.AddRange(1, 99)
	want := map[uint32]Traits{}
	for _, u := range []uint32{1, 2, 4, 5, 6} {
		want[u] = Traits{Size: int64((u - 1) % 3), Unix: event(u, "").InternalDate.Unix(), HasDate: true}
	}
	check := func() {
		t.Helper()
		if got, err := h.db.Traits("alice/INBOX", all); err != nil || !maps.Equal(got, want) {
			t.Errorf("%v, %v, want %v", got, err, want)
		}
		changed, err := h.db.ChangedFlags("alice/INBOX", []MessageFlags{{1, `\Seen`}, {2, `\Seen`}, {2, `\Draft 12345678`}, {3, ""}})
		if err != nil || len(changed) != 1 || changed[0] != (MessageFlags{2, `\Seen`}) {
			t.Errorf("changed are %v, %v", changed, err)
		}
	}
	check()
	if _, err := h.db.Rebuild(); err != nil {
		t.Fatal(err)
	}
	check()
	if got, err := h.db.Traits("alice/None", all); err != nil || len(got) > 0 {
		t.Error(got, err)
	}
}

// TestTraitsEncoding: what is stored is read again, whatever date, size and flags are.
func TestTraitsEncoding(t *testing.T) {
	for _, date := range []time.Time{{}, clock, time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), time.Unix(0, 0)} {
		for _, size := range []int64{0, 1, 127, 128, 1 << 40} {
			for _, flags := range []string{"", `\Seen`, "größe \x00"} {
				in := traitsOf(archive.Event{Size: size, InternalDate: date})
				out, got, err := decodeTraits([]byte("a" + in.encode(flags)))
				if err != nil || got != flags || out != in || out.HasDate == date.IsZero() || out.HasDate && out.Unix != date.Unix() {
					t.Errorf("%v %d %q: %+v %q %v", date, size, flags, out, got, err)
				}
			}
		}
	}
	for _, broken := range []string{"a", "a\x80", "a\x01", "a\x01\x80"} {
		if _, _, err := decodeTraits([]byte(broken)); err == nil {
			t.Errorf("%q is no error", broken)
		}
	}
}

// TestSampleUIDs: a sample has the lowest and the highest UIDs, and only archived ones.
func TestSampleUIDs(t *testing.T) {
	h := newHouse(t)
	b := h.batch("INBOX")
	b.Record(opened("INBOX", 7))
	var archived uid.Set
	for i := range uint32(300) {
		u := 1 + 7*i
		archived.Add(u)
		h.add(b, 7, u, "x")
	}
	gone := uid.Of(1, 7*298+1)
	b.Record(archive.Event{Kind: archive.Gone, UIDs: gone})
	b.Record(archive.Event{Kind: archive.Failed, UID: 5000, Reason: "no"})
	archived = archived.Subtract(gone)
	h.apply(h.commit(b))
	for range 20 {
		got, err := h.db.SampleUIDs("alice/INBOX", 32)
		if err != nil || got.Len() > 32 || got.Len() < 20 || !got.Subtract(archived).Empty() || !got.Contains(8) || !got.Contains(archived.Max()) {
			t.Fatalf("%s, %v", got, err)
		}
	}
	few, err := h.db.SampleUIDs("alice/INBOX", 10000)
	if err != nil || few.Len() < 290 {
		t.Errorf("%d, %v", few.Len(), err)
	}
	if got, err := h.db.SampleUIDs("alice/None", 32); err != nil || !got.Empty() {
		t.Error(got, err)
	}
}

// TestOrigin: who opened an epoch, and where, survives the loss of the database; what a
// run stored beside its cursor is newer.
func TestOrigin(t *testing.T) {
	h := newHouse(t)
	b := h.batch("INBOX")
	e := opened("INBOX", 7)
	e.Server, e.User = "imap.example.com:993", "alice@example.com"
	b.Record(e)
	h.apply(h.commit(b))
	origin := func(server string) {
		t.Helper()
		m, _, err := h.db.Mailbox("alice/INBOX")
		if got, user := m.Origin(); err != nil || got != server || user != "alice@example.com" {
			t.Errorf("%q, %q, %v", got, user, err)
		}
	}
	origin("imap.example.com:993")
	c := Cursor{UIDValidity: 7, Server: "mail.example.com:993", User: "alice@example.com"}
	if err := h.db.FinishRun(Run{Account: "alice"}, map[string]Completed{"alice/INBOX": {Cursor: c}}); err != nil {
		t.Fatal(err)
	}
	origin("mail.example.com:993")
	if _, err := h.db.Rebuild(); err != nil {
		t.Fatal(err)
	}
	origin("imap.example.com:993")
}

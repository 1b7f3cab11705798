package search

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/internal/uid"
)

// startTime is the time at which the tests' archives begin.
var startTime = time.Date(2026, 11, 22, 18, 30, 0, 0, time.UTC)

// testArchive is an archive being written, with its index.
type testArchive struct {
	t            testing.TB
	dir          string
	w            *archive.Writer
	now          time.Time
	pathBySum    map[archive.Sum]string
	indexer      *Indexer
	withoutFiles bool // there are messages without files
}

// newTestArchive makes an archive, which must verify when the test ends.
func newTestArchive(t testing.TB) *testArchive {
	t.Helper()
	s := &testArchive{t: t, dir: t.TempDir(), now: startTime, pathBySum: map[archive.Sum]string{}}
	w, err := archive.OpenWriter(s.dir, archive.Options{Now: func() time.Time { return s.now }})
	if err != nil {
		t.Fatal(err)
	}
	s.w = w
	s.indexer = &Indexer{Archive: w.Archive, Path: filepath.Join(s.dir, "state.db.index")}
	t.Cleanup(func() {
		boxes, err := w.Mailboxes("")
		if err != nil {
			t.Error(err)
		}
		for _, b := range boxes {
			if s.withoutFiles {
				break
			}
			v, err := w.Verify(context.Background(), b, archive.VerifyOptions{})
			if err != nil {
				t.Error(err)
			}
			for _, f := range v.Findings {
				if f.Damage {
					t.Errorf("damage: %s: %s", f.Path, f.What)
				}
			}
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// openMailbox opens a mailbox as its journal has it.
func (s *testArchive) openMailbox(account, name string) *archive.Mailbox {
	s.t.Helper()
	b, err := s.w.DirectoryOf(account, archive.Name{Mailbox: name, Delimiter: "/"})
	if err != nil {
		s.t.Fatal(err)
	}
	v, pos, err := s.w.Fold(b)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Fatal(err)
	}
	m, err := s.w.Mailbox(b, v.Journal, pos)
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

// testMessage is a message to be stored.
type testMessage struct {
	uid   uint32
	date  time.Time
	flags []string
	text  string
}

// commit commits events and messages to a mailbox.
func (s *testArchive) commit(account, name string, epoch uint32, events []archive.Event, letters ...testMessage) {
	s.t.Helper()
	m := s.openMailbox(account, name)
	b, err := m.Batch()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range events {
		b.Record(e)
	}
	for _, l := range letters {
		slices.Sort(l.flags)
		e := archive.Event{UID: l.uid, InternalDate: l.date, Flags: l.flags}
		if err := b.Add(epoch, e, int64(len(l.text)), strings.NewReader(l.text)); err != nil {
			s.t.Fatal(err)
		}
	}
	s.w.Commit(func(sum archive.Sum) (string, bool) { p, ok := s.pathBySum[sum]; return p, ok }, b)
	if b.Err != nil {
		s.t.Fatal(b.Err)
	}
	for _, e := range b.Events {
		if e.Kind == archive.Added && !s.withoutFiles {
			s.pathBySum[e.Sum] = m.Dir + "/" + e.Path
		}
	}
	if err := m.Release(); err != nil {
		s.t.Fatal(err)
	}
}

// commitWithoutFiles commits events alone: of messages that have no files, so that the
// archive is not verified.
func (s *testArchive) commitWithoutFiles(account, name string, events []archive.Event) {
	s.t.Helper()
	s.withoutFiles = true
	s.commit(account, name, 1, events)
}

func openedEvent(name string, epoch uint32) archive.Event {
	return archive.Event{Kind: archive.Opened, Name: archive.Name{Mailbox: name, Delimiter: "/"}, UIDValidity: epoch}
}

// updateIndex brings the index up to date.
func (s *testArchive) updateIndex() *IndexReport {
	s.t.Helper()
	done, err := s.indexer.Update(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	return done
}

// parse reads a query whose times are dates or RFC 3339.
func parse(t testing.TB, text string) *Query {
	t.Helper()
	q, err := Parse(text, readTime)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func readTime(_, text string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t, nil
	}
	return time.Parse(time.RFC3339, text)
}

// search searches, with the index or without it.
func (s *testArchive) search(query string, sel archive.Selection, limit int, indexed bool) *Report {
	s.t.Helper()
	search := &Search{Archive: s.w.Archive, Query: parse(s.t, query), Selection: sel, Limit: limit}
	if indexed {
		search.Index = s.indexer.Path
	}
	found, err := search.Run(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	return found
}

// searchBothWays fails unless the index gives the answers that the archive itself gives.
func (s *testArchive) searchBothWays(query string, sel archive.Selection, limit int) *Report {
	s.t.Helper()
	got, want := s.search(query, sel, limit, true), s.search(query, sel, limit, false)
	if !got.UsedIndex || len(got.Notes) > 0 {
		s.t.Fatalf("%s: the index is not used: %q", query, got.Notes)
	}
	if got.HasMore != want.HasMore || !reflect.DeepEqual(describe(got), describe(want)) {
		s.t.Errorf("%s (%+v, limit %d): with the index\n%s%v\nwithout\n%s%v", query, sel, limit,
			strings.Join(describe(got), "\n"), got.HasMore, strings.Join(describe(want), "\n"), want.HasMore)
	}
	return want
}

// describe are results for comparison.
func describe(f *Report) []string {
	out := []string{}
	for _, r := range f.Results {
		text := fmt.Sprintf("%s %d %s:", r.Sum.String()[:8], r.Size, r.Date.Format(time.RFC3339))
		for _, p := range r.Places {
			text += fmt.Sprintf(" [%s %s %d %s %q %s]", p.ID, p.Mailbox, p.UID, p.InternalDate.Format(time.RFC3339), p.Flags, p.Gone.Format(time.RFC3339))
		}
		out = append(out, text)
	}
	return out
}

// generator makes up messages: the same for one seed.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator { return generator{rand.New(rand.NewPCG(seed, 7))} }

func (a generator) word() string {
	words := []string{"invoice", "Rechnung", "Größe", "naïve", "meeting", "in", "Invoices", "東京都庁", "かばん", "Straße", "İstanbul", "ελιά", "ΕΛΙΆ", "v2", "ok", "a", "Привет", "ice"}
	return words[a.IntN(len(words))]
}

func (a generator) words(n int) string {
	var list []string
	for range n {
		list = append(list, a.word())
	}
	return strings.Join(list, []string{" ", " ", " ", "-", ", "}[a.IntN(5)])
}

func (a generator) message() string {
	var b strings.Builder
	fmt.Fprintf(&b, "From: %s <%s@example.com>\r\nTo: %s\r\nSubject: %s\r\nMessage-ID: <%d@example.net>\r\n", a.word(), []string{"alice", "bob"}[a.IntN(2)], a.word(), a.words(1+a.IntN(3)), a.IntN(1000))
	b.WriteString("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n")
	b.WriteString(a.words(1 + a.IntN(12)))
	if a.IntN(3) == 0 {
		fmt.Fprintf(&b, "\r\n--x\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=%s.pdf\r\n\r\n%%PDF", []string{"report", "invoice"}[a.IntN(2)])
	}
	b.WriteString("\r\n--x--\r\n")
	return b.String()
}

func (a generator) flags() []string {
	var out []string
	for _, f := range []string{`\Seen`, `\Flagged`, "$Forwarded"} {
		if a.IntN(3) == 0 {
			out = append(out, f)
		}
	}
	return out
}

// query makes up a query.
func (a generator) query() string {
	var list []string
	for range 1 + a.IntN(3) {
		t := a.word()
		switch a.IntN(16) {
		case 0:
			t = "from:" + t
		case 1:
			t = "subject:" + t
		case 2:
			t = "to:" + t
		case 3:
			t = `"` + a.word() + " " + a.word() + `"`
		case 4:
			t = string([]rune(t)[:1]) + "*"
		case 5:
			t = "text:" + t
		case 6:
			t = "filename:invoice"
		case 7:
			t = "has:attachment"
		case 8:
			t = fmt.Sprintf("larger:%d", 250+a.IntN(200))
		case 9:
			t = "after:" + a.day().Format(time.DateOnly)
		case 10:
			t = "before:" + a.day().Format(time.DateOnly)
		case 11:
			t = "flag:" + []string{"seen", `\Flagged`, "$forwarded"}[a.IntN(3)]
		case 12:
			t = "mailbox:" + []string{"INBOX", "lists*", "%"}[a.IntN(3)]
		case 13:
			t = "account:" + []string{"alice", "bob", "*"}[a.IntN(3)]
		case 14:
			t = "京"
		}
		if a.IntN(4) == 0 {
			t = "-" + t
		}
		list = append(list, t)
	}
	return strings.Join(list, " ")
}

func (a generator) day() time.Time {
	return time.Date(2026, 1, 1+a.IntN(20), a.IntN(3), 0, 0, 0, time.FixedZone("", 3600*(a.IntN(3)-1)))
}

func goneEvent(uids ...uint32) archive.Event {
	return archive.Event{Kind: archive.Gone, UIDs: uid.Of(uids...)}
}

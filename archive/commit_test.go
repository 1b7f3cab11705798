package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"archiverd/internal/uid"
)

// plain is the path of message uid of epoch 1, relative to the mailbox directory.
func plain(u uint32) string { return fileName(1, u, date(int(u))) }

func sameFile(t testing.TB, a, b string) bool {
	t.Helper()
	x, err := os.Stat(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.Stat(b)
	if err != nil {
		t.Fatal(err)
	}
	return os.SameFile(x, y)
}

func TestCommit(t *testing.T) {
	for _, perFile := range []bool{false, true} {
		t.Run(fmt.Sprint("perFile=", perFile), func(t *testing.T) {
			dir := t.TempDir()
			w := open(t, dir, Options{PerFile: perFile})
			m := mailbox(t, w, "INBOX")
			text := "Subject: NUL \x00, bare \n and \r\n\r\n\xff"
			b := first(t, m, text, "")
			b.Record(Event{Kind: Failed, UID: 9, Reason: "r"})
			b.Record(Event{Kind: Flags, UID: 1, Flags: []string{"x"}})
			b.Record(Event{Kind: Gone, UIDs: uid.Of(2)})
			if got, want := b.Len(), 6; got != want {
				t.Errorf("the batch has %d events, want %d", got, want)
			}
			if got, want := b.Octets(), int64(len(text)); got != want {
				t.Errorf("the batch has %d octets, want %d", got, want)
			}
			commit(t, w, b)
			holds(t, dir, "alice/INBOX", map[uint32]string{1: text, 2: ""})
			v, _ := fold(t, dir, "alice/INBOX")
			one := v.Epoch().Messages[1]
			if got, want := one.Path, "2026-11/20261122T183100Z.1.1.eml"; got != want {
				t.Errorf("the message is at %s, want %s", got, want)
			}
			if !one.InternalDate.Equal(date(1)) || one.InternalDate.Format("-0700") != "+0100" || !one.Added.Equal(clock) || one.Flags[0] != "x" {
				t.Errorf("the message is %+v", one)
			}
			st, err := os.Stat(filepath.Join(dir, "alice/INBOX", one.Path))
			if err != nil || !st.ModTime().Equal(date(1)) {
				t.Errorf("its file's time is %v, %v, want INTERNALDATE", st.ModTime(), err)
			}
			if v.Epoch().Messages[2].Listed() || v.Epoch().Failed[9] != "r" || v.Journal != m.id {
				t.Errorf("the view is %+v", v.Epoch())
			}
			if end := m.end(); b.From != (Position{}) || b.To != end || end.Offset != int64(len(read(t, dir, "alice/INBOX", journalName))) {
				t.Errorf("the batch goes from %v to %v, the journal's end is %v", b.From, b.To, end)
			}
			if left := inTmp(t, dir, "alice/INBOX"); len(left) > 0 {
				t.Errorf("tmp/ holds %q", left)
			}
			if found := verify(t, dir); len(found) > 0 {
				t.Errorf("verify finds %v", found)
			}
		})
	}
}

// A message whose date RFC 3339 can't express is archived without the date.
func TestUnusableInternalDate(t *testing.T) {
	for name, date := range map[string]time.Time{
		"none":           {},
		"year 0":         time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC),
		"10000 in UTC":   time.Date(9999, 12, 31, 23, 30, 0, 0, time.FixedZone("", -3600)),
		"10000 in local": time.Date(10000, 1, 1, 0, 30, 0, 0, time.FixedZone("", 3600)),
		"zone":           time.Date(2026, 1, 1, 0, 0, 0, 0, time.FixedZone("", 24*3600)),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			w := open(t, dir, Options{})
			m := mailbox(t, w, "INBOX")
			b := first(t, m)
			if err := b.Add(1, Event{UID: 1, InternalDate: date}, 1, strings.NewReader("a")); err != nil {
				t.Fatal(err)
			}
			commit(t, w, b)
			v, _ := fold(t, dir, "alice/INBOX")
			if got, want := v.Epoch().Messages[1].Path, "0000-00/00000000T000000Z.1.1.eml"; got != want {
				t.Errorf("the message is at %s, want %s", got, want)
			}
			if d := v.Epoch().Messages[1].InternalDate; !d.IsZero() {
				t.Errorf("its date is %v", d)
			}
		})
	}
}

// Dates long ago and far in the future are stored unchanged.
func TestOddInternalDate(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	m := mailbox(t, w, "INBOX")
	b := first(t, m)
	dates := []time.Time{
		time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC),
		time.Date(9999, 12, 31, 23, 0, 0, 0, time.UTC), time.Date(2026, 1, 1, 0, 30, 0, 0, time.FixedZone("", 14*3600)),
	}
	for i, d := range dates {
		if err := b.Add(1, Event{UID: uint32(i + 1), InternalDate: d}, 1, strings.NewReader("a")); err != nil {
			t.Fatal(err)
		}
	}
	commit(t, w, b)
	v, _ := fold(t, dir, "alice/INBOX")
	for i, d := range dates {
		if got := v.Epoch().Messages[uint32(i+1)].InternalDate; !got.Equal(d) {
			t.Errorf("INTERNALDATE %v became %v", d, got)
		}
	}
	if got, want := path.Dir(v.Epoch().Messages[4].Path), "2025-12"; got != want {
		t.Errorf("the month in UTC is %s, want %s", got, want)
	}
}

// Equal octets are stored once, in a mailbox, in a commit, and over mailboxes.
func TestEqualOctetsAreLinked(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	a, b := mailbox(t, w, "a"), mailbox(t, w, "b")
	one, two := first(t, a, "same", "same"), first(t, b, "same", "other")
	commit(t, w, one, two)
	three := begin(t, b)
	add(t, three, 3, "same")
	commit(t, w, three)
	if one.Linked != 1 || two.Linked != 1 || three.Linked != 1 {
		t.Errorf("linked %d, %d, %d, want 1 each", one.Linked, two.Linked, three.Linked)
	}
	file := filepath.Join(dir, "alice/a", plain(1))
	for _, other := range []string{"alice/a/" + plain(2), "alice/b/" + plain(1), "alice/b/" + plain(3)} {
		if !sameFile(t, file, filepath.Join(dir, other)) {
			t.Errorf("%s is a file of its own", other)
		}
	}
	holds(t, dir, "alice/a", map[uint32]string{1: "same", 2: "same"})
	holds(t, dir, "alice/b", map[uint32]string{1: "same", 2: "other", 3: "same"})
}

// If no link can be made the received file is used: here pathOf returns a directory, a
// missing file, and one outside the archive.
func TestNoLink(t *testing.T) {
	for _, held := range []string{"alice", "alice/INBOX/gone.eml", "../x", "/etc/passwd", ""} {
		dir := t.TempDir()
		w := open(t, dir, Options{})
		m := mailbox(t, w, "INBOX")
		b := first(t, m, "a")
		w.Commit(index{b.Events[0].Sum: held}, b)
		if b.Err != nil || b.Linked != 0 {
			t.Errorf("held %q: linked %d, %v", held, b.Linked, b.Err)
		}
		holds(t, dir, "alice/INBOX", map[uint32]string{1: "a"})
	}
}

// EMLINK: ext4 allows 65,000 links to a file. Further messages get a file of their own.
func TestTooManyLinks(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	m := mailbox(t, w, "INBOX")
	commit(t, w, first(t, m, "same"))
	held := filepath.Join(dir, "alice/INBOX", plain(1))
	extra := t.TempDir()
	var err error
	for i := 0; err == nil && i < 66000; i++ {
		err = os.Link(held, filepath.Join(extra, fmt.Sprint(i)))
	}
	if err == nil {
		t.Skip("this file system takes more links than that; TestNoLink covers the way it takes")
	}
	b := begin(t, m)
	add(t, b, 2, "same")
	add(t, b, 3, "same")
	commit(t, w, b)
	if b.Linked != 1 || sameFile(t, held, filepath.Join(dir, "alice/INBOX", plain(2))) {
		t.Errorf("linked %d, want the third to the second", b.Linked)
	}
	holds(t, dir, "alice/INBOX", map[uint32]string{1: "same", 2: "same", 3: "same"})
}

// Good octets are not replaced with a link to a damaged file.
func TestDamagedFileIsNotLinked(t *testing.T) {
	for name, damage := range map[string]string{"other octets": "sane", "cut": "sa", "empty": ""} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			w := open(t, dir, Options{})
			m := mailbox(t, w, "INBOX")
			commit(t, w, first(t, m, "same"))
			file := filepath.Join(dir, "alice/INBOX", plain(1))
			write(t, []byte(damage), file)
			b := begin(t, m)
			add(t, b, 2, "same")
			add(t, b, 3, "same")
			commit(t, w, b)
			if b.Linked != 1 {
				t.Errorf("linked %d, want the third to the second", b.Linked)
			}
			for _, u := range []uint32{2, 3} {
				if got := read(t, dir, "alice/INBOX", plain(u)); string(got) != "same" {
					t.Errorf("message %d is %q", u, got)
				}
			}
			if found := verify(t, dir); len(found) != 1 || !found[0].Damage || found[0].Path != "alice/INBOX/"+plain(1) {
				t.Errorf("verify finds %v", found)
			}
			write(t, []byte("same"), file)
		})
	}
}

// A file with the name of a new message is replaced if it is a leftover, and kept if it is
// a message's.
func TestTakenNames(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	m := mailbox(t, w, "INBOX")
	commit(t, w, first(t, m, "one"))
	box := filepath.Join(dir, "alice/INBOX")
	if err := os.Link(filepath.Join(box, plain(1)), filepath.Join(box, plain(3))); err != nil {
		t.Fatal(err)
	}
	write(t, []byte("left over"), box, plain(2))
	write(t, []byte("left over"), box, plain(4))
	b := begin(t, m)
	add(t, b, 2, "two")  // over a leftover
	add(t, b, 3, "tre")  // over a leftover that is a link to a message
	add(t, b, 4, "one")  // a link over a leftover
	add(t, b, 1, "ones") // beside a message
	commit(t, w, b)
	b = begin(t, m)
	add(t, b, 1, "onest")
	commit(t, w, b)
	for name, want := range map[string]string{
		plain(1): "one", plain(2): "two", plain(3): "tre", plain(4): "one",
		strings.Replace(plain(1), ".eml", "-2.eml", 1): "ones", strings.Replace(plain(1), ".eml", "-3.eml", 1): "onest",
	} {
		if got := read(t, box, name); string(got) != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if !sameFile(t, filepath.Join(box, plain(1)), filepath.Join(box, plain(4))) {
		t.Error("equal octets over a leftover were not linked")
	}
	if found := verify(t, dir); len(found) > 0 {
		t.Errorf("verify finds %v", found)
	}
	holds(t, dir, "alice/INBOX", map[uint32]string{1: "onest", 2: "two", 3: "tre", 4: "one"})
}

// A message that the journal has already uses the same file.
func TestSameMessageAgain(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	m := mailbox(t, w, "INBOX")
	commit(t, w, first(t, m, "one"))
	for _, held := range []Index{nil, known(t, w)} {
		b := begin(t, m)
		add(t, b, 1, "one")
		w.Commit(held, b)
		if b.Err != nil || b.Events[0].Path != plain(1) {
			t.Errorf("%s, %v; want %s", b.Events[0].Path, b.Err, plain(1))
		}
	}
	// damaged, it does not
	write(t, []byte("bad"), dir, "alice/INBOX", plain(1))
	b := begin(t, m)
	add(t, b, 1, "one")
	commit(t, w, b)
	if got, want := b.Events[0].Path, strings.Replace(plain(1), ".eml", "-2.eml", 1); got != want {
		t.Errorf("beside the damaged file it is %s, want %s", got, want)
	}
	write(t, []byte("one"), dir, "alice/INBOX", plain(1))
}

// One UID twice in one commit, which no server may cause: both are kept.
func TestOneNameTwiceInACommit(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	m := mailbox(t, w, "INBOX")
	one, two := first(t, m, "one"), begin(t, m)
	add(t, one, 1, "uno")
	add(t, two, 1, "eins")
	add(t, two, 1, "one")
	commit(t, w, one, two)
	for name, want := range map[string]string{"": "one", "-2": "uno", "-3": "eins"} {
		if got := read(t, dir, "alice/INBOX", strings.Replace(plain(1), ".eml", name+".eml", 1)); string(got) != want {
			t.Errorf("file %q is %q, want %q", name, got, want)
		}
	}
	if found := verify(t, dir); len(found) > 0 {
		t.Errorf("verify finds %v", found)
	}
}

// A body of another size than announced leaves nothing.
func TestAddRefuses(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	m := mailbox(t, w, "INBOX")
	b := first(t, m)
	for name, c := range map[string]struct {
		size int64
		body io.Reader
		want error
	}{
		"short":          {5, strings.NewReader("four"), io.ErrUnexpectedEOF},
		"short by EOF":   {5, failing("four", io.ErrUnexpectedEOF), io.ErrUnexpectedEOF},
		"long":           {3, strings.NewReader("four"), io.ErrUnexpectedEOF},
		"empty":          {1, strings.NewReader(""), io.ErrUnexpectedEOF},
		"failing":        {8, failing("four", os.ErrDeadlineExceeded), os.ErrDeadlineExceeded},
		"failing at end": {4, failing("four", os.ErrDeadlineExceeded), os.ErrDeadlineExceeded},
		"short and big":  {1 << 20, bytes.NewReader(make([]byte, 200<<10)), io.ErrUnexpectedEOF},
	} {
		if err := b.Add(1, Event{UID: 1}, c.size, c.body); !errors.Is(err, c.want) || errors.Is(err, ErrWrite) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if left := inTmp(t, dir, "alice/INBOX"); len(left) > 0 || b.Octets() != 0 || b.Len() != 1 {
		t.Errorf("tmp/ holds %q, the batch %d octets in %d events", left, b.Octets(), b.Len())
	}
	add(t, b, 1, "good")
	commit(t, w, b)
	holds(t, dir, "alice/INBOX", map[uint32]string{1: "good"})
}

// If the archive can't be written, the error of Add wraps ErrWrite.
func TestAddNamesTheArchive(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	m := mailbox(t, w, "INBOX")
	b := first(t, m)
	if err := os.Remove(filepath.Join(dir, "alice/INBOX/tmp")); err != nil {
		t.Fatal(err)
	}
	if err := b.Add(1, Event{UID: 1}, 1, strings.NewReader("a")); !errors.Is(err, ErrWrite) {
		t.Errorf("got %v, want ErrWrite", err)
	}
	if err := b.Discard(); err != nil {
		t.Error(err)
	}
}

func TestDiscard(t *testing.T) {
	for _, perFile := range []bool{false, true} {
		dir := t.TempDir()
		w := open(t, dir, Options{PerFile: perFile})
		m := mailbox(t, w, "INBOX")
		commit(t, w, first(t, m, "one"))
		b := begin(t, m)
		add(t, b, 2, "two")
		if err := errors.Join(b.Discard(), b.Discard()); err != nil {
			t.Error(err)
		}
		if left := inTmp(t, dir, "alice/INBOX"); len(left) > 0 {
			t.Errorf("tmp/ holds %q", left)
		}
		holds(t, dir, "alice/INBOX", map[uint32]string{1: "one"})
	}
}

// Opening a mailbox empties its tmp/, and only that.
func TestOpenEmptiesTmp(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	m := mailbox(t, w, "INBOX")
	commit(t, w, first(t, m, "one"))
	shut(t, w)
	write(t, []byte("half a mess"), dir, "alice/INBOX/tmp/1.2.3.part")
	write(t, []byte("left over"), dir, "alice/INBOX", plain(7))
	found := verify(t, dir)
	if len(found) != 2 || found[0].Damage || found[1].Damage || !strings.Contains(found[0].What, "no journal names it") || !strings.Contains(found[1].What, "being received") {
		t.Errorf("verify finds %v", found)
	}
	w = open(t, dir, Options{})
	mailbox(t, w, "INBOX")
	if left := inTmp(t, dir, "alice/INBOX"); len(left) > 0 {
		t.Errorf("tmp/ holds %q", left)
	}
	if got := string(read(t, dir, "alice/INBOX", plain(7))); got != "left over" {
		t.Errorf("the leftover is %q", got)
	}
}

// Two batches of one mailbox, and batches of many, in one commit: each journal gets one
// seal.
func TestGroupCommit(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	var batches []*Batch
	for i := range 12 {
		m := mailbox(t, w, fmt.Sprint("box", i))
		one, two := first(t, m, fmt.Sprint("a", i)), begin(t, m)
		add(t, two, 2, fmt.Sprint("b", i))
		batches = append(batches, one, two)
	}
	commit(t, w, batches...)
	for i := range 12 {
		one, two := batches[2*i], batches[2*i+1]
		if start := (Position{}); one.From != start || two.From != start || one.To != two.To || two.To != one.Mailbox().end() {
			t.Errorf("the batches go from %v to %v, from %v to %v", one.From, one.To, two.From, two.To)
		}
		holds(t, dir, fmt.Sprint("alice/box", i), map[uint32]string{1: fmt.Sprint("a", i), 2: fmt.Sprint("b", i)})
		text := read(t, dir, fmt.Sprint("alice/box", i), journalName)
		sealsBy(t, text)
		if n := bytes.Count(text, []byte(`{"event":"sealed"`)); n != 1 {
			t.Errorf("one write has %d seals", n)
		}
	}
}

// A set of UIDs too wide for one line becomes several.
func TestGoneOfManyRanges(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	m := mailbox(t, w, "INBOX")
	b := first(t, m, "one", "two")
	var gone uid.Set
	for u := uint32(2); u < 4294000000; u += 4000 {
		gone.Add(u)
	}
	b.Record(Event{Kind: Gone, UIDs: gone})
	commit(t, w, b)
	var again uid.Set
	_, err := w.Replay(m.MailboxDir, Position{}, func(e Event) error { again = again.Union(e.UIDs); return nil })
	if err != nil || again.String() != gone.String() {
		t.Errorf("of %d UIDs %d are gone, %v", gone.Len(), again.Len(), err)
	}
	if v, _ := fold(t, dir, "alice/INBOX"); v.Epoch().Messages[2].Listed() {
		t.Error("message 2 is here")
	}
}

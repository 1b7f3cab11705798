package state

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"archiverd/archive"
)

// clock is the time of all tests.
var clock = time.Date(2026, 11, 22, 18, 30, 0, 0, time.UTC)

// house is an archive with its state database, both open for writing.
type house struct {
	t    testing.TB
	dir  string // of the archive; the database is beside it
	w    *archive.Writer
	db   *DB
	step func(string) error
	most int // entries that the indexes have yet to take in; 0: as many as else
}

// newHouse makes an empty archive. When the test ends the archive is verified and the
// database compared with a rebuilt one.
func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, dir: filepath.Join(t.TempDir(), "archive")}
	if notes := h.open(); len(notes) > 0 {
		t.Errorf("a new archive's notes are %q", notes)
	}
	t.Cleanup(func() {
		if h.w == nil {
			h.open()
		}
		h.verify()
		h.sameRebuilt()
		h.close()
	})
	return h
}

func (h *house) path() string { return h.dir + ".db" }

// open opens archive and database and returns the notes.
func (h *house) open() []string {
	h.t.Helper()
	w, err := archive.OpenWriter(h.dir, archive.Options{Step: h.step, Now: func() time.Time { return clock }})
	if err != nil {
		h.t.Fatal(err)
	}
	db, notes, err := Open(h.path(), w)
	if err == nil {
		var more []string
		more, err = db.CatchUp()
		notes = append(notes, more...)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	h.w, h.db = w, db
	if h.most > 0 {
		db.buffer.maxEntries = h.most
	}
	return notes
}

func (h *house) close() {
	h.t.Helper()
	if err := errors.Join(h.db.Close(), h.w.Close()); err != nil {
		h.t.Error(err)
	}
	h.w, h.db = nil, nil
}

func (h *house) reopen() []string {
	h.t.Helper()
	h.close()
	return h.open()
}

// batch begins a batch of a mailbox at the position that the database has applied.
func (h *house) batch(name string) *archive.Batch {
	h.t.Helper()
	place, err := h.w.DirectoryOf("alice", archive.Name{Mailbox: name, Delimiter: "/"})
	if err != nil {
		h.t.Fatal(err)
	}
	info, _, err := h.db.Mailbox(place.Dir)
	if err != nil {
		h.t.Fatal(err)
	}
	m, err := h.w.Mailbox(place, info.JournalState())
	if err != nil {
		h.t.Fatal(err)
	}
	b, err := m.Batch()
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

func (h *house) add(b *archive.Batch, uidValidity, uid uint32, body string, flags ...string) {
	h.t.Helper()
	e := event(uid, body, flags...)
	if err := b.Add(uidValidity, e, int64(len(body)), strings.NewReader(body)); err != nil {
		h.t.Fatal(err)
	}
}

// event is of a message with that UID; every fourth has an EMAILID.
func event(uid uint32, body string, flags ...string) archive.Event {
	e := archive.Event{UID: uid, InternalDate: clock.AddDate(0, int(uid)%3, int(uid)/3), Flags: flags}
	if uid%4 == 0 {
		e.EmailID = "M" + body
	}
	return e
}

func opened(name string, uidValidity uint32) archive.Event {
	return archive.Event{Kind: archive.Opened, Name: archive.Name{Mailbox: name, Delimiter: "/"}, UIDValidity: uidValidity}
}

// commit commits to the archive alone and returns the changes for the database.
func (h *house) commit(batches ...*archive.Batch) []Change {
	h.t.Helper()
	h.w.Commit(h.db, batches...)
	for _, b := range batches {
		if b.Err != nil {
			h.t.Fatal(b.Err)
		}
	}
	return Changes(batches)
}

func (h *house) apply(changes []Change) {
	h.t.Helper()
	if err := h.db.Apply(changes...); err != nil {
		h.t.Fatal(err)
	}
}

// simple archives two messages in INBOX.
func (h *house) simple() {
	h.t.Helper()
	b := h.batch("INBOX")
	b.Record(opened("INBOX", 1))
	h.add(b, 1, 1, "one", `\Seen`)
	h.add(b, 1, 2, "two")
	h.apply(h.commit(b))
}

// uids prints the UIDs of a mailbox.
func (h *house) uids(dir string) string {
	h.t.Helper()
	u, err := h.db.UIDs(dir)
	if err != nil {
		h.t.Fatal(err)
	}
	return fmt.Sprintf("archived %s failed %s gone %s", u.Archived, u.Failed, u.Gone)
}

// verify fails on any finding but permissions: nothing is damaged or left over.
func (h *house) verify() {
	h.t.Helper()
	c, err := h.w.ReadCheckpoints()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, b := range h.boxes() {
		v, err := h.w.Verify(context.Background(), b, archive.VerifyOptions{Checkpoints: c})
		if err != nil {
			h.t.Fatal(err)
		}
		for _, f := range v.Findings {
			h.t.Errorf("verify: %s: %s (damage: %v)", f.Path, f.What, f.Damage)
		}
	}
}

func (h *house) boxes() []archive.MailboxDir {
	h.t.Helper()
	boxes, err := h.w.Mailboxes("")
	if err != nil {
		h.t.Fatal(err)
	}
	return boxes
}

// views prints what the journals say, without times and IDs of journals.
func (h *house) views() string {
	h.t.Helper()
	var b strings.Builder
	for _, box := range h.boxes() {
		v, _, err := h.w.Fold(box)
		if err != nil {
			h.t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %+v vanished %v\n", box.Dir, v.Name, !v.Vanished.IsZero())
		for _, ep := range v.Epochs {
			fmt.Fprintf(&b, "  epoch %d failed %v\n", ep.UIDValidity, ep.Failed)
			for _, m := range ep.Sorted() {
				fmt.Fprintf(&b, "    %d %s %d %s %v %q here %v\n", m.UID, m.Path, m.Size, m.Sum, m.InternalDate, m.Flags, m.Listed())
			}
		}
	}
	return b.String()
}

// index prints everything in the database but what may differ between two: DirIDs, and
// which of several files with the same octets is found.
func (h *house) index() string {
	h.t.Helper()
	var b strings.Builder
	infos, err := h.db.Mailboxes("alice")
	if err != nil {
		h.t.Fatal(err)
	}
	for _, box := range h.boxes() {
		info, ok := infos[box.Dir]
		delete(infos, box.Dir)
		info.DirID, info.Cursor, info.Stamp = 0, Cursor{}, archive.Stamp{}
		failures, err := h.db.Failures(box.Dir)
		if err != nil {
			h.t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %v %+v\n  %s %v\n", box.Dir, ok, info, h.uids(box.Dir), failures)
		again, _, err := h.db.Again(box.Dir, AgainQuery{Day: 1 << 40, Max: 1 << 30})
		if err != nil {
			h.t.Fatal(err)
		}
		fmt.Fprintf(&b, "  again %v\n", again)
		v, _, err := h.w.Fold(box)
		if err != nil {
			h.t.Fatal(err)
		}
		for ep, m := range v.All() {
			if held, ok := h.db.PathOf(m.Sum); !ok || string(h.read(held)) != string(h.read(box.Dir+"/"+m.Path)) {
				h.t.Errorf("the octets of %s are held in %q, %v", m.Path, held, ok)
			}
			if m.Announced == nil && !h.knows(m) {
				h.t.Errorf("UID %d of %s is not found by its size and date", m.UID, box.Dir)
			}
			if ep != v.Epoch() {
				continue
			}
			flags := strings.Join(m.Flags, " ")
			if changed, err := h.db.ChangedFlags(box.Dir, []MessageFlags{{m.UID, flags}, {m.UID, flags + " other"}}); err != nil || len(changed) != map[bool]int{true: 1}[m.Listed()] {
				h.t.Errorf("UID %d of %s with flags %q: changed are %v, %v", m.UID, box.Dir, flags, changed, err)
			}
		}
		// the archive's own account of it
		if ep := v.Epoch(); ep != nil {
			here := 0
			for _, m := range ep.Messages {
				if m.Listed() {
					here++
				}
			}
			if info.Archived != here || info.Failed != len(ep.Failed) || info.UIDValidity != ep.UIDValidity || info.Journal != v.Journal || info.Vanished == v.Vanished.IsZero() {
				h.t.Errorf("%s: the database knows %+v, the journal %d archived, %d failed, UIDVALIDITY %d", box.Dir, info, here, len(ep.Failed), ep.UIDValidity)
			}
		}
	}
	if len(infos) > 0 {
		h.t.Errorf("the database knows mailboxes that the archive has not: %v", infos)
	}
	return b.String()
}

// known returns the candidates for a size and date.
func (h *house) known(size int64, date time.Time) []Candidate {
	h.t.Helper()
	k, ok := KeyOf(size, date)
	if !ok {
		h.t.Fatalf("no key of %d, %v", size, date)
	}
	known, err := h.db.Candidates("alice", map[uint32]Key{7: k})
	if err != nil {
		h.t.Fatal(err)
	}
	return known[7]
}

// knows reports whether the message is among the candidates for its size and date, with a
// file that has its octets.
func (h *house) knows(m *archive.Message) bool {
	h.t.Helper()
	return slices.ContainsFunc(h.known(m.Size, m.InternalDate), func(k Candidate) bool {
		return k.MatchesSum(m.Sum) && sha256.Sum256(h.read(k.Path)) == m.Sum
	})
}

func (h *house) read(name string) []byte {
	h.t.Helper()
	text, err := os.ReadFile(filepath.Join(h.dir, name))
	if err != nil {
		h.t.Error(err)
	}
	return text
}

// sameRebuilt fails unless a rebuilt database equals the open one.
func (h *house) sameRebuilt() {
	h.t.Helper()
	was := h.index()
	notes, err := h.db.Rebuild()
	if err != nil || len(notes) > 0 {
		h.t.Fatalf("rebuild: %q, %v", notes, err)
	}
	if is := h.index(); is != was {
		h.t.Errorf("made anew the database knows\n%swas\n%s", is, was)
	}
}

// copyTree copies a directory as it is.
func copyTree(t testing.TB, from, to string) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(from))); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(to, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Chmod(p, 0o700)
		}
		return os.Chmod(p, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// noted fails unless one of the notes has the text.
func noted(t testing.TB, notes []string, text string) {
	t.Helper()
	if !slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, text) }) {
		t.Errorf("no note says %q: %q", text, notes)
	}
}

package archive

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// lossyHouse is an archive with the mailboxes INBOX (two commits), Sent and Lists, all
// with checkpoints. It is closed. Its parts are put back after each loss.
type lossyHouse struct {
	dir   string
	whole string   // a copy
	first Position // of INBOX: the end of its first commit
	seal  string   // the archive's when INBOX had one commit
}

func newLossyHouse(t *testing.T) *lossyHouse {
	t.Helper()
	h := &lossyHouse{dir: filepath.Join(t.TempDir(), "archive"), whole: filepath.Join(t.TempDir(), "whole")}
	w := open(t, h.dir, Options{})
	inbox := mailbox(t, w, "INBOX")
	one := first(t, inbox, "one", "two")
	commit(t, w, one, first(t, mailbox(t, w, "Sent"), "three"), first(t, mailbox(t, w, "Lists"), "four"))
	checkpoint(t, w)
	h.first, h.seal = one.To, w.CheckpointsMark().Seal
	b := begin(t, inbox)
	add(t, b, 3, "five")
	commit(t, w, b)
	checkpoint(t, w)
	shut(t, w)
	if err := os.CopyFS(h.whole, os.DirFS(h.dir)); err != nil {
		t.Fatal(err)
	}
	return h
}

// putBack makes the archive whole again.
func (h *lossyHouse) putBack(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll(h.dir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(h.dir, os.DirFS(h.whole)); err != nil {
		t.Fatal(err)
	}
}

// removeAll removes a directory of the archive.
func removeAll(t testing.TB, path ...string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(path...)); err != nil {
		t.Fatal(err)
	}
}

// damageText returns the damage that verify finds, a line each.
func damageText(t testing.TB, dir string) string {
	t.Helper()
	var out []string
	for _, f := range verify(t, dir) {
		if f.Damage {
			out = append(out, f.Path+": "+f.What)
		}
	}
	return strings.Join(out, "\n")
}

// TestVerifyFindsLosses: a journal that is not what its checkpoint says is damage, with
// the number of message files that are left.
func TestVerifyFindsLosses(t *testing.T) {
	h := newLossyHouse(t)
	journal := func(box string) []byte { return read(t, h.whole, "alice", box, journalName) }
	for _, c := range []struct {
		name string
		lose func(dir string)
		want string // a line each
	}{
		{"journal missing", func(dir string) { remove(t, dir, "alice/INBOX", journalName) },
			"alice/INBOX: 3 message files without a journal; keep them until the journal is put back\n" +
				"alice/INBOX/journal.jsonl: its journal is missing; "},
		{"journal empty", func(dir string) { write(t, nil, dir, "alice/Sent", journalName) },
			"alice/Sent/2026-11/20261122T183100Z.1.1.eml: the part of the journal that can be trusted does not name it; keep it until the journal is put back\n" +
				"alice/Sent/journal.jsonl: its journal has 0 octets, and had "},
		{"journal cut after a seal", func(dir string) { write(t, journal("INBOX")[:h.first.Offset], dir, "alice/INBOX", journalName) },
			"alice/INBOX/2026-11/20261122T183300Z.1.3.eml: the part of the journal that can be trusted does not name it; keep it until the journal is put back\n" +
				"alice/INBOX/journal.jsonl: its journal has "},
		{"last seal flipped to another event", func(dir string) {
			text := bytes.Clone(journal("INBOX"))
			text[len(text)-80] ^= 1
			write(t, bytes.Replace(text, []byte(`{"event":"sealed"`), []byte(`{"event":"sealee"`), 1), dir, "alice/INBOX", journalName)
		}, ""},
		{"journal of another mailbox", func(dir string) { write(t, journal("Sent"), dir, "alice/Lists", journalName) },
			"alice/Lists/2026-11/20261122T183100Z.1.1.eml: has 4 octets; the journal says 5\nalice/Lists/journal.jsonl: its journal is not the one that was there"},
		{"mailbox gone", func(dir string) { removeAll(t, dir, "alice/Sent") }, "alice/Sent/journal.jsonl: its directory is gone; "},
		{"mailbox moved", func(dir string) {
			if err := os.Rename(filepath.Join(dir, "alice/Sent"), filepath.Join(dir, "alice/Sent2")); err != nil {
				t.Fatal(err)
			}
		}, "alice/Sent/journal.jsonl: its directory is gone; put it back from a backup; or go on with what is left: `archiverd rebuild --adopt alice/Sent`; or, if it was removed on purpose: `archiverd forget alice/Sent`\nalice/Sent2/journal.jsonl: its journal is that of alice/Sent: the directory was moved or copied; move it back to alice/Sent; or, if it shall stay here: `archiverd rebuild --adopt alice/Sent2`; a copy: move it out of the archive"},
		{"account gone", func(dir string) { removeAll(t, dir, "alice") }, "alice/INBOX/journal.jsonl: the directory of account alice is gone; "},
		{"checkpoints missing", func(dir string) { remove(t, dir, checkpointsName) }, "checkpoints.jsonl: it is missing, and archive.json names it; "},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.lose(h.dir)
			if got := damageText(t, h.dir); !strings.HasPrefix(got, c.want) || got == "" {
				t.Errorf("verify finds\n%s\nwant\n%s", got, c.want)
			}
			h.putBack(t)
			if got := damageText(t, h.dir); got != "" {
				t.Errorf("put back, verify finds\n%s", got)
			}
		})
	}
}

// TestLastSealFlipped: a journal whose last seal has a changed octet reads like one with
// an interrupted write; its checkpoint tells that it is none, whatever the octet.
func TestLastSealFlipped(t *testing.T) {
	h := newLossyHouse(t)
	text := read(t, h.dir, "alice/INBOX", journalName)
	for at := len(text) - len(sealLine(h.seal)); at < len(text); at++ {
		flipped := bytes.Clone(text)
		flipped[at] ^= 1
		write(t, flipped, h.dir, "alice/INBOX", journalName)
		if got := damageText(t, h.dir); !strings.Contains(got, "alice/INBOX/journal.jsonl: ") {
			t.Errorf("octet %d of %d changed, verify finds\n%s", at, len(text), got)
		}
	}
	h.putBack(t)
}

// TestVerifySince: a seal that is kept proves later that everything which it covered
// still stands, also when it is one of a packed part.
func TestVerifySince(t *testing.T) {
	h := newLossyHouse(t)
	since := func(seal string) string {
		t.Helper()
		a, err := Open(h.dir)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		found, err := a.VerifySince(seal)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, f := range found {
			if f.Damage {
				out = append(out, f.Path+": "+f.What)
			}
		}
		return strings.Join(out, "\n")
	}
	proves := func(seal, want string) {
		t.Helper()
		if got := since(seal); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("since %.8s verify finds\n%s\nwant\n%s", seal, got, want)
		}
	}
	unknown := strings.Repeat("0", 64)
	proves(h.seal, "")
	proves(unknown, "checkpoints.jsonl: has no seal "+unknown)

	// what was lost after the seal is not covered by it
	text := read(t, h.dir, "alice/INBOX", journalName)
	write(t, text[:h.first.Offset], h.dir, "alice/INBOX", journalName)
	proves(h.seal, "")
	write(t, text[:h.first.Offset-1], h.dir, "alice/INBOX", journalName)
	proves(h.seal, "alice/INBOX/journal.jsonl: since that seal: its journal has ")
	h.putBack(t)

	w := open(t, h.dir, Options{})
	manyCheckpoints(t, w, 20)
	last := w.CheckpointsMark().Seal
	w.checkpoints.maxSize = 1
	manyCheckpoints(t, w, 1)
	shut(t, w)
	proves(h.seal, "")
	proves(last, "")
	proves(unknown, "checkpoints.jsonl: has no seal "+unknown)
	part := filepath.Join(h.dir, checkpointsPart(1))
	packed := read(t, part)
	write(t, packed[:len(packed)/2], part)
	proves(unknown, "checkpoints.jsonl: has no seal "+unknown)
	remove(t, part)
	proves(h.seal, "checkpoints.jsonl: has no seal "+h.seal)
}

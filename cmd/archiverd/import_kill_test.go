package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"archiverd/internal/maildir"
	"archiverd/internal/testing/dovecot"
)

// writeMaildirs writes the mailboxes of a corpus as a Maildir.
func writeMaildirs(t *testing.T, dir string, corpus []dovecot.Mailbox) (total int) {
	t.Helper()
	for _, m := range corpus {
		var words maildir.Keywords
		at, err := maildir.Dir(strings.Split(m.Name, "/"), false)
		if err != nil {
			t.Fatal(err)
		}
		for _, sub := range maildir.Folders() {
			if err := os.MkdirAll(filepath.Join(dir, at, sub), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		for i, msg := range m.Msgs {
			for _, f := range msg.Flags {
				words.Add(f)
			}
			path := filepath.Join(dir, at, "cur", fmt.Sprintf("%d.%d.test%s", msg.Date.Unix(), i, words.Info(msg.Flags)))
			if err := os.WriteFile(path, msg.Body, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, msg.Date, msg.Date); err != nil {
				t.Fatal(err)
			}
			total++
		}
		if err := os.WriteFile(filepath.Join(dir, at, maildir.KeywordsName), []byte(words.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return total
}

// corpusLines returns the messages of a corpus by mailbox, as messageLine formats
// them.
func corpusLines(corpus []dovecot.Mailbox) map[string][]string {
	out := map[string][]string{}
	for _, m := range corpus {
		out[m.Name] = nil
		for _, msg := range m.Msgs {
			out[m.Name] = append(out[m.Name], messageLine(sha256.Sum256(msg.Body), msg.Date, slices.Clone(msg.Flags)))
		}
		slices.Sort(out[m.Name])
	}
	return out
}

// TestImportKilled kills imports at random moments, and sometimes removes the state
// database. In the end the archive has each message of the source as often as the
// source has it.
func TestImportKilled(t *testing.T) {
	t.Parallel()
	kills := 15
	if testing.Short() {
		kills = 6
	}
	s := newSite(t)
	s.configure(elsewhere)
	corpus := dovecot.Corpus(13, 250)
	corpus[0].Msgs = append(corpus[0].Msgs, corpus[0].Msgs[:20]...)
	dir := filepath.Join(s.dir, "Maildir")
	total := writeMaildirs(t, dir, corpus)
	whole := newSite(t)
	whole.configure(elsewhere)
	began := time.Now()
	whole.importFiles(0, "--account", "old", dir)
	span := time.Since(began)

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, a whole import takes %v", seed, span)
	random := rand.New(rand.NewPCG(seed, 0))
	killed, ended := 0, 0
	for killed < kills && ended < 4*kills {
		alarm := time.NewTimer(time.Duration(random.Int64N(int64(span) * 4 / 5)))
		p := s.start("import", "--account", "old", dir)
		select {
		case <-alarm.C:
			p.signal(syscall.SIGKILL)
			<-p.done
		case <-p.done:
		}
		alarm.Stop()
		if r := p.wait(); r.status >= 0 {
			r.want(0)
			ended++
			if err := errors.Join(os.RemoveAll(s.archive), os.RemoveAll(filepath.Join(s.dir, ".local"))); err != nil { // begin again, unremembered
				t.Fatal(err)
			}
			continue
		}
		if killed++; random.IntN(5) == 0 {
			if err := os.Remove(filepath.Join(s.archive, "state.db")); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
	}
	last := s.importFiles(0, "--account", "old", dir)
	t.Logf("%d killed, %d ended before; the last import added %d", killed, ended, last.Sum.Added)
	if last.Sum.Archived != total || killed < kills {
		t.Errorf("%d messages are archived after %d kills, want %d", last.Sum.Archived, killed, total)
	}
	for name, want := range corpusLines(corpus) {
		equalLines(t, name, s.archiveLines("old", name), want)
	}
	if got := recordedOnce(t, s.archive); got != total {
		t.Errorf("the journals record %d messages, want %d", got, total)
	}
	if again := s.importFiles(0, "--account", "old", dir); again.Sum.Added != 0 || again.Sum.FlagsChanged != 0 {
		t.Errorf("once more: %+v", again.Sum)
	}
}

// TestImportFullDisk imports onto a disk that is too small for the source.
func TestImportFullDisk(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	disk := mountSmall(t, s, "tmpfs", "20M")
	s.configure(elsewhere)
	corpus := dovecot.Corpus(17, 300)
	dir := filepath.Join(s.dir, "Maildir")
	total := writeMaildirs(t, dir, corpus)
	filler := filepath.Join(disk, "filler")
	if err := os.WriteFile(filler, make([]byte, 17<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r := s.run("import", "--account", "old", dir).want(1)
		if all := r.out + r.err; !strings.Contains(all, "no space left on device") && !strings.Contains(all, "nearly full") {
			t.Errorf("on a full disk import says\n%s", all)
		}
		s.run("verify").want(0)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if run := s.importFiles(0, "--account", "old", dir); run.Sum.Archived != total {
		t.Errorf("%d messages are archived, want %d", run.Sum.Archived, total)
	}
	for name, want := range corpusLines(corpus) {
		equalLines(t, name, s.archiveLines("old", name), want)
	}
}

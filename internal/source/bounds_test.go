package source

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// writeTar writes a tar.zst with the entries that fill writes.
func writeTar(t *testing.T, fill func(w *tar.Writer) error) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "mail.tar.zst")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewWriter(f, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	if err := errors.Join(fill(w), w.Close(), z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// find finds the mail in a file and returns what failed, in one text.
func find(t *testing.T, path string) (*Found, string) {
	t.Helper()
	found, err := Find(t.Context(), []string{path}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := found.Close(); err != nil {
			t.Error(err)
		}
	})
	var failed []string
	for _, f := range found.Failed {
		failed = append(failed, f.Error())
	}
	return found, strings.Join(failed, "\n")
}

// A small tar that unpacks to gigabytes does not fill the temporary directory: what stands
// before the bound is taken.
func TestTarThatFillsTheTemporaryDirectory(t *testing.T) {
	const size = 100 << 20
	path := writeTar(t, func(w *tar.Writer) error {
		for i := range 6 {
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprint(i, ".eml"), Size: size, Mode: 0o600}); err != nil {
				return err
			}
			if _, err := io.CopyN(w, zeros{}, size); err != nil {
				return err
			}
		}
		return nil
	})
	found, failed := find(t, path)
	if !strings.Contains(failed, "over 100 times its size") {
		t.Errorf("failed: %s", failed)
	}
	if n := found.Mailboxes[0].Count(); n != 2 {
		t.Errorf("%d messages", n)
	}
}

// A tar with more entries than a person's mail is refused by name, before they are all in
// memory.
func TestTarOfMillionsOfEmptyEntries(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes ten seconds")
	}
	path := writeTar(t, func(w *tar.Writer) error {
		for i := range maxEntries + 10 {
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprint(i), Mode: 0o600}); err != nil {
				return err
			}
		}
		return nil
	})
	if _, failed := find(t, path); !strings.Contains(failed, "over 1000000 entries") {
		t.Errorf("failed: %s", failed)
	}
}

// forgedJournal is a journal with messages, and then events that say over and over that
// all are gone. It has a good seal.
func forgedJournal(messages, events int) string {
	const at = `"at":"2026-11-22T18:30:00Z"`
	var b strings.Builder
	b.WriteString(`{"event":"opened","v":1,` + at + `,"journal":"x","mailbox":"a","delimiter":"/","uidvalidity":1,"attrs":[]}` + "\n")
	sum := strings.Repeat("ab", 32)
	for u := range messages {
		fmt.Fprintf(&b, `{"event":"added",%s,"uid":%d,"path":"2026-01/%d.eml","size":1,"sha256":"%s","flags":[]}`+"\n", at, u+1, u+1, sum)
	}
	for range events {
		b.WriteString(`{"event":"gone",` + at + `,"uids":"1:4294967295"}` + "\n")
	}
	seal := sha256.Sum256([]byte(b.String()))
	return b.String() + `{"event":"sealed","seal":"` + hex.EncodeToString(seal[:]) + "\"}\n"
}

// A forged journal whose gone events name all UIDs again and again is read in bounded
// time, and the messages come in.
func TestJournalWithEndlessGoneEvents(t *testing.T) {
	journal := forgedJournal(50_000, 1000)
	path := writeTar(t, func(w *tar.Writer) error {
		for name, text := range map[string]string{"a/journal.jsonl": journal, "a/2026-01/x.eml": "Subject: x\r\n\r\n"} {
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(text)), Mode: 0o600}); err != nil {
				return err
			}
			if _, err := io.WriteString(w, text); err != nil {
				return err
			}
		}
		return nil
	})
	found, failed := find(t, path)
	if !strings.Contains(failed, "gone events name far more messages") || len(found.Mailboxes) == 0 {
		t.Errorf("%d mailboxes, failed: %.300s", len(found.Mailboxes), failed)
	}
}

// Reading one large file ends when the context is done.
func TestReadingOneFileEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.eml": "Subject: x\r\n\r\n", "b.mbox": "From x\n\nbody\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found, err := Find(t.Context(), []string{dir}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range found.Mailboxes {
		ctx, cancel := context.WithCancel(t.Context())
		for m, err := range b.Messages(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			cancel()
			r, err := m.Octets()
			if err == nil {
				_, err = io.ReadAll(r)
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", m.Path, err)
			}
			break
		}
		cancel()
	}
}

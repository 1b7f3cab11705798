package main

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// TestOlderArchiveGetsCheckpoints: an archive that an archiverd without checkpoints wrote
// is taken over by the next command that writes, which says so in one line. Its files stay
// as they are, but for the end of an interrupted write that no seal covers.
func TestOlderArchiveGetsCheckpoints(t *testing.T) {
	older := os.DirFS(filepath.Join("..", "..", "archive", "testdata", "v1"))
	const told = "the archive had no checkpoints yet: checkpoints.jsonl now records what each of its "
	for _, c := range []struct {
		name string
		args []string
	}{
		{"rebuild", []string{"rebuild"}},
		{"import", []string{"import", "--account", "old", "--mailbox", "Letters", "letter.eml"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			dir := filepath.Join(s.dir, "older")
			if err := os.CopyFS(dir, older); err != nil {
				t.Fatal(err)
			}
			s.write("letter.eml", "From: Bob <bob@example.org>\r\nSubject: Letter\r\n\r\nHello.\r\n")
			s.write("config.yaml", "archive: {path: older}\naccounts:\n  - {name: alice, server: imap.example.org, username: alice, password_file: none}\n")
			for i := range 2 {
				r := s.run(c.args...).want(0)
				if n := strings.Count(r.out+r.err, told); n != 1-i {
					t.Errorf("run %d tells it %d times:\n%s%s", i, n, r.out, r.err)
				}
			}
			checkSameFiles(t, older, os.DirFS(dir))
			r := s.run("verify").want(0)
			if !strings.Contains(r.out, "; 1 message file that no journal names; 0 damaged\narchive's seal: ") {
				t.Errorf("verify prints\n%s", r.out)
			}
			if err := os.Remove(filepath.Join(dir, "alice", "lists", "journal.jsonl")); err != nil {
				t.Fatal(err)
			}
			s.run("verify").want(exitDamage).prints("DAMAGE alice/lists/journal.jsonl: its journal is missing")
		})
	}
}

// checkSameFiles fails unless every journal and message file of was is in is with the same
// octets. A journal may have lost the octets behind its last seal, or got more lines.
func checkSameFiles(t *testing.T, was, is fs.FS) {
	t.Helper()
	err := fs.WalkDir(was, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || p == "archive.json" || path.Base(path.Dir(p)) == "tmp" {
			return err
		}
		want, err := fs.ReadFile(was, p)
		if err != nil {
			return err
		}
		if path.Base(p) == "journal.jsonl" {
			last := bytes.LastIndex(want, []byte(`{"event":"sealed"`))
			want = want[:last+bytes.IndexByte(want[last:], '\n')+1]
		}
		if got, err := fs.ReadFile(is, p); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s has other octets: %v", p, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestOneWriter(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	_, err := OpenWriter(dir, Options{})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("(process %d)", os.Getpid())) {
		t.Errorf("a second writer: %v, want ErrLocked and the process", err)
	}
	commit(t, w, first(t, mailbox(t, w, "INBOX"), "one"))
	holds(t, dir, "alice/INBOX", map[uint32]string{1: "one"}) // a reader beside the writer
	shut(t, w)
	open(t, dir, Options{})
}

func TestNewArchive(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	w := open(t, dir, Options{})
	if w.Path() != dir || len(w.ID()) < 20 {
		t.Errorf("the archive is %q in %s", w.ID(), w.Path())
	}
	if got, want := string(read(t, dir, infoName)), fmt.Sprintf(`{
  "format": "archiverd",
  "version": 1,
  "id": %q,
  "created": "2026-11-22T18:30:00Z"
}
`, w.ID()); got != want {
		t.Errorf("archive.json is\n%swant\n%s", got, want)
	}
	id := w.ID()
	shut(t, w)
	if got := open(t, dir, Options{KnownID: id}).ID(); got != id {
		t.Errorf("opened again it is archive %s, was %s", got, id)
	}
}

// A new archive is created only in a missing or empty directory, if none is expected.
func TestNoNewArchive(t *testing.T) {
	holding := func(name, text string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) { write(t, []byte(text), dir, name) }
	}
	archiveOf := func(version int, format, id string) string {
		text, err := json.Marshal(archiveInfo{Format: format, Version: version, ID: id})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, c := range []struct {
		name   string
		known  string
		dir    func(t *testing.T, dir string)
		writer error // nil: opens
		reader error
	}{
		{"empty", "", func(*testing.T, string) {}, nil, ErrNotArchive},
		{"a file system's root", "", func(t *testing.T, dir string) {
			if err := os.Mkdir(filepath.Join(dir, "lost+found"), 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, nil, dir, ".fsck")
			write(t, nil, dir, lockName)
		}, nil, ErrNotArchive},
		{"archive.json lost", "", func(t *testing.T, dir string) {
			if err := os.Mkdir(filepath.Join(dir, "alice"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, ErrNotArchive, ErrNotArchive},
		{"other files", "", holding("notes.txt", ""), ErrNotArchive, ErrNotArchive},
		{"empty, but one is expected", "id", func(*testing.T, string) {}, ErrNotArchive, ErrNotArchive},
		{"missing, but one is expected", "id", func(t *testing.T, dir string) {
			if err := os.Remove(dir); err != nil {
				t.Fatal(err)
			}
		}, ErrNotArchive, ErrNotArchive},
		{"missing", "", func(t *testing.T, dir string) {
			if err := os.Remove(dir); err != nil {
				t.Fatal(err)
			}
		}, nil, ErrNotArchive},
		{"another archive", "id", holding(infoName, archiveOf(1, "archiverd", "other")), errAny, nil},
		{"the archive", "id", holding(infoName, archiveOf(1, "archiverd", "id")), nil, nil},
		{"a newer one", "id", holding(infoName, archiveOf(2, "archiverd", "id")), ErrNewer, nil},
		{"another program's", "", holding(infoName, archiveOf(1, "other", "id")), errAny, errAny},
		{"without an id", "", holding(infoName, archiveOf(1, "archiverd", "")), errAny, errAny},
		{"cut", "", holding(infoName, `{"format":"arch`), errAny, errAny},
		{"empty archive.json", "", holding(infoName, ""), errAny, errAny},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "archive")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			c.dir(t, dir)
			checkReader(t, dir, c.reader)
			checkWriter(t, dir, c.known, c.writer)
		})
	}
}

// checkReader opens the archive in dir for reading, which must fail with want.
func checkReader(t *testing.T, dir string, want error) {
	t.Helper()
	a, err := Open(dir)
	if !matches(err, want) {
		t.Errorf("a reader: %v, want %v", err, want)
	}
	if err == nil {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}

// checkWriter opens the archive in dir for writing, which must fail with want and then
// leave nothing but the lock file.
func checkWriter(t *testing.T, dir, knownID string, want error) {
	t.Helper()
	before, _ := os.ReadDir(dir)
	w, err := OpenWriter(dir, Options{KnownID: knownID, Now: now})
	if !matches(err, want) {
		t.Errorf("a writer: %v, want %v", err, want)
	}
	if err == nil {
		shut(t, w)
		return
	}
	after, _ := os.ReadDir(dir)
	if len(after) > len(before)+1 || len(after) > len(before) && after[len(after)-1].Name() != lockName {
		t.Errorf("the refused writer left %v", after)
	}
}

var errAny = errors.New("any error")

func matches(err, want error) bool {
	if want == errAny {
		return err != nil
	}
	return errors.Is(err, want)
}

// Only the owner or, with GroupRead, the group too may read what a writer makes.
func TestModes(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	for _, c := range []struct {
		group     bool
		dir, file fs.FileMode
	}{{false, 0o700, 0o600}, {true, 0o750, 0o640}} {
		dir := filepath.Join(t.TempDir(), "archive")
		w := open(t, dir, Options{GroupRead: c.group})
		m := mailbox(t, w, "INBOX/Lists")
		commit(t, w, first(t, m, "one", "two"))
		if err := w.rewrite(m.Dir, m.end()); err != nil {
			t.Fatal(err)
		}
		n := 0
		err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			st, err := d.Info()
			if err != nil {
				return err
			}
			n++
			want := c.file
			if d.IsDir() {
				want = c.dir
			}
			if got := st.Mode().Perm(); got != want {
				t.Errorf("group %v: %s has mode %04o, want %04o", c.group, p, got, want)
			}
			return nil
		})
		if err != nil || n < 10 {
			t.Errorf("%d files, %v", n, err)
		}
		for _, group := range []bool{false, true} {
			v, err := w.Verify(context.Background(), m.MailboxDir, VerifyOptions{GroupRead: group})
			if err != nil {
				t.Fatal(err)
			}
			if found := len(v.Findings) > 0; found != (c.group && !group) || isDamaged(v) {
				t.Errorf("group %v, expected %v: %v", c.group, group, v.Findings)
			}
		}
	}
}

func TestCheckFreeSpace(t *testing.T) {
	w := open(t, t.TempDir(), Options{})
	var st syscall.Statfs_t
	if err := syscall.Statfs(w.Path(), &st); err != nil {
		t.Fatal(err)
	}
	room := st.Bavail*uint64(st.Bsize) > 300<<20 && st.Ffree*50 > st.Files
	if err := w.CheckFreeSpace(0); room && err != nil || err != nil && !errors.Is(err, ErrNoSpace) {
		t.Errorf("Reserve: %v; room enough: %v", err, room)
	}
}

// No link in the archive leads a reader or writer out of it.
func TestNoWayOut(t *testing.T) {
	outside := t.TempDir()
	write(t, []byte("secret"), outside, "file")
	dir := t.TempDir()
	w := open(t, dir, Options{})
	commit(t, w, first(t, mailbox(t, w, "INBOX"), "one"))
	if err := errors.Join(os.Symlink(outside, filepath.Join(dir, "alice", "out")), os.Symlink(outside, filepath.Join(dir, "alice/INBOX/2027-01"))); err != nil {
		t.Fatal(err)
	}
	if f, err := w.OpenFile("alice/out/file"); err == nil {
		f.Close()
		t.Error("a link out of the archive was followed")
	}
	b, err := w.DirectoryOf("alice", Name{Mailbox: "out", Delimiter: "/"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Mailbox(b, JournalState{}); err == nil {
		t.Error("a mailbox was opened through a link out of the archive")
	}
	m := mailbox(t, w, "INBOX")
	batch := begin(t, m)
	if err := batch.Add(1, Event{UID: 2, InternalDate: clock.AddDate(0, 2, 0)}, 3, strings.NewReader("two")); err != nil {
		t.Fatal(err)
	}
	w.Commit(nil, batch)
	if batch.Err == nil {
		t.Error("a message was written through a link out of the archive")
	}
	if list, err := os.ReadDir(outside); err != nil || len(list) != 1 {
		t.Errorf("outside lie %v, %v", list, err)
	}
	if err := errors.Join(os.Remove(filepath.Join(dir, "alice/out")), os.Remove(filepath.Join(dir, "alice/INBOX/2027-01"))); err != nil {
		t.Fatal(err)
	}
}

// Verify finds everything that differs from the journal.
func TestVerifyFinds(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	m := mailbox(t, w, "INBOX")
	commit(t, w, first(t, m, "one", "two", "three", "four"))
	commit(t, w, first(t, mailbox(t, w, "INBOX/child"), "x"))
	shut(t, w)
	box := filepath.Join(dir, "alice/INBOX")
	if err := errors.Join(os.Remove(filepath.Join(box, plain(1))), os.Remove(filepath.Join(box, plain(4))), os.Mkdir(filepath.Join(box, plain(4)), 0o700)); err != nil {
		t.Fatal(err)
	}
	write(t, []byte("twofold"), box, plain(2))
	write(t, []byte("THREE"), box, plain(3))
	write(t, nil, box, "2026-11/notes.txt")
	write(t, nil, box, "tmp/1.part")
	if err := os.Chmod(filepath.Join(box, plain(3)), 0o644); err != nil {
		t.Fatal(err)
	}
	a, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	v, err := a.Verify(context.Background(), MailboxDir{"alice", "alice/INBOX"}, VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]struct {
		damage bool
		what   string
	}{
		plain(1): {true, "missing; the journal has it with 3 octets"}, plain(2): {true, "has 7 octets; the journal says 3"},
		plain(3): {true, "SHA-256 is "}, plain(4): {true, "can't be read: "},
		"2026-11/notes.txt": {false, "no journal names it"}, "tmp/1.part": {false, "was being received"},
	}
	perms := 0
	for _, f := range v.Findings {
		if strings.HasPrefix(f.What, "permissions are 0644, and should let nobody else in: chmod 0600") {
			perms++
			continue
		}
		rel := strings.TrimPrefix(f.Path, "alice/INBOX/")
		if w, ok := want[rel]; !ok || w.damage != f.Damage || !strings.HasPrefix(f.What, w.what) {
			t.Errorf("found %+v, want %+v", f, w)
		}
		delete(want, rel)
	}
	if len(want) > 0 || perms != 1 || !isDamaged(v) || v.Messages != 4 || v.Name != "alice/INBOX" || v.Seal != m.end().Seal {
		t.Errorf("not found: %v; %d permissions; %+v", want, perms, v)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := a.Verify(ctx, MailboxDir{"alice", "alice/INBOX"}, VerifyOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("verify, cancelled: %v", err)
	}
	for u, text := range map[uint32]string{1: "one", 2: "two", 3: "three", 4: "four"} { // as it was
		if err := os.RemoveAll(filepath.Join(box, plain(u))); err != nil {
			t.Fatal(err)
		}
		write(t, []byte(text), box, plain(u))
	}
}

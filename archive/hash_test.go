package archive

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHash(t *testing.T) {
	for _, text := range []string{"", "one", strings.Repeat("octets ", 20_000)} {
		sum, size, err := Hash(strings.NewReader(text))
		if want := Sum(sha256.Sum256([]byte(text))); sum != want || size != int64(len(text)) || err != nil {
			t.Errorf("%d octets: got %s, %d, %v, want %s", len(text), sum, size, err, want)
		}
	}
	injected := errors.New("injected")
	if _, _, err := Hash(failing("one", injected)); !errors.Is(err, injected) {
		t.Errorf("got %v, want the reader's error", err)
	}
}

func TestCheckFile(t *testing.T) {
	dir := t.TempDir()
	w := openOnly(t, dir, Options{})
	defer shut(t, w)
	m := mailbox(t, w, "INBOX")
	commit(t, w, first(t, m, "one"))
	v, _, err := w.Fold(m.MailboxDir)
	if err != nil {
		t.Fatal(err)
	}
	message := v.Epoch().Messages[1]
	file := filepath.Join(dir, m.Dir, message.Path)
	for _, c := range []struct{ octets, want string }{
		{"one", ""},
		{"ones", "has 4 octets; the journal says 3"},
		{"two", "SHA-256 is " + Sum(sha256.Sum256([]byte("two"))).String() + "; the journal says " + message.Sum.String()},
	} {
		write(t, []byte(c.octets), file)
		err := w.CheckFile(m.MailboxDir, message)
		if mismatch := (*MismatchError)(nil); c.want == "" && err != nil || c.want != "" && (!errors.As(err, &mismatch) || err.Error() != c.want) {
			t.Errorf("%q: got %v, want %q", c.octets, err, c.want)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := w.CheckFile(m.MailboxDir, message); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: got %v, want fs.ErrNotExist", err)
	}
}

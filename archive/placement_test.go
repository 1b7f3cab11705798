package archive

import (
	"fmt"
	"strings"
	"testing"
)

// The name of a message whose file was lost stays that message's: a UID that comes again
// with other octets gets a file beside it, in later commits too, and also if the name
// would be given by a link. The lost message itself takes its name back.
func TestNameOfALostFileIsTaken(t *testing.T) {
	dir := t.TempDir()
	w := openOnly(t, dir, Options{})
	m := mailbox(t, w, "INBOX")
	commit(t, w, first(t, m, "one", "two"))
	remove(t, dir, "alice/INBOX", plain(1))
	numbered := func(n int) string { return strings.Replace(plain(1), ".eml", fmt.Sprintf("-%d.eml", n), 1) }
	for _, c := range []struct{ body, path string }{
		{"uno", numbered(2)}, {"two", numbered(3)}, {"uno", numbered(2)}, {"one", plain(1)},
	} {
		b := begin(t, m)
		add(t, b, 1, c.body)
		commit(t, w, b)
		if got := b.Events[0].Path; got != c.path {
			t.Errorf("%q is stored as %s, want %s", c.body, got, c.path)
		}
		if got := string(read(t, dir, "alice/INBOX", b.Events[0].Path)); got != c.body {
			t.Errorf("%s is %q, want %q", b.Events[0].Path, got, c.body)
		}
	}
	shut(t, w)
	if found := verify(t, dir); len(found) > 0 {
		t.Errorf("verify finds %v", found)
	}
}

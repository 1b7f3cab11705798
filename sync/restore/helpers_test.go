package restore

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/archive/history"
	"archiverd/internal/fingerprint"
	"archiverd/internal/session"
)

// restoreOf is a restore of all that the testbed's archive has here.
func (h *testbed) restoreOf(to session.Account) *Job {
	h.t.Helper()
	r := &Job{Account: to, Log: h.Log}
	r.Open = func(id string) (*os.File, error) { return h.Committer.Archive.OpenFile(id) }
	for sel, err := range history.Select(h.Committer.Archive.Archive, history.Selection{}) {
		if err != nil {
			h.t.Fatal(err)
		}
		items := itemsOf(sel)
		r.Sources = append(r.Sources, Source{Account: sel.Mailbox.Account, Name: sel.Name, Load: func() ([]Item, error) { return items, nil }})
	}
	return r
}

// itemsOf are the messages selected, as a restore takes them.
func itemsOf(sel *history.Selected) []Item {
	items := make([]Item, len(sel.Messages))
	for i, m := range sel.Messages {
		items[i] = Item{ID: sel.Mailbox.ID(m), Size: m.Size, Sum: m.Sum, InternalDate: m.InternalDate, Flags: m.Flags}
	}
	return items
}

// restored runs a restore in which nothing may go wrong.
func restored(t testing.TB, r *Job) *Result {
	t.Helper()
	out, err := r.Run(context.Background())
	if err != nil {
		t.Fatalf("restore: %v\n%s", err, showRestored(out))
	}
	return out
}

func showRestored(r *Result) string {
	var b strings.Builder
	for _, m := range append(slices.Clone(r.Mailboxes), r.Sum) {
		fmt.Fprintf(&b, "%s → %s: %d selected, %d present, %d appended, %d refused, %d left, %d changed, error %q %q\n",
			m.From, m.To, m.Selected, m.Present, m.Appended, m.Refused, m.Unsent, m.Changed, m.Error, m.Notices)
		for _, x := range m.Problems[:min(len(m.Problems), 10)] {
			fmt.Fprintf(&b, "  %s: %s\n", x.ID, x.Reason)
		}
	}
	return b.String()
}

// content is what a mailbox holds, each message as often as it does.
type content map[string]int

// take takes one away.
func (c content) take(k string) {
	if c[k]--; c[k] == 0 {
		delete(c, k)
	}
}

// each calls fn for each message that the testbed's archive has here.
func (h *testbed) each(fn func(mailbox, id string, m *archive.Message)) {
	h.t.Helper()
	for sel, err := range history.Select(h.Committer.Archive.Archive, history.Selection{}) {
		if err != nil {
			h.t.Fatal(err)
		}
		for _, m := range sel.Messages {
			fn(h.name(sel), sel.Mailbox.ID(m), m)
		}
	}
}

// name is a mailbox's name with "/" between its levels, without the level under.
func (h *testbed) name(sel *history.Selected) string {
	name := strings.Join(sel.Name.Levels(), "/")
	if h.under != "" {
		name = strings.TrimPrefix(name, h.under+"/")
	}
	return name
}

// canon is the canonical form of a message of the testbed's archive.
func (h *testbed) canon(id string) archive.Sum {
	h.t.Helper()
	octets, err := os.ReadFile(filepath.Join(h.Dir, id))
	if err != nil {
		h.t.Fatal(err)
	}
	c := fingerprint.NewCanonical()
	_, _ = c.Write(octets) // never fails
	return c.Sum()
}

// contents are those of the testbed's archive: octets, flags and keywords in lower
// case, the instant of INTERNALDATE.
func (h *testbed) contents() map[string]content {
	h.t.Helper()
	out := map[string]content{}
	for sel, err := range history.Select(h.Committer.Archive.Archive, history.Selection{}) {
		if err != nil {
			h.t.Fatal(err)
		}
		out[h.name(sel)] = content{}
	}
	h.each(func(name, _ string, m *archive.Message) { out[name][identity(m.Sum, m.Flags, m.InternalDate)]++ })
	return out
}

func identity(sum archive.Sum, flags []string, date time.Time) string {
	lower := strings.Fields(strings.ToLower(strings.Join(flags, " ")))
	slices.Sort(lower)
	return fmt.Sprintf("%s %s %v", sum, date.UTC().Format(time.RFC3339), lower)
}

// equalContents compares two archives' mailboxes.
func equalContents(t testing.TB, got, want map[string]content) {
	t.Helper()
	if g, w := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(g, w) {
		t.Errorf("mailboxes are %q, want %q", g, w)
	}
	for name, w := range want {
		if maps.Equal(got[name], w) {
			continue
		}
		for k, n := range w {
			if got[name][k] != n {
				t.Errorf("%s: %d of %s, want %d", name, got[name][k], k, n)
			}
		}
		for k, n := range got[name] {
			if w[k] == 0 {
				t.Errorf("%s: %d of %s, want none", name, n, k)
			}
		}
	}
}

// files writes messages as plain files and makes a source of them.
func fileSource(t testing.TB, mailbox string, bodies ...string) Source {
	t.Helper()
	dir := t.TempDir()
	var items []Item
	for i, body := range bodies {
		id := filepath.Join(dir, fmt.Sprintf("%d.eml", i))
		if err := os.WriteFile(id, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		items = append(items, Item{ID: id, Size: int64(len(body)), Sum: sha256.Sum256([]byte(body)), InternalDate: time.Unix(1700000000+int64(i), 0)})
	}
	return Source{Account: "files", Name: archive.Name{Mailbox: mailbox, Delimiter: "/"}, Load: func() ([]Item, error) { return items, nil }}
}

// day is an INTERNALDATE of a message, in one of many zones.
func day(i int) time.Time {
	return time.Date(2001+i%24, time.Month(1+i%12), 1+i%28, i%24, i%60, (i*7)%60, 0, time.FixedZone("", 900*(i%57-24)))
}

// someFlags are flags and keywords of a message.
func someFlags(i int) []string {
	all := []string{`\Answered`, `\Deleted`, `\Draft`, `\Flagged`, `\Seen`, "$Forwarded", "$Junk", "Etikett-1", "todo/later", "x.y"}
	var out []string
	for k, f := range all {
		if (i>>k)&1 == 1 {
			out = append(out, f)
		}
	}
	return out
}

// openFile opens an item that is a plain file.
func openFile(id string) (*os.File, error) { return os.Open(id) }

package archive

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// twoMailboxes makes an archive with UID 1 and 2 in INBOX and UID 1 in Lists/go.
func twoMailboxes(t *testing.T) (*Writer, string) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	for name, bodies := range map[string][]string{"INBOX": {"one", "two"}, "Lists/go": {"three"}} {
		b := begin(t, mailbox(t, w, name))
		b.Record(opened(name, 1))
		for i, body := range bodies {
			add(t, b, uint32(i+1), body)
		}
		commit(t, w, b)
	}
	return w, dir
}

func TestFindMessages(t *testing.T) {
	w, _ := twoMailboxes(t)
	v, _, err := w.Fold(MailboxDir{"alice", "alice/INBOX"})
	if err != nil {
		t.Fatal(err)
	}
	one, two := v.Epoch().Messages[1].Path, v.Epoch().Messages[2].Path
	for _, c := range []struct {
		name string
		ids  []string
		want string
	}{
		{"none", nil, ""},
		{"a path", []string{"alice/INBOX/" + one}, "alice/INBOX " + one},
		{"a path that is not clean", []string{"alice//INBOX/./" + one}, "alice/INBOX " + one},
		{"a part", []string{".1.2.eml"}, "alice/INBOX " + two},
		{"a path and a part", []string{"go/" + one, "alice/INBOX/" + two}, "alice/INBOX " + two + "; alice/Lists/go " + one},
		{"the same message twice", []string{"alice/INBOX/" + one, "INBOX/" + one}, "alice/INBOX " + one + " " + one},
	} {
		t.Run(c.name, func(t *testing.T) {
			found, err := w.FindMessages(c.ids)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range found {
				got = append(got, f.Mailbox.Dir+" "+strings.Join(f.Paths, " "))
			}
			if text := strings.Join(got, "; "); text != c.want {
				t.Errorf("got %s, want %s", text, c.want)
			}
		})
	}
}

func TestFindMessagesFails(t *testing.T) {
	w, dir := twoMailboxes(t)
	for _, id := range []string{"", ".", "none", "alice/INBOX/none"} {
		_, err := w.FindMessages([]string{id})
		if missing := (*NoMessageError)(nil); !errors.As(err, &missing) || !errors.Is(err, ErrNoMessage) || missing.Corrupt != nil {
			t.Errorf("%q: got %v, want a NoMessageError", id, err)
		}
	}
	_, err := w.FindMessages([]string{".eml"})
	if several := (*AmbiguousError)(nil); !errors.As(err, &several) || several.ID != ".eml" || len(several.Matches) != 2 {
		t.Errorf("got %v, want an AmbiguousError", err)
	}
	journal := []string{dir, "alice/INBOX", journalName}
	good := read(t, journal...)
	write(t, []byte(strings.Replace(string(good), `"uid":2`, `"uid":3`, 1)), journal...)
	if _, err := w.FindMessages([]string{"none"}); !errors.Is(err, ErrNoMessage) || !errors.Is(err, ErrCorrupt) {
		t.Errorf("with a corrupt journal: got %v, want ErrNoMessage and ErrCorrupt", err)
	}
	write(t, good, journal...)
}

func TestFindMailbox(t *testing.T) {
	w, _ := twoMailboxes(t)
	for _, c := range []struct {
		mailbox string
		at      time.Time
		want    string // its directory, or the names that there are
	}{
		{"INBOX", time.Time{}, "alice/INBOX"},
		{"inbox", clock, "alice/INBOX"},
		{"Lists/go", time.Time{}, "alice/Lists/go"},
		{"alice/Lists/go", time.Time{}, "alice/Lists/go"},
		{"lists/go", time.Time{}, "[INBOX Lists/go]"},
		{"INBOX", clock.Add(-time.Second), "[]"},
	} {
		b, v, err := w.FindMailbox("alice", c.mailbox, c.at)
		got := b.Dir
		if missing := (*NoMailboxError)(nil); errors.As(err, &missing) {
			got = fmt.Sprint(missing.Names)
		} else if err != nil || v.Epoch() == nil {
			t.Errorf("%q: %v", c.mailbox, err)
		}
		if got != c.want || errors.Is(err, ErrNoMailbox) != !slices.Contains([]string{"alice/INBOX", "alice/Lists/go"}, c.want) {
			t.Errorf("%q at %v: got %s, %v, want %s", c.mailbox, c.at, got, err, c.want)
		}
	}
}

func TestSimilarAccount(t *testing.T) {
	w, _ := twoMailboxes(t)
	for name, want := range map[string]string{"alice": "", "Alice": "alice", "ALICE": "alice", "bob": ""} {
		if got, err := w.SimilarAccount(name); got != want || err != nil {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}
}

package history

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"archiverd/archive"
)

// selected is what a selection means, a text a mailbox: its name, and of each
// message UID and flags.
func selected(t *testing.T, dir string, s Selection) []string {
	t.Helper()
	a, err := archive.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	var out []string
	for sel, err := range Select(a, s) {
		if err != nil {
			t.Fatal(err)
		}
		text := sel.Name.Mailbox
		for _, m := range sel.Messages {
			text += fmt.Sprintf(" %d%v", m.UID, m.Flags)
			f, err := a.OpenFile(sel.Mailbox.ID(m))
			if err != nil {
				t.Error(err)
				continue
			}
			f.Close()
		}
		if !sel.Listed {
			text += " vanished"
		}
		out = append(out, text)
	}
	return out
}

// What is here, and what is gone, of everything that can happen to a mailbox.
func TestSelectHereAndGone(t *testing.T) {
	for _, c := range []struct {
		name       string
		steps      []string
		here, gone string
	}{
		{"empty", []string{"epoch 1"}, "", ""},
		{"one epoch", []string{"epoch 1", "3=c", "1=a", "2=b", "gone 2"}, "1[epoch1] 3[epoch1]", "2[epoch1]"},
		{"flags are the last", []string{"epoch 1", "1=a", "2=b", "flags 1 x", "flags 2 y", "gone 2"}, "1[x]", "2[y]"},
		{"renumbered", []string{"epoch 1", "1=a", "2=b", "epoch 2", "7=a", "8=b"}, "7[epoch2] 8[epoch2]", ""},
		{"renumbered, then one goes", []string{"epoch 1", "1=a", "2=b", "epoch 2", "7=a", "8=b", "gone 8"}, "7[epoch2]", "8[epoch2]"},
		{"one goes as it is renumbered", []string{"epoch 1", "1=a", "2=b", "epoch 2", "7=a"}, "7[epoch2]", "2[epoch1]"},
		{"gone before and after", []string{"epoch 1", "1=a", "2=b", "3=c", "gone 1", "epoch 2", "7=b", "8=c", "gone 7"}, "8[epoch2]", "1[epoch1] 7[epoch2]"},
		{"twice in it, both here", []string{"epoch 1", "1=a", "2=a"}, "1[epoch1] 2[epoch1]", ""},
		{"twice in it, one goes", []string{"epoch 1", "1=a", "2=a", "gone 1"}, "2[epoch1]", "1[epoch1]"},
		{"twice, of which one is renumbered", []string{"epoch 1", "1=a", "2=a", "epoch 2", "7=a"}, "7[epoch2]", "2[epoch1]"},
		{"twice, renumbered, both go", []string{"epoch 1", "1=a", "2=a", "epoch 2", "7=a", "8=a", "gone 7:8"}, "", "7[epoch2] 8[epoch2]"},
		{"goes and comes back", []string{"epoch 1", "1=a", "gone 1", "2=a"}, "2[epoch1]", ""},
		{"goes, comes back, goes", []string{"epoch 1", "1=a", "gone 1", "2=a", "gone 2"}, "", "2[epoch1]"},
		{"goes, and is listed again", []string{"epoch 1", "1=a", "gone 1", "1=a"}, "1[epoch1]", ""},
		{"goes, is listed again, goes", []string{"epoch 1", "1=a", "gone 1", "1=a", "gone 1"}, "", "1[epoch1]"},
		{"twice in it, both go, one comes back", []string{"epoch 1", "1=a", "2=a", "gone 1:2", "3=a"}, "3[epoch1]", "2[epoch1]"},
		{"vanished", []string{"epoch 1", "1=a", "2=b", "gone 1", "vanished"}, " vanished", "1[epoch1] 2[epoch1] vanished"},
		{"vanished after it was renumbered", []string{"epoch 1", "1=a", "epoch 2", "5=a", "6=b", "vanished"}, " vanished", "5[epoch2] 6[epoch2] vanished"},
		{"back from it, under the same number", []string{"epoch 1", "1=a", "2=b", "vanished", "epoch 1", "1=a"}, "1[epoch1]", "2[epoch1]"},
		{"no date", []string{"epoch 1", "1=a-", "2=b-", "gone 2"}, "1[epoch1]", "2[epoch1]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			newTestArchive(t, dir).mailbox("box", c.steps...)
			for gone, want := range map[bool]string{false: c.here, true: c.gone} {
				if want = "box " + strings.TrimSpace(want); want == "box " {
					want = "box"
				}
				if got := selected(t, dir, Selection{Gone: gone}); !slices.Equal(got, []string{want}) {
					t.Errorf("with Gone %v it selects %q, want %q", gone, got, want)
				}
			}
		})
	}
}

// Accounts, mailboxes and dates: After is included, Before is not, and what has
// no date is in no span of time.
func TestSelectNarrowed(t *testing.T) {
	dir := t.TempDir()
	w := newTestArchive(t, dir)
	w.mailbox("INBOX", "epoch 1", "1=a", "2=b", "3=c", "4=d-")
	w.mailbox("Lists/go", "epoch 1", "2=e", "5=f", "gone 5")
	w.batch("Begun").Discard()
	for _, c := range []struct {
		name string
		s    Selection
		want []string
	}{
		{"all", Selection{}, []string{"INBOX 1[epoch1] 2[epoch1] 3[epoch1] 4[epoch1]", "Lists/go 2[epoch1]"}},
		{"the account", Selection{Account: "alice", Before: date(2)}, []string{"INBOX 1[epoch1]", "Lists/go"}},
		{"no such account", Selection{Account: "bob"}, nil},
		{"after", Selection{After: date(2)}, []string{"INBOX 2[epoch1] 3[epoch1]", "Lists/go 2[epoch1]"}},
		{"before", Selection{Before: date(3)}, []string{"INBOX 1[epoch1] 2[epoch1]", "Lists/go 2[epoch1]"}},
		{"between, in another zone", Selection{After: date(2).UTC(), Before: date(3).UTC()}, []string{"INBOX 2[epoch1]", "Lists/go 2[epoch1]"}},
		{"a mailbox", Selection{Mailbox: func(n archive.Name) bool { return n.Mailbox == "Lists/go" && n.Delimiter == "/" }}, []string{"Lists/go 2[epoch1]"}},
		{"gone after", Selection{Gone: true, After: date(5)}, []string{"INBOX", "Lists/go 5[epoch1]"}},
		{"gone before", Selection{Gone: true, Before: date(5)}, []string{"INBOX", "Lists/go"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := selected(t, dir, c.s); !slices.Equal(got, c.want) {
				t.Errorf("it selects %q, want %q", got, c.want)
			}
		})
	}
}

// A mailbox as it was at each second of its life, and what was gone by then. What
// happened at that second had happened.
func TestSelectAt(t *testing.T) {
	dir := t.TempDir()
	newTestArchive(t, dir).mailbox("box", "epoch 1", "1=a", "2=b", "flags 1 x", "gone 2", "epoch 2", "7=a", "flags 7 y", "vanished", "epoch 2", "7=c")
	for i, want := range []struct{ here, gone string }{
		{"box", "box"},
		{"box 1[epoch1]", "box"},
		{"box 1[epoch1] 2[epoch1]", "box"},
		{"box 1[x] 2[epoch1]", "box"},
		{"box 1[x]", "box 2[epoch1]"},
		{"box", "box 1[x] 2[epoch1]"}, // the new epoch has no message yet
		{"box 7[epoch2]", "box 2[epoch1]"},
		{"box 7[y]", "box 2[epoch1]"},
		{"box vanished", "box 2[epoch1] 7[y] vanished"},
		{"box", "box 2[epoch1] 7[y]"},
		{"box 7[epoch2]", "box 2[epoch1] 7[y]"},
	} {
		at := second(i)
		for _, at := range []time.Time{at, at.Add(time.Second - 1), at.In(time.FixedZone("", -9*3600))} {
			if got := selected(t, dir, Selection{At: at}); !slices.Equal(got, []string{want.here}) {
				t.Errorf("at second %d it selects %q, want %q", i, got, want.here)
			}
			if got := selected(t, dir, Selection{At: at, Gone: true}); !slices.Equal(got, []string{want.gone}) {
				t.Errorf("at second %d %q is gone, want %q", i, got, want.gone)
			}
		}
	}
	if got := selected(t, dir, Selection{At: second(-1)}); got != nil {
		t.Errorf("before there was anything it selects %q", got)
	}
}

// Gone since a time: with its UID, its epoch or its mailbox; at that very second too.
func TestSelectGoneSince(t *testing.T) {
	dir := t.TempDir()
	newTestArchive(t, dir).mailbox("box", "epoch 1", "1=a", "2=b", "3=c", "gone 2", "epoch 2", "7=a", "8=d", "vanished")
	for i, want := range map[int]string{
		0: "box 2[epoch1] 3[epoch1] 7[epoch2] 8[epoch2] vanished",
		4: "box 2[epoch1] 3[epoch1] 7[epoch2] 8[epoch2] vanished",
		5: "box 3[epoch1] 7[epoch2] 8[epoch2] vanished",
		6: "box 7[epoch2] 8[epoch2] vanished",
		8: "box 7[epoch2] 8[epoch2] vanished",
		9: "box vanished",
	} {
		if got := selected(t, dir, Selection{Gone: true, Since: second(i)}); !slices.Equal(got, []string{want}) {
			t.Errorf("gone since second %d is %q, want %q", i, got, want)
		}
	}
}

// Match has the last word, and is asked only about what the rest means; its error
// is one of the mailbox.
func TestSelectMatch(t *testing.T) {
	dir := t.TempDir()
	w := newTestArchive(t, dir)
	w.mailbox("A", "epoch 1", "1=a", "2=b", "3=c", "gone 3")
	w.mailbox("B", "epoch 1", "2=d")
	s := Selection{After: date(2), Match: func(b archive.MailboxDir, m *archive.Message) (bool, error) {
		if m.UID != 2 {
			t.Errorf("it is asked about UID %d", m.UID)
		}
		return b.Dir == "alice/A", nil
	}}
	if got, want := selected(t, dir, s), []string{"A 2[epoch1]", "B"}; !slices.Equal(got, want) {
		t.Errorf("it selects %q, want %q", got, want)
	}
	a, err := archive.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	bad := errors.New("bad octets")
	s.Match = func(b archive.MailboxDir, m *archive.Message) (bool, error) { return true, bad }
	n := 0
	for sel, err := range Select(a, s) {
		if n++; !errors.Is(err, bad) || len(sel.Messages) != 0 || !strings.Contains(err.Error(), sel.Mailbox.Dir) {
			t.Errorf("it yields %v, %v", sel, err)
		}
	}
	if n != 2 {
		t.Errorf("it yields %d times", n)
	}
}

// A corrupt journal is an error of its mailbox; the others are selected.
func TestSelectBesideACorruptJournal(t *testing.T) {
	dir := t.TempDir()
	w := newTestArchive(t, dir)
	w.mailbox("A", "epoch 1", "1=a")
	w.mailbox("B", "epoch 1", "1=b", "2=c")
	w.mailbox("C/D", "epoch 1", "1=d")
	w.close()
	good := map[string][]byte{}
	for box, damage := range map[string][2]string{"B": {`"uid":2`, `"uid":3`}, "C/D": {`"uidvalidity":1`, `"uidvalidity":2`}} {
		journal := filepath.Join(dir, "alice", box, "journal.jsonl")
		text, err := os.ReadFile(journal)
		if err != nil {
			t.Fatal(err)
		}
		good[journal] = text
		write(t, journal, []byte(strings.Replace(string(good[journal]), damage[0], damage[1], 1)))
	}
	a, err := archive.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	var got []string
	for sel, err := range Select(a, Selection{}) {
		text := fmt.Sprint(sel.Name.Mailbox, len(sel.Messages))
		if err != nil {
			text += " corrupt"
			if !errors.Is(err, archive.ErrCorrupt) || !strings.Contains(err.Error(), sel.Mailbox.Dir+"/journal.jsonl:") || !strings.Contains(err.Error(), "put this file back from a backup") {
				t.Errorf("the error is %v", err)
			}
		}
		got = append(got, text)
	}
	if want := []string{"A1", "B0 corrupt", "C/D0 corrupt"}; !slices.Equal(got, want) {
		t.Errorf("it selects %q, want %q", got, want)
	}
	// What is not meant is nobody's trouble.
	for sel, err := range Select(a, Selection{Mailbox: func(n archive.Name) bool { return n.Mailbox == "A" }}) {
		if err != nil || sel.Name.Mailbox != "A" {
			t.Errorf("of mailbox A it yields %v, %v", sel, err)
		}
	}
	for journal, text := range good {
		write(t, journal, text)
	}
}

// Without its directory there is one error, and nothing else.
func TestSelectUnreadable(t *testing.T) {
	dir := t.TempDir()
	newTestArchive(t, dir).mailbox("A", "epoch 1", "1=a")
	a, err := archive.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	n := 0
	for sel, err := range Select(a, Selection{}) {
		if n++; sel != nil || !errors.Is(err, os.ErrClosed) {
			t.Errorf("a closed archive yields %v, %v", sel, err)
		}
	}
	if n != 1 {
		t.Errorf("a closed archive yields %d times", n)
	}
}

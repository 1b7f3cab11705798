package session

import (
	"slices"
	"testing"

	"archiverd/internal/uid"
	"archiverd/internal/wire"
)

// TestUIDLists: which lists of UIDs are complete, and which are plausible.
func TestUIDLists(t *testing.T) {
	for _, c := range []struct {
		name                          string
		messages, next                uint32
		uids                          string
		complete, certain, believable bool
	}{
		{"all", 3, 8, "1,5,7", true, true, true},
		{"one is missing", 3, 8, "1,5", false, false, true},
		{"one is missing, one has arrived", 3, 8, "1,5,9", true, false, true},
		{"no UIDNEXT", 3, 0, "1,5,9", true, true, true},
		{"empty", 0, 1, "", true, true, true},
		{"more than can have arrived", 3, 8, "1:2000", true, true, false},
	} {
		set, err := uid.Parse(c.uids)
		if err != nil && c.uids != "" {
			t.Fatal(err)
		}
		examined := wire.Examined{Status: wire.Status{Messages: c.messages, UIDNext: c.next}}
		if c.name == "more than can have arrived" {
			examined.UIDNext = 0
		}
		if got := CheckComplete(examined, set) == nil; got != c.complete {
			t.Errorf("%s: complete is %v", c.name, got)
		}
		if got := IsComplete(examined, set); got != c.certain {
			t.Errorf("%s: certain is %v", c.name, got)
		}
		if got := CheckPlausible(examined, set) == nil; got != c.believable {
			t.Errorf("%s: believable is %v", c.name, got)
		}
	}
}

// TestOpenComplete: a list that is too short is asked for once more.
func TestOpenComplete(t *testing.T) {
	calls := 0
	opened, err := OpenComplete(func() (wire.Opened, error) {
		calls++
		return wire.Opened{UIDs: uid.Of(uint32(calls))}, nil
	})
	if calls != 1 || err != nil || opened.UIDs.Len() != 1 {
		t.Errorf("%d calls, %v, %v", calls, opened.UIDs, err)
	}
	calls = 0
	_, err = OpenComplete(func() (wire.Opened, error) {
		calls++
		return wire.Opened{Examined: wire.Examined{Status: wire.Status{Messages: 1}}}, nil
	})
	if calls != 2 || err != nil {
		t.Errorf("%d calls, %v", calls, err)
	}
}

func TestFlags(t *testing.T) {
	flags := []string{`\Seen`, "b", "A", "a", "no(flag"}
	if got := NormalizeFlags(flags); !slices.Equal(got, []string{`\seen`, "a", "b", "no(flag"}) {
		t.Errorf("normalized: %q", got)
	}
	if got := SendableFlags(flags); !slices.Equal(got, []string{`\seen`, "a", "b"}) {
		t.Errorf("sendable: %q", got)
	}
	if !EqualFlags([]string{"A", `\Seen`}, []string{`\SEEN`, "a", "A"}) || EqualFlags([]string{"a"}, []string{"b"}) {
		t.Error("flags are compared wrongly")
	}
	if !HasFlag(flags, `\SEEN`) || HasFlag(flags, `\Deleted`) {
		t.Error("a flag is found wrongly")
	}
}

package remote

import (
	"fmt"
	"slices"
	"testing"
)

// TestReasons tells a reason once, however many messages it is of.
func TestReasons(t *testing.T) {
	var list []Unproven
	for u := range uint32(600) {
		list = append(list, Unproven{Mailbox: "Old", UID: 2*u + 1, Reason: "not there"})
	}
	list = append(list, Unproven{Mailbox: "Old", UID: 2, Reason: "changed"})
	got := Reasons(list)
	want := []string{
		`mailbox "Old", 600 messages, UIDs 1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31,33,35,37,39,41,43,45,47,49,51,53,55,57,59,61,63,65,67,69,…: not there`,
		`mailbox "Old", UID 2: changed`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	list = list[:0]
	for u := range uint32(maxReasons + 5) {
		list = append(list, Unproven{Mailbox: "Old", UID: u + 1, Reason: fmt.Sprint(u)})
	}
	if got := Reasons(list); len(got) != maxReasons+1 || got[maxReasons] != `5 more in mailbox "Old"` {
		t.Errorf("got %q", got)
	}
	if got := Reasons(nil); got != nil {
		t.Errorf("of nothing: %q", got)
	}
}

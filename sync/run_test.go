package sync

import (
	"slices"
	"strings"
	"testing"

	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
)

// An honest server is archived as it is, and a second run asks for nothing but
// the list.
func TestUnchangedMailboxesCostNothing(t *testing.T) {
	h := newTestbed(t)
	boxes := world.ThreeMailboxes()
	h.clean(named(world.Serve(t, hostile.Options{Mailboxes: boxes})))
	s := world.Serve(t, hostile.Options{Mailboxes: boxes})
	run := h.clean(named(s))
	for _, m := range boxes {
		if l := of(t, run, m.Name); !l.Unchanged || l.Archived != len(m.Messages) {
			t.Errorf("ledger of %s: %+v", m.Name, l)
		}
	}
	var asked []string
	for _, c := range s.Commands() {
		if name, _, _ := strings.Cut(c, " "); name != "LOGIN" && name != "AUTHENTICATE" && name != "LOGOUT" && name != "CAPABILITY" {
			asked = append(asked, name)
		}
	}
	if want := []string{"LIST"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
}

package sync

import (
	"math/rand/v2"
	"testing"

	"archiverd/internal/uid"
	"archiverd/state"
)

func set(t testing.TB, text string) uid.Set {
	t.Helper()
	s, err := uid.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDiff(t *testing.T) {
	for _, c := range []struct {
		name                     string
		server                   string
		archived, failed, gone   string
		missing, vanished, stays string
	}{
		{"nothing", "", "", "", "", "", "", ""},
		{"a new mailbox", "1:9", "", "", "", "1:9", "", ""},
		{"all there", "1:9", "1:9", "", "", "", "", "1:9"},
		{"new ones behind", "1:12", "1:9", "", "", "10:12", "", "1:9"},
		{"a hole below the highest", "1:9", "1:3,5:9", "", "", "4", "", "1:3,5:9"},
		{"some gone", "2,4:9", "1:9", "", "", "", "1,3", "2,4:9"},
		{"all gone", "", "1:9", "", "", "", "1:9", ""},
		{"failed ones are tried again", "1:9", "1:7", "8:9", "", "8:9", "", "1:7"},
		{"a failed one is gone", "1:7", "1:7", "8:9", "", "", "8:9", "1:7"},
		{"a gone one comes back", "1:9", "1:8", "", "9", "9", "", "1:8"},
		{"gone ones are not gone again", "1:8", "1:8", "", "9", "", "", "1:8"},
		{"the highest UIDs", "4294967294:4294967295", "4294967295", "", "", "4294967294", "", "4294967295"},
		{"all UIDs that there are", "1:4294967295", "5:9", "", "", "1:4,10:4294967295", "", "5:9"},
	} {
		d := diff(set(t, c.server), state.UIDs{Archived: set(t, c.archived), Failed: set(t, c.failed), Gone: set(t, c.gone)})
		if m, g, h := d.Missing.String(), d.Gone.String(), d.Present.String(); m != c.missing || g != c.vanished || h != c.stays {
			t.Errorf("%s: missing %q, gone %q, here %q, want %q, %q, %q", c.name, m, g, h, c.missing, c.vanished, c.stays)
		}
	}
}

// diff agrees with plain thinking about each UID.
func TestDiffAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	const most = 40
	for range 5000 {
		var server uid.Set
		var have state.UIDs
		kind := [most]byte{}
		listed := [most]bool{}
		for u := uint32(1); u < most; u++ {
			if listed[u] = r.IntN(3) > 0; listed[u] {
				server.Add(u)
			}
			kind[u] = "-afg"[r.IntN(4)]
			switch kind[u] {
			case 'a':
				have.Archived.Add(u)
			case 'f':
				have.Failed.Add(u)
			case 'g':
				have.Gone.Add(u)
			}
		}
		d := diff(server, have)
		for u := uint32(1); u < most; u++ {
			missing := listed[u] && kind[u] != 'a'
			gone := !listed[u] && (kind[u] == 'a' || kind[u] == 'f')
			here := listed[u] && kind[u] == 'a'
			if d.Missing.Contains(u) != missing || d.Gone.Contains(u) != gone || d.Present.Contains(u) != here {
				t.Fatalf("UID %d, listed %v, archived as %c: %v", u, listed[u], kind[u], d)
			}
		}
	}
}

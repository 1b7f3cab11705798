package world

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"archiverd/internal/testing/hostile"
)

// dateLayout is that of INTERNALDATE (RFC 9051 9, date-time).
const dateLayout = "02-Jan-2006 15:04:05 -0700"

// Message is a message as a test compares it.
type Message struct {
	Body  string
	Flags string // sorted, with spaces between
	Date  string // INTERNALDATE
}

// Listed returns the messages of a mailbox of alice that the archive has and that
// the server listed last, by UID.
func (w *World) Listed(mailbox string) map[uint32]Message {
	w.t.Helper()
	dir, v := w.Mailbox(mailbox)
	messages := map[uint32]Message{}
	if v.Epoch() == nil {
		return messages
	}
	for u, m := range v.Epoch().Messages {
		if !m.Listed() {
			continue
		}
		body, err := os.ReadFile(filepath.Join(w.Dir, dir.Dir, m.Path))
		if err != nil {
			w.t.Error(err)
		}
		messages[u] = Message{string(body), strings.Join(m.Flags, " "), m.InternalDate.Format(dateLayout)}
	}
	return messages
}

// Count returns how many messages Listed returns of all mailboxes of all accounts.
func (w *World) Count() int {
	w.t.Helper()
	n := 0
	for _, m := range w.Mailboxes() {
		if v := w.View(m); v.Epoch() != nil {
			for _, m := range v.Epoch().Messages {
				if m.Listed() {
					n++
				}
			}
		}
	}
	return n
}

// Holds fails the test unless the archive has just the messages of a server's
// mailbox, without those of some UIDs.
func (w *World) Holds(m hostile.Mailbox, without ...uint32) {
	w.t.Helper()
	want := MessagesOf(m)
	for _, u := range without {
		delete(want, u)
	}
	Equal(w.t, m.Name, w.Listed(m.Name), want)
}

// MessagesOf returns the messages of a server's mailbox by UID.
func MessagesOf(m hostile.Mailbox) map[uint32]Message {
	messages := map[uint32]Message{}
	for _, msg := range m.Messages {
		flags := strings.Fields(msg.Flags)
		slices.Sort(flags)
		messages[msg.UID] = Message{string(msg.Body), strings.Join(flags, " "), msg.Date}
	}
	return messages
}

// Equal compares the messages of a mailbox by UID.
func Equal(t testing.TB, mailbox string, got, want map[uint32]Message) {
	t.Helper()
	for _, u := range slices.Sorted(maps.Keys(want)) {
		if g, ok := got[u]; !ok {
			t.Errorf("%s: UID %d is not in the archive", mailbox, u)
		} else if g != want[u] {
			t.Errorf("%s: UID %d is %.200q, want %.200q", mailbox, u, g, want[u])
		}
	}
	for u := range got {
		if _, ok := want[u]; !ok {
			t.Errorf("%s: UID %d is in the archive: %.80q", mailbox, u, got[u])
		}
	}
}

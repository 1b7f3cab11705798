package archive_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"archiverd/archive"
	"archiverd/internal/uid"
)

// newExample makes an archive with two messages in INBOX on 1 March 2026, of which the
// server lists the second no longer on 5 March. It returns the archive's directory.
func newExample() string {
	dir, err := os.MkdirTemp("", "archive")
	if err != nil {
		log.Fatal(err)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w, err := archive.OpenWriter(dir, archive.Options{Now: func() time.Time { return now }})
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	name := archive.Name{Mailbox: "INBOX", Delimiter: "/"}
	place, err := w.DirectoryOf("alice", name)
	if err != nil {
		log.Fatal(err)
	}
	m, err := w.Mailbox(place, archive.JournalState{})
	if err != nil {
		log.Fatal(err)
	}
	commit := func(fill func(*archive.Batch)) {
		b, err := m.Batch()
		if err != nil {
			log.Fatal(err)
		}
		fill(b)
		if w.Commit(nil, b); b.Err != nil {
			log.Fatal(b.Err)
		}
	}
	commit(func(b *archive.Batch) {
		b.Record(archive.Event{Kind: archive.Opened, Name: name, UIDValidity: 17})
		for i, text := range []string{"Subject: one\r\n\r\n", "Subject: two\r\n\r\n"} {
			e := archive.Event{UID: uint32(i + 1), InternalDate: now, Flags: []string{`\Seen`}}
			if err := b.Add(17, e, int64(len(text)), strings.NewReader(text)); err != nil {
				log.Fatal(err)
			}
		}
	})
	now = now.AddDate(0, 0, 4)
	commit(func(b *archive.Batch) { b.Record(archive.Event{Kind: archive.Gone, UIDs: uid.Of(2)}) })
	return dir
}

// Open an archive and list its mailboxes.
func ExampleOpen() {
	dir := newExample()
	defer os.RemoveAll(dir)

	a, err := archive.Open(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer a.Close()
	mailboxes, err := a.Mailboxes("")
	if err != nil {
		log.Fatal(err)
	}
	for _, b := range mailboxes {
		v, _, err := a.Fold(b)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(b.Dir, v.Name.Mailbox, len(v.Epoch().Messages))
	}
	// Output: alice/INBOX INBOX 2
}

// Read a mailbox as it was on a day.
func ExampleArchive_FoldAt() {
	dir := newExample()
	defer os.RemoveAll(dir)

	a, err := archive.Open(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer a.Close()
	inbox := archive.MailboxDir{Account: "alice", Dir: "alice/INBOX"}
	for _, day := range []int{3, 7} {
		v, err := a.FoldAt(inbox, time.Date(2026, 3, day, 0, 0, 0, 0, time.UTC))
		if err != nil {
			log.Fatal(err)
		}
		for ep, m := range v.All() {
			if v.Listed(ep, m) {
				fmt.Println(day, "March: UID", m.UID, m.Flags, inbox.ID(m))
			}
		}
	}
	// Output:
	// 3 March: UID 1 [\Seen] alice/INBOX/2026-03/20260301T120000Z.17.1.eml
	// 3 March: UID 2 [\Seen] alice/INBOX/2026-03/20260301T120000Z.17.2.eml
	// 7 March: UID 1 [\Seen] alice/INBOX/2026-03/20260301T120000Z.17.1.eml
}

// Verify that every message is on disk as its journal says.
func ExampleArchive_Verify() {
	dir := newExample()
	defer os.RemoveAll(dir)
	damaged := dir + "/alice/INBOX/2026-03/20260301T120000Z.17.2.eml"
	if err := os.WriteFile(damaged, []byte("Subject: twain\r\n\r\n"), 0o600); err != nil {
		log.Fatal(err)
	}

	a, err := archive.Open(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer a.Close()
	inbox := archive.MailboxDir{Account: "alice", Dir: "alice/INBOX"}
	v, err := a.Verify(context.Background(), inbox, archive.VerifyOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(v.Messages, "messages")
	for _, f := range v.Findings {
		fmt.Println(f.Path, f.What, f.Damage)
	}
	// Output:
	// 2 messages
	// alice/INBOX/2026-03/20260301T120000Z.17.2.eml has 18 octets; the journal says 16 true
}

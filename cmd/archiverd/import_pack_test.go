package main

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// testImportPack imports exports as zip and as tar.zst: mailboxes, octets, flags,
// keywords and dates are equal, and the second import adds nothing.
func testImportPack(t *testing.T, s *site, all []archived) {
	other := s.forTest(t)
	other.env = nil
	other.archive = filepath.Join(other.dir, "other")
	other.config = filepath.Join(other.dir, "config.yaml")
	other.configure(elsewhere)
	for i, name := range []string{"all.zip", "all.tar.zst"} {
		s.exportTo(0, name)
		file := filepath.Join(s.dir, name)
		if run := other.importFiles(0, "--account", "back", "--dry-run", file); run.Sum.Added != len(all)*(1-i) {
			t.Errorf("%s: a dry run would add %d messages, want %d", name, run.Sum.Added, len(all)*(1-i))
		}
		if run := other.importFiles(0, "--account", "back", file); run.Sum.Added != len(all)*(1-i) || run.Sum.FlagsChanged != 0 {
			t.Errorf("%s: %+v, want %d messages", name, run.Sum, len(all)*(1-i))
		}
		boxes := map[string][]string{}
		for _, m := range all {
			sum, err := hex.DecodeString(m.SHA256)
			if err != nil {
				t.Fatal(err)
			}
			boxes[m.mailbox] = append(boxes[m.mailbox], messageLine(sum, m.InternalDate, slices.Clone(m.Flags)))
		}
		for box, want := range boxes {
			equalLines(t, box, other.archiveLines("back", box), want)
		}
		var from, to []listedMailbox
		s.run("list", "--json").want(0).decode(&from)
		other.run("list", "--json", "back").want(0).decode(&to)
		if len(from) != len(to) || slices.ContainsFunc(from, func(b listedMailbox) bool {
			return !slices.ContainsFunc(to, func(o listedMailbox) bool { return o.Mailbox == b.Mailbox })
		}) {
			t.Errorf("%s: there are %d mailboxes, want %d, or others", name, len(to), len(from))
		}

		// A truncated pack: its whole messages or none are imported, and the report names it.
		octets := read(t, file)
		cut := s.write("cut."+strings.TrimPrefix(name, "all."), string(octets[:len(octets)/2]))
		part := other.importFiles(1, "--account", "part", cut)
		if part.OK() || len(part.UnreadSources) == 0 || !strings.Contains(part.UnreadSources[0], "cut off") || part.Sum.Failed > 0 {
			t.Errorf("%s: of half of it: %+v, %q", name, part.Sum, part.UnreadSources)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	other.run("verify").want(0)
}

// TestImportPackOfWhatIsGone: messages that are gone are imported with their last
// flags, and a note names this. An export of the present messages has none of them.
func TestImportPackOfWhatIsGone(t *testing.T) {
	t.Parallel()
	s := newRestoreSite(t)
	inbox := s.mailbox(s.alice, "INBOX")
	list := inbox.Messages()
	inbox.Expunge(list[1].UID)
	inbox.SetFlags(list[2].UID, "later")
	s.mailbox(s.alice, "Lists/go").Renumber(777)
	s.run("sync", "alice").want(0)
	here, all := s.archiveLines("alice", "INBOX"), append(s.archiveLines("alice", "INBOX"),
		messageLine(sha256.Sum256(list[1].Body), list[1].InternalDate, slices.Clone(list[1].Flags)))
	for _, c := range []struct {
		account string
		export  []string
		want    []string
		notes   int
	}{{"whole", []string{"whole.zip"}, all, 1}, {"now", []string{"--at", "now", "now.tar.zst"}, here, 0}, {"gone", []string{"--gone", "gone.zip"}, all[len(here):], 1}} {
		s.exportTo(0, append([]string{"--account", "alice"}, c.export...)...)
		run := s.importFiles(0, "--account", c.account, filepath.Join(s.dir, c.export[len(c.export)-1]))
		if len(run.Warnings) != c.notes || c.notes > 0 && !strings.Contains(run.Warnings[0], "gone from their mailboxes: 1 message") {
			t.Errorf("%s: it notes %q", c.account, run.Warnings)
		}
		equalLines(t, c.account, s.archiveLines(c.account, "INBOX"), c.want)
		if c.account != "gone" {
			equalLines(t, c.account, s.archiveLines(c.account, "Lists/go"), s.archiveLines("alice", "Lists/go"))
		}
	}
	s.run("verify").want(0)
}

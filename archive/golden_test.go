package archive

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// golden describes the archive of format version 1 in testdata/v1. Neither that archive
// nor this text may change: every later version must read it like this.
const golden = `
archive nekt22milvyfwvrhxzepuncgdq
alice: alice/%26Jjo.%FF%~5c9fbb8e4a3502f3 "&Jjo.\xff" "/" [] raw=true vanished=-
  journal baaj6bz42zcwyecjsg77ytinpi v=1 507 octets, seal bb0f7211b5674593f9209580add530ce18cc0f0cc1266b07275402f87e78d19e
  epoch 1 of 2026-11-23T04:30:00Z, failed map[]
    1 2026-11/20261122T091500Z.1.1.eml 154 3341a86f0f83806a96825a9f69dabeac8ef313056f34db6bb1b5b51fcf52b931 date=2026-11-22T10:15:00+01:00 flags=[] added=2026-11-23T04:30:00Z gone=- matched=""
alice: alice/%74mp "tmp" "/" [] raw=false vanished=-
  journal go3h7jm663xgzs5rxdkdgq5hlr v=1 481 octets, seal 407a4ff0488adbaf23d4f1058da6c7e6d62bbbcf58bcf25c111681bc4baae9fb
  epoch 1 of 2026-11-23T00:30:00Z, failed map[]
    1 2026-11/20261122T091500Z.1.1.eml 154 3341a86f0f83806a96825a9f69dabeac8ef313056f34db6bb1b5b51fcf52b931 date=2026-11-22T10:15:00+01:00 flags=[] added=2026-11-23T00:30:00Z gone=- matched=""
alice: alice/Entwürfe "Entwürfe" "/" ["\\Drafts"] raw=false vanished=-
  journal 2ybwyk3d6ubb437zfzxyiy7w62 v=1 1006 octets, seal ad869fb91411bdb224b14b34c11f95cd8c57393fe7f2e83d9f0eccf22d84930e
  epoch 1 of 2026-11-22T18:30:00Z, failed map[]
    1 2026-11/20261122T071500Z.1.1.eml 0 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 date=2026-11-22T08:15:00+01:00 flags=["\\Draft"] added=2026-11-22T23:30:00Z gone=- matched="uid"
alice: alice/INBOX "INBOX" "/" ["\\HasChildren"] raw=false vanished=-
  journal gmuutwmikbwauwf3twqruimzna v=1 2520 octets, seal 382cb1c04b201660f2c66376dcc56f85688b8b861659ad04d7465f4ddd2abb3a
  epoch 1700000000 of 2026-11-22T18:30:00Z, failed map[4:server sent NIL for the body]
    1 2026-10/20261031T081500Z.1700000000.1.eml 145 96cbae690c4e11055e59f8e3af89f8b2acdd53c8fae44a3adb4d40e3db09e0e8 date=2026-10-31T09:15:00+01:00 flags=["\\Flagged" "\\Seen"] added=2026-11-22T18:30:00Z gone=- matched=""
    2 2026-10/20261031T231500Z.1700000000.2.eml 189 4236ee9633d0c397675af218f8372ab33563a4a8720cddec14c5d013b9448988 date=2026-11-01T00:15:00+01:00 flags=[] added=2026-11-22T18:30:00Z gone=2026-11-22T19:30:00Z matched=""
    3 0000-00/00000000T000000Z.1700000000.3.eml 58 8e0ea0225db799911cd0151d4e5325fa05480f6a3bb3a690e829a15966a498c9 date=- flags=[] added=2026-11-22T18:30:00Z gone=- matched=""
    5 2026-11/20261122T181500Z.1700000000.5.eml 153 da55d265bc2adcfba56086681b5c661f22455121195010155031e52c991cf4fe date=2026-11-22T19:15:00+01:00 flags=["\\Recent"] added=2026-11-22T19:30:00Z gone=- matched=""
  epoch 1800000000 of 2026-11-22T20:30:00Z, failed map[]
    1 2026-10/20261031T081500Z.1800000000.1.eml 145 96cbae690c4e11055e59f8e3af89f8b2acdd53c8fae44a3adb4d40e3db09e0e8 date=2026-10-31T09:15:00+01:00 flags=["\\Flagged" "\\Seen"] added=2026-11-22T20:30:00Z gone=- matched=""
    2 2026-11/20261122T191500Z.1800000000.2.eml 148 13eb6e0d5fcb42ab5bfe08ca4f0c0c07355481f58f2d05afc26fa7c7400b48b2 date=2026-11-22T20:15:00+01:00 flags=[] added=2026-11-22T20:30:00Z gone=- matched=""
alice: alice/INBOX/Lists "INBOX/Lists" "/" ["\\HasNoChildren"] raw=false vanished=-
  journal 5sylvko5pe2sqve73wn76ira4n v=1 838 octets, seal 3216d3cb192988c640c1c3ace50f1a8ac02e3529af09b3431bac029748b87fc4
  epoch 7 of 2026-11-22T18:30:00Z, failed map[]
    1 2026-10/20261031T081500Z.7.1-2.eml 152 abc7e4b584b63cfbeb33819b07e39ddcf449b81db059dc6206d7b81af0c85757 date=2026-10-31T09:15:00+01:00 flags=[] added=2026-11-22T21:30:00Z gone=- matched=""
alice: alice/Lists%~308d5a0903f2c571 "Lists" "/" [] raw=false vanished=-
  journal 5dter6kj5opphd3pewhiul247x v=1 483 octets, seal 4b7dc6b6db977584631b1375309df81940c31e256f148b22c0f2abb204f4f933
  epoch 1 of 2026-11-23T02:30:00Z, failed map[]
    1 2026-11/20261122T091500Z.1.1.eml 154 3341a86f0f83806a96825a9f69dabeac8ef313056f34db6bb1b5b51fcf52b931 date=2026-11-22T10:15:00+01:00 flags=[] added=2026-11-23T02:30:00Z gone=- matched=""
alice: alice/R&D/%32026-11 "R&D/2026-11" "/" [] raw=false vanished=-
  journal 4baif6ei4to3ipa3xurxom626r v=1 489 octets, seal ed21b587c90d6f887a7f9a8bb03857467b153528a3b888126686372caff83c12
  epoch 1 of 2026-11-23T03:30:00Z, failed map[]
    1 2026-11/20261122T091500Z.1.1.eml 154 3341a86f0f83806a96825a9f69dabeac8ef313056f34db6bb1b5b51fcf52b931 date=2026-11-22T10:15:00+01:00 flags=[] added=2026-11-23T03:30:00Z gone=- matched=""
alice: alice/lists "lists" "/" [] raw=false vanished=-
  journal erpstahyruh2nj7f6p7ozm24dn v=1 483 octets, seal ea3f10e337b79bd3d892bd53d3c33b559e7efdd70dd752f1c4f9882b34f5aeb0
  epoch 1 of 2026-11-23T01:30:00Z, failed map[]
    1 2026-11/20261122T091500Z.1.1.eml 154 3341a86f0f83806a96825a9f69dabeac8ef313056f34db6bb1b5b51fcf52b931 date=2026-11-22T10:15:00+01:00 flags=[] added=2026-11-23T01:30:00Z gone=- matched=""
alice: alice/長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長%~148be15afab8e275 "長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長長" "/" [] raw=false vanished=-
  journal v6smmsek5cflfqrho2tpkwnuzx v=1 778 octets, seal 0470221a593d34d83058549661e79a7fc7721d9f53175a09153ce27db2928973
  epoch 1 of 2026-11-23T05:30:00Z, failed map[]
    1 2026-11/20261122T091500Z.1.1.eml 154 3341a86f0f83806a96825a9f69dabeac8ef313056f34db6bb1b5b51fcf52b931 date=2026-11-22T10:15:00+01:00 flags=[] added=2026-11-23T05:30:00Z gone=- matched=""
bob: bob/INBOX "INBOX" "/" [] raw=false vanished=-
  journal czllvvjj6pxfjhan2i2rfeivas v=1 483 octets, seal fa4632138a9fe73fd06f6055bc742882cf804e0c912aecf15ea5d663853952f6
  epoch 1 of 2026-11-23T08:30:00Z, failed map[]
    1 2026-11/20261122T111500Z.1.1.eml 145 96cbae690c4e11055e59f8e3af89f8b2acdd53c8fae44a3adb4d40e3db09e0e8 date=2026-11-22T12:15:00+01:00 flags=[] added=2026-11-23T08:30:00Z gone=- matched=""
bob: bob/Projekte/Alt "Projekte.Alt" "." [] raw=false vanished=2026-11-23T07:30:00Z
  journal blvve6ctox7plztaqauz6v4kzd v=1 650 octets, seal 385437544a8de869d0f5b06a1508b519190614de5fb99df5a4432ecb953dbc9c
  epoch 3 of 2026-11-23T06:30:00Z, failed map[]
    4294967295 1999-12/19991231T221500Z.3.4294967295.eml 145 96cbae690c4e11055e59f8e3af89f8b2acdd53c8fae44a3adb4d40e3db09e0e8 date=1999-12-31T23:15:00+01:00 flags=[] added=2026-11-23T06:30:00Z gone=- matched=""
`

// describe prints everything that the journals of an archive say.
func describe(t testing.TB, a *Archive) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "\narchive %s\n", a.ID())
	boxes, err := a.Mailboxes("")
	if err != nil {
		t.Fatal(err)
	}
	for _, box := range boxes {
		v, pos, err := a.Fold(box)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s: %s %q %q %q raw=%v vanished=%v\n", box.Account, box.Dir, v.Name.Mailbox, v.Name.Delimiter, v.Attrs, v.Name.Raw, stamp(v.Vanished))
		fmt.Fprintf(&b, "  journal %s v=%d %d octets, seal %s\n", v.Journal, v.V, pos.Offset, pos.Seal)
		for _, ep := range v.Epochs {
			fmt.Fprintf(&b, "  epoch %d of %s, failed %v\n", ep.UIDValidity, stamp(ep.Opened), ep.Failed)
			for _, m := range ep.Sorted() {
				fmt.Fprintf(&b, "    %d %s %d %s date=%s flags=%q added=%s gone=%s matched=%q\n", m.UID, m.Path, m.Size, m.Sum, stamp(m.InternalDate), m.Flags, stamp(m.Added), stamp(m.Gone), m.Matched)
			}
		}
	}
	return b.String()
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format(time.RFC3339)
}

func TestGoldenV1(t *testing.T) {
	dir := filepath.Join("testdata", "v1")
	a, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if got := describe(t, a); got != golden {
		t.Errorf("the golden archive is%swant%s", got, golden)
	}
	var found []string
	for _, f := range verify(t, dir) {
		found = append(found, fmt.Sprintf("%s: %s (damage: %v)", f.Path, f.What, f.Damage))
	}
	const want = `bob/INBOX/2026-11/20261123T110000Z.1.2.eml: no journal names it: left by an interrupted run; not part of the archive (damage: false)
bob/INBOX/journal.jsonl: ends in 114 octets without a good seal, of an interrupted write; the next sync cuts them off (damage: false)
bob/INBOX/tmp/1.3.7.part: was being received when a run was interrupted; the next sync removes it (damage: false)`
	if got := strings.Join(found, "\n"); got != want {
		t.Errorf("verify finds\n%s\nwant\n%s", got, want)
	}
	boxes, err := a.Mailboxes("")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range boxes {
		_, pos, err := a.Fold(b)
		if err != nil {
			t.Fatal(err)
		}
		seals := sealsBy(t, read(t, dir, b.Dir, journalName)[:pos.Offset])
		if got := seals[len(seals)-1]; got != pos.Seal {
			t.Errorf("%s: the last seal is %s, want %s", b.Dir, pos.Seal, got)
		}
	}
	raw := read(t, dir, "alice/INBOX/0000-00/00000000T000000Z.1700000000.3.eml")
	if got, want := string(raw), "Subject: raw octets\r\n\r\nNUL \x00, bare LF\nbare CR\r, 8 bit \xff\xfe\r\n"; got != want {
		t.Errorf("the message of raw octets is %q, want %q", got, want)
	}
}

// A writer appends to the golden archive.
func TestGoldenV1GoesOn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "v1")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "v1"))); err != nil {
		t.Fatal(err)
	}
	w := open(t, dir, Options{KnownID: "nekt22milvyfwvrhxzepuncgdq"})
	boxes, err := w.Mailboxes("")
	if err != nil {
		t.Fatal(err)
	}
	for _, box := range boxes {
		v, pos, err := w.Fold(box)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := w.DirectoryOf(box.Account, v.Name); err != nil || again != box {
			t.Errorf("%+v is placed in %q, %v; want %q", v.Name, again.Dir, err, box.Dir)
		}
		m, err := w.Mailbox(box, JournalState{ID: v.Journal, End: pos})
		if err != nil {
			t.Fatal(err)
		}
		b := begin(t, m)
		ep := v.Epoch()
		body := "From: x\r\n\r\nnew in " + box.Dir
		if err := b.Add(ep.UIDValidity, Event{UID: 77, InternalDate: clock}, int64(len(body)), strings.NewReader(body)); err != nil {
			t.Fatal(err)
		}
		hello := "From: Bob <bob@example.org>\r\nTo: alice@example.org\r\nSubject: Hello\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello, Alice.\r\n"
		if err := b.Add(ep.UIDValidity, Event{UID: 78, InternalDate: clock}, int64(len(hello)), strings.NewReader(hello)); err != nil {
			t.Fatal(err)
		}
		commit(t, w, b)
		if b.From != pos || b.Linked != 1 {
			t.Errorf("%s: the batch begins at %v, want %v; linked %d, want 1", box.Dir, b.From, pos, b.Linked)
		}
	}
	found := verify(t, dir)
	if len(found) != 1 || !strings.HasPrefix(found[0].What, "no journal names it") {
		t.Errorf("verify finds %v", found)
	}
	text, err := fs.ReadFile(os.DirFS(dir), "bob/INBOX/journal.jsonl")
	if err != nil || strings.Contains(string(text), "11-23T12:30") {
		t.Errorf("the torn tail is still there: %s, %v", text, err)
	}
	if left := inTmp(t, dir, "bob/INBOX"); len(left) > 0 {
		t.Errorf("what was being received is still there: %q", left)
	}
}

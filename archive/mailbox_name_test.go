package archive

import (
	"encoding/hex"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

func TestEscapeLevel(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"INBOX", "INBOX"},
		{"Entwürfe", "Entwürfe"},
		{"日本語", "日本語"},
		{"a b", "a b"},
		{"a/b", "a%2Fb"},
		{`a\b`, "a%5Cb"},
		{"50%", "50%25"},
		{`<>:"|?*`, "%3C%3E%3A%22%7C%3F%2A"},
		{"a\x00b\x1fc\x7f", "a%00b%1Fc%7F"},
		{"a\u0085b", "a%C2%85b"},
		{"\xff\xfe", "%FF%FE"},
		{".", "%2E"},
		{"..", "%2E%2E"},
		{"...", "%2E.%2E"},
		{".hidden", "%2Ehidden"},
		{"a.", "a%2E"},
		{"a ", "a%20"},
		{" ", "%20"},
		{"tmp", "%74mp"},
		{"TMP", "%54MP"},
		{"lock", "%6Cock"},
		{"ｌｏｃｋ", "%EF%BD%8Cｏｃｋ"},
		{"archive.json", "%61rchive.json"},
		{"state.db", "%73tate.db"},
		{"journal.jsonl", "%6Aournal.jsonl"},
		{"lost+found", "%6Cost+found"},
		{"2026-11", "%32026-11"},
		{"2026-1", "2026-1"},
		{"con", "%63on"},
		{"CON.txt", "%43ON.txt"},
		{"console", "console"},
		{"lpt1", "%6Cpt1"},
		{"zero\u200bwidth", "zero%E2%80%8Bwidth"},
		{"", "%~e3b0c44298fc1c14"},
		{"e\u0301", "e\u0301%~" + sumOf("e\u0301")}, // NFD of é
		{"\u212A", "\u212A%~" + sumOf("\u212A")},    // KELVIN SIGN, NFC of it is K
		{strings.Repeat("a", 200), strings.Repeat("a", 200)},
		{strings.Repeat("a", 201), strings.Repeat("a", 182) + "%~" + sumOf(strings.Repeat("a", 201))},
		{strings.Repeat("a", 181) + strings.Repeat("é", 50), strings.Repeat("a", 181) + "%~" + sumOf(strings.Repeat("a", 181)+strings.Repeat("é", 50))},
		{strings.Repeat("a", 180) + strings.Repeat("/", 50), strings.Repeat("a", 180) + "%~" + sumOf(strings.Repeat("a", 180)+strings.Repeat("/", 50))},
	} {
		if got := escapeLevel(c.in); got != c.want {
			t.Errorf("component(%q) = %q, want %q", c.in, got, c.want)
		}
		checkLevel(t, c.in)
	}
}

func TestEscapeRawLevel(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"Lists", "Lists"},
		{"&Jjo", "%26Jjo"},
		{"tmp", "%74mp"},
		{"\xff", "%FF%~" + sumOf("raw\x00\xff")},
		{"\xc3\xa9", "%C3%A9%~" + sumOf("raw\x00\xc3\xa9")},
		{"\xe2\x80\x8b", "%E2%80%8B%~" + sumOf("raw\x00\xe2\x80\x8b")}, // as U+200B decoded is without the suffix
	} {
		if got := escapeRawLevel(c.in); got != c.want {
			t.Errorf("rawComponent(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func sumOf(c string) string { s := withHash(c, ""); return s[2:] }

// decode is the inverse of escapeLevel for names without a hash.
func decode(t testing.TB, e string) string {
	t.Helper()
	var b strings.Builder
	for i := 0; i < len(e); i++ {
		if e[i] != '%' {
			b.WriteByte(e[i])
			continue
		}
		if i+3 > len(e) {
			t.Fatalf("%q ends within an escape", e)
		}
		octet, err := hex.DecodeString(e[i+1 : i+3])
		if err != nil {
			t.Fatalf("%q: %v", e, err)
		}
		b.Write(octet)
		i += 2
	}
	return b.String()
}

// checkLevel checks what holds for the directory name of one level.
func checkLevel(t testing.TB, c string) {
	t.Helper()
	e := escapeLevel(c)
	checkFileName(t, e)
	if !strings.Contains(e, "%~") {
		if got := decode(t, e); got != c {
			t.Errorf("%q became %q, which reads %q", c, e, got)
		}
	}
	if escapeLevel(c) != e {
		t.Errorf("component(%q) is not a function", c)
	}
}

// checkFileName checks that every file system allows the name e, and that it is not
// reserved.
func checkFileName(t testing.TB, e string) {
	t.Helper()
	switch {
	case e == "", e == ".", e == "..":
		t.Errorf("%q is no file name", e)
	case len(e) > 255:
		t.Errorf("%q has %d octets", e, len(e))
	case !utf8.ValidString(e):
		t.Errorf("%q is not UTF-8", e)
	case strings.ContainsAny(e, "/\\<>:\"|?*\x00") || strings.ContainsFunc(e, unicode.IsControl):
		t.Errorf("%q has a character that can't stand in a file name", e)
	case strings.HasPrefix(e, ".") || strings.HasSuffix(e, ".") || strings.HasSuffix(e, " "):
		t.Errorf("%q begins or ends in a dot or space", e)
	}
	// HFS+ counts 255 UTF-16 units of NFD; Greek with two marks may pass that.
	if n := len(utf16.Encode([]rune(norm.NFD.String(e)))); n > 300 {
		t.Errorf("%q has %d units in NFD", e, n)
	}
	stem, _, _ := strings.Cut(e, ".")
	for _, device := range []string{"con", "prn", "aux", "nul", "com1", "lpt9", "com¹", "conin$", "conout$"} {
		if strings.EqualFold(strings.TrimRight(stem, " "), device) {
			t.Errorf("%q is a device", e)
		}
	}
	for name, f := range foldings() {
		switch f(e) {
		case f("archive.json"), f("lock"), f("state.db"), f("tmp"), f("journal.jsonl"):
			t.Errorf("%q is %s a name of the archive's own", e, name)
		}
	}
	if isMonth(e) {
		t.Errorf("%q is a month", e)
	}
}

// foldings is what file systems may do to names before they compare them.
func foldings() map[string]func(string) string {
	forms := map[string]func(string) string{
		"": func(s string) string { return s }, "NFC": norm.NFC.String, "NFD": norm.NFD.String,
		"NFKC": norm.NFKC.String, "NFKD": norm.NFKD.String,
	}
	folds := map[string]func(string) string{
		"as is": func(s string) string { return s }, "folded": func(s string) string { return cases.Fold().String(s) },
		"lowered": strings.ToLower, "raised": strings.ToUpper,
		"lowered and raised": func(s string) string { return strings.ToUpper(strings.ToLower(s)) },
	}
	out := map[string]func(string) string{}
	for a, form := range forms {
		for b, fold := range folds {
			out[strings.TrimSpace(b+" "+a)] = func(s string) string { return form(fold(s)) }
			out[strings.TrimSpace(b+" of "+a)] = func(s string) string { return fold(form(s)) }
		}
	}
	return out
}

// foldKey is the same for all names that a file system may take for one: for every
// character of Unicode.
func TestFoldKeyCoversUnicode(t *testing.T) {
	all := foldings()
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.So) || unicode.In(r, unicode.Han, unicode.Hangul) {
			continue // those have no case
		}
		s := string(r)
		key := foldKey(s)
		for name, f := range all {
			if g := f(s); g != s && foldKey(g) != key {
				t.Errorf("%U %s is %q, but has another key", r, name, g)
			}
		}
	}
}

// checkBeside checks that a and b get different directories, and keep them.
func checkBeside(t testing.TB, a, b, plainA, plainB string) {
	t.Helper()
	da := newDirectoryNames(nil).choose(a, plainA)
	db := newDirectoryNames([]string{da}).choose(b, plainB)
	if da == db {
		if a != b {
			t.Fatalf("%q and %q are both placed in %q", a, b, da)
		}
		return
	}
	checkFileName(t, da)
	checkFileName(t, db)
	for name, f := range foldings() {
		if f(da) == f(db) {
			t.Errorf("%q and %q are placed in %q and %q, one directory on a file system where names are %s", a, b, da, db, name)
		}
	}
	for _, form := range []norm.Form{norm.NFC, norm.NFD} {
		listed := []string{form.String(db), form.String(da)}
		if got := newDirectoryNames(listed).choose(a, plainA); got != listed[1] {
			t.Errorf("%q moved from %q to %q among %q", a, da, got, listed)
		}
		if got := newDirectoryNames(listed).choose(b, plainB); got != listed[0] {
			t.Errorf("%q moved from %q to %q among %q", b, db, got, listed)
		}
	}
}

func FuzzNames(f *testing.F) {
	for _, s := range [][2]string{
		{"Lists", "lists"}, {"é", "e\u0301"}, {"straße", "STRASSE"}, {"İ", "i"}, {"ı", "I"}, {"K", "\u212A"},
		{"\u200b", "\xe2\x80\x8b"}, {"", "%~e3b0c44298fc1c14"}, {"a%2Fb", "a/b"}, {"&Jjo-", "☺"},
		{strings.Repeat("ΐ", 120), strings.Repeat("Ϊ́", 60)}, {"\u200b\u0307", "B\u0307"}, {"con", "CON"},
		{strings.Repeat("a", 300), strings.Repeat("A", 300)}, {"ﬁn", "fin"}, {"2026-11", "２０２６-11"},
		{"a" + strings.Repeat("\u0301", 40), "A" + strings.Repeat("\u0301", 40)}, {"ᾳ\u0345", "αι"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a)+len(b) > 2000 {
			return
		}
		checkLevel(t, a)
		checkLevel(t, b)
		checkFileName(t, escapeRawLevel(a))
		if a != b {
			if e := escapeLevel(a); e == escapeLevel(b) {
				t.Errorf("%q and %q both became %q", a, b, e)
			}
			if e := escapeRawLevel(a); e == escapeRawLevel(b) || e == escapeLevel(b) {
				t.Errorf("raw %q and %q both became %q", a, b, e)
			}
		}
		checkBeside(t, a, b, escapeLevel(a), escapeLevel(b))
		checkBeside(t, a, b, escapeRawLevel(a), escapeLevel(b))
		checkBeside(t, a, b, escapeLevel(a), escapeRawLevel(b))
	})
}

// hostileNames are names of mailboxes that could meet on disk or leave the archive.
func hostileNames() []Name {
	long := strings.Repeat("長い名前", 25) // 300 octets
	return []Name{
		{"INBOX", "/", false}, {"INBOX/Lists", "/", false}, {"INBOX/lists", "/", false}, {"INBOX/LISTS", "/", false},
		{"Lists", "/", false}, {"lists", "/", false}, {"Lists/a", "/", false}, {"lists/a", "/", false},
		{"&Jjo", "/", true}, {"%26Jjo", "/", false}, {"☺", "/", false}, {"&Jjo-", "/", true},
		{"\xe9t\xe9", "/", true}, {"été", "/", false}, {"e\u0301te\u0301", "/", false}, {"ÉTÉ", "/", false},
		{"tmp", "/", false}, {"Tmp", "/", false}, {"%74mp", "/", false}, {"2026-11", "/", false}, {"journal.jsonl", "/", false},
		{"archive.json", "/", false}, {"lock", "/", false}, {"con", "/", false}, {"CON", "/", false}, {"con.x", "/", false},
		{long, "/", false}, {long + "x", "/", false}, {strings.ToUpper(strings.Repeat("a", 300)), "/", false}, {strings.Repeat("a", 300), "/", false},
		{"../../etc/passwd", "/", false}, {"/etc/passwd", "/", false}, {"a//b", "/", false}, {"a/b", "/", false}, {"a/b/", "/", false},
		{"c.d", ".", false}, {"..", "/", false}, {"..", ".", false}, {"\x00", "/", false}, {"", "/", false}, {"no/levels", "", false},
		{"INBOX/tmp", "/", false}, {"tmp/journal.jsonl", "/", false}, {"2026-11/2026-11", "/", false},
	}
}

// All of a hostile server's mailboxes get directories of their own, below the archive,
// and get the same ones again later.
func TestDirectoryOf(t *testing.T) {
	names, dir := hostileNames(), t.TempDir()
	places := makeMailboxes(t, open(t, dir, Options{}), names)
	folded := map[string]string{}
	for _, b := range places {
		if other, ok := folded[foldKey(b.Dir)]; ok {
			t.Errorf("%q and %q are one directory where case folds", b.Dir, other)
		}
		folded[foldKey(b.Dir)] = b.Dir
	}
	w := open(t, dir, Options{})
	all := w.Directories()
	for i, n := range names {
		b, err := w.DirectoryOf("alice", n)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := all.For("alice", n); err != nil || again != b {
			t.Errorf("%+v is in %q, and among all in %q, %v", n, b.Dir, again.Dir, err)
		}
		if b != places[i] {
			t.Errorf("%+v moved from %q to %q", n, places[i].Dir, b.Dir)
		}
		v, _, err := w.Fold(b)
		if err != nil {
			t.Fatal(err)
		}
		if v.Name != n {
			t.Errorf("the journal in %q says %+v, want %+v", b.Dir, v.Name, n)
		}
	}
	boxes, err := w.Mailboxes("alice")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(boxes), len(names); got != want {
		t.Errorf("the archive lists %d mailboxes, want %d", got, want)
	}
	outside, err := filepath.Glob(path.Join(path.Dir(dir), "*"))
	if err != nil || len(outside) != 1 {
		t.Errorf("beside the archive lie %q, %v", outside, err)
	}
}

// makeMailboxes archives a message in a mailbox of each name, and closes the archive. It
// fails if two have the same directory.
func makeMailboxes(t *testing.T, w *Writer, names []Name) (places []MailboxDir) {
	t.Helper()
	nameOf := map[string]Name{}
	for _, n := range names {
		b, err := w.DirectoryOf("alice", n)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := nameOf[b.Dir]; ok {
			t.Errorf("%+v and %+v are both placed in %q", n, other, b.Dir)
		}
		nameOf[b.Dir] = n
		for _, part := range strings.Split(b.Dir, "/") {
			checkFileName(t, part)
		}
		m, err := w.Mailbox(b, JournalState{})
		if err != nil {
			t.Fatalf("%+v in %q: %v", n, b.Dir, err)
		}
		batch := begin(t, m)
		batch.Record(Event{Kind: Opened, Name: n, UIDValidity: 1})
		add(t, batch, 1, "octets of "+n.Mailbox)
		commit(t, w, batch)
		places = append(places, b)
	}
	shut(t, w)
	return places
}

// RFC 9051 5.1: INBOX is one mailbox in any case, and so are its children's.
func TestDirectoryOfINBOX(t *testing.T) {
	w := open(t, t.TempDir(), Options{})
	for _, c := range []struct{ name, want string }{
		{"INBOX", "alice/INBOX"}, {"inbox", "alice/INBOX"}, {"Inbox", "alice/INBOX"}, {"Inbox/a", "alice/INBOX/a"},
		{"INBOX2", "alice/INBOX2"}, {"a/inbox", "alice/a/inbox"},
	} {
		b, err := w.DirectoryOf("alice", Name{Mailbox: c.name, Delimiter: "/"})
		if err != nil {
			t.Fatal(err)
		}
		if b.Dir != c.want {
			t.Errorf("%q is placed in %q, want %q", c.name, b.Dir, c.want)
		}
	}
}

// Unescape is the inverse of Escape.
func TestUnescape(t *testing.T) {
	for _, part := range []string{"INBOX", "Entwürfe", "R&D/2026", "tmp", "2026-11", "..", "a b ", "100%", "a%20b", "con", "a\x00b", "\xff", "e\u0301", "a.b", `q"?`, "lost+found"} {
		if got := Unescape(escapeLevel(part)); got != part {
			t.Errorf("Part(%q) = %q, want %q", escapeLevel(part), got, part)
		}
		if got := Unescape(withHash(part, escapeLevel(part))); got != part {
			t.Errorf("Part(%q) = %q, want %q", withHash(part, escapeLevel(part)), got, part)
		}
	}
	long := strings.Repeat("x", 300)
	if got := Unescape(escapeLevel(long)); !strings.HasPrefix(long, got[:100]) || got == Unescape(escapeLevel(long+"y")) {
		t.Errorf("a name that was cut becomes %q", got)
	}
	for _, dir := range []string{"100%20done", "50%", "%zz", "a%41", "a%2f"} { // not the archive's
		if got := Unescape(dir); got != dir {
			t.Errorf("Part(%q) = %q", dir, got)
		}
	}
	if got := Unescape("a%2Eb"); got != "a.b" { // Maildir++
		t.Errorf("Part of a dotted name is %q", got)
	}
}

package maildir

import (
	"path"
	"slices"
	"strings"
	"testing"
)

// FuzzName reads the name of a file that anybody may have written: its flags are
// those that stand there, and written anew they are read as the same.
func FuzzName(f *testing.F) {
	for _, name := range []string{"1700000000.1.x,S=1:2,FSab", "a!2,S", "a;2,T", ":2,S", "a:2,", "a:2,S,extra", "a:2,S:2,F", "x:1,2", "\xff:2,\x00S", "a:2,SSSz"} {
		f.Add(name, "0 work\n1 $Forwarded\n25 z\n")
	}
	f.Add("a:2,abc", "0 a\n0 b\n2 \n-1 x\n99 y\n1 A\n1  \n\x00 z\n01 one")
	f.Add("0!2,a", "0 \r0") // a name that cannot be written as a line
	f.Fuzz(func(t *testing.T, name, words string) {
		if name == "" { // no file's
			return
		}
		base, letters := Split(name)
		if !strings.HasPrefix(name, base) || base == "" || base == name && letters != "" {
			t.Fatalf("Split(%q) = %q, %q", name, base, letters)
		}
		k, err := ReadKeywords(strings.NewReader(words))
		if len(k) > MaxKeywords {
			t.Fatalf("%d keywords", len(k))
		}
		flags := k.Flags(letters)
		if !slices.IsSorted(flags) || len(slices.Compact(slices.Clone(flags))) != len(flags) {
			t.Fatalf("%q means %q", letters, flags)
		}
		if err != nil { // a line that is too long
			return
		}
		b, again := Split(base + k.Info(flags))
		got := k.Flags(again)
		if b != base || len(got) != len(flags) || slices.ContainsFunc(got, func(f string) bool { return !containsFlag(flags, f) }) {
			t.Fatalf("%q, of %q, means %q; written anew %q", letters, words, flags, got)
		}
		read, err := ReadKeywords(strings.NewReader(k.String()))
		if got := read.Flags(letters); err != nil || !slices.Equal(got, flags) {
			t.Fatalf("keywords %q become %q, %v", k, read, err)
		}
	})
}

// FuzzLevels reads the name of a directory that anybody may have made, and makes
// directories for any mailbox: none leads out of the Maildir or into the folders of
// a message, and what it is called is read again.
func FuzzLevels(f *testing.F) {
	for _, dir := range []string{".Lists.go", ".Entw&APw-rfe", "..", ".", ".a..b", ".&-", ".&AGE-", "cur", "a/cur/b", "~x", "dovecot.index", ".%2E", "\xff", ".&2AA-", "INBOX", "a.b/c"} {
		f.Add(dir, false)
		f.Add(dir, true)
	}
	f.Fuzz(func(t *testing.T, dir string, nested bool) {
		Levels(dir, nested)
		// As directories of the archive: no part is empty, or leads up, or has a slash.
		levels := strings.Split(dir, "/")
		if slices.ContainsFunc(levels, func(l string) bool { return l == "" || l == "." || l == ".." || strings.ContainsAny(l, "\\\x00") }) {
			return
		}
		made, err := Dir(levels, nested)
		if err != nil {
			return
		}
		if path.Clean(made) != made || path.IsAbs(made) || made == ".." || strings.HasPrefix(made, "../") {
			t.Fatalf("%q is made as %q", levels, made)
		}
		for _, part := range strings.Split(made, "/") {
			if slices.Contains(Folders(), part) || len(part) > maxFileName {
				t.Fatalf("%q is made as %q", levels, made)
			}
		}
		if made == "." {
			return
		}
		if again, err := Dir(Levels(made, nested), nested); err != nil || again != made {
			t.Fatalf("%q, made as %q, is read as %q, %v", levels, made, again, err)
		}
	})
}

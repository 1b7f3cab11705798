package maildir

import (
	"slices"
	"strings"
	"testing"
)

func TestFlags(t *testing.T) {
	var k Keywords
	for _, name := range []string{"$Forwarded", "work", "WORK", "ключ"} {
		if !k.Add(name) {
			t.Fatalf("no letter for %s", name)
		}
	}
	if got, want := k.String(), "0 $Forwarded\n1 work\n2 ключ\n"; got != want {
		t.Errorf("the file is %q, want %q", got, want)
	}
	for info, flags := range map[string][]string{
		":2,":      {},
		":2,S":     {`\Seen`},
		":2,DFRST": {`\Answered`, `\Deleted`, `\Draft`, `\Flagged`, `\Seen`},
		":2,Pac":   {"$Forwarded", "ключ"},
		":2,RSb":   {`\Answered`, `\Seen`, "work"},
	} {
		if got := k.Info(flags); got != info {
			t.Errorf("%q becomes %q, want %q", flags, got, info)
		}
		base, letters := Split("1700000000.x,S=1" + info)
		if got := k.Flags(letters); base != "1700000000.x,S=1" || !slices.Equal(got, flags) {
			t.Errorf("%q is of %q and means %q, want %q", info, base, got, flags)
		}
	}
	if got := k.Info([]string{"unknown", `\SEEN`, `\Recent`}); got != ":2,S" {
		t.Errorf("unknown flags become %q", got)
	}
	for name, want := range map[string][2]string{"a": {"a", ""}, "a:1,x": {"a:1,x", ""}, "a!2,S": {"a", "S"}, "a:2,S,extra": {"a", "S"}, ":2,S": {":2,S", ""}} {
		if base, letters := Split(name); base != want[0] || letters != want[1] {
			t.Errorf("Split(%q) = %q, %q, want %q", name, base, letters, want)
		}
	}
	for i := range 30 {
		if got, want := k.Add(strings.Repeat("k", i+1)), i < 23; got != want {
			t.Errorf("keyword %d is taken: %v", i+4, got)
		}
	}
}

func TestReadKeywords(t *testing.T) {
	k, err := ReadKeywords(strings.NewReader("2 c\n0 a\nrubbish\n-1 x\n99 y\n3\n1000000000000 z\n25 last"))
	if err != nil || len(k) != 26 || k[0] != "a" || k[1] != "" || k[2] != "c" || k[25] != "last" {
		t.Errorf("%q, %v", k, err)
	}
	if got, want := k.Flags("abcdz"), []string{"a", "c", "last"}; !slices.Equal(got, want) {
		t.Errorf("the letters mean %q, want %q", got, want)
	}
}

func TestDir(t *testing.T) {
	for _, c := range []struct{ levels, dotted, nested string }{
		{"INBOX", ".", "."},
		{"INBOX/a", ".INBOX.a", "INBOX/a"},
		{"Entwürfe/日本", ".Entw&APw-rfe.&ZeVnLA-", "Entw&APw-rfe/&ZeVnLA-"},
		{"v1.2/R&D", ".v1%2E2.R&-D", "v1.2/R&-D"},
		{"cur/dovecot.index/~x", ".cur.dovecot%2Eindex.~x", "%63ur/%64ovecot.index/%7Ex"},
	} {
		for dir, nested := range map[string]bool{c.dotted: false, c.nested: true} {
			got, err := Dir(strings.Split(c.levels, "/"), nested)
			if err != nil || got != dir && !(dir == "." && got == ".") {
				t.Errorf("%s is called %q, %v, want %q", c.levels, got, err, dir)
			}
		}
	}
	if dir, err := Dir([]string{strings.Repeat("a", 200), strings.Repeat("b", 200)}, false); err == nil {
		t.Errorf("a name of 400 octets is called %q", dir)
	}
	if _, err := Dir([]string{strings.Repeat("a", 200), strings.Repeat("b", 200)}, true); err != nil {
		t.Error(err)
	}
	for dir, want := range map[string]string{".Entw&APw-rfe.&ZeVnLA-": "Entwürfe|日本", ".a": "a", ".a&b": "a&b", ".Größe": "Größe"} {
		if got := strings.Join(Levels(dir, false), "|"); got != want {
			t.Errorf("%q is %q, want %q", dir, got, want)
		}
	}
	if got := strings.Join(Levels("a.b/Entw&APw-rfe", true), "|"); got != "a.b|Entwürfe" {
		t.Errorf("nested levels are %q", got)
	}
}

package ui

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"archiverd/internal/safetext"
)

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		line, prefix string
		width        int
		want         []string
	}{
		{"", "", 10, []string{""}},
		{"short", "", 10, []string{"short"}},
		{"a line of words", "", 0, []string{"a line of words"}},
		{"a line of words", "", 7, []string{"a line", "of", "words"}},
		{"> a line of words", "> ", 9, []string{"> a line", "> of", "> words"}},
		{"Subject: a line of words", "    ", 12, []string{"Subject: a", "    line of", "    words"}},
		{"x http://a.example/b-c?d=e y", "", 10, []string{"x", "http://a.example/b-c?d=e", "y"}},
		{"日本語日本語", "", 5, []string{"日本", "語日", "本語"}},
		{"a\tb c d e f", "", 5, []string{"a\tb c d e f"}},
		{">>>>>>>>>> a b", ">>>>>>>>>> ", 10, []string{">>>>>>>>>>", "a b"}},
		{"  - an item of a list", "", 10, []string{"  - an", "item of a", "list"}},
	} {
		if got := wrap(c.line, c.prefix, c.width); !slices.Equal(got, c.want) {
			t.Errorf("wrap(%q, %q, %d) = %q, want %q", c.line, c.prefix, c.width, got, c.want)
		}
	}
}

// TestWrapIsLinear: a line 16 times as long takes about 16 times the processor time, not
// 256 times, whatever is in it.
func TestWrapIsLinear(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	processorTime := func() time.Duration {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	for _, unit := range []string{"日本語", "a\u0301", "é ", "🇩🇪", "> ", "ab cd "} {
		shortest := func(n int) time.Duration {
			best := time.Hour
			for range 3 {
				start := processorTime()
				wrap(strings.Repeat(unit, n), "> ", 80)
				best = min(best, processorTime()-start)
			}
			return max(best, time.Millisecond)
		}
		if short, long := shortest(4_000), shortest(64_000); long > 100*short {
			t.Errorf("%q: %v for 4,000 of them, %v for 64,000", unit, short, long)
		}
	}
}

// TestWrapRealMail wraps lines of real mail for a narrow terminal: no text is lost.
func TestWrapRealMail(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("ARCHIVERD_TEST_MAIL")
	if dir == "" {
		t.Skip("ARCHIVERD_TEST_MAIL names no directory of mail")
	}
	withoutSpaces := func(s string) string { return strings.ReplaceAll(s, " ", "") }
	messages := 0
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".eml" {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		messages++
		text := safetext.Text(string(b[:min(len(b), 20_000)]))
		for line := range strings.SplitSeq(strings.ReplaceAll(text, "\t", " "), "\n") {
			prefix := quotePrefix(line)
			wrapped := strings.Join(wrap(line, prefix, 40), "")
			if len(withoutSpaces(wrapped)) < len(withoutSpaces(line)) {
				t.Errorf("%s: a wrapped line lacks something:\n%q\n%q", path, line, wrapped)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if messages == 0 {
		t.Errorf("no mail in %s", dir)
	}
}

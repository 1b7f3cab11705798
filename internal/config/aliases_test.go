package config

import (
	"runtime"
	"strings"
	"testing"
)

// A few kilobytes whose aliases stand for thousands of accounts with thousands of
// patterns each are refused before they are expanded.
func TestAliasesAreNotExpandedWithoutEnd(t *testing.T) {
	text := "archive: {path: /mail}\naccounts:\n- &a\n  name: a\n  server: imap.example.com\n  username: u\n  password_file: /p\n" +
		"  mailboxes: {exclude: &l [" + strings.Repeat("x,", 999) + "x], include: *l}\n" + strings.Repeat("- *a\n", 999)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Parse("config.yaml", []byte(text))
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "aliases (*)") {
		t.Errorf("error %.200v", err)
	}
	if n := strings.Count(err.Error(), "aliases (*)"); n != 1 {
		t.Errorf("reported %d times", n)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 200<<20 {
		t.Errorf("%d octets were allocated for a file of %d", used, len(text))
	} else {
		t.Logf("%d MiB allocated in all", used>>20)
	}
}

// Aliases as a person writes them are read.
func TestAliasesOfAFewAccounts(t *testing.T) {
	text := "archive: {path: /mail}\naccounts:\n- {name: a, server: imap.example.com, username: u, password_file: &p /p, mailboxes: &m {exclude: [Spam, Trash]}}\n" +
		"- {name: b, server: imap.example.com, username: v, password_file: *p, mailboxes: *m}\n"
	c, err := Parse("config.yaml", []byte(text))
	if err != nil && strings.Contains(err.Error(), "aliases") || c == nil {
		t.Errorf("%+v, %v", c, err)
	}
}

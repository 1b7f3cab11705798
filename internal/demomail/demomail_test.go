package demomail

import (
	"bytes"
	"io/fs"
	"regexp"
	"slices"
	"testing"
)

func load(t *testing.T) (mailboxes []Mailbox, now, later []Item) {
	t.Helper()
	mailboxes, err := Mailboxes()
	if err != nil {
		t.Fatal(err)
	}
	if now, err = Load(); err != nil {
		t.Fatal(err)
	}
	if later, err = Later(); err != nil {
		t.Fatal(err)
	}
	return mailboxes, now, later
}

// TestIndex: every message is in a mailbox that exists, and every file is used.
func TestIndex(t *testing.T) {
	mailboxes, now, later := load(t)
	if n := len(now); n < 30 || n > 50 {
		t.Errorf("%d messages, want a few dozen", n)
	}
	if n := len(later); n < 3 || n > 5 {
		t.Errorf("%d messages later, want a handful", n)
	}
	used := make(map[string]bool)
	for _, it := range slices.Concat(now, later) {
		used[it.File] = true
		i := slices.IndexFunc(mailboxes, func(m Mailbox) bool { return m.Name == it.Mailbox })
		if i < 0 || slices.Contains(mailboxes[i].Attrs, `\Noselect`) {
			t.Errorf("%s is in %q, which holds no messages", it.File, it.Mailbox)
		}
	}
	names, err := fs.Glob(files, "mail/*.eml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !used[name[len("mail/"):]] {
			t.Errorf("%s is in no mailbox", name)
		}
	}
}

// TestOctets: no editor and no version control has changed the line ends of the unusual
// messages.
func TestOctets(t *testing.T) {
	_, now, later := load(t)
	var bare, nul, unterminated, high int
	mailboxes := make(map[string][]string)
	for _, it := range slices.Concat(now, later) {
		mailboxes[string(it.Body)] = append(mailboxes[string(it.Body)], it.Mailbox)
		switch crlf := bytes.Count(it.Body, []byte("\r\n")); {
		case crlf == 0:
			bare++
		case crlf != bytes.Count(it.Body, []byte("\n")):
			t.Errorf("%s mixes CRLF and LF", it.File)
		}
		if bytes.IndexByte(it.Body, 0) >= 0 {
			nul++
		}
		if !bytes.HasSuffix(it.Body, []byte("\n")) {
			unterminated++
		}
		if slices.ContainsFunc(it.Body, func(b byte) bool { return b >= 0x80 }) {
			high++
		}
	}
	if bare != 1 || nul != 1 || unterminated != 1 || high < 3 {
		t.Errorf("%d with bare LF, %d with NUL, %d without a line end, %d with 8-bit octets; want 1, 1, 1 and some", bare, nul, unterminated, high)
	}
	twice := 0
	for _, in := range mailboxes {
		if len(in) == 2 && in[0] != in[1] {
			twice++
		}
	}
	if twice != 1 {
		t.Errorf("%d messages are in two mailboxes, want 1", twice)
	}
}

// TestAddresses: every address is in a domain for examples (RFC 2606).
func TestAddresses(t *testing.T) {
	_, now, later := load(t)
	address := regexp.MustCompile(`[\w.+-]+@([\w-]+(?:\.[\w-]+)*)`)
	example := regexp.MustCompile(`^example\.(com|net|org)$`)
	for _, it := range slices.Concat(now, later) {
		for _, m := range address.FindAllSubmatch(it.Body, -1) {
			if !example.Match(m[1]) {
				t.Errorf("%s: %s", it.File, m[0])
			}
		}
	}
}

// TestZonesAndMonths: the messages are of several time zones and months.
func TestZonesAndMonths(t *testing.T) {
	_, now, later := load(t)
	zones, months := make(map[int]bool), make(map[string]bool)
	for _, it := range slices.Concat(now, later) {
		_, offset := it.InternalDate.Zone()
		zones[offset] = true
		months[it.InternalDate.UTC().Format("2006-01")] = true
	}
	if len(zones) < 6 || len(months) < 8 {
		t.Errorf("%d zones and %d months", len(zones), len(months))
	}
}

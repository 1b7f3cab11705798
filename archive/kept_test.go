package archive

import (
	"reflect"
	"strings"
	"testing"
)

// TestKeptOctets: the octets of a message that could not be archived are a file that the
// journal names: it is verified, its name is taken, and the message counts as failed.
func TestKeptOctets(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	m := mailbox(t, w, "INBOX")
	b := first(t, m, "one")
	add(t, b, 2, "tw")
	announced := int64(3)
	b.Events[len(b.Events)-1].Announced = &announced
	b.Fail("the server sent 2 octets, and announced 3")
	commit(t, w, b)
	v, _, err := w.Fold(m.MailboxDir)
	if ep := v.Epoch(); err != nil || ep.Messages[2] != nil || ep.Failed[2] != "the server sent 2 octets, and announced 3" {
		t.Fatalf("%+v, %v", ep, err)
	}
	if findings := verify(t, dir); len(findings) > 0 {
		t.Errorf("found %v", findings)
	}
	shut(t, w)
	w = open(t, dir, Options{})
	m = mailbox(t, w, "INBOX")
	b = begin(t, m)
	add(t, b, 2, "two")
	commit(t, w, b)
	if got, want := b.Events[0].Path, strings.Replace(plain(2), ".eml", "-2.eml", 1); got != want {
		t.Errorf("the message has the name %s, want %s", got, want)
	}
	write(t, []byte("xx"), dir, "alice/INBOX", plain(2))
	if findings := verify(t, dir); len(findings) != 1 || !findings[0].Damage || !strings.HasSuffix(findings[0].Path, plain(2)) {
		t.Errorf("changed octets: found %v", findings)
	}
	write(t, []byte("tw"), dir, "alice/INBOX", plain(2))
}

// TestAnnouncedLines: what was announced, and where octets are kept, is read as it was
// written; a path without a sum is an error.
func TestAnnouncedLines(t *testing.T) {
	zero, more := int64(0), int64(4712)
	added := simpleAdded()
	added.Announced = &more
	for _, e := range []Event{
		added,
		{Kind: Failed, At: clock, UID: 7, Reason: "no"},
		{Kind: Failed, At: clock, UID: 7, Reason: "no", Announced: &zero},
		{Kind: Failed, At: clock, UID: 7, Reason: "no", Announced: &more, Path: "2026-11/x.eml", Size: 0, Sum: Sum{1}},
	} {
		line := encodedLine(t, e)
		got, err := decodeEvent([]byte(line))
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%s: got %+v, %v", line, got, err)
		}
	}
	for _, line := range []string{`{"event":"failed","uid":1,"reason":"x","path":"a"}`, `{"event":"failed","uid":1,"reason":"x","path":"../a","sha256":"` + strings.Repeat("0", 64) + `"}`} {
		if e, err := decodeEvent([]byte(line)); err == nil {
			t.Errorf("%s is no error: %+v", line, e)
		}
	}
}

package restore

import (
	"testing"

	"archiverd/archive"
	"archiverd/internal/wire"
)

// listed are the mailboxes of the server of TestDestinations.
var listed = []wire.Mailbox{
	{Wire: "INBOX", Name: "INBOX", Delimiter: "."}, {Wire: "INBOX.Gr&APw-n", Name: "INBOX.Grün", Delimiter: "."},
	{Wire: "Caf&AGUDAQ-", Name: "Cafe\u0301", Delimiter: "."}, {Wire: "bad&", Name: "bad&", Raw: true},
}

// server returns a server with them.
func server(delimiter string, personal ...string) *Destinations {
	d := &Destinations{delimiter: delimiter, Personal: personal, byName: map[string]*wire.Mailbox{}, Mailboxes: map[string]*wire.Mailbox{}}
	for i := range listed {
		d.Mailboxes[listed[i].Wire] = &listed[i]
		if !listed[i].Raw {
			d.byName[FoldName(listed[i].Name)] = &listed[i]
		}
	}
	return d
}

func name(mailbox, delimiter string) archive.Name {
	return archive.Name{Mailbox: mailbox, Delimiter: delimiter}
}

func TestDestinations(t *testing.T) {
	slash, dot, inbox := server("/"), server("."), server(".", "INBOX")
	for _, c := range []struct {
		on   *Destinations
		n    archive.Name
		into string
		maps []Mapping
		want string // "" for an error
		wire string // where it is not want
	}{
		{slash, name("Lists/Go", "/"), "", nil, "Lists/Go", ""},
		{dot, name("Lists/Go", "/"), "", nil, "Lists.Go", ""},
		{slash, name("Lists.Go", "."), "", nil, "Lists/Go", ""},
		{dot, name("v1.0/notes", "/"), "", nil, "v1_0.notes", ""},
		{slash, name("inbox", "/"), "", nil, "INBOX", ""},
		{slash, name("inbox/A", "/"), "", nil, "INBOX/A", ""},
		{inbox, name("INBOX", "/"), "", nil, "INBOX", ""},
		{inbox, name("Sent", "/"), "", nil, "INBOX.Sent", ""},
		{inbox, name("INBOX.Sent", "."), "", nil, "INBOX.Sent", ""},
		{inbox, name("Grün", "/"), "", nil, "INBOX.Grün", "INBOX.Gr&APw-n"},
		{inbox, name("INBOX", "/"), "Old", nil, "INBOX.Old.INBOX", ""},
		{inbox, name("INBOX/A", "/"), "Old", nil, "INBOX.Old.INBOX.A", ""},
		{slash, name("INBOX", "/"), "Old/2026", nil, "Old/2026/INBOX", ""},
		{dot, name("Sent", "/"), "Old/2026", nil, "Old.2026.Sent", ""},
		{slash, name("Sent", "/"), "", []Mapping{{"Sent", "Sent Items"}}, "Sent Items", ""},
		{slash, name("Sent/2025", "/"), "", []Mapping{{"Sent", "Sent Items"}}, "Sent Items/2025", ""},
		{slash, name("Sentry", "/"), "", []Mapping{{"Sent", "Sent Items"}}, "Sentry", ""},
		{slash, name("A.B.C", "."), "", []Mapping{{"A", "X"}, {"A.B", "Y/Z"}}, "Y/Z/C", ""},
		{slash, name("Inbox", "/"), "", []Mapping{{"INBOX", "Old"}}, "Old", ""},
		{slash, name("A", "/"), "Top", []Mapping{{"A", "B"}}, "Top/B", ""},
		{slash, name("Ärger & Co", "/"), "", nil, "Ärger & Co", "&AMQ-rger &- Co"},
		{slash, name("Caf\u00e9", "/"), "", nil, "Cafe\u0301", "Caf&AGUDAQ-"},
		{server(""), name("A/B", "/"), "", nil, "A_B", ""},
		{slash, name("Flat.Name/x", ""), "", nil, "Flat.Name_x", ""},
		{slash, archive.Name{Mailbox: "bad&", Delimiter: "/", Raw: true}, "", nil, "bad&", ""},
		{slash, archive.Name{Mailbox: "x/bad&", Delimiter: "/", Raw: true}, "Ü", nil, "Ü/x/bad&", "&ANw-/x/bad&"},
		{slash, name("a\nb", "/"), "", nil, "", ""},
	} {
		s, err := c.on.For(c.n, c.into, c.maps)
		if (err != nil) != (c.want == "") {
			t.Errorf("%q: %v", c.n.Mailbox, err)
			continue
		}
		if err != nil {
			continue
		}
		w := c.wire
		if w == "" {
			w = c.want
		}
		if s.Name != c.want || s.Wire != w {
			t.Errorf("%q into %q by %v: %q (%q), want %q (%q)", c.n.Mailbox, c.into, c.maps, s.Name, s.Wire, c.want, w)
		}
	}
}

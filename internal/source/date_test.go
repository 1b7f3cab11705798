package source

import (
	"testing"
	"time"
)

// TestFileDate: the INTERNALDATE of a plain file comes from the name that the
// archive gave it, from its header, or from the file.
func TestFileDate(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	changed := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	const (
		date     = "Date: Mon, 2 Nov 2026 10:00:00 +0200\r\n"
		received = "Received: from a (b [::1]) by c; Mon, 2 Nov 2026 09:30:00 +0100 (CET)\r\n"
	)
	for _, c := range []struct{ name, head, want string }{
		{"20140203T040506Z.1700000000.123.eml", date, "2014-02-03T04:05:06Z"},
		{"20140203T040506Z.1700000000.123-2.eml", date, "2014-02-03T04:05:06Z"},
		{"00000000T000000Z.1700000000.123.eml", date, "2026-11-02T10:00:00+02:00"},
		{"20149903T040506Z.1.1.eml", "", "2020-01-02T03:04:05Z"},
		{"x20140203T040506Z.1.1.eml", "", "2020-01-02T03:04:05Z"},
		{"20140203T040506Z.1.eml", "", "2020-01-02T03:04:05Z"},
		{"a.eml", "", "2020-01-02T03:04:05Z"},
		{"a.eml", "Subject: x\r\n\r\n" + date, "2020-01-02T03:04:05Z"}, // not of the header
		{"a.eml", date, "2026-11-02T10:00:00+02:00"},
		{"a.eml", received, "2026-11-02T09:30:00+01:00"},
		{"a.eml", received + date, "2026-11-02T09:30:00+01:00"}, // 08:30 UTC, the Date half an hour before
		{"a.eml", "Date: Mon, 2 Nov 2026 10:31:00 +0200\r\n" + received, "2026-11-02T10:31:00+02:00"},
		{"a.eml", received + "Received: from x by y; Tue, 3 Nov 2026 09:30:00 +0100\r\n", "2026-11-02T09:30:00+01:00"}, // the topmost counts
		{"a.eml", "Received: from a by b;\r\n\tMon, 2 Nov 2026\r\n 09:30:00 GMT\r\n", "2026-11-02T09:30:00Z"},
		{"a.eml", "DATE: 2 Nov 26 10:00 +0200\n", "2026-11-02T10:00:00+02:00"},
		{"a.eml", received + "Date: Tue, 19 Jan 2038 03:14:07 +0000\r\n", "2026-11-02T09:30:00+01:00"}, // nobody has written that yet
		{"a.eml", "Date: Tue, 19 Jan 2038 03:14:07 +0000\r\n", "2020-01-02T03:04:05Z"},
		{"a.eml", "Date: Mon, 1 Jan 0001 00:00:00 +0000\r\n", "2020-01-02T03:04:05Z"},
		{"a.eml", "Date: yesterday\r\n", "2020-01-02T03:04:05Z"},
		{"a.eml", "Date: yesterday\r\n" + received, "2026-11-02T09:30:00+01:00"},
		{"a.eml", "Received: no date here\r\n" + date, "2026-11-02T10:00:00+02:00"},
		{"a.eml", "\x00\xff;\r\n;;;\n", "2020-01-02T03:04:05Z"},
	} {
		if got := Date(c.name, []byte(c.head), changed, now).Format(time.RFC3339); got != c.want {
			t.Errorf("%s with %q is of %s, want %s", c.name, c.head, got, c.want)
		}
	}
}

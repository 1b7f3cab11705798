package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"archiverd/internal/testing/dovecot"
)

// mboxes reads mbox files with Python's mailbox module and reverses the variant's
// quoting of lines.
const mboxes = `
import hashlib, json, mailbox, os, re, sys
root, variant = sys.argv[1:]
out = []
for folder, _, files in os.walk(root):
    for name in files:
        path = os.path.join(folder, name)
        box = mailbox.mbox(path, create=False)
        for key in box.iterkeys():
            raw = box.get_bytes(key)
            lines = raw.split(b"\n")
            if lines[2].startswith(b"X-IMAPbase: "):
                del lines[2]
            assert [l.split(b":")[0] for l in lines[:3]] == [b"Status", b"X-Status", b"X-Keywords"], lines[:3]
            m = box[key]
            body = b"\n".join(lines[3:])
            body = re.sub(b"(?m)^>(>*From )" if variant == "mbox" else b"(?m)^>(From )", rb"\1", body)
            if b"\r\n" not in body:
                body = body.replace(b"\n", b"\r\n")
            out.append({"file": os.path.relpath(path, root), "sha256": hashlib.sha256(body).hexdigest(),
                        "flags": lines[0].decode() + lines[1].decode(), "keywords": lines[2].decode().split(":")[1].split(), "from": m.get_from()})
json.dump(out, sys.stdout)
`

// flagsIn returns the flags that a mail program reads from the fields of an mbox.
func flagsIn(status string, keywords []string) []string {
	flags := slices.Clone(keywords)
	_, x, _ := strings.Cut(status, "X-Status:")
	for letter, flag := range map[string]string{"A": `\Answered`, "F": `\Flagged`, "T": `\Draft`, "D": `\Deleted`} {
		if strings.Contains(x, letter) {
			flags = append(flags, flag)
		}
	}
	if strings.HasPrefix(status, "Status: RO") {
		flags = append(flags, `\Seen`)
	}
	slices.Sort(flags)
	return flags
}

// testExportMbox exports to mbox files, which Python reads: octets, flags, dates.
func testExportMbox(t *testing.T, s *site, all []archived) {
	for _, format := range []string{"mbox", "mboxo"} {
		r := s.exportTo(0, "--format", format, format)
		var got []struct {
			File, SHA256, Flags, From string
			Keywords                  []string
		}
		python(t, &got, mboxes, filepath.Join(s.dir, format), format)
		if len(got) != len(all) {
			t.Fatalf("%s: Python finds %d messages, want %d", format, len(got), len(all))
		}
		of := map[string][]archived{}
		for _, m := range all {
			name := strings.Replace(m.dir, "a.mbox", "a%2Embox", 1) + ".mbox"
			of[name] = append(of[name], m)
		}
		for _, list := range of { // list sorts by date, an export by UID
			slices.SortFunc(list, func(a, b archived) int { return int(a.UID) - int(b.UID) })
		}
		changed := 0
		for _, g := range got {
			list := of[g.File]
			if len(list) == 0 {
				t.Fatalf("%s: no message belongs into %s", format, g.File)
			}
			m := list[0]
			of[g.File] = list[1:]
			if g.SHA256 != m.SHA256 {
				changed++
			}
			if want := m.InternalDate.UTC().Format(time.ANSIC); !strings.HasSuffix(g.From, " "+want) {
				t.Errorf("%s: %s is from %q, want %s", format, m.ID, g.From, want)
			}
			if got := flagsIn(g.Flags, g.Keywords); !slices.Equal(got, m.Flags) {
				t.Errorf("%s: %s has flags %q, want %q", format, m.ID, got, m.Flags)
			}
		}
		if changed != r.Sum.Altered || changed == 0 || changed > len(all)*3/4 {
			t.Errorf("%s: Python finds %d messages changed, and the report says %d of %d", format, changed, r.Sum.Altered, len(all))
		}
	}
}

// testExportMboxToDovecot has a Dovecot serve the mbox files.
func testExportMboxToDovecot(t *testing.T, s *site, all []archived) {
	srv := dovecot.StartWith(t, dovecot.Options{Format: "mbox"})
	s.exportTo(0, "--format", "mbox", "mbox")
	u := srv.User(t, "alice")
	u.Fill(t, filepath.Join(s.dir, "mbox", "alice"))
	c := u.Dial(t)
	of := map[string][]archived{}
	for _, m := range all {
		of[m.dir] = append(of[m.dir], m)
	}
	compared := 0
	for dir, list := range of {
		if dir == "alice/X-UID" {
			continue
		}
		slices.SortFunc(list, func(a, b archived) int { return int(a.UID) - int(b.UID) })
		got := c.Read(strings.TrimPrefix(strings.Replace(dir, "a.mbox", "a%2Embox", 1), "alice/") + ".mbox")
		if len(got) != len(list) {
			t.Errorf("%s: Dovecot has %d messages, want %d", dir, len(got), len(list))
			continue
		}
		for i, m := range list {
			body := read(t, filepath.Join(s.archive, m.ID))
			// Fields that Dovecot uses itself, lines that it serves quoted, octets that it changes.
			feeds, pairs := bytes.Count(body, []byte("\n")), bytes.Count(body, []byte("\r\n"))
			odd := bytes.ContainsAny(body, "\x00") || len(body) == 0 || strings.ContainsAny(string(body[:1]), " \t\r\n") || body[len(body)-1] != '\n' ||
				pairs != 0 && pairs != feeds || bytes.Contains(body, []byte("\r\r\n")) || !bytes.Contains(body, []byte("\n\n")) && !bytes.Contains(body, []byte("\n\r\n"))
			for line := range bytes.Lines(body) {
				low := strings.ToLower(string(line))
				odd = odd || strings.HasPrefix(strings.TrimLeft(low, ">"), "from ")
				for _, own := range []string{"status:", "x-status:", "x-uid:", "x-imap", "x-keywords:", "content-length:"} {
					odd = odd || strings.HasPrefix(low, own)
				}
			}
			if odd {
				continue
			}
			compared++
			if fmt.Sprintf("%x", got[i].SHA256) != sum(wireForm(body)) || !got[i].Date.Equal(m.InternalDate) || !slices.Equal(got[i].Flags, m.Flags) {
				t.Errorf("%s: Dovecot has %d octets, %v %q; want %d, %v %q", m.ID, got[i].Size, got[i].Date, got[i].Flags, m.Size, m.InternalDate, m.Flags)
			}
		}
	}
	t.Logf("%d of %d messages compared", compared, len(all))
	if compared < 3 || len(all) > 500 && compared < 250 {
		t.Errorf("only %d of %d messages were compared", compared, len(all))
	}
}

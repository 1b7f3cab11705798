package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"archiverd/internal/maildir"
)

// muttrc makes mutt copy all messages of the mailbox that it opens to a Maildir, as
// a user would.
const muttrc = `
set folder=~ mbox_type=Maildir quit=yes copy=yes confirmappend=no confirmcreate=no delete=no move=no wait_key=no resolve=no
push "<tag-pattern>~A<enter><tag-prefix><copy-message>%s<enter><exit>"
`

// muttMessage is a message as mutt has read it.
type muttMessage struct{ octets, info string }

// muttMessages returns the messages that mutt reads from an mbox file.
func muttMessages(t *testing.T, file string) (out []muttMessage) {
	t.Helper()
	mutt, script := tool(t, "mutt"), tool(t, "script") // mutt wants a terminal
	dir := t.TempDir()
	rc, to := filepath.Join(dir, "muttrc"), filepath.Join(dir, "copy")
	if err := os.WriteFile(rc, fmt.Appendf(nil, muttrc, to), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(script, "-qec", `exec "$MUTT" -n -F "$RC" -R -f "$FILE"`, "/dev/null")
	cmd.Env = append(os.Environ(), "TERM=dumb", "LC_ALL=C.UTF-8", "MUTT="+mutt, "RC="+rc, "FILE="+file, "HOME="+dir)
	keys, err := cmd.StdinPipe() // open until mutt ends: its end is a key too
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	printed, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("mutt: %v: %s", err, printed)
	}
	for name := range regularFiles(t, to) {
		_, letters := maildir.Split(filepath.Base(name))
		out = append(out, muttMessage{unmarked(read(t, filepath.Join(to, name))), ":2," + letters})
	}
	return out
}

// unmarked returns a message without the header fields that mutt removes from an
// mbox and sets itself.
func unmarked(body []byte) string {
	var out []byte
	for len(body) > 0 {
		line, rest, _ := bytes.Cut(body, []byte("\n"))
		if len(bytes.TrimSuffix(line, []byte("\r"))) == 0 {
			break
		}
		name, _, _ := strings.Cut(strings.ToLower(string(line)), ":")
		if !slices.Contains([]string{"status", "x-status", "content-length", "lines", "x-keywords", "x-imapbase"}, name) {
			out = append(append(out, line...), '\n')
		}
		body = rest
	}
	return string(append(out, body...))
}

// muttFlags returns those of the flags that mutt reads from an mbox.
func muttFlags(flags []string) []string {
	return slices.DeleteFunc(slices.Clone(flags), func(f string) bool { return f != `\Seen` && f != `\Answered` && f != `\Flagged` })
}

// plain reports whether mutt reads and writes a header without a change: all lines are
// fields that end in LF, and an empty line follows them.
func plain(body []byte) bool {
	header, _, ok := bytes.Cut(body, []byte("\n\n"))
	return ok && plainHeader.Match(header)
}

var plainHeader = regexp.MustCompile(`^(?:[!-9;-~]+:[^\r\n\x00]*(?:\n[ \t][^\r\n\x00]*)*(?:\n|$))+$`)

// unixForm returns a message with LF for CRLF, if all of its lines end in CRLF.
func unixForm(body []byte) []byte {
	if bytes.Count(body, []byte("\n")) != bytes.Count(body, []byte("\r\n")) || bytes.Contains(body, []byte("\r\r\n")) {
		return body
	}
	return bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n"))
}

var ownStatus = regexp.MustCompile(`(?mi)^(?:X-)?Status:`)

// testExportMboxToMutt exports to mboxcl2 files, in whose bodies no line is marked, and
// has mutt read them by their Content-Length: messages, octets, flags.
func testExportMboxToMutt(t *testing.T, s *site, all []archived) {
	s.exportTo(0, "--format", "mboxcl2", "cl2")
	of := map[string][]archived{}
	for _, m := range all {
		of[m.dir] = append(of[m.dir], m)
	}
	compared, from := 0, 0
	for dir, list := range of {
		got := muttMessages(t, filepath.Join(s.dir, "cl2", strings.Replace(dir, "a.mbox", "a%2Embox", 1)+".mbox"))
		if len(got) != len(list) {
			t.Errorf("%s: mutt finds %d messages, want %d", dir, len(got), len(list))
		}
		for _, m := range list {
			body := unixForm(read(t, filepath.Join(s.archive, m.ID)))
			if !plain(body) || ownStatus.Match(body) { // mutt takes flags from fields of the message's own too
				continue
			}
			compared++
			if bytes.Contains(body, []byte("\nFrom ")) {
				from++
			}
			want := muttMessage{unmarked(body), maildir.Keywords{}.Info(muttFlags(m.Flags))}
			i := slices.Index(got, want)
			if i < 0 {
				t.Errorf("%s: mutt has it not as %d octets with %s", m.ID, len(want.octets), want.info)
				continue
			}
			got = slices.Delete(got, i, i+1)
		}
	}
	t.Logf("%d of %d messages compared, %d with lines that begin with From", compared, len(all), from)
	if from == 0 || len(all) > 500 && compared < 300 {
		t.Errorf("only %d of %d messages were compared, %d with lines that begin with From", compared, len(all), from)
	}
}

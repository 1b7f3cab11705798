package main

import (
	"bytes"
	"encoding/json"
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

// notmuchConfig makes notmuch index a Maildir, and tag messages without the flag S
// as unread.
const notmuchConfig = `
[database]
path=%s
[user]
name=x
primary_email=x@example.com
[new]
tags=unread
ignore=dovecot-keywords;maildirfolder
[maildir]
synchronize_flags=true
`

// notmuchNeeds matches the files that notmuch recognises as messages.
var notmuchNeeds = regexp.MustCompile(`(?i)^(?:[^\n]+\n)*(?:From|To|Subject):`)

// notmuchFile names a file as notmuch does: by folder and octets, not by message.
type notmuchFile struct{ folder, sum string }

// notmuchExport is an exported Maildir, and what notmuch is to find in it.
type notmuchExport struct {
	t       *testing.T
	nested  bool
	root    string                   // of the Maildir
	command []string                 // notmuch with its configuration
	home    string                   // of notmuch
	flags   map[notmuchFile][]string // of the messages in the archive
	missing map[notmuchFile]bool     // messages that notmuch recognises, until it shows them
	found   map[string]bool          // paths that notmuch finds in their own folder
}

// newNotmuchExport exports all messages as a Maildir and has notmuch index it.
func newNotmuchExport(t *testing.T, s *site, all []archived, nested bool) *notmuchExport {
	t.Helper()
	notmuch := tool(t, "notmuch")
	out := fmt.Sprint("nested ", nested)
	s.exportTo(0, "--format", "maildir", fmt.Sprintf("--nested=%v", nested), out)
	root := filepath.Join(s.dir, out, "alice")
	config := s.write(out+".config", fmt.Sprintf(notmuchConfig, root))
	e := &notmuchExport{t: t, nested: nested, root: root, command: []string{notmuch, "--config=" + config}, home: s.dir,
		flags: map[notmuchFile][]string{}, missing: map[notmuchFile]bool{}, found: map[string]bool{}}
	for _, m := range all {
		dir, err := maildir.Dir(strings.Split(strings.TrimPrefix(m.dir, "alice/"), "/"), nested)
		if err != nil {
			t.Fatal(err)
		}
		f := notmuchFile{dir, m.SHA256}
		e.flags[f] = append(e.flags[f], m.Flags...)
		body := unixForm(read(t, filepath.Join(s.archive, m.ID)))
		e.missing[f] = e.missing[f] || plain(body) && notmuchNeeds.Match(body)
	}
	e.run("new", "--quiet")
	return e
}

// run runs notmuch and returns its standard output.
func (e *notmuchExport) run(args ...string) []byte {
	e.t.Helper()
	cmd := exec.Command(e.command[0], append(e.command[1:], args...)...)
	cmd.Env = append(os.Environ(), "HOME="+e.home)
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		e.t.Fatalf("notmuch %q: %v: %s", args, err, errOut.Bytes())
	}
	return out
}

// findFolders searches each folder by its name. It returns the number of folders.
func (e *notmuchExport) findFolders() int {
	e.t.Helper()
	folders := map[string]bool{}
	for f := range e.flags {
		if folders[f.folder] {
			continue
		}
		folders[f.folder] = true
		for file := range strings.Lines(string(e.run("search", "--output=files", `folder:"`+strings.TrimPrefix(f.folder, ".")+`" or folder:"`+f.folder+`"`))) {
			if file = strings.TrimSuffix(file, "\n"); filepath.Dir(file) == filepath.Join(e.root, f.folder, "cur") {
				e.found[file] = true
			}
		}
	}
	return len(folders)
}

// checkMessage checks that a message's files are the archive's, in their folders,
// and that its tags are those of the flags of all of its files.
func (e *notmuchExport) checkMessage(m notmuchMessage) {
	e.t.Helper()
	flags := []string{}
	for _, file := range m.Filename {
		folder, err := filepath.Rel(e.root, filepath.Dir(filepath.Dir(file)))
		if err != nil {
			e.t.Fatal(err)
		}
		f := notmuchFile{folder, sum(read(e.t, file))}
		if _, ok := e.flags[f]; !ok || !e.found[file] {
			e.t.Errorf("nested %v: notmuch finds %s, in its folder: %v", e.nested, file, e.found[file])
		}
		flags = append(flags, e.flags[f]...)
		delete(e.missing, f)
	}
	var want []string
	for flag, tag := range map[string]string{`\Flagged`: "flagged", `\Answered`: "replied", "$Forwarded": "passed", `\Draft`: "draft"} {
		if slices.Contains(flags, flag) {
			want = append(want, tag)
		}
	}
	if !slices.Contains(flags, `\Seen`) {
		want = append(want, "unread")
	}
	slices.Sort(want)
	tags := slices.DeleteFunc(m.Tags, func(tag string) bool { return tag == "attachment" || tag == "signed" || tag == "encrypted" })
	slices.Sort(tags)
	if !slices.Equal(tags, want) {
		e.t.Errorf("nested %v: notmuch gives %q the tags %q, want %q", e.nested, m.Filename, tags, want)
	}
}

// testExportMaildirToNotmuch exports to Maildir in both layouts. notmuch finds the
// folders, their messages and flags.
func testExportMaildirToNotmuch(t *testing.T, s *site, all []archived) {
	for _, nested := range []bool{false, true} {
		e := newNotmuchExport(t, s, all, nested)
		folders := e.findFolders()
		for _, m := range notmuchMessages(t, e.run("show", "--format=json", "--entire-thread=false", "--body=false", "*")) {
			e.checkMessage(m)
		}
		for f, isMissing := range e.missing {
			if isMissing {
				t.Errorf("nested %v: notmuch does not find %s in %s", nested, f.sum, f.folder)
			}
		}
		t.Logf("nested %v: %d of %d messages found in %d folders", nested, len(e.found), len(all), folders)
	}
}

// notmuchMessage is a message as notmuch shows it.
type notmuchMessage struct{ Filename, Tags []string }

// notmuchMessages returns the messages of the threads that notmuch prints, which are
// nested lists.
func notmuchMessages(t *testing.T, text []byte) (out []notmuchMessage) {
	t.Helper()
	if text = bytes.TrimSpace(text); bytes.HasPrefix(text, []byte("[")) {
		var list []json.RawMessage
		if err := json.Unmarshal(text, &list); err != nil {
			t.Fatalf("notmuch: %v", err)
		}
		for _, l := range list {
			out = append(out, notmuchMessages(t, l)...)
		}
		return out
	}
	var m notmuchMessage
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatalf("notmuch: %v: %.300s", err, text)
	}
	if len(m.Filename) > 0 {
		out = append(out, m)
	}
	return out
}

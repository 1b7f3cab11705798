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

// notmuchConfig has notmuch take what it finds in a Maildir, and call unread what no
// flag says was seen.
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

// notmuchNeeds is what notmuch takes a file for a message by.
var notmuchNeeds = regexp.MustCompile(`(?i)^(?:[^\n]+\n)*(?:From|To|Subject):`)

// testExportMaildirToNotmuch exports to Maildir in both layouts, and has notmuch find
// the folders, their messages and flags.
func testExportMaildirToNotmuch(t *testing.T, s *site, all []archived) {
	notmuch := tool(t, "notmuch")
	for _, nested := range []bool{false, true} {
		out := fmt.Sprint("nested ", nested)
		s.exportTo(0, "--format", "maildir", fmt.Sprintf("--nested=%v", nested), out)
		root := filepath.Join(s.dir, out, "alice")
		config := s.write(out+".config", fmt.Sprintf(notmuchConfig, root))
		run := func(args ...string) []byte {
			t.Helper()
			cmd := exec.Command(notmuch, append([]string{"--config=" + config}, args...)...)
			cmd.Env = append(os.Environ(), "HOME="+s.dir)
			var said bytes.Buffer
			cmd.Stderr = &said
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("notmuch %q: %v: %s", args, err, said.Bytes())
			}
			return out
		}
		run("new", "--quiet")

		// By folder and octets, for notmuch knows no file without its folder.
		type key struct{ folder, sum string }
		flags, want := map[key][]string{}, map[key]bool{}
		for _, m := range all {
			dir, err := maildir.Dir(strings.Split(strings.TrimPrefix(m.dir, "alice/"), "/"), nested)
			if err != nil {
				t.Fatal(err)
			}
			k := key{dir, m.SHA256}
			flags[k] = append(flags[k], m.Flags...)
			body := unixForm(read(t, filepath.Join(s.archive, m.ID)))
			want[k] = want[k] || plain(body) && notmuchNeeds.Match(body)
		}
		in := map[string]bool{} // files that notmuch finds in their folder
		folders := map[string]bool{}
		for k := range flags {
			if folders[k.folder] {
				continue
			}
			folders[k.folder] = true
			for file := range strings.Lines(string(run("search", "--output=files", `folder:"`+strings.TrimPrefix(k.folder, ".")+`" or folder:"`+k.folder+`"`))) {
				if file = strings.TrimSuffix(file, "\n"); filepath.Dir(file) == filepath.Join(root, k.folder, "cur") {
					in[file] = true
				}
			}
		}
		for _, m := range shown(t, run("show", "--format=json", "--entire-thread=false", "--body=false", "*")) {
			has := []string{} // of all of its files, as notmuch has it
			for _, file := range m.Filename {
				folder, err := filepath.Rel(root, filepath.Dir(filepath.Dir(file)))
				if err != nil {
					t.Fatal(err)
				}
				k := key{folder, sum(read(t, file))}
				if _, ok := flags[k]; !ok || !in[file] {
					t.Errorf("nested %v: notmuch finds %s, in its folder: %v", nested, file, in[file])
				}
				has = append(has, flags[k]...)
				delete(want, k)
			}
			var tags []string
			for flag, tag := range map[string]string{`\Flagged`: "flagged", `\Answered`: "replied", "$Forwarded": "passed", `\Draft`: "draft"} {
				if slices.Contains(has, flag) {
					tags = append(tags, tag)
				}
			}
			if !slices.Contains(has, `\Seen`) {
				tags = append(tags, "unread")
			}
			slices.Sort(tags)
			m.Tags = slices.DeleteFunc(m.Tags, func(tag string) bool { return tag == "attachment" || tag == "signed" || tag == "encrypted" })
			slices.Sort(m.Tags)
			if !slices.Equal(m.Tags, tags) {
				t.Errorf("nested %v: notmuch gives %q the tags %q, want %q", nested, m.Filename, m.Tags, tags)
			}
		}
		for k, lacks := range want {
			if lacks {
				t.Errorf("nested %v: notmuch does not find %s in %s", nested, k.sum, k.folder)
			}
		}
		t.Logf("nested %v: %d of %d messages found in %d folders", nested, len(in), len(all), len(folders))
	}
}

// notmuchMessage is a message as notmuch shows it.
type notmuchMessage struct{ Filename, Tags []string }

// shown are the messages in the threads that notmuch shows, lists in lists.
func shown(t *testing.T, text []byte) (out []notmuchMessage) {
	t.Helper()
	if text = bytes.TrimSpace(text); bytes.HasPrefix(text, []byte("[")) {
		var list []json.RawMessage
		if err := json.Unmarshal(text, &list); err != nil {
			t.Fatalf("notmuch: %v", err)
		}
		for _, l := range list {
			out = append(out, shown(t, l)...)
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

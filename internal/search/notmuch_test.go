package search

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"archiverd/internal/message"
)

// notmuch is another searcher of mail, over a folder of messages.
type notmuch struct {
	t            *testing.T
	program, dir string
}

// newNotmuch indexes the files of a folder, below which it writes. Its settings are
// its own, not those of whoever runs the test.
func newNotmuch(t *testing.T, mail string) *notmuch {
	t.Helper()
	n := &notmuch{t, requireProgram(t, "notmuch"), t.TempDir()}
	settings := "[database]\npath=" + mail + "\n[user]\nname=Ann\nprimary_email=ann@example.com\n[new]\ntags=\n[search]\nexclude_tags=\n"
	if err := os.WriteFile(filepath.Join(n.dir, "config"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	n.run("new", "--quiet", "--no-hooks")
	return n
}

func (n *notmuch) run(args ...string) []byte {
	n.t.Helper()
	cmd := exec.Command(n.program, args...)
	cmd.Env = append(os.Environ(), "NOTMUCH_CONFIG="+filepath.Join(n.dir, "config"), "HOME="+n.dir, "XDG_CONFIG_HOME="+n.dir, "XDG_DATA_HOME="+n.dir)
	var log strings.Builder
	cmd.Stderr = &log
	out, err := cmd.Output()
	if err != nil {
		n.t.Fatalf("notmuch %q: %v: %s", args, err, &log)
	}
	return out
}

// find returns the files that it finds. In capitals, for so it looks for the word and not
// for its stem.
func (n *notmuch) find(field, word string) []string {
	n.t.Helper()
	return strings.Fields(string(n.run("search", "--output=files", field+`:"`+strings.ToUpper(word)+`"`)))
}

// uniqueFiles are the files that it knows, but for those that share a Message-ID: it takes
// them for one message.
func (n *notmuch) uniqueFiles() []string {
	n.t.Helper()
	var all any
	if err := json.Unmarshal(n.run("show", "--format=json", "--body=false", "*"), &all); err != nil {
		n.t.Fatal(err)
	}
	var files []string
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any: // threads, and answers
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			if names, ok := v["filename"].([]any); ok && len(names) == 1 {
				files = append(files, fmt.Sprint(names[0]))
			}
		}
	}
	walk(all)
	return files
}

// emptyWord is an encoded word without text, which RFC 2047 2 does not allow: notmuch
// loses others beside it.
var emptyWord = regexp.MustCompile(`(?i)\?[bq]\?\?=`)

// readByNotmuch says what a field of a message holds, and whether notmuch may read it otherwise. So it is where our reader finds fault with the message, where octets are of
// no charset; in text that is made readable here: HTML, reports, messages within;
// in a list of addresses with comments, groups or anything else (RFC 5322 3.2.2, 3.4),
// which notmuch leaves out; and Sender is no From to it.
func readByNotmuch(t *testing.T, body, field string) (text string, apart bool) {
	t.Helper()
	m, err := message.Read(strings.NewReader(body), message.Options{AllText: true})
	if err != nil {
		t.Fatal(err)
	}
	apart = len(m.Problems) > 0 || !utf8.ValidString(body)
	if field == "text" {
		return m.Text, apart || slices.ContainsFunc(m.Parts, func(p message.Part) bool { return p.Type != "text/plain" })
	}
	for _, f := range m.Header {
		c, _ := columnOf(strings.ToLower(f.Name))
		if field == "subject" && c == subjectColumn || field == "from" && c == fromColumn || field == "to" && (c == toColumn || c == ccColumn) {
			text += f.Value + "\n"
			apart = apart || strings.EqualFold(f.Name, "Sender") ||
				c != subjectColumn && (strings.ContainsAny(f.Value, "(;") || !isAddresses(f.Value))
		}
	}
	return text, apart || emptyWord.MatchString(body)
}

func isAddresses(s string) bool {
	_, err := mail.ParseAddressList(s)
	return err == nil
}

// containsWord says whether a word stands in a text as notmuch finds it: with its accents,
// and not joined to others by ' _ or &.
func containsWord(word, text string) bool {
	return regexp.MustCompile(`(?i)(^|[^\pL\pM\pN'’_&])` + word + `($|[^\pL\pM\pN'’_&])`).MatchString(text)
}

// What notmuch finds in made-up mail, and in that of ARCHIVERD_TEST_MAIL if it is set, is
// what is found here: words of ASCII, for it keeps accents.
func TestMatchesAsInNotmuch(t *testing.T) {
	var bodies []string
	author := newGenerator(9)
	for range 60 {
		bodies = append(bodies, author.message())
	}
	if os.Getenv("ARCHIVERD_TEST_MAIL") != "" {
		bodies = append(bodies, realMail(t)...)
	}
	dir := t.TempDir()
	var files []string
	var docs []*document
	for i, body := range bodies {
		d, err := documentReader{newWordFolder()}.read(strings.NewReader(body), false)
		if err != nil {
			t.Fatal(err)
		}
		f := filepath.Join(dir, fmt.Sprintf("%04d", i))
		if err := os.WriteFile(f, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		docs, files = append(docs, d), append(files, f)
	}
	n := newNotmuch(t, dir)
	alone := n.uniqueFiles()
	a := rand.New(rand.NewPCG(6, 6))
	plain := regexp.MustCompile(`^[a-z]{3,}$`)
	some, excused := 0, 0
	for _, field := range []struct {
		name, theirs string
		columns      []column
	}{{"from", "from", []column{fromColumn}}, {"to", "to", []column{toColumn, ccColumn}}, {"subject", "subject", []column{subjectColumn}}, {"text", "body", []column{textColumn}}} {
		set := map[string]bool{}
		for _, d := range docs {
			for _, c := range field.columns {
				for _, w := range strings.Fields(d.words[c]) {
					if plain.MatchString(w) {
						set[w] = true
					}
				}
			}
		}
		words := slices.Sorted(maps.Keys(set))
		a.Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
		for _, w := range words[:min(len(words), 30)] {
			found := n.find(field.theirs, w)
			q := parse(t, field.name+":"+w)
			for i, f := range files {
				ours, theirs := q.matchesDocument(docs[i], int64(len(bodies[i]))), slices.Contains(found, f)
				if !slices.Contains(alone, f) || theirs == ours {
					if theirs {
						some++
					}
					continue
				}
				if text, apart := readByNotmuch(t, bodies[i], field.name); apart || ours && !containsWord(w, text) {
					excused++
				} else {
					t.Errorf("%s: %s:%s finds it: %v; notmuch: %v", filepath.Base(f), field.name, w, ours, theirs)
				}
			}
		}
	}
	t.Logf("%d messages, of which notmuch knows %d each by itself; %d results, %d that differ for a reason", len(bodies), len(alone), some, excused)
	if len(alone) < len(bodies)/2 || some < 100 {
		t.Errorf("of %d messages notmuch knows %d; %d results", len(bodies), len(alone), some)
	}
}

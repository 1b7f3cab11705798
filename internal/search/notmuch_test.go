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

// notmuch is a database of the mail indexer notmuch.
type notmuch struct {
	t            *testing.T
	program, dir string
}

// newNotmuch indexes the files of a directory, below which notmuch writes. The user's
// configuration is not used.
func newNotmuch(t *testing.T, mailDir string) *notmuch {
	t.Helper()
	n := &notmuch{t, requireProgram(t, "notmuch"), t.TempDir()}
	settings := "[database]\npath=" + mailDir + "\n[user]\nname=Ann\nprimary_email=ann@example.com\n[new]\ntags=\n[search]\nexclude_tags=\n"
	writeFile(t, filepath.Join(n.dir, "config"), []byte(settings))
	n.run("new", "--quiet", "--no-hooks")
	return n
}

// run returns the output of a notmuch command.
func (n *notmuch) run(args ...string) []byte {
	n.t.Helper()
	cmd := exec.Command(n.program, args...)
	cmd.Env = append(os.Environ(), "NOTMUCH_CONFIG="+filepath.Join(n.dir, "config"), "HOME="+n.dir, "XDG_CONFIG_HOME="+n.dir, "XDG_DATA_HOME="+n.dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		n.t.Fatalf("notmuch %q: %v: %s", args, err, &stderr)
	}
	return out
}

// find returns the files with a word in a field. A word in capitals is not stemmed.
func (n *notmuch) find(field, word string) []string {
	n.t.Helper()
	return strings.Fields(string(n.run("search", "--output=files", field+`:"`+strings.ToUpper(word)+`"`)))
}

// uniqueFiles returns the files whose Message-ID no other file has. Files with the same
// Message-ID are one message to notmuch.
func (n *notmuch) uniqueFiles() []string {
	n.t.Helper()
	var threads any
	if err := json.Unmarshal(n.run("show", "--format=json", "--body=false", "*"), &threads); err != nil {
		n.t.Fatal(err)
	}
	var files []string
	var visit func(any)
	visit = func(v any) {
		switch v := v.(type) {
		case []any: // threads, messages with their replies
			for _, e := range v {
				visit(e)
			}
		case map[string]any:
			if names, ok := v["filename"].([]any); ok && len(names) == 1 {
				files = append(files, fmt.Sprint(names[0]))
			}
		}
	}
	visit(threads)
	return files
}

// emptyWord is an encoded word without text, which RFC 2047 2 does not allow. notmuch
// loses the encoded words beside it.
var emptyWord = regexp.MustCompile(`(?i)\?[bq]\?\?=`)

// fieldText returns the text of a query's field in a message, and whether notmuch may read
// it differently: if the message has problems or invalid UTF-8; if its text is not only
// text/plain, or in addresses with comments, groups or faults (RFC 5322 3.2.2, 3.4).
// notmuch does not search Sender as From.
func fieldText(t *testing.T, raw, field string) (text string, mayDiffer bool) {
	t.Helper()
	m, err := message.Read(strings.NewReader(raw), message.Options{AllText: true})
	if err != nil {
		t.Fatal(err)
	}
	mayDiffer = len(m.Problems) > 0 || !utf8.ValidString(raw)
	if field == "text" {
		return m.Text, mayDiffer || slices.ContainsFunc(m.Parts, func(p message.Part) bool { return p.Type != "text/plain" })
	}
	for _, f := range m.Header {
		c, _ := columnOf(strings.ToLower(f.Name))
		if !slices.Contains(wordFields[field], c) {
			continue
		}
		text += f.Value + "\n"
		mayDiffer = mayDiffer || strings.EqualFold(f.Name, "Sender") ||
			c != subjectColumn && (strings.ContainsAny(f.Value, "(;") || !isAddressList(f.Value))
	}
	return text, mayDiffer || emptyWord.MatchString(raw)
}

func isAddressList(s string) bool {
	_, err := mail.ParseAddressList(s)
	return err == nil
}

// containsWord reports whether a text has a word as notmuch splits words: with accents,
// and not joined to others by ' _ or &.
func containsWord(text, word string) bool {
	return regexp.MustCompile(`(?i)(^|[^\pL\pM\pN'’_&])` + word + `($|[^\pL\pM\pN'’_&])`).MatchString(text)
}

// randomWords returns 30 ASCII words of a field.
func randomWords(r *rand.Rand, documents []*document, field string) []string {
	ascii := regexp.MustCompile(`^[a-z]{3,}$`)
	set := map[string]bool{}
	for _, d := range documents {
		for _, c := range wordFields[field] {
			for _, w := range strings.Fields(d.words[c]) {
				if ascii.MatchString(w) {
					set[w] = true
				}
			}
		}
	}
	words := slices.Sorted(maps.Keys(set))
	r.Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
	return words[:min(len(words), 30)]
}

// Queries for ASCII words match generated and real mail exactly when notmuch finds it.
// Other words differ: notmuch keeps accents.
func TestMatchesAsInNotmuch(t *testing.T) {
	var messages []string
	g := newGenerator(9)
	for range 60 {
		messages = append(messages, g.message())
	}
	if os.Getenv("ARCHIVERD_TEST_MAIL") != "" {
		messages = append(messages, realMail(t)...)
	}
	documents := readDocuments(t, messages)
	dir := t.TempDir()
	files := writeMessages(t, dir, messages)
	n := newNotmuch(t, dir)
	unique := n.uniqueFiles()
	r := rand.New(rand.NewPCG(6, 6))
	agreed, differences := 0, 0
	for _, field := range []struct{ name, notmuch string }{{"from", "from"}, {"to", "to"}, {"subject", "subject"}, {"text", "body"}} {
		for _, w := range randomWords(r, documents, field.name) {
			found := n.find(field.notmuch, w)
			q := parse(t, field.name+":"+w)
			for i, f := range files {
				ours, theirs := q.matchesDocument(documents[i], int64(len(messages[i]))), slices.Contains(found, f)
				if !slices.Contains(unique, f) || theirs == ours {
					if theirs {
						agreed++
					}
					continue
				}
				if text, mayDiffer := fieldText(t, messages[i], field.name); mayDiffer || ours && !containsWord(text, w) {
					differences++
				} else {
					t.Errorf("message %s matches %s:%s: %v; with notmuch: %v", filepath.Base(f), field.name, w, ours, theirs)
				}
			}
		}
	}
	t.Logf("%d messages, %d with a Message-ID of their own; %d matches agree, %d differ for a known reason", len(messages), len(unique), agreed, differences)
	if len(unique) < len(messages)/2 || agreed < 100 {
		t.Errorf("too few comparisons: %d of %d messages, %d matches", len(unique), len(messages), agreed)
	}
}

package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// searchLimit is the number of results that the searches request.
const searchLimit = "20"

// benchSearch measures searches of an archive of small messages, with an index and without
// one. It runs the whole command, as a person does. Different answers are an error. only,
// if it is not nil, selects queries. It prints the table, in Markdown, to out.
func benchSearch(out io.Writer, dir string, messages, rounds int, only *regexp.Regexp) (err error) {
	dir, program, remove, err := buildProgram(dir)
	if err != nil {
		return err
	}
	defer remove(&err)
	c := &searchBench{program: program, dir: dir, archive: filepath.Join(dir, "archive"), rounds: rounds}
	octets, err := makeArchive(c.archive, messages)
	if err != nil {
		return fmt.Errorf("make an archive: %w", err)
	}
	indexing, _, err := c.run("index", "--archive", c.archive)
	if err != nil {
		return err
	}
	index := filepath.Join(c.archive, "state.db.index")
	st, err := os.Stat(index)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d messages, %s, in files on %s; %d processors; medians of %d, --limit %s. The index: %s, %d octets a message, created in %v.\n\n",
		messages, humanize.IBytes(uint64(octets)), fileSystem(dir), runtime.NumCPU(), rounds, searchLimit,
		humanize.IBytes(uint64(st.Size())), st.Size()/int64(messages), indexing.Round(time.Millisecond))
	queries := slices.DeleteFunc(searchQueries(messages), func(q searchQuery) bool { return only != nil && !only.MatchString(q.String()) })
	with, err := c.measureAll(queries)
	if err != nil {
		return err
	}
	if err := os.Rename(index, index+".aside"); err != nil {
		return err
	}
	without, err := c.measureAll(queries)
	if err != nil {
		return err
	}
	return printSearches(out, queries, with, without)
}

// searchBench runs archiverd on one archive.
type searchBench struct {
	program, dir, archive string
	rounds                int
}

// searchResult is the median time of a query, and the output of the command.
type searchResult struct {
	took   time.Duration
	answer string
}

// run runs archiverd once and returns the time and the output.
func (c *searchBench) run(args ...string) (took time.Duration, printed string, err error) {
	cmd := exec.Command(c.program, args...)
	cmd.Dir = c.dir
	var answer, notes bytes.Buffer
	cmd.Stdout, cmd.Stderr = &answer, &notes
	started := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, "", fmt.Errorf("archiverd %q: %w: %s", args, err, &notes)
	}
	return time.Since(started), answer.String() + notes.String(), nil
}

// measureAll measures the queries one after the other.
func (c *searchBench) measureAll(queries []searchQuery) ([]searchResult, error) {
	results := make([]searchResult, len(queries))
	for i, q := range queries {
		var err error
		if results[i], err = c.measure(q); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// measure runs a query once to fill the cache of the kernel, and then once for each round.
func (c *searchBench) measure(q searchQuery) (r searchResult, err error) {
	var times []time.Duration
	for i := range c.rounds + 1 {
		took, printed, err := c.run(slices.Concat([]string{"search", "--archive", c.archive, "--limit", searchLimit, "--json"}, q.options, []string{"--", q.query})...)
		if err != nil {
			return r, err
		}
		if r.answer = printed; i > 0 {
			times = append(times, took)
		}
	}
	slices.Sort(times)
	r.took = times[len(times)/2]
	return r, nil
}

// printSearches prints the table. The error names a query with different answers.
func printSearches(out io.Writer, queries []searchQuery, with, without []searchResult) error {
	fmt.Fprintf(out, "| query | with the index | without | found |\n|---|---|---|---|\n")
	for i, q := range queries {
		answer := without[i].answer
		if answer != with[i].answer {
			return fmt.Errorf("%s: with the index the answer is\n%s\nand without\n%s", q, with[i].answer, answer)
		}
		found := fmt.Sprint(strings.Count(answer, `"sha256"`))
		if strings.Contains(answer, "there are more") {
			found += " and more"
		}
		fmt.Fprintf(out, "| `%s` | %v | %v | %s |\n", q, with[i].took.Round(time.Millisecond), without[i].took.Round(time.Millisecond), found)
	}
	return nil
}

// The date of the first message in the archive that is searched, and the time at which all
// of them were archived.
var (
	firstMailDate = time.Date(2013, 1, 1, 0, 0, 0, 0, time.UTC)
	archivedAt    = firstMailDate.AddDate(10, 0, 0)
)

// searchQuery is a query to measure, with options of the command.
type searchQuery struct {
	query   string
	options []string
}

func (s searchQuery) String() string {
	return strings.Join(append(slices.Clone(s.options), s.query), " ")
}

// searchQueries returns the queries to measure.
func searchQueries(messages int) []searchQuery {
	return []searchQuery{
		{query: rareWord(messages / 3)},
		{query: word(0)},
		{query: word(0) + " " + word(1) + " " + word(2)},
		{query: `"` + word(0) + " " + word(1) + `"`},
		{query: "from:user17"},
		{query: "subject:" + word(0) + " -" + word(1)},
		{query: word(1)[:1] + "*"},
		{query: word(1)[:2] + "*"},
		{query: word(1234)[:3] + "*"},
		{query: word(0) + " mailbox:sent"},
		{query: word(0) + " flag:flagged"},
		{query: word(0) + " before:2018-01-01"},
		{query: word(0) + " has:attachment larger:1kB"},
		{query: "flag:flagged"},
		{query: "-" + word(0)},
		{word(0), []string{"--at", archivedAt.Add(time.Hour).Format(time.RFC3339)}},
		{word(0), []string{"--gone"}},
	}
}

// word returns word n of a generated language, in which 0 is the most common. It has
// syllables, so that words begin in as many ways as those of a real language.
func word(n int) string {
	const consonants, vowels = "bcdfghjklmnprstvwxyz", "aeiou"
	s := ""
	for {
		syllable := n * 37 % 100
		s += consonants[syllable/5:][:1] + vowels[syllable%5:][:1]
		if n /= 100; n == 0 {
			return s
		}
	}
}

// rareWord returns a word that seven messages have, message n among them.
func rareWord(n int) string { return fmt.Sprintf("q%d", n/7) }

// generateMail returns message n: some 60 words with the frequencies of a language. One in
// ten has an attachment.
func generateMail(n int) string {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	common := rand.NewZipf(r, 1.1, 3, 200_000)
	text := func(words int) string {
		var b strings.Builder
		for range words {
			b.WriteString(word(int(common.Uint64())) + " ")
		}
		return b.String()
	}
	head := fmt.Sprintf("From: user%d@example.com\r\nTo: me@example.org\r\nSubject: %s\r\nMessage-ID: <%d@example.com>\r\n", r.IntN(2000), text(6), n)
	body := text(50) + rareWord(n) + "\r\n"
	if n%10 > 0 {
		return head + "\r\n" + body
	}
	return head + "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + body +
		"--b\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=data.bin\r\n\r\n" +
		strings.Repeat("0123456789", 60) + "\r\n--b--\r\n"
}

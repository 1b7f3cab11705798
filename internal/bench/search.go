package main

import (
	"bytes"
	"errors"
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

	"archiverd/archive"
	"archiverd/internal/uid"
)

// searchLimit is how many results the searches ask for.
const searchLimit = "20"

// benchSearch measures searches of an archive of so many small messages, with an
// index and without one, as a person has them: the whole command. The answers must be
// the same. only, if it is not nil, matches the queries that are wanted. The table, of
// Markdown, goes to out.
func benchSearch(out io.Writer, dir string, messages, rounds int, only *regexp.Regexp) (err error) {
	dir, program, remove, err := begin(dir)
	if err != nil {
		return err
	}
	defer remove(&err)
	place := filepath.Join(dir, "archive")
	octets, err := makeArchive(place, messages)
	if err != nil {
		return fmt.Errorf("make an archive: %w", err)
	}
	run := func(args ...string) (took time.Duration, said, log string, err error) {
		cmd := exec.Command(program, args...)
		cmd.Dir = dir
		var answer, notes bytes.Buffer
		cmd.Stdout, cmd.Stderr = &answer, &notes
		began := time.Now()
		if err := cmd.Run(); err != nil {
			return 0, "", "", fmt.Errorf("archiverd %q: %w: %s", args, err, &notes)
		}
		return time.Since(began), answer.String(), notes.String(), nil
	}
	indexing, _, _, err := run("index", "--archive", place)
	if err != nil {
		return err
	}
	index := filepath.Join(place, "state.db.index")
	st, err := os.Stat(index)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d messages, %s, in files on %s; %d processors; medians of %d, --limit %s. The index: %s, %d octets a message, made in %v.\n\n",
		messages, humanize.IBytes(uint64(octets)), fileSystem(dir), runtime.NumCPU(), rounds, searchLimit,
		humanize.IBytes(uint64(st.Size())), st.Size()/int64(messages), indexing.Round(time.Millisecond))
	queries := slices.DeleteFunc(searches(messages), func(q searched) bool { return only != nil && !only.MatchString(q.String()) })
	measure := func(q searched) (time.Duration, string, error) {
		var times []time.Duration
		answer := ""
		for i := range rounds + 1 { // the first fills the kernel's cache
			took, said, log, err := run(slices.Concat([]string{"search", "--archive", place, "--limit", searchLimit, "--json"}, q.options, []string{"--", q.query})...)
			if err != nil {
				return 0, "", err
			}
			if answer = said + log; i > 0 {
				times = append(times, took)
			}
		}
		slices.Sort(times)
		return times[len(times)/2], answer, nil
	}
	type result struct {
		took   time.Duration
		answer string
	}
	with := make([]result, len(queries))
	for i, q := range queries {
		if with[i].took, with[i].answer, err = measure(q); err != nil {
			return err
		}
	}
	if err := os.Rename(index, index+".aside"); err != nil {
		return err
	}
	fmt.Fprintf(out, "| query | with the index | without | found |\n|---|---|---|---|\n")
	for i, q := range queries {
		took, answer, err := measure(q)
		if err != nil {
			return err
		}
		if answer != with[i].answer {
			return fmt.Errorf("%s: with the index the answer is\n%s\nand without\n%s", q, with[i].answer, answer)
		}
		found := fmt.Sprint(strings.Count(answer, `"sha256"`))
		if strings.Contains(answer, "there are more") {
			found += " and more"
		}
		fmt.Fprintf(out, "| `%s` | %v | %v | %s |\n", q, with[i].took.Round(time.Millisecond), took.Round(time.Millisecond), found)
	}
	return nil
}

// The mail of the archive that is searched, and when it was archived.
var (
	firstMail = time.Date(2013, 1, 1, 0, 0, 0, 0, time.UTC)
	archived  = firstMail.AddDate(10, 0, 0)
)

// searched is a query that is measured, and the options of the command with it.
type searched struct {
	query   string
	options []string
}

func (s searched) String() string { return strings.Join(append(slices.Clone(s.options), s.query), " ") }

// searches are the queries that are measured.
func searches(messages int) []searched {
	return []searched{
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
		{word(0), []string{"--at", archived.Add(time.Hour).Format(time.RFC3339)}},
		{word(0), []string{"--gone"}},
	}
}

// word is the n-th word of a language, from the most common one on: syllables, so that
// words begin in as many ways as in a language.
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

// rareWord is one that seven messages have.
func rareWord(n int) string { return fmt.Sprintf("q%d", n/7) }

// mail is the n-th message: some 60 words, common and rare as in a language.
func mail(n int) string {
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

// makeArchive makes an archive of so many messages, some of which are gone. It returns
// their octets.
func makeArchive(dir string, messages int) (octets int64, err error) {
	now := archived
	w, err := archive.OpenWriter(dir, archive.Options{Now: func() time.Time { return now }})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	n := 0
	for _, share := range []struct {
		name    string
		percent int
	}{{"INBOX", 50}, {"Archive", 30}, {"Lists/go", 15}, {"Sent", 5}} {
		now = archived
		name := archive.Name{Mailbox: share.name, Delimiter: "/"}
		box, err := w.DirectoryOf("bench", name)
		if err != nil {
			return 0, err
		}
		m, err := w.Mailbox(box, "", archive.Position{})
		if err != nil {
			return 0, err
		}
		count := max(1, messages*share.percent/100)
		for first := 1; first <= count; first += 5000 {
			b, err := m.Batch()
			if err != nil {
				return 0, err
			}
			if first == 1 {
				b.Record(archive.Event{Kind: archive.Opened, Name: name, UIDValidity: 1})
			}
			for u := first; u <= min(count, first+4999); u++ {
				text := mail(n)
				e := archive.Event{UID: uint32(u), Flags: []string{`\Seen`}, InternalDate: firstMail.Add(time.Duration(u) * archived.Sub(firstMail) / time.Duration(count))}
				if u%1000 == 1 {
					e.Flags = []string{`\Flagged`, `\Seen`}
				}
				if err := b.Add(1, e, int64(len(text)), strings.NewReader(text)); err != nil {
					return 0, errors.Join(err, b.Discard())
				}
				n++
				octets += int64(len(text))
			}
			if w.Commit(func(archive.Sum) (string, bool) { return "", false }, b); b.Err != nil {
				return 0, b.Err
			}
		}
		now = archived.AddDate(0, 0, 1)
		b, err := m.Batch()
		if err != nil {
			return 0, err
		}
		var gone []uint32
		for u := uint32(50); u <= uint32(count); u += 100 {
			gone = append(gone, u)
		}
		if len(gone) > 0 {
			b.Record(archive.Event{Kind: archive.Gone, UIDs: uid.Of(gone...)})
		}
		if w.Commit(func(archive.Sum) (string, bool) { return "", false }, b); b.Err != nil {
			return 0, b.Err
		}
		if err := m.Release(); err != nil {
			return 0, err
		}
	}
	return octets, nil
}

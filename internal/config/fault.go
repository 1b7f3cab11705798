package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Fault is one fault of a configuration.
type Fault struct {
	File string // as typed by the user, "" without a file
	Line int    // from 1, 0 without a file
	Key  string // the full path, as accounts[0].server; "" for the file as a whole
	Text string // what is wrong and what to write, on one line
}

// String returns "config.yaml:12: accounts[0].server: …".
func (f Fault) String() string {
	var s strings.Builder
	if f.File != "" {
		fmt.Fprintf(&s, "%s:%d: ", printable(f.File), f.Line)
	}
	if f.Key != "" {
		s.WriteString(f.Key + ": ")
	}
	return s.String() + f.Text
}

// Faults is the error for an invalid configuration: all of its faults, sorted by
// line.
type Faults struct{ List []Fault }

// Error returns one fault per line.
func (f *Faults) Error() string {
	lines := make([]string, len(f.List))
	for i, fault := range f.List {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}

// report collects faults.
type report struct {
	file  string
	lines map[string]int
	bad   map[string]bool // keys with a fault: only the first fault of a key is reported
	list  []Fault
}

func (c *Config) report() *report {
	return &report{file: c.file, lines: c.lines, bad: map[string]bool{}}
}

// add records a fault of a key at a line.
func (r *report) add(line int, key, format string, args ...any) {
	r.bad[key] = true
	r.list = append(r.list, Fault{r.file, line, key, fmt.Sprintf(format, args...)})
}

// at records a fault of a key at its line, or at the line of the nearest key around
// it. It does nothing if the key, or one around it, has a fault already.
func (r *report) at(key, format string, args ...any) {
	line := r.line(key)
	for k := key; k != ""; k = parentKey(k) {
		if r.bad[k] {
			return
		}
	}
	r.add(line, key, format, args...)
}

// line returns the line of a key, or of the nearest key around it.
func (r *report) line(key string) int {
	for ; key != ""; key = parentKey(key) {
		if line, ok := r.lines[key]; ok {
			return line
		}
	}
	return min(1, len(r.file))
}

// err returns *Faults, sorted by line, or nil.
func (r *report) err() error {
	if len(r.list) == 0 {
		return nil
	}
	slices.SortStableFunc(r.list, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
	return &Faults{r.list}
}

// parentKey returns the key around a key: accounts[0].name, accounts[0], accounts, "".
func parentKey(key string) string { return key[:max(0, strings.LastIndexAny(key, ".["))] }

// accountKey returns the path of an account's key.
func accountKey(i int, key string) string { return fmt.Sprintf("accounts[%d].%s", i, key) }

// printable returns s, quoted if it has other than plain characters.
func printable(s string) string {
	odd := func(r rune) bool {
		return !unicode.IsPrint(r) || strings.ContainsRune(" \"'`\\", r) || r == unicode.ReplacementChar
	}
	if s == "" || strings.ContainsFunc(s, odd) {
		return strconv.Quote(s)
	}
	return s
}

// Nearest returns the known word with the smallest edit distance to the given one, in any
// case, or "" if none is similar.
func Nearest(word string, known []string) string {
	best, limit := "", max(min(2, len(word)/2), (len(word)+1)/3)
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d <= limit {
			best, limit = k, d-1
		}
	}
	return best
}

// distance returns the edit distance of a and b in octets.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// choices returns "a, b or c".
func choices(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// printableText makes a sentence safe to print: control and invisible characters are
// escaped as Go does.
func printableText(s string) string {
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}
